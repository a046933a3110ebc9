-- Templates of OpenAI's CLIP (MIT), data/prompts.md, as CLIP_benchmark 1.6.2 (MIT),
-- en_zeroshot_classification_templates.json has them.
return {
  name = "stl10",
  version = "1",
  about = "STL-10: photographs",
  templates = {
    "a photo of a {}.",
    "a photo of the {}.",
  },
}
