return {
  name = "fashion_mnist",
  version = "1",
  about = "Fashion-MNIST: 28 x 28 grey pictures of clothes, 10 classes",
  root = "/usr/share/datasets/fashion-mnist",
  source = "Debian's package dataset-fashion-mnist, or github.com/zalandoresearch/fashion-mnist",
  expects = "{images} and {labels}, packed or unpacked",
  layout = "idx",
  split = "test",
  splits = {
    test = { images = "t10k-images-idx3-ubyte.gz", labels = "t10k-labels-idx1-ubyte.gz" },
    train = { images = "train-images-idx3-ubyte.gz", labels = "train-labels-idx1-ubyte.gz" },
  },
  classes = { "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt",
              "sneaker", "bag", "ankle boot" },
  templates = "a_photo",
  size = 10000,
}
