return {
  name = "five_plain",
  version = "1",
  about = "five plain sentences for any picture, photograph or drawing",
  templates = {
    "{}",
    "a photo of a {}",
    "a picture of a {}",
    "a drawing of a {}",
    "clip art of a {}",
  },
}
