-- Is this text of this picture? Pairs from JSON lines: {"path": ..., "text": ..., "match": true}.
-- clipeval run match.lua --data FILE.jsonl [--model M] [-o threshold=0.25]
local clip = require "clipeval"

return clip.match {
  model     = clip.model(arg.model),
  dataset   = clip.dataset("jsonl", { root = arg.data }),
  threshold = tonumber(arg.threshold),
}
