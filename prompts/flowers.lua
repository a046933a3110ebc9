-- Templates of OpenAI's CLIP (MIT), data/prompts.md, as CLIP_benchmark 1.6.2 (MIT),
-- en_zeroshot_classification_templates.json has them.
return {
  name = "flowers",
  version = "1",
  about = "Oxford Flowers",
  templates = {
    "a photo of a {}, a type of flower.",
  },
}
