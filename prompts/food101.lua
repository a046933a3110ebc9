-- Templates of OpenAI's CLIP (MIT), data/prompts.md, as CLIP_benchmark 1.6.2 (MIT),
-- en_zeroshot_classification_templates.json has them.
return {
  name = "food101",
  version = "1",
  about = "Food-101: dishes",
  templates = {
    "a photo of {}, a type of food.",
  },
}
