-- clip.model: from a name to a model. A name is a path, an embedded model, or a Hugging Face
-- id that lies in the local cache; a path that exists goes first.
local core = require "clipeval.core"
local hub = require "clipeval.hub"
local precisions = require "clipeval.precision"
local session = require "clipeval.session"
local util = require "clipeval.util"

local models = {}

local OPTIONS = util.set { "arch", "activation", "precision" }
local ABOUT_ONE = { "arch", "activation" } -- on the command line, of the model of --model
local PRECISIONS = util.set { "auto", table.unpack(precisions.names) }
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
  local url = name:match("^https?://huggingface%.co/([^?#]+)$")
  if url then name = url:gsub("/+$", "") end
  local prefixed = name:match("^hf%-hub:(.*)$")
  if not prefixed and not core.kind(name) then name = name:gsub("(.)/+$", "%1") end
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
function models.open_at(place, options, diagnose)
  local model, fault = core.model(place.path, {
    name = place.name, arch = options.arch, activation = options.activation,
    precision = options.precision, diagnose = diagnose })
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

-- `--arch` and `--activation` are about the model that `--model` names, and no other;
-- `--precision` is about every model whose script says nothing else.
local function choose(name, options)
  local settings, chosen = session.settings, {}
  chosen.precision = options.precision or settings.precision or "fp32"
  for _, key in ipairs(ABOUT_ONE) do
    chosen[key] = options[key]
    if not chosen[key] and settings[key] and name ~= nil and name == settings.model then
      session.taken[key] = true
      chosen[key] = settings[key]
    end
  end
  return chosen
end

-- Two architectures make two models of one file: reports must tell them apart.
local function name_with(place, options)
  local given = options.arch or options.activation
  if given then
    place.name = ("%s (%s)"):format(place.name or util.basename(place.path), given)
  end
end

local reasons = setmetatable({}, { __mode = "k" })

-- Why a model computes in the precision that it does; nil: it was told to.
function models.reason(model)
  return reasons[model]
end

-- The same with "auto" for a precision: tries each that may be faster, see `reason`.
function models.open_as(place, options, diagnose)
  if options.precision ~= "auto" then return models.open_at(place, options, diagnose) end
  local model, why = precisions.auto(function(precision)
    return models.open_at(place, util.copy(options, { precision = precision }), diagnose)
  end)
  if not model then return nil, why end
  reasons[model] = why
  return model
end

local function check_precision(precision)
  if not PRECISIONS[precision] then
    util.fail("model: no precision %s (there are fp32, int8, bf16 and auto)",
              util.show(precision))
  end
end

function models.open(name, options)
  util.path(name, "model: a path or a name")
  options = options or {}
  util.check_fields(options, OPTIONS, "model: options")
  util.path(options.arch, "model: arch")
  util.path(options.activation, "model: activation")
  local place, fault = models.resolve(name)
  if not place then util.fail("%s", fault) end
  options = choose(name, options)
  check_precision(options.precision)
  name_with(place, options)
  local model
  model, fault = models.open_as(place, options)
  if not model then util.fail("%s", fault) end
  if reasons[model] then util.warn("precision auto: %s: %s", model.name, reasons[model]) end
  warn(model)
  return model
end

return models
