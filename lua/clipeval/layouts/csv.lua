-- A manifest with a header; paths are relative to it.
local classes_of = require "clipeval.classes"
local core = require "clipeval.core"
local util = require "clipeval.util"

local csv = {
  kind = "classification",
  takes = "FILE",
  part = "its manifest",
  manifest = "manifest.csv",
  present = true,
  fields = { path_column = "string", label_column = "string", delimiter = "string",
             labels = "strings", label_base = "integer", prefix = "path" },
}

function csv.expects(self)
  return ("a manifest with the columns %s and %s"):format(self.path_column, self.label_column)
end

function csv.fill_in(self)
  self.path_column = self.path_column or "path"
  self.label_column = self.label_column or "label"
  self.delimiter = self.delimiter or ","
  if #self.delimiter ~= 1 or self.delimiter:find('["\r\n%z]') then
    util.fail("dataset %s: delimiter must be one character", self.name)
  end
end

local function find_column(header, name, file)
  local found
  for i, column in ipairs(header) do
    if column == name and found then
      util.fail("%s:%d: two columns '%s'", file, header.line, name)
    end
    found = column == name and i or found
  end
  return found or util.fail("%s:%d: no column '%s' (there are %s)", file, header.line, name,
                            table.concat(header, ", "))
end

-- The rows without the header, and which of their fields are path and label.
local function read(self, file)
  local rows, fault = core.csv(file, self.delimiter)
  if not rows then util.fail("%s", fault) end
  if #rows == 0 then util.fail("%s:1: no header (expected: %s)", file, csv.expects(self)) end
  local header = table.remove(rows, 1)
  local path_at = find_column(header, self.path_column, file)
  local label_at = find_column(header, self.label_column, file)
  for _, row in ipairs(rows) do
    if #row ~= #header then
      util.fail("%s:%d: %d fields, where the header has %d", file, row.line, #row, #header)
    end
  end
  return rows, path_at, label_at
end

function csv.load(self, file)
  local rows, path_at, label_at = read(self, file)
  local found, seen = {}, {}
  for _, row in ipairs(rows) do
    local label = row[label_at]
    if not seen[label] then
      seen[label] = true
      found[#found + 1] = label
    end
  end
  local classes = classes_of(self, found, self.labels)
  local items, lines = {}, {}
  local root = util.join(util.directory(file), self.prefix or "")
  for i, row in ipairs(rows) do
    local path = row[path_at]
    local label = classes:of(row[label_at], ("%s:%d"):format(file, row.line))
    if path == "" then util.fail("%s:%d: an empty path", file, row.line) end
    if lines[path] then
      util.fail("%s:%d: '%s' stands in line %d already", file, row.line, path, lines[path])
    end
    lines[path] = row.line
    items[i] = { id = path, label = label, path = util.join(root, path) }
  end
  return items, classes.names
end

return csv
