-- A text file with one picture a line: its path and its label, in the order of `columns`.
local annotations = require "clipeval.annotations"
local classes_of = require "clipeval.classes"
local util = require "clipeval.util"

local list = {
  kind = "classification",
  takes = "FILE",
  part = "its list",
  present = true,
  fields = { columns = "strings", label = "string", labels = "strings", label_base = "integer",
             prefix = "path", suffix = "string", numbered = "string", separator = "string",
             comment = "string" },
}

function list.expects(self)
  return ("a text file, each line: %s"):format(table.concat(self.columns or {}, " "))
end

function list.fill_in(self)
  self.columns = self.columns or { "path", "label" }
  local has, prefix = util.set(self.columns), ("dataset %s: "):format(self.name)
  if self.label and self.label ~= "folder" then
    util.fail('%slabel must be "folder", or not be said', prefix)
  end
  if not has.path and not (has.label and self.numbered) then
    util.fail("%scolumns has no path, and nothing is numbered", prefix)
  end
  if not has.label then self.label = "folder" end
  if self.separator and (#self.separator ~= 1 or self.separator:find("[%z\r\n]")) then
    util.fail("%sseparator must be one character", prefix)
  end
  local ok, name = pcall(string.format, self.numbered or "%d", 1)
  if not ok or self.numbered and not self.numbered:find("%%%d*d") then
    util.fail("%snumbered must be a pattern for a number, as in \"%%08d.jpg\"", prefix, name)
  end
end

-- The words of a line; the last takes the rest of it.
local function split(self, line, where)
  local words, at, n = {}, 1, #self.columns
  if not self.separator then line = line:match("^%s*(.-)%s*$") end
  local separator = self.separator and self.separator:gsub("%W", "%%%0") or "[ \t]+"
  for i = 1, n do
    local first, last = line:find(separator, at)
    if i == n or not first then
      words[self.columns[i]] = at <= #line and line:sub(at) or nil
      if i < n then at = #line + 1 end
    else
      words[self.columns[i]] = line:sub(at, first - 1)
      at = last + 1
    end
  end
  for _, key in ipairs { "path", "label" } do
    local wanted = key == "path" and not self.numbered or key == "label" and not self.label
    if wanted and (words[key] or "") == "" then
      util.fail("%s: no %s (a line is: %s)", where, key, table.concat(self.columns, " "))
    end
  end
  return words
end

local function folder_of(path, where)
  local folder = path:match("^/*(.+)/[^/]*$")
  return folder or util.fail("%s: '%s' lies in no folder, which would be its class", where, path)
end

local function read(self, file)
  local rows, found, seen, n = {}, {}, {}, 0
  for line, number in annotations.lines(file) do
    if not self.comment or line:sub(1, #self.comment) ~= self.comment then
      local where = ("%s:%d"):format(file, number)
      local words = split(self, line, where)
      n = n + 1
      local path = words.path or self.numbered:format(n)
      local label = self.label and folder_of(path, where) or words.label
      if not seen[label] then
        seen[label] = true
        found[#found + 1] = label
      end
      rows[n] = { path = path .. (self.suffix or ""), label = label, where = where }
    end
  end
  return rows, found
end

function list.load(self, file)
  local rows, found = read(self, file)
  local classes = classes_of(self, found, self.labels)
  local items, seen, base = {}, {}, annotations.base(self)
  for i, row in ipairs(rows) do
    if seen[row.path] then
      util.fail("%s: '%s' stands at %s already", row.where, row.path, seen[row.path])
    end
    seen[row.path] = row.where
    local path = self.prefix and row.path:gsub("^/+", "") or row.path
    items[i] = { id = row.path, label = classes:of(row.label, row.where),
                 path = util.join(base, path) }
  end
  return items, classes.names
end

return list
