-- clip.model: from a name to a model. A name is a path, an embedded model, or a Hugging Face
-- id that lies in the local cache; a path that exists goes first.
local core = require "clipeval.core"
local hub = require "clipeval.hub"
local session = require "clipeval.session"
local util = require "clipeval.util"

local models = {}

local OPTIONS = util.set { "arch" }
local DEFAULT = "pocket"

local function embedded_path(name)
  return ("%s/models/%s"):format(core.share, name)
end

-- The names of the embedded models.
function models.embedded()
  local names, is_directory = core.list(core.share .. "/models")
  local found = {}
  for i, name in ipairs(names or {}) do
    if is_directory[i] then found[#found + 1] = name end
  end
  return found
end

local function is_file_name(name)
  return name:find("%.safetensors$") or name:find("%.pth?$") or name:find("%.bin$")
end

-- Why there is no such model, and how to get it.
local function missing(name, id, revision, prefixed)
  if not id or is_file_name(name) then
    return ("no model '%s': no such file or directory%s"):format(name,
           prefixed and ", and no Hugging Face id" or "")
  end
  local near = hub.near(id)
  local advice = near and ("the cache holds %s"):format(near) or
                 id:find("/", 1, true) and hub.advice(id, revision)
  local tried = prefixed and "" or
                id:find("/", 1, true) and "no such path, and " or
                ("no such path, not embedded (embedded: %s), and "):format(
                  table.concat(models.embedded(), ", "))
  return ("no model '%s': %snot in the Hugging Face cache %s%s"):format(name, tried,
         hub.directory(), advice and "; " .. advice or "")
end

-- Where the model `name` lies: {kind = "path" | "embedded" | "hub", path =, name =, found =},
-- or nil and a message. `name` is what reports call it, nil: the path's own last part.
function models.resolve(name)
  name = name or DEFAULT
  local prefixed = name:match("^hf%-hub:(.*)$")
  if not prefixed and core.kind(name) then
    local id, commit = hub.of_path(name)
    return { kind = "path", path = name, name = id and ("%s@%s"):format(id, commit:sub(1, 12)) }
  end
  if not name:find("/", 1, true) and name ~= "" and name:sub(1, 1) ~= "." and
     core.kind(embedded_path(name)) == "directory" then
    return { kind = "embedded", path = embedded_path(name), name = name }
  end
  local id, revision = hub.parse(prefixed or name)
  local found, fault
  if id then found, fault = hub.find(id, revision) end
  if not found then return nil, fault or missing(name, id, revision, prefixed) end
  return { kind = "hub", path = found.path, name = prefixed or name, found = found }
end

-- Opens what `resolve` found; or nil and a message.
function models.open_at(place, arch, diagnose)
  local model, fault = core.model(place.path, { name = place.name, arch = arch,
                                                diagnose = diagnose })
  if model then return model end
  return nil, place.found and hub.explain(place.found, fault) or fault
end

local told = {}

-- Tells what misleads about a model, once a process; remarks are for doctor.
local function warn(model)
  for _, note in ipairs(model.notes) do
    if not told[note.text] and note.severity ~= "remark" then
      util.warn("%s", note.text)
    end
    told[note.text] = true
  end
end

-- `--arch` is about the model that `--model` names, and no other.
local function choose_arch(name, options)
  if options.arch then return options.arch end
  local settings = session.settings
  if not settings.arch or name == nil or name ~= settings.model then return nil end
  session.arch_taken = true
  return settings.arch
end

function models.open(name, options)
  util.path(name, "model: a path or a name")
  options = options or {}
  util.check_fields(options, OPTIONS, "model: options")
  util.path(options.arch, "model: arch")
  local place, fault = models.resolve(name)
  if not place then util.fail("%s", fault) end
  local model
  model, fault = models.open_at(place, choose_arch(name, options))
  if not model then util.fail("%s", fault) end
  warn(model)
  return model
end

return models
