return {
  name = "winoground",
  version = "1",
  about = "Winoground: two pictures, two captions of the same words; which goes with which?",
  task = "pairs",
  source = "huggingface.co/datasets/facebook/winoground (after registration; unpack images.zip)",
  expects = "{annotations} and the pictures data/images/ex_0_img_0.png, " ..
            "data/images/ex_0_img_1.png, ...",
  layout = "winoground",
  split = "test",
  splits = {
    test = { annotations = "data/examples.jsonl", prefix = "data/images/", suffix = ".png" },
  },
  size = 400,
}
