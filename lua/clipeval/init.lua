-- clip: what an evaluation script says `require "clipeval"` for.
local core = require "clipeval.core"
local util = require "clipeval.util"

local PICTURE = util.set { "width", "height", "channels", "pixels" }

local clip = {
  version = core.about().version,
  matrix = core.matrix,
  model = require "clipeval.models".open,
  dataset = require "clipeval.dataset",
  prompts = require "clipeval.prompts",
  zeroshot = require "clipeval.zeroshot".zeroshot,
  csv = core.csv,
  json = core.json_decode,
  sha256 = core.sha256,
}

-- A decoded picture, or nil and what is wrong with the file.
function clip.image(picture, options)
  if type(picture) == "table" then
    util.check_fields(picture, PICTURE, "image")
  elseif picture == nil then
    util.fail("image: needs a path or pixels: string expected, got nil")
  else
    util.path(picture, "image: the path")
  end
  if options ~= nil then util.check_fields(options, { alpha = true }, "image: options") end
  return core.image(picture, options)
end

return clip
