return {
  name = "a_photo",
  version = "1",
  about = "the one template of CLIP's paper",
  templates = { "a photo of a {}." },
}
