-- Train and val: folders by WordNet id, as torchvision and most scripts make them. Flat:
-- ILSVRC2012_img_val.tar unpacked into val/, with the ground truth of the development kit.
local imagenet = (...) "shared/imagenet.lua"

local flat = "val/ILSVRC2012_val_00000001.JPEG, ... and " ..
             "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"

return {
  name = "imagenet1k",
  version = "1",
  about = "ImageNet (ILSVRC 2012), 1000 classes",
  task = "classification",
  source = "image-net.org (after registration)",
  layout = "folders",
  split = "val",
  splits = {
    val = { place = "val", folders = imagenet.ids,
            expects = "val/n01440764/ILSVRC2012_val_00000293.JPEG, ...: 1000 folders by WordNet "
                      .. "id; or split = \"flat\": " .. flat },
    train = { place = "train", folders = imagenet.ids,
              expects = "train/n01440764/n01440764_18.JPEG, ...: 1000 folders by WordNet id" },
    flat = { layout = "list", columns = { "label" }, labels = imagenet.ilsvrc, prefix = "val/",
             place = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
             numbered = "ILSVRC2012_val_%08d.JPEG", expects = flat },
  },
  classes = imagenet.names,
  templates = "imagenet_80",
  size = 50000,
}
