-- Templates of CLIP_benchmark 1.6.2 (MIT), en_zeroshot_classification_templates.json, as
-- they stand there; OpenAI's data/prompts.md has others.
return {
  name = "pcam",
  version = "1",
  about = "PatchCamelyon: slides of tissue",
  templates = {
    "a histopathology slide showing {}",
    "histopathology image of {}",
  },
}
