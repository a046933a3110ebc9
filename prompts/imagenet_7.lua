-- The subset that OpenAI's notebook Prompt_Engineering_for_ImageNet (MIT) ends with, as
-- open_clip 3.3.0 (MIT, SIMPLE_IMAGENET_TEMPLATES) holds it.
return {
  name = "imagenet_7",
  version = "1",
  about = "the subset of imagenet_80 that OpenAI's forward search chose",
  templates = {
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
  },
}
