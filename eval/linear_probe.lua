-- How much do the embeddings know? A logistic regression on 5000 training pictures.
-- clipeval run linear_probe.lua [--model M] [--data DIR] [-o dataset=NAME] [-o n=5000]
local clip = require "clipeval"

local name = arg.dataset or "fashion_mnist"
return clip.linear_probe {
  model       = clip.model(arg.model),
  dataset     = clip.dataset(name, { root = arg.data, split = "test" }),
  train       = clip.dataset(name, { root = arg.data, split = "train" }),
  train_limit = math.tointeger(tonumber(arg.n or 5000)),
}
