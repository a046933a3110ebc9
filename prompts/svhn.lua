-- Templates of CLIP_benchmark 1.6.2 (MIT), en_zeroshot_classification_templates.json.
return {
  name = "svhn",
  version = "1",
  about = "SVHN: house numbers",
  templates = {
    "a photo of the number {} written on a sign",
    "an outdoor house number {}",
    "the number {} in the center of the image",
    "an outdoor number {} writte on a sign",
    "an outdoor number {}",
    "a centered image of the number {}",
  },
}
