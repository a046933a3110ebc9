-- Tux Paint's stamps: what kind of thing is it? Photographs and drawings, 16 kinds.
-- clipeval run tuxpaint_stamps.lua [--model M] [--data DIR]
local clip = require "clipeval"

return clip.zeroshot {
  model   = clip.model(arg.model),
  dataset = clip.dataset("tuxpaint_stamps", { root = arg.data }),
  prompts = clip.prompts "five_plain",
}
