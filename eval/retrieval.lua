-- Do pictures and captions find each other? COCO or Flickr, R@1, 5 and 10 both ways.
-- clipeval run retrieval.lua --data DIR [--model M] [-o dataset=mscoco_captions] [-o split=val]
local clip = require "clipeval"

return clip.retrieval {
  model   = clip.model(arg.model),
  dataset = clip.dataset(arg.dataset or "flickr30k", { root = arg.data, split = arg.split }),
}
