-- Fashion-MNIST: which of ten pieces of clothing is it?
-- clipeval run fashion_mnist.lua [--model M] [--data DIR]
local clip = require "clipeval"

return clip.zeroshot {
  model   = clip.model(arg.model),
  dataset = clip.dataset("fashion_mnist", { root = arg.data }),
  prompts = clip.prompts "five_plain",
}
