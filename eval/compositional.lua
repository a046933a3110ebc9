-- Does the order of words count? Winoground's scores, or SugarCrepe's choice of a caption.
-- clipeval run compositional.lua --data DIR [--model M] [-o dataset=sugar_crepe]
local clip = require "clipeval"

return clip.compositional {
  model   = clip.model(arg.model),
  dataset = clip.dataset(arg.dataset or "winoground", { root = arg.data }),
}
