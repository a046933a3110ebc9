-- Annotation files: what the layouts that read them share. All raise one line that names the
-- file, the place and the fault.
local core = require "clipeval.core"
local items = require "clipeval.items"
local places = require "clipeval.places"
local util = require "clipeval.util"

local MOST <const> = 1 << 32 -- bytes of a file that is read as a whole

local annotations = {}

-- The fields that these layouts have.
function annotations.fields(more)
  return util.copy({ annotations = "strings", prefix = "path" }, more)
end

-- The directory below which the pictures are looked for: the root, or that of the file it is.
function annotations.base(self)
  local root = core.kind(self.root) == "directory" and self.root or util.directory(self.root)
  return self.prefix and util.join(root, self.prefix) or root
end

-- Files of `names` below `place`, each of which must be there.
function annotations.below(self, place, names)
  local files = {}
  for i, name in ipairs(names) do
    files[i] = util.join(core.kind(place) == "directory" and place or util.directory(place), name)
    if core.kind(files[i]) ~= "file" then places.missing(self, "no %s", files[i]) end
  end
  return files
end

-- The annotation files: `place` where it is one, else what the field names; where it names
-- none, the only one that looks like it.
function annotations.files(self, place, pattern)
  if core.kind(place) ~= "directory" then return { place } end
  if self.annotations then return annotations.below(self, place, self.annotations) end
  local there = {}
  for _, name in ipairs(core.list(place) or {}) do
    if name:find(pattern) then there[#there + 1] = name end
  end
  if #there == 1 then return { util.join(place, there[1]) } end
  if #there == 0 then
    places.missing(self, "say which file of %s: annotations = (there is none that matches)", place)
  end
  util.fail("dataset %s: say which file of %s: annotations = (there are %s)", self.name, place,
            table.concat(there, ", ", 1, math.min(#there, 20)))
end

local function iterate(next_record, fault)
  if not next_record then util.fail("%s", fault) end
  return function()
    local key, value, line = next_record()
    if key == nil and value then util.fail("%s", value) end
    return key, value, line
  end
end

-- The elements of a list or object in a JSON file: key, value, line. A list counts from 1.
function annotations.records(file, member)
  local next_record = iterate(core.json_records(file, member))
  if not member then return next_record end
  return function()
    local key, value, line = next_record()
    if type(key) == "string" then
      util.fail("%s: \"%s\" must be a list, not an object", file, member)
    end
    return key, value, line
  end
end

function annotations.json_lines(file)
  local handle = io.open(file, "rb")
  local start = handle and handle:read(4096) or ""
  if handle then handle:close() end
  if start:gsub("^\xef\xbb\xbf", ""):find("^%s*%[") then
    util.fail("%s: a JSON array, where one object a line is expected (jq -c '.[]' makes that " ..
              "of it)", file)
  end
  return iterate(core.json_lines(file))
end

-- Where an element is, for messages; counting from 0, as JSON's tools do.
function annotations.where(file, member, key)
  return math.type(key) == "integer" and ("%s: %s[%d]"):format(file, member or "", key - 1) or
         ("%s: '%s'"):format(file, util.utf8(tostring(key)))
end

-- All bytes of a file of pixels.
function annotations.read_whole(path)
  local kind, _, size = core.kind(path)
  local file, fault = io.open(path, "rb")
  if not file or kind ~= "file" then util.fail("%s", fault or path .. ": no file") end
  if size > MOST then util.fail("%s: too large: more than 4 GiB", path) end
  local bytes = file:read(size) or ""
  file:close()
  return bytes
end

-- The lines of a text file without their ends: text, number. Blank ones are left out.
function annotations.lines(file)
  local handle, fault = io.open(file, "rb")
  if not handle or core.kind(file) ~= "file" then util.fail("%s", fault or file .. ": no file") end
  local number = 0
  return function()
    while true do
      local line = handle:read("L")
      if not line then
        handle:close()
        return nil
      end
      number = number + 1
      if number == 1 then line = line:gsub("^\xef\xbb\xbf", "") end
      line = line:gsub("[\r\n]+$", "")
      if line:find("\0", 1, true) then util.fail("%s:%d: a NUL byte", file, number) end
      if not utf8.len(line) then util.fail("%s:%d: not UTF-8", file, number) end
      if line:find("%S") then return line, number end
    end
  end
end

-- A field of a JSON object that must be there: "string" (not empty), "table", or "id" (a
-- string or an integer, given as text).
function annotations.field(record, key, kind, where)
  if type(record) ~= "table" then util.fail("%s: no object", where) end
  local value = record[key]
  if kind == "id" and (type(value) == "string" and value ~= "" or math.type(value) == "integer")
  then
    return tostring(value)
  end
  if value == nil then util.fail("%s: no \"%s\"", where, key) end
  if type(value) ~= kind or value == "" then
    util.fail("%s: \"%s\" must be %s, not %s", where, key,
              kind == "id" and "a text or an integer" or kind == "table" and "a list or object" or
              "a text", util.show(value))
  end
  return value
end

-- A path below the base, as an annotation file gives it.
function annotations.path(record, key, where)
  return util.path(annotations.field(record, key, "string", where), where .. ": " .. key)
end

-- Adds an item that was read at `where`; an id of before is a fault.
function annotations.add(list, seen, kind, item, where)
  local fault = items.fault(kind, item)
  if fault then util.fail("%s: %s", where, fault) end
  if seen[item.id] then
    util.fail("%s: '%s' stands at %s already", where, item.id, seen[item.id])
  end
  seen[item.id] = where:match("[^:]*$"):gsub("^ ", "")
  list[#list + 1] = item
end

-- Adds a caption to the picture `id`, which is made where it is new.
function annotations.caption(list, by_id, id, path, caption, where)
  local item = by_id[id]
  if not item then
    item = { id = id, path = path, captions = {} }
    by_id[id], list[#list + 1] = item, item
  end
  local fault = items.fault("retrieval", { captions = { caption } })
  if fault then util.fail("%s: %s", where, fault) end
  item.captions[#item.captions + 1] = caption
end

return annotations
