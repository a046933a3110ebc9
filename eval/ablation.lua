-- Which templates earn their place? Each alone, the ensemble without it, the best few.
-- clipeval run ablation.lua [--model M] [--data DIR] [-o dataset=NAME] [-o prompts=NAME]
local clip = require "clipeval"

return clip.ablate {
  model   = clip.model(arg.model),
  dataset = clip.dataset(arg.dataset or "fashion_mnist", { root = arg.data }),
  prompts = clip.prompts(arg.prompts or "five_plain"),
}
