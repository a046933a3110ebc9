-- Templates of OpenAI's CLIP (MIT), data/prompts.md, as CLIP_benchmark 1.6.2 (MIT),
-- en_zeroshot_classification_templates.json has them.
return {
  name = "pets",
  version = "1",
  about = "Oxford-IIIT Pet",
  templates = {
    "a photo of a {}, a type of pet.",
  },
}
