-- Tux Paint's stamps and their English captions: do they find each other?
-- clipeval run retrieval_stamps.lua [--model M] [--data DIR]
local clip = require "clipeval"

local stamps = clip.dataset("tuxpaint_stamps", { root = arg.data })
local items = {}
for i, item in ipairs(stamps.items) do
  items[i] = { id = item.id, path = item.path, captions = { item.caption } }
end

return clip.retrieval {
  model   = clip.model(arg.model),
  dataset = { name = stamps.name, version = stamps.version, alpha = stamps.alpha,
              items = items },
}
