-- Templates of OpenAI's CLIP (MIT), data/prompts.md, as CLIP_benchmark 1.6.2 (MIT),
-- en_zeroshot_classification_templates.json has them.
return {
  name = "fgvc_aircraft",
  version = "1",
  about = "FGVC-Aircraft",
  templates = {
    "a photo of a {}, a type of aircraft.",
    "a photo of the {}, a type of aircraft.",
  },
}
