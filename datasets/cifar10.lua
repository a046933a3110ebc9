-- Class names: batches.meta.txt, in the order of the labels.
return {
  name = "cifar10",
  version = "1",
  about = "CIFAR-10: 32 x 32 photographs, 10 classes",
  task = "classification",
  source = "www.cs.toronto.edu/~kriz/cifar.html (binary version)",
  expects = "cifar-10-batches-bin/test_batch.bin and data_batch_1.bin, " ..
            "data_batch_2.bin, data_batch_3.bin, data_batch_4.bin, data_batch_5.bin " ..
            "beside it",
  layout = "cifar",
  folder = "cifar-10-batches-bin",
  split = "test",
  splits = {
    test = { files = { "test_batch.bin" } },
    train = { files = { "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                        "data_batch_4.bin", "data_batch_5.bin" } },
  },
  label_bytes = 1,
  classes = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
    "truck",
  },
  templates = "cifar10",
  size = 10000,
}
