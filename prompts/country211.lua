-- Templates of OpenAI's CLIP (MIT), data/prompts.md, as CLIP_benchmark 1.6.2 (MIT),
-- en_zeroshot_classification_templates.json has them.
return {
  name = "country211",
  version = "1",
  about = "Country211: where a photograph was taken",
  templates = {
    "a photo i took in {}.",
    "a photo i took while visiting {}.",
    "a photo from my home country of {}.",
    "a photo from my visit to {}.",
    "a photo showing the country of {}.",
  },
}
