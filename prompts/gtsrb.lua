-- Templates of OpenAI's CLIP (MIT), data/prompts.md, as CLIP_benchmark 1.6.2 (MIT),
-- en_zeroshot_classification_templates.json has them.
return {
  name = "gtsrb",
  version = "1",
  about = "GTSRB: traffic signs",
  templates = {
    "a zoomed in photo of a \"{}\" traffic sign.",
    "a centered photo of a \"{}\" traffic sign.",
    "a close up photo of a \"{}\" traffic sign.",
  },
}
