-- Templates of OpenAI's CLIP (MIT), data/prompts.md, as CLIP_benchmark 1.6.2 (MIT),
-- en_zeroshot_classification_templates.json has them.
return {
  name = "voc2007",
  version = "1",
  about = "PASCAL VOC: photographs",
  templates = {
    "a photo of a {}.",
  },
}
