-- What lies in the layouts folders, csv and idx, or in a list of the user's own: read here and
-- nowhere else. LAYOUT.load(dataset, place) -> items, class names.
local core = require "clipeval.core"
local util = require "clipeval.util"

local DEEPEST = 32 -- directories, the root among them

-- ---- classes ----

local function sort_labels(labels)
  local all_numbers = true
  for _, label in ipairs(labels) do all_numbers = all_numbers and label:find("^%-?%d+$") end
  table.sort(labels, all_numbers and function(a, b)
    return tonumber(a) < tonumber(b) or tonumber(a) == tonumber(b) and a < b
  end or nil)
  return labels
end

-- Whether `classes` is a list; else it is a map, whose keys are labels as the data has them.
local function is_list(self, classes)
  if classes[1] ~= nil and classes[0] == nil then
    util.length(classes, ("dataset %s: classes: class"):format(self.name))
    return true
  end
  local kind
  for key in pairs(classes) do
    local own = math.type(key) or type(key)
    if own ~= "integer" and own ~= "string" or kind and own ~= kind then
      util.fail("dataset %s: classes must be a list, or a map whose keys are all labels, or "
                .. "all integers", self.name)
    end
    kind = own
  end
  return false
end

local function check_name(self, name, label)
  if type(name) ~= "string" or name == "" then
    util.fail("dataset %s: the name of class %s is no text", self.name, tostring(label))
  end
  return name
end

-- The class names, the class number of each label, and whether the labels were given as a
-- list. self.classes is nil (the labels found are the classes), a list of class names, or a
-- map from label to class name, in which labels of one name are one class.
local function number_classes(self, found)
  local given, names, number = self.classes, {}, {}
  if given and is_list(self, given) then
    for i, name in ipairs(given) do
      names[i] = check_name(self, name, i)
      number[name] = number[name] or i
    end
    return names, number, true
  end
  local by_label, by_name = {}, {}
  for key, name in pairs(given or {}) do by_label[tostring(key)] = check_name(self, name, key) end
  for _, label in ipairs(sort_labels(given and util.keys(given) or found)) do
    local name = by_label[label] or util.utf8(label)
    if not (given and by_name[name]) then
      names[#names + 1] = name
      by_name[name] = #names
    end
    number[label] = given and by_name[name] or #names
  end
  return names, number, false
end

-- The class of a label as a file has it: its name or key, or its number counting from 0.
local function find_class(label, names, number, listed)
  if number[label] then return number[label] end
  local integer = label:find("^%d+$") and math.tointeger(tonumber(label))
  if not integer then return nil end
  if not listed then return number[tostring(integer)] end
  return names[integer + 1] and integer + 1
end

-- ---- layout "folders": one directory a class ----

local folders = {}

function folders.expects()
  return "CLASS/PICTURE: a folder for each class, its pictures below"
end

local function caption_of(path)
  local file = io.open(path, "rb")
  local line = file and file:read("L") or ""
  if file then file:close() end
  return (line:gsub("%s+$", ""))
end

-- Adds the pictures below `directory` to `found`; `id` is its path in the dataset, `above` the
-- identities of the folders that it lies in. A folder that is one of those again goes to
-- `skipped`.
local function walk(self, directory, id, label, found, above, depth, skipped)
  local _, identity = core.kind(directory)
  if above[identity] or depth > DEEPEST then
    skipped[#skipped + 1] = id .. "/"
    return
  end
  local names, is_directory = core.list(directory)
  if not names then util.fail("dataset %s: %s", self.name, is_directory) end
  above[identity] = true
  local present = self.captions and util.set(names)
  for i, name in ipairs(names) do
    local extension = name:match("%.([^.]*)$")
    local item_id = id .. "/" .. name
    if name:sub(1, 1) == "." then -- hidden
    elseif is_directory[i] then
      walk(self, util.join(directory, name), item_id, label, found, above, depth + 1, skipped)
    elseif extension and self.extensions[extension:lower()] and not self:excludes(item_id) then
      local item = { id = item_id, label = label, path = util.join(directory, name) }
      local beside = present and name:sub(1, -#extension - 1) .. self.captions
      if beside and present[beside] then
        item.caption = caption_of(util.join(directory, beside))
      end
      if not beside or item.caption then found[#found + 1] = item end
    end
  end
  above[identity] = nil
end

local function warn_of_skipped(self, skipped)
  if #skipped == 0 then return end
  util.warn("dataset %s: %s is not read: a link that leads back, or too deep%s", self.name,
            skipped[1], #skipped > 1 and (" (and %d more)"):format(#skipped - 1) or "")
end

function folders.load(self, root)
  local names, is_directory = core.list(root)
  if not names then util.fail("dataset %s: %s", self.name, is_directory) end
  local labels, items, skipped = {}, {}, {}
  for i, name in ipairs(names) do
    if is_directory[i] and name:sub(1, 1) ~= "." then labels[#labels + 1] = name end
  end
  if #labels == 0 then
    util.fail("dataset %s: no folders in %s (expected: %s)", self.name, root, folders.expects())
  end
  local present = util.set(labels)
  local classes, number = number_classes(self, labels)
  local _, identity = core.kind(root)
  for _, label in ipairs(util.keys(number)) do
    if not present[label] then
      util.fail("dataset %s: no folder '%s' in %s", self.name, label, root)
    end
    walk(self, util.join(root, label), label, number[label], items, { [identity] = true }, 2,
         skipped)
  end
  warn_of_skipped(self, skipped)
  return items, classes
end

-- ---- layout "csv": a manifest with a header; paths are relative to it ----

local csv = {}

function csv.expects(self)
  return ("a manifest with the columns %s and %s"):format(self.path_column, self.label_column)
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

function csv.load(self, file)
  local rows, fault = core.csv(file, self.delimiter)
  if not rows then util.fail("%s", fault) end
  if #rows == 0 then util.fail("%s:1: no header (expected: %s)", file, csv.expects(self)) end
  local header = table.remove(rows, 1)
  local path_at = find_column(header, self.path_column, file)
  local label_at = find_column(header, self.label_column, file)
  local found, seen = {}, {}
  for _, row in ipairs(rows) do
    if #row ~= #header then
      util.fail("%s:%d: %d fields, where the header has %d", file, row.line, #row, #header)
    end
    local label = row[label_at]
    if not seen[label] then
      seen[label] = true
      found[#found + 1] = label
    end
  end
  local classes, number, listed = number_classes(self, found)
  local items, lines = {}, {}
  local root = util.directory(file)
  for _, row in ipairs(rows) do
    local path, label = row[path_at], row[label_at]
    local class = find_class(label, classes, number, listed)
    if not class or label == "" then
      util.fail("%s:%d: the label '%s' is no class (there are %s)", file, row.line, label,
                util.count(#classes, "class", "classes"))
    end
    if path == "" then util.fail("%s:%d: an empty path", file, row.line) end
    if lines[path] then
      util.fail("%s:%d: '%s' stands in line %d already", file, row.line, path, lines[path])
    end
    lines[path] = row.line
    items[#items + 1] = { id = path, label = class, path = util.join(root, path) }
  end
  return items, classes
end

-- ---- layout "idx": MNIST's files, plain or gzip-compressed ----

local idx = {}

function idx.expects(self)
  local files = self.splits[self.split]
  return ("%s and %s"):format(files.images, files.labels)
end

local function read_idx(self, root, name, rank)
  local path = util.join(root, name)
  if not core.kind(path) then -- unpacked, where the table says packed
    path = path:match("^(.*)%.gz$") or path
  end
  local shape, bytes = core.idx(path)
  if not shape then
    util.fail("dataset %s: %s (expected in %s: %s)", self.name, bytes, root, idx.expects(self))
  end
  if #shape ~= rank then
    util.fail("%s: has %d dimensions, not %d", path, #shape, rank)
  end
  return shape, bytes, path
end

function idx.load(self, root)
  local files = self.splits[self.split]
  local shape, pixels = read_idx(self, root, files.images, 3)
  local count, labels, labels_path = read_idx(self, root, files.labels, 1)
  if count[1] ~= shape[1] then
    util.fail("%s: %d labels for %d pictures", labels_path, count[1], shape[1])
  end
  local classes, number, listed = number_classes(self, {})
  local items, size = {}, shape[2] * shape[3]
  for i = 1, shape[1] do
    local label = labels:byte(i)
    local class = listed and classes[label + 1] and label + 1 or number[tostring(label)]
    if not class then
      util.fail("%s: item %d: the label %d is no class (there are %d)", labels_path, i - 1,
                label, #classes)
    end
    items[i] = { id = ("%s/%05d"):format(self.split, i - 1), label = class,
                 at = (i - 1) * size }
  end
  self.pixels = { bytes = pixels, width = shape[3], height = shape[2], size = size }
  return items, classes
end

-- ---- items of the user's own ----

local own = {}

function own.expects() return "what its items say" end

-- An image of clip.image, or raw pixels.
local function is_picture(image)
  if type(image) ~= "table" then return tostring(image):find("^image ") ~= nil end
  local width, height, channels = image.width, image.height, image.channels or 3
  return math.type(width) == "integer" and math.type(height) == "integer" and
         (channels == 1 or channels == 3) and type(image.pixels) == "string" and
         #image.pixels == width * height * channels and #image.pixels > 0
end

local function check_own(self, item, i)
  local what = ("dataset %s: item %d"):format(self.name, i)
  if type(item) ~= "table" or item.path == nil and item.image == nil then
    util.fail("%s has neither path nor image", what)
  end
  util.path(item.path, what .. ": path")
  if item.image ~= nil and not is_picture(item.image) then
    util.fail("%s: image is neither an image nor width * height * channels pixels", what)
  end
  util.text(item.id, what .. ": id")
  local kind = math.type(item.label) or type(item.label)
  if kind ~= "integer" and kind ~= "string" then
    util.fail("%s: the label must be a class name or an integer, not %s", what,
              util.show(item.label))
  end
end

function own.load(self, root)
  local given = self.items
  if type(given) == "function" then given = given(root, self.split) end
  if type(given) ~= "table" then util.fail("dataset %s: items is no list", self.name) end
  local found, seen = {}, {}
  for i = 1, util.length(given, ("dataset %s: item"):format(self.name)) do
    local item = given[i]
    check_own(self, item, i)
    if type(item.label) == "string" and not seen[item.label] then
      seen[item.label] = true
      found[#found + 1] = item.label
    end
  end
  local classes, number, listed = number_classes(self, found)
  local items = {}
  for i, item in ipairs(given) do
    local class = number[tostring(item.label)]
    if math.type(item.label) == "integer" and (listed or not self.classes) then
      class = listed and classes[item.label] and item.label -- Lua's own list, from 1
    end
    if not class then
      util.fail("dataset %s: item %d: the label %s is no class%s", self.name, i,
                util.show(item.label), self.classes and "" or " (a number needs classes)")
    end
    items[i] = util.copy(item, { id = util.text(item.id) or item.path or tostring(i),
                                 label = class,
                                 path = item.path and util.join(root or "", item.path) })
  end
  return items, classes
end

folders.is_text, csv.is_text = true, true -- what a split is

return { folders = folders, csv = csv, idx = idx, own = own }
