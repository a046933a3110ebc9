-- Your own pictures, listed in a CSV file with the columns path and label.
-- clipeval run manifest.lua --data FILE.csv [--model M]
--   [-o path=COLUMN] [-o label=COLUMN] [-o delimiter=C] [-o prompts=NAME]
local clip = require "clipeval"

return clip.zeroshot {
  model   = clip.model(arg.model),
  dataset = clip.dataset("csv", { root = arg.data, path_column = arg.path,
                                  label_column = arg.label, delimiter = arg.delimiter }),
  prompts = clip.prompts(arg.prompts or "a_photo"),
}
