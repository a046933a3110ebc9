-- clip: what an evaluation script says `require "clipeval"` for.
local core = require "clipeval.core"
local util = require "clipeval.util"

local PICTURE = util.set { "width", "height", "channels", "pixels" }

local clip = {
  version = core.about().version,
  matrix = core.matrix,
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

local function embedded_models()
  local names, is_directory = core.list(core.share .. "/models")
  local found = {}
  for i, name in ipairs(names or {}) do
    if is_directory[i] then found[#found + 1] = name end
  end
  return found
end

-- A model by its directory, or by the name of an embedded one; nil: "pocket".
function clip.model(name)
  util.path(name, "model: a directory or a name")
  local path = name
  if not name or not (name:find("/", 1, true) or core.kind(name)) then
    path = ("%s/models/%s"):format(core.share, name or "pocket")
    if core.kind(path) ~= "directory" then
      util.fail("no model '%s': neither a directory nor embedded (embedded: %s)",
                name or "pocket", table.concat(embedded_models(), ", "))
    end
  end
  local model, fault = core.model(path)
  if not model then util.fail("%s", fault) end
  return model
end

return clip
