-- A manifest of JSON lines; what an item is follows from the keys of the first: path and label,
-- labels, captions, question and answers, two captions of which the second is wrong, or text and
-- match. Paths are relative to the manifest.
local annotations = require "clipeval.annotations"
local items = require "clipeval.items"
local util = require "clipeval.util"

local jsonl = {
  takes = "FILE",
  part = "its manifest",
  manifest = "manifest.jsonl",
  present = true,
  fields = { labels = "strings", label_base = "integer", prefix = "path" },
}

function jsonl.expects()
  return 'a manifest, each line such as {"path": "a.jpg", "label": "cat"}'
end

local function paths_of(record, where)
  if record.pictures == nil then return { annotations.path(record, "path", where) } end
  local paths = {}
  for i, name in ipairs(annotations.field(record, "pictures", "table", where)) do
    if type(name) == "table" then name = name.path end
    if type(name) ~= "string" or name == "" then
      util.fail("%s: pictures[%d] is no path", where, i - 1)
    end
    paths[i] = util.path(name, where)
  end
  if #paths == 0 then util.fail("%s: \"pictures\" must be a list of paths", where) end
  return paths
end

function jsonl.load(self, file)
  local list, places, seen, many = {}, {}, {}, {}
  local base = util.join(util.directory(file), self.prefix or "")
  for _, record, line in annotations.json_lines(file) do
    local where = ("%s:%d"):format(file, line)
    if type(record) ~= "table" then util.fail("%s: no object", where) end
    local paths = paths_of(record, where)
    if record.pictures then
      record.pictures = {}
      for i, path in ipairs(paths) do record.pictures[i] = { path = util.join(base, path) } end
      record.path = nil
    else
      record.path = util.join(base, paths[1])
    end
    if record.id ~= nil then
      record.id = annotations.field(record, "id", "id", where)
    else -- a picture may have several questions or texts
      local several = record.question or record.match ~= nil or record.pictures
      many[paths[1]] = (many[paths[1]] or 0) + 1
      record.id = paths[1] .. (several and ("#%d"):format(many[paths[1]]) or "")
    end
    if seen[record.id] then
      util.fail("%s: '%s' stands in line %d already", where, record.id, seen[record.id])
    end
    seen[record.id] = line
    list[#list + 1], places[#places + 1] = record, line
  end
  local function where(i) return ("%s:%d"):format(file, places[i]) end
  return list, items.read(self, list, where, items.from_file)
end

return jsonl
