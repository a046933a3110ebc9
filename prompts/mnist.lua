-- Templates of OpenAI's CLIP (MIT), data/prompts.md, as CLIP_benchmark 1.6.2 (MIT),
-- en_zeroshot_classification_templates.json has them.
return {
  name = "mnist",
  version = "1",
  about = "MNIST: digits",
  templates = {
    "a photo of the number: \"{}\".",
  },
}
