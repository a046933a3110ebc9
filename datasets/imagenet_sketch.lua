local imagenet = (...) "shared/imagenet.lua"

return {
  name = "imagenet_sketch",
  version = "1",
  about = "ImageNet-Sketch: drawings of ImageNet's classes",
  task = "classification",
  source = "huggingface.co/datasets/songweig/imagenet_sketch (ImageNet-Sketch.zip)",
  expects = "sketch/n01440764/sketch_0.JPEG, ...: 1000 folders by WordNet id",
  layout = "folders",
  folder = "sketch",
  folders = imagenet.ids,
  classes = imagenet.names,
  templates = "imagenet_80",
  size = 50889,
}
