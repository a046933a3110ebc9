-- Templates of OpenAI's CLIP (MIT), data/prompts.md, as CLIP_benchmark 1.6.2 (MIT),
-- en_zeroshot_classification_templates.json has them.
return {
  name = "cars",
  version = "1",
  about = "Stanford Cars",
  templates = {
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of my {}.",
    "i love my {}!",
    "a photo of my dirty {}.",
    "a photo of my clean {}.",
    "a photo of my new {}.",
    "a photo of my old {}.",
  },
}
