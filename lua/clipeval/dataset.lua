-- clip.dataset: a small table of data becomes a list of pictures with their classes. The
-- layouts (folders, csv, idx) are read here and nowhere else.
local core = require "clipeval.core"
local util = require "clipeval.util"

local Dataset = {}
Dataset.__index = Dataset
Dataset.__name = "dataset"

local FIELDS = util.set {
  "name", "version", "about", "root", "source", "layout", "splits", "split", "classes", "alpha",
  "extensions", "exclude", "captions",            -- folders
  "path_column", "label_column", "delimiter",     -- csv
  "items",
}

-- What torchvision's ImageFolder takes, and what else we can decode.
local EXTENSIONS = { "png", "jpg", "jpeg", "webp", "gif", "bmp", "ppm", "pgm", "pbm", "pnm",
                     "tga", "tif", "tiff" }

local DEEPEST = 32 -- directories below a class: a link may lead back to itself

-- ---- classes ----

local function sort_labels(labels)
  local all_numbers = true
  for _, label in ipairs(labels) do all_numbers = all_numbers and label:find("^%d+$") end
  table.sort(labels, all_numbers and function(a, b)
    return tonumber(a) < tonumber(b) or tonumber(a) == tonumber(b) and a < b
  end or nil)
  return labels
end

-- The class names, and the class number of each label. `given` is nil (the labels found are
-- the classes), a list of class names, or a map from label (a string) to class name.
local function number_classes(given, found)
  local names, number = {}, {}
  if given == nil or given[1] == nil then
    for i, label in ipairs(sort_labels(given and util.keys(given) or found)) do
      names[i] = given and given[label] or util.utf8(label)
      number[label] = i
    end
    return names, number
  end
  for i, name in ipairs(given) do
    names[i] = name
    number[name] = number[name] or i
  end
  return names, number
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

-- Adds the pictures below `directory` to `found`; `id` is its path in the dataset.
local function walk(self, directory, id, label, found, depth)
  local names, is_directory = core.list(directory)
  if not names then util.fail("dataset %s: %s", self.name, is_directory) end
  if depth > DEEPEST then util.fail("%s: too deep (a link that leads back?)", directory) end
  local present = self.captions and util.set(names)
  for i, name in ipairs(names) do
    local extension = name:match("%.([^.]*)$")
    local item_id = id .. "/" .. name
    if name:sub(1, 1) == "." then -- hidden
    elseif is_directory[i] then
      walk(self, util.join(directory, name), item_id, label, found, depth + 1)
    elseif extension and self.extensions[extension:lower()] and not self:excludes(item_id) then
      local item = { id = item_id, label = label, path = util.join(directory, name) }
      local beside = present and name:sub(1, -#extension - 1) .. self.captions
      if beside and present[beside] then
        item.caption = caption_of(util.join(directory, beside))
      end
      if not beside or item.caption then found[#found + 1] = item end
    end
  end
end

function folders.load(self, root)
  local names, is_directory = core.list(root)
  if not names then util.fail("dataset %s: %s", self.name, is_directory) end
  local labels, items = {}, {}
  for i, name in ipairs(names) do
    if is_directory[i] and name:sub(1, 1) ~= "." then labels[#labels + 1] = name end
  end
  if #labels == 0 then
    util.fail("dataset %s: no folders in %s (expected: %s)", self.name, root, folders.expects())
  end
  local present = util.set(labels)
  local classes, number = number_classes(self.classes, labels)
  for _, label in ipairs(util.keys(number)) do
    if not present[label] then
      util.fail("dataset %s: no folder '%s' in %s", self.name, label, root)
    end
    walk(self, util.join(root, label), label, number[label], items, 1)
  end
  return items, classes
end

-- ---- layout "csv": a manifest with a header; paths are relative to it ----

local csv = {}

function csv.expects(self)
  return ("a manifest with the columns %s and %s"):format(self.path_column, self.label_column)
end

local function find_column(header, name, file)
  for i, column in ipairs(header) do
    if column == name then return i end
  end
  util.fail("%s:%d: no column '%s' (there are %s)", file, header.line, name,
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
  local classes, number = number_classes(self.classes, found)
  local items, lines = {}, {}
  local root = util.directory(file)
  for _, row in ipairs(rows) do
    local path, label = row[path_at], row[label_at]
    local class = number[label]
    if not class and self.classes and label:find("^%d+$") and classes[label + 1] then
      class = math.tointeger(label) + 1 -- numbers count from 0, as everywhere outside Lua
    end
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
  local items, size = {}, shape[2] * shape[3]
  for i = 1, shape[1] do
    local label = labels:byte(i) + 1
    if not self.classes[label] then
      util.fail("%s: item %d: the label %d is no class (there are %d)", labels_path, i - 1,
                label - 1, #self.classes)
    end
    items[i] = { id = ("%s/%05d"):format(self.split, i - 1), label = label,
                 at = (i - 1) * size }
  end
  self.pixels = { bytes = pixels, width = shape[3], height = shape[2], size = size }
  return items, self.classes
end

-- ---- items of the user's own ----

local own = {}

function own.expects() return "what its items say" end

function own.load(self, root)
  local given = self.items
  if type(given) == "function" then given = given(root, self.split) end
  if type(given) ~= "table" then util.fail("dataset %s: items is no list", self.name) end
  local found, seen = {}, {}
  for i, item in ipairs(given) do
    if type(item) ~= "table" or not (item.path or item.image) then
      util.fail("dataset %s: item %d has neither path nor image", self.name, i)
    end
    if type(item.label) == "string" and not seen[item.label] then
      seen[item.label] = true
      found[#found + 1] = item.label
    end
  end
  local classes, number = number_classes(self.classes, found)
  local items = {}
  for i, item in ipairs(given) do
    local class = math.type(item.label) == "integer" and item.label or number[item.label]
    if not classes[class] then
      util.fail("dataset %s: item %d: the label '%s' is no class", self.name, i,
                tostring(item.label))
    end
    items[i] = util.copy(item, { id = tostring(item.id or item.path or i), label = class,
                                 path = item.path and util.join(root or "", item.path) })
  end
  return items, classes
end

local LAYOUTS = { folders = folders, csv = csv, idx = idx, own = own }

-- ---- all layouts ----

function Dataset:excludes(id)
  for _, pattern in ipairs(self.exclude or {}) do
    if id:find(pattern) then return true end
  end
  return false
end

-- Where it lies: what the script or the user says, else the table's own place.
local function find_root(self)
  if not self.root then
    if self.layout == "own" then return "" end
    util.fail("dataset %s: say where it lies: --data, or root = (expected: %s)", self.name,
              LAYOUTS[self.layout].expects(self))
  end
  if not core.kind(self.root) then
    util.fail("dataset %s: no %s (expected there: %s%s)", self.name, self.root,
              LAYOUTS[self.layout].expects(self), self.source and "; from " .. self.source or "")
  end
  return self.root
end

local function choose_split(self)
  local splits = self.splits
  if not splits then
    if self.split then util.fail("dataset %s has no splits", self.name) end
    self.split = "all"
    return
  end
  local there = util.keys(splits)
  self.split = self.split or there[2] == nil and there[1] or nil
  if not self.split or not splits[self.split] then
    util.fail("dataset %s: %s (there are %s)", self.name, self.split and
              "no split '" .. self.split .. "'" or "say which split", table.concat(there, ", "))
  end
end

local function check_items(self)
  local sorted = true
  for i, item in ipairs(self.items) do
    item.id = util.utf8(item.id)
    sorted = sorted and (i == 1 or self.items[i - 1].id < item.id)
  end
  if not sorted then table.sort(self.items, function(a, b) return a.id < b.id end) end
  for i = 2, #self.items do
    if self.items[i].id == self.items[i - 1].id then
      util.fail("dataset %s: the id '%s' stands for two items", self.name, self.items[i].id)
    end
  end
  if #self.items == 0 then
    util.fail("dataset %s: no pictures in %s (expected: %s)", self.name, self.root or "it",
              LAYOUTS[self.layout].expects(self))
  end
  for i, class in ipairs(self.classes) do
    if type(class) ~= "string" or class == "" then
      util.fail("dataset %s: the name of class %d is no text", self.name, i)
    end
  end
end

local function load(self)
  local layout = LAYOUTS[self.layout]
  local place = find_root(self)
  local part = self.splits and self.splits[self.split]
  if type(part) == "string" then place = util.join(place, part) end
  if self.layout == "csv" and core.kind(place) == "directory" then
    place = util.join(place, "manifest.csv")
  end
  self.items, self.classes = layout.load(self, place)
  self.place = self.layout == "csv" and util.directory(place) or place
  check_items(self)
  return self
end

-- The description that `what` stands for.
local function describe(what)
  if type(what) == "table" then return what end
  if type(what) ~= "string" then
    util.fail("dataset: needs a name, a file or a table, not a %s", type(what))
  end
  local layout, root = what:match("^(%a+):(.*)$")
  layout = layout or what
  if layout == "folders" or layout == "csv" then return { layout = layout, root = root } end
  local path, there = util.find("datasets", what)
  if not path then
    util.fail("no dataset '%s' (there are %s, folders:DIR, csv:FILE)", what, there)
  end
  return util.copy({ name = util.stem(path) }, util.load_table(path))
end

local function default_name(self)
  if not self.root then return self.layout end
  local name = self.layout == "csv" and util.stem(self.root) or util.basename(self.root)
  return name:find("[^.]") and util.utf8(name) or self.layout
end

-- clip.dataset(name | file | "folders:DIR" | "csv:FILE" | table[, options])
local function dataset(what, options)
  if getmetatable(what) == Dataset then return what end
  local description = describe(what)
  util.check_fields(description, FIELDS, "dataset")
  util.check_fields(options or {}, FIELDS, "dataset")
  local self = setmetatable(util.copy(description, options), Dataset)
  self.layout = self.layout or self.items and "own"
  self.name = self.name or default_name(self)
  if not LAYOUTS[self.layout] then
    util.fail("dataset %s: layout must be folders, csv or idx, or items be given", self.name)
  end
  self.version = tostring(self.version or "")
  self.alpha = self.alpha or "drop"
  if self.alpha ~= "drop" and self.alpha ~= "white" then
    util.fail("dataset %s: alpha must be \"drop\" or \"white\"", self.name)
  end
  if self.layout == "idx" and not (self.splits and self.classes and self.classes[1]) then
    util.fail("dataset %s: an idx dataset needs splits and a list of classes", self.name)
  end
  self.extensions = util.set(self.extensions or EXTENSIONS)
  self.path_column = self.path_column or "path"
  self.label_column = self.label_column or "label"
  choose_split(self)
  return load(self)
end

-- What model:encode_image takes for an item.
function Dataset:picture(item)
  if item.path or item.image then return item.path or item.image end
  local p = self.pixels
  return { width = p.width, height = p.height, channels = 1,
           pixels = p.bytes:sub(item.at + 1, item.at + p.size) }
end

function Dataset:__len() return #self.items end

function Dataset:__tostring()
  return ("dataset %s, split %s (%s, %s)"):format(self.name, self.split,
    util.count(#self.items, "picture"), util.count(#self.classes, "class", "classes"))
end

return dataset
