-- PASCAL VOC 2007: which of 20 things does a picture show? Mean average precision.
-- clipeval run multilabel.lua --data VOCdevkit/VOC2007 [--model M]
local clip = require "clipeval"

return clip.multilabel {
  model   = clip.model(arg.model),
  dataset = clip.dataset("voc2007", { root = arg.data }),
  prompts = clip.prompts "voc2007",
}
