-- Templates of OpenAI's CLIP (MIT), data/prompts.md, as CLIP_benchmark 1.6.2 (MIT),
-- en_zeroshot_classification_templates.json has them.
return {
  name = "sun397",
  version = "1",
  about = "SUN397: scenes",
  templates = {
    "a photo of a {}.",
    "a photo of the {}.",
  },
}
