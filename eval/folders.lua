-- Your own pictures, sorted into one folder a class: the folders' names are the classes.
-- clipeval run folders.lua --data DIR [--model M] [-o prompts=NAME]
local clip = require "clipeval"

return clip.zeroshot {
  model   = clip.model(arg.model),
  dataset = clip.dataset("folders", { root = arg.data }),
  prompts = clip.prompts(arg.prompts or "a_photo"),
}
