-- CIFAR-10 or CIFAR-100 from their binary files, with the published templates.
-- clipeval run cifar.lua --data DIR [--model M] [-o dataset=cifar100]
local clip = require "clipeval"

local name = arg.dataset or "cifar10"
return clip.zeroshot {
  model   = clip.model(arg.model),
  dataset = clip.dataset(name, { root = arg.data }),
  prompts = clip.prompts(name),
}
