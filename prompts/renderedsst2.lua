-- Templates of OpenAI's CLIP (MIT), data/prompts.md, as CLIP_benchmark 1.6.2 (MIT),
-- en_zeroshot_classification_templates.json has them.
return {
  name = "renderedsst2",
  version = "1",
  about = "Rendered SST2: pictures of film reviews",
  templates = {
    "a {} review of a movie.",
  },
}
