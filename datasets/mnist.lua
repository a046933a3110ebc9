return {
  name = "mnist",
  version = "1",
  about = "MNIST: 28 x 28 handwritten digits",
  task = "classification",
  source = "storage.googleapis.com/cvdf-datasets/mnist",
  expects = "MNIST/raw/{images} and MNIST/raw/{labels}, packed or unpacked",
  layout = "idx",
  folder = "MNIST/raw",
  split = "test",
  splits = {
    test = { images = "t10k-images-idx3-ubyte.gz", labels = "t10k-labels-idx1-ubyte.gz" },
    train = { images = "train-images-idx3-ubyte.gz", labels = "train-labels-idx1-ubyte.gz" },
  },
  classes = {
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9",
  },
  templates = "mnist",
  size = 10000,
}
