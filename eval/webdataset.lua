-- A WebDataset directory as CLIP_benchmark publishes them, with its own templates.
-- clipeval run webdataset.lua --data DIR [--model M] [-o split=test]
local clip = require "clipeval"

local data = clip.dataset("wds:" .. (arg.data or "."), { split = arg.split })
local task = data.kind == "retrieval" and clip.retrieval or clip.zeroshot
return task {
  model   = clip.model(arg.model),
  dataset = data,
  prompts = data.kind ~= "retrieval" and clip.prompts(data.templates) or nil,
}
