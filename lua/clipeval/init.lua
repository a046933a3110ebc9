-- clip: what an evaluation script says `require "clipeval"` for.
local core = require "clipeval.core"
local answers = require "clipeval.answers"
local util = require "clipeval.util"

local PIXELS = util.set { "width", "height", "channels", "pixels" }
local PART = util.set { "path", "offset", "size" } -- of a file

local clip = {
  version = core.about().version,
  matrix = core.matrix,
  model = require "clipeval.models".open,
  dataset = require "clipeval.dataset",
  prompts = require "clipeval.prompts",
  a_or_an = require "clipeval.article",
  zeroshot = require "clipeval.zeroshot",
  retrieval = require "clipeval.retrieval",
  multilabel = require "clipeval.multilabel",
  compositional = require "clipeval.compositional",
  match = require "clipeval.match",
  linear_probe = require "clipeval.linear_probe",
  ablate = require "clipeval.ablate",
  vqa = require "clipeval.vqa",
  questions = require "clipeval.questions",
  answers = { normalise = answers.normalise, accuracy = answers.accuracy },
  csv = core.csv,
  json = core.json_decode,
  sha256 = core.sha256,
}

-- A decoded picture, or nil and what is wrong with the file.
function clip.image(picture, options)
  if type(picture) == "table" then
    util.check_fields(picture, rawget(picture, "path") and PART or PIXELS, "image")
  elseif picture == nil then
    util.fail("image: needs a path or pixels: string expected, got nil")
  else
    util.path(picture, "image: the path")
  end
  if options ~= nil then util.check_fields(options, { alpha = true }, "image: options") end
  return core.image(picture, options)
end

return clip
