-- Class names: class_names.txt, in the order of the labels.
return {
  name = "stl10",
  version = "1",
  about = "STL-10: 96 x 96 photographs, 10 classes",
  task = "classification",
  source = "ai.stanford.edu/~acoates/stl10",
  expects = "stl10_binary/{images} and stl10_binary/{labels}",
  layout = "stl10",
  folder = "stl10_binary",
  split = "test",
  splits = {
    test = { images = "test_X.bin", labels = "test_y.bin" },
    train = { images = "train_X.bin", labels = "train_y.bin" },
  },
  classes = {
    "airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck",
  },
  templates = "stl10",
  size = 8000,
}
