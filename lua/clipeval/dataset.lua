-- clip.dataset: a small table of data becomes a list of pictures with their classes.
local core = require "clipeval.core"
local LAYOUTS = require "clipeval.layouts"
local util = require "clipeval.util"

local Dataset = {}
Dataset.__index = Dataset
Dataset.__name = "dataset"

-- The fields of a description, and what each may be.
local FIELDS = {
  name = "text", version = "text", about = "string", root = "path", source = "string",
  layout = "string", splits = "table", split = "string", classes = "table", alpha = "string",
  extensions = "strings", exclude = "strings", captions = "string",
  path_column = "string", label_column = "string", delimiter = "string",
  items = "items",
}
local ONLY = { -- fields of one layout
  extensions = "folders", exclude = "folders", captions = "folders",
  path_column = "csv", label_column = "csv", delimiter = "csv",
}

-- What torchvision's ImageFolder takes, and what else we can decode.
local EXTENSIONS = { "png", "jpg", "jpeg", "webp", "gif", "bmp", "ppm", "pgm", "pbm", "pnm",
                     "tga", "tif", "tiff" }

-- ---- all layouts ----

function Dataset:excludes(id)
  for _, pattern in ipairs(self.exclude) do
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
  for name, part in pairs(splits) do
    local is_pair = type(part) == "table" and type(part.images) == "string" and
                    type(part.labels) == "string"
    if type(name) ~= "string" or self.layout == "idx" and not is_pair or
       LAYOUTS[self.layout].is_text and type(part) ~= "string" then
      util.fail("dataset %s: splits: %s must be %s", self.name, util.show(name),
                self.layout == "idx" and "{ images = FILE, labels = FILE }" or
                "a name and its " .. (self.layout == "csv" and "manifest" or "folder"))
    end
  end
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

-- One string, or a list of them, as a list.
local function strings(value, what)
  if type(value) == "string" then return { value } end
  if type(value) ~= "table" then util.fail("%s must be a list, not %s", what, util.show(value)) end
  for i = 1, util.length(value, what) do
    if type(value[i]) ~= "string" then util.fail("%s %d is no string", what, i) end
  end
  return value
end

local function check_type(value, kind, what)
  if kind == "text" then return util.text(value, what) end
  if kind == "path" then return util.path(value, what) end
  if kind == "strings" then return strings(value, what) end
  if type(value) ~= kind and not (kind == "items" and (type(value) == "table" or
                                                       type(value) == "function")) then
    util.fail("%s must be a %s, not %s", what, kind == "items" and "list or a function" or kind,
              util.show(value))
  end
  return value
end

local function check_fields(self)
  util.check_fields(self, FIELDS, "dataset")
  local prefix = "dataset: "
  if type(self.name) == "string" then prefix = ("dataset %s: "):format(self.name) end
  for _, key in ipairs(util.keys(FIELDS)) do
    if self[key] ~= nil then
      self[key] = check_type(self[key], FIELDS[key], prefix .. key)
      if ONLY[key] and self.layout ~= ONLY[key] then
        util.fail("%s%s is for the layout %s only", prefix, key, ONLY[key])
      end
    end
  end
  if self.layout and self.items then
    util.fail("%sit has both a layout and items", prefix)
  elseif not self.layout and not self.items then
    util.fail('%sneeds layout = "folders", "csv" or "idx", or items', prefix)
  end
end

local function without_dot(extension) return (extension:lower():gsub("^%.", "")) end

-- What is not said, and what only a few values can be.
local function fill_in(self)
  self.layout = self.layout or "own"
  self.name = self.name or default_name(self)
  self.version, self.alpha = self.version or "", self.alpha or "drop"
  if not LAYOUTS[self.layout] or self.layout == "own" and not self.items then
    util.fail("dataset %s: layout must be folders, csv or idx, or items be given", self.name)
  end
  if self.alpha ~= "drop" and self.alpha ~= "white" then
    util.fail("dataset %s: alpha must be \"drop\" or \"white\"", self.name)
  end
  if self.layout == "idx" and not (self.splits and self.classes) then
    util.fail("dataset %s: an idx dataset needs splits and classes", self.name)
  end
  local extensions = {}
  for i, extension in ipairs(self.extensions or EXTENSIONS) do
    extensions[i] = without_dot(extension)
  end
  self.extensions = util.set(extensions)
  self.captions = self.captions and self.captions:gsub("^%.", "") or nil
  self.exclude = self.exclude or {}
  for _, pattern in ipairs(self.exclude) do
    local ok, fault = pcall(string.find, "", pattern)
    if not ok then util.fail("dataset %s: exclude '%s': %s", self.name, pattern, fault) end
  end
  self.path_column = self.path_column or "path"
  self.label_column = self.label_column or "label"
  self.delimiter = self.delimiter or ","
  if #self.delimiter ~= 1 or self.delimiter:find('["\r\n%z]') then
    util.fail("dataset %s: delimiter must be one character", self.name)
  end
end

-- clip.dataset(name | file | "folders:DIR" | "csv:FILE" | table[, options])
local function dataset(what, options)
  if getmetatable(what) == Dataset then
    if options ~= nil then util.fail("dataset %s is open: options come too late", what.name) end
    return what
  end
  local description = describe(what)
  if options ~= nil then util.check_fields(options, FIELDS, "dataset") end
  local self = util.copy(description, options)
  check_fields(self)
  setmetatable(self, Dataset)
  fill_in(self)
  choose_split(self)
  return load(self)
end

-- What model:encode_image takes for an item.
function Dataset:picture(item)
  if getmetatable(self) ~= Dataset or type(item) ~= "table" or
     not (item.path or item.image or self.pixels and item.at) then
    util.fail("dataset:picture needs an item of the dataset, not %s", util.show(item))
  end
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
