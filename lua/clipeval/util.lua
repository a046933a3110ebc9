-- What the other modules share: faults, paths, JSON.
local core = require "clipeval.core"
local session = require "clipeval.session"

local util = {}

-- Raises `message` with the script's own file and line in front.
function util.fail(format, ...)
  local message = select("#", ...) > 0 and format:format(...) or format
  for level = 2, 64 do
    local info = debug.getinfo(level, "Sl")
    if not info then break end
    if info.source:sub(1, 1) == "@" and info.currentline > 0 then
      message = ("%s:%d: %s"):format(info.short_src, info.currentline, message)
      break
    end
  end
  error(message, 0)
end

-- Raises what ends the program with `code` and one line.
function util.quit(code, format, ...)
  core.quit(code, format:format(...))
end

-- Checks that `t` has no other fields than those of the set `known`: a misspelt option is
-- an error, not silence.
function util.check_fields(t, known, what)
  for key in pairs(t) do
    if not known[key] then
      util.fail("%s: unknown field '%s' (there are %s)", what, tostring(key),
                table.concat(util.keys(known), ", "))
    end
  end
end

function util.set(list)
  local set = {}
  for _, value in ipairs(list) do set[value] = true end
  return set
end

-- The keys of `t`, sorted as strings.
function util.keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = tostring(key) end
  table.sort(keys)
  return keys
end

function util.copy(t, over)
  local copy = {}
  for key, value in pairs(t) do copy[key] = value end
  for key, value in pairs(over or {}) do copy[key] = value end
  return copy
end

-- ---- paths ----

function util.join(directory, name)
  if name:sub(1, 1) == "/" or directory == "" then return name end
  return directory:sub(-1) == "/" and directory .. name or directory .. "/" .. name
end

function util.basename(path)
  return path:gsub("/+$", ""):match("[^/]+$") or path
end

function util.directory(path)
  return path:match("^(.*)/[^/]*$") or "."
end

function util.stem(path)
  local name = util.basename(path)
  return name:match("^(.+)%.[^.]*$") or name
end

-- The file of `kind` ("datasets", "prompts") that `name` means: a path where it has a slash
-- or ends in .lua (here, or beside the script), else one of the share directory; or nil and
-- those that exist there.
function util.find(kind, name)
  if name:find("/", 1, true) or name:find("%.lua$") then
    local beside = util.join(util.directory(session.script or ""), name)
    return not core.kind(name) and core.kind(beside) and beside or name
  end
  local path = ("%s/%s/%s.lua"):format(core.share, kind, name)
  if core.kind(path) == "file" then return path end
  return nil, table.concat(util.list(kind), ", ")
end

-- Names of the Lua files in share/KIND, without ".lua".
function util.list(kind)
  local names = {}
  for _, name in ipairs(core.list(util.join(core.share, kind)) or {}) do
    names[#names + 1] = name:match("^(.+)%.lua$")
  end
  return names
end

-- The table that the Lua file `path` returns.
function util.load_table(path)
  local chunk, fault = loadfile(path, "t")
  if not chunk then util.fail("%s", fault:gsub("^cannot open ", "", 1)) end
  local value = chunk()
  if type(value) ~= "table" then util.fail("%s: does not return a table", path) end
  return value
end

-- ---- text ----

-- Bytes that are no UTF-8 become \xHH, so that names of files can be written anywhere.
function util.utf8(text)
  if utf8.len(text) then return text end
  return (text:gsub("[\128-\255]", function(c) return ("\\x%02x"):format(c:byte()) end))
end

function util.count(n, singular, plural)
  return ("%d %s"):format(n, n == 1 and singular or plural or singular .. "s")
end

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t",
                  ["\r"] = "\\r" }

local function json_string(text)
  return '"' .. util.utf8(text):gsub('[%c"\\]', function(c)
    return escapes[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

-- JSON of a plain value: objects with sorted keys, lists where t[1] or t.list is there.
function util.json(value, indent)
  indent = indent or ""
  local deeper = indent .. "  "
  local kind = math.type(value) or type(value)
  if kind == "integer" then return ("%d"):format(value) end
  if kind == "float" then
    return value == value and math.abs(value) < math.huge and ("%.15g"):format(value) or "null"
  end
  if kind == "string" then return json_string(value) end
  if kind ~= "table" then return kind == "boolean" and tostring(value) or "null" end
  local parts, is_list = {}, value[1] ~= nil or next(value) == nil
  if is_list then
    for i, item in ipairs(value) do parts[i] = util.json(item, deeper) end
  else
    for i, key in ipairs(util.keys(value)) do
      parts[i] = json_string(key) .. ": " .. util.json(value[key], deeper)
    end
  end
  local open, close = is_list and "[" or "{", is_list and "]" or "}"
  local line = open .. table.concat(parts, ", ") .. close
  if #line + #indent < 90 and not line:find("\n") then return line end
  return open .. "\n" .. deeper .. table.concat(parts, ",\n" .. deeper) .. "\n" .. indent ..
         close
end

return util
