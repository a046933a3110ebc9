-- ImageNet: which of 1000 things is it? CLIP's 80 templates, as in its paper.
-- clipeval run imagenet.lua --data DIR [--model M]
--   [-o dataset=imagenetv2] [-o split=train] [-o prompts=imagenet_7]
local clip = require "clipeval"

return clip.zeroshot {
  model   = clip.model(arg.model),
  dataset = clip.dataset(arg.dataset or "imagenet1k", { root = arg.data, split = arg.split }),
  prompts = clip.prompts(arg.prompts or "imagenet_80"),
  metrics = { "acc@1", "acc@5", "mean_per_class_recall" },
}
