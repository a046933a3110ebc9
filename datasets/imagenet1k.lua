-- Train and val: folders by WordNet id, as torchvision and most scripts make them. Flat:
-- ILSVRC2012_img_val.tar unpacked into val/, with the ground truth of the development kit.
local imagenet = (...) "shared/imagenet.lua"

return {
  name = "imagenet1k",
  version = "1",
  about = "ImageNet (ILSVRC 2012), 1000 classes",
  task = "classification",
  source = "image-net.org (after registration)",
  layout = "folders",
  split = "val",
  splits = {
    val = { place = "val", folders = imagenet.ids },
    train = { place = "train", folders = imagenet.ids },
    flat = { layout = "list", columns = { "label" }, labels = imagenet.ilsvrc, prefix = "val/",
             place = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
             numbered = "ILSVRC2012_val_%08d.JPEG" },
  },
  classes = imagenet.names,
  templates = "imagenet_80",
  size = 50000,
}
