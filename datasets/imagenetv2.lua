-- The three variants as their archives unpack: folders 0 to 999, the labels.
local imagenet = (...) "shared/imagenet.lua"
local folders = {}
for i = 1, 1000 do folders[i] = tostring(i - 1) end

return {
  name = "imagenetv2",
  version = "1",
  about = "ImageNetV2: new pictures for ImageNet's classes",
  task = "classification",
  source = "huggingface.co/datasets/vaishaal/ImageNetV2",
  expects = "{place}/0/NAME.jpeg to {place}/999/NAME.jpeg: folders by the number of the " ..
            "class",
  layout = "folders",
  split = "test",
  splits = {
    test = "imagenetv2-matched-frequency-format-val",
    ["threshold0.7"] = "imagenetv2-threshold0.7-format-val",
    ["top-images"] = "imagenetv2-top-images-format-val",
  },
  folders = folders,
  classes = imagenet.names,
  templates = "imagenet_80",
  size = 10000,
}
