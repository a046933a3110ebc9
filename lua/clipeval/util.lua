-- What the other modules share: faults, paths, JSON.
local core = require "clipeval.core"
local session = require "clipeval.session"

local util = {}

-- Raises `message` with the script's own file and line in front; with the script's name where
-- its call has left no line (`return clip.zeroshot {...}` is a tail call).
function util.fail(format, ...)
  local message = select("#", ...) > 0 and format:format(...) or format
  message = message:gsub("%c", "?") -- names of files may hold line ends
  local place = session.script
  for level = 2, 64 do
    local info = debug.getinfo(level, "Sl")
    if not info then break end
    if info.source:sub(1, 1) == "@" and info.currentline > 0 then
      place = ("%s:%d"):format(info.short_src, info.currentline)
      break
    end
  end
  error(place and place .. ": " .. message or message, 0)
end

-- One line on stderr, whatever --quiet says: the figures depend on what it tells.
function util.warn(format, ...)
  io.stderr:write("clipeval: ", (format:format(...):gsub("%c", "?")), "\n")
end

-- Raises what ends the program with `code` and one line.
function util.quit(code, format, ...)
  core.quit(code, format:format(...))
end

-- ---- what scripts hand over ----

-- A value for a message: never an address.
function util.show(value)
  local kind = type(value)
  if kind == "string" then return "'" .. value .. "'" end
  return (kind == "number" or kind == "boolean" or kind == "nil") and tostring(value) or
         "a " .. kind
end

-- Checks that `t` has no other fields than those of the set `known`: a misspelt option is
-- an error, not silence.
function util.check_fields(t, known, what)
  if type(t) ~= "table" then util.fail("%s must be a table, not %s", what, util.show(t)) end
  for key in pairs(t) do
    if not known[key] then
      util.fail("%s: unknown field %s (there are %s)", what, util.show(key),
                table.concat(util.keys(known), ", "))
    end
  end
end

-- The length of the list `t`. A hole raises: it is a name that was misspelt, and all that
-- follows it would be lost. So does any other key that is not in the set `known`.
function util.length(t, what, known)
  local last = 0
  for key in pairs(t) do
    if math.type(key) == "integer" and key >= 1 then
      last = math.max(last, key)
    elseif not (known and known[key]) then
      util.fail("%s: %s has no place in a list", what, util.show(key))
    end
  end
  for i = 1, last do
    if t[i] == nil then util.fail("%s %d is nil", what, i) end
  end
  return last
end

-- A name or version as text; nil stays.
function util.text(value, what)
  if value == nil or type(value) == "string" then return value end
  if type(value) ~= "number" then
    util.fail("%s must be a string or a number, not %s", what, util.show(value))
  end
  return tostring(value)
end

-- A path, or a name that becomes part of one; nil stays.
function util.path(value, what)
  if value ~= nil and type(value) ~= "string" then
    util.fail("%s must be a string, not %s", what, util.show(value))
  end
  if value and value:find("\0", 1, true) then util.fail("%s holds a NUL byte", what) end
  return value
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

function util.range(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
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
-- or an ending (here, or beside the script), else one of the share directory; or nil and
-- those that exist there.
function util.find(kind, name)
  util.path(name, kind .. ": the name")
  if name:find("/", 1, true) or name:find("%.%a+$") then
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

-- The table that the Lua file `path` returns. The file is given a function that loads a table
-- beside it: local beside = ...
function util.load_table(path)
  local chunk, fault = loadfile(path, "t")
  if not chunk then util.fail("%s", fault:gsub("^cannot open ", "", 1)) end
  local value = chunk(function(name)
    return util.load_table(util.join(util.directory(path), name))
  end)
  if type(value) ~= "table" then util.fail("%s: does not return a table", path) end
  return value
end

-- The whole of a file; nil where it cannot be read.
function util.read(path)
  local file = io.open(path, "rb")
  local text = file and file:read("a")
  if file then file:close() end
  return text
end

-- Writes `text` to the file `path`, or to stdout; what fails ends the program.
function util.write(path, text)
  if not path then
    io.stdout:write(text)
    return
  end
  local file, fault = io.open(path, "wb")
  if not file then util.quit(3, "%s", fault) end
  file:write(text)
  local ok
  ok, fault = core.close(file)
  if not ok then util.quit(3, "%s: %s", path, fault) end
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
