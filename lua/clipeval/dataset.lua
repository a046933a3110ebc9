-- clip.dataset: a small table of data becomes a list of items, each with its picture. What
-- else an item has follows from the dataset's kind:
--
--     classification   label, a class number
--     multilabel       labels, and perhaps ignored: class numbers
--     retrieval        captions
--     vqa              question, answers, perhaps choices, question_type, answer_type
--     pairs            captions: two; pictures: two, or one whose caption is the first
--     match            text, match: whether the text is of the picture
local core = require "clipeval.core"
local items = require "clipeval.items"
local LAYOUTS = require "clipeval.layouts"
local places = require "clipeval.places"
local util = require "clipeval.util"

local Dataset = {}
Dataset.__index = Dataset
Dataset.__name = "dataset"

-- The fields of every description, and what each may be. A layout adds its own.
local FIELDS = {
  name = "text", version = "text", about = "string", root = "path", source = "string",
  task = "string", size = "integer", templates = "string", expects = "string",
  layout = "string", splits = "table", split = "string", place = "path", folder = "path",
  classes = "table", alpha = "string", items = "items",
}
local ONLY, ALL = {}, util.copy(FIELDS) -- a layout's own field: the layouts that have it
for _, name in ipairs(util.keys(LAYOUTS)) do
  for field in pairs(LAYOUTS[name].fields or {}) do
    ONLY[field] = ONLY[field] or {}
    table.insert(ONLY[field], name)
    ALL[field] = true
  end
end
local OVERALL = util.set { "name", "version", "about", "root", "source", "task", "splits",
                           "split", "items" } -- fields that are no split's

-- ---- the description ----

-- "folders:DIR, csv:FILE, ..."
local function forms()
  local list = {}
  for _, name in ipairs(util.keys(LAYOUTS)) do
    if name ~= "own" then list[#list + 1] = name .. ":" .. LAYOUTS[name].takes end
  end
  return table.concat(list, ", ")
end

-- The description that `what` stands for.
local function describe(what)
  if type(what) == "table" then return what end
  if type(what) ~= "string" then
    util.fail("dataset: needs a name, a file or a table, not a %s", type(what))
  end
  local layout, root = what:match("^([%w_]+):(.*)$")
  if layout ~= "own" and LAYOUTS[layout] then return { layout = layout, root = root } end
  local path, there = util.find("datasets", what)
  if path then return util.copy({ name = util.stem(path) }, util.load_table(path)) end
  if what ~= "own" and LAYOUTS[what] then return { layout = what } end
  util.fail("no dataset '%s' (there are %s, %s)", what, there, forms())
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
  if kind == true then return value end
  if kind == "text" then return util.text(value, what) end
  if kind == "path" then return util.path(value, what) end
  if kind == "strings" then return strings(value, what) end
  if kind == "integer" and math.type(value) ~= kind then
    util.fail("%s must be a whole number, not %s", what, util.show(value))
  end
  if kind ~= "integer" and type(value) ~= kind and
     not (kind == "items" and (type(value) == "table" or type(value) == "function")) then
    util.fail("%s must be a %s, not %s", what, kind == "items" and "list or a function" or kind,
              util.show(value))
  end
  return value
end

local function prefix_of(self)
  return type(self.name) == "string" and ("dataset %s: "):format(self.name) or "dataset: "
end

-- Fields that all layouts have.
local function check_fields(self)
  util.check_fields(self, ALL, "dataset")
  local prefix = prefix_of(self)
  for _, key in ipairs(util.keys(FIELDS)) do
    if self[key] ~= nil then self[key] = check_type(self[key], FIELDS[key], prefix .. key) end
  end
  if self.layout and self.items then
    util.fail("%sit has both a layout and items", prefix)
  elseif not self.layout and not self.items and not self.splits then
    util.fail('%sneeds layout = "folders", "csv" or another (%s), or items', prefix, forms())
  end
  if self.task and not util.set(items.KINDS)[self.task] then
    util.fail("%stask must be one of %s", prefix, table.concat(items.KINDS, ", "))
  end
end

-- Fields of single layouts.
local function check_own_fields(self)
  local layout, prefix = LAYOUTS[self.layout], prefix_of(self)
  for _, key in ipairs(util.keys(ONLY)) do
    if self[key] ~= nil then
      local owners, fields = ONLY[key], layout.fields or {}
      local value = check_type(self[key], fields[key] or LAYOUTS[owners[1]].fields[key],
                               prefix .. key)
      if not fields[key] then
        util.fail("%s%s is for the layout%s %s only", prefix, key, #owners > 1 and "s" or "",
                  table.concat(owners, ", "))
      end
      self[key] = value
    end
  end
end

local function find_layout(self)
  self.layout = self.layout or self.items and "own"
  local layout = LAYOUTS[self.layout]
  if not layout or self.layout == "own" and not self.items then
    util.fail("dataset %s: layout must be one of %s, or items be given", self.name,
              table.concat(util.keys(LAYOUTS), ", "))
  end
  return layout
end

-- ---- splits ----

local function check_part(self, name, part)
  local layout = LAYOUTS[self.layout] or {}
  if type(name) == "string" and (type(part) == "table" or type(part) == "string" and
                                 (layout.part or layout.part_field)) then return end
  util.fail("dataset %s: splits: %s must be %s", self.name, util.show(name),
            self.layout == "idx" and "{ images = FILE, labels = FILE }" or
            "a name and its " .. (layout.part or "fields"):gsub("^its ", ""))
end

-- The split that is asked for, or the only one.
local function choose_split(self)
  local splits, layout = self.splits, LAYOUTS[self.layout]
  if not splits then
    if layout and layout.own_splits then return end
    if self.split then util.fail("dataset %s has no splits", self.name) end
    self.split = "all"
    return
  end
  local there = util.keys(splits)
  for name, part in pairs(splits) do check_part(self, name, part) end
  self.split = self.split or there[2] == nil and there[1] or nil
  if not self.split or not splits[self.split] then
    util.fail("dataset %s: %s (there are %s)", self.name, self.split and
              "no split '" .. self.split .. "'" or "say which split", table.concat(there, ", "))
  end
end

-- A split is a text (what it is, the layout says) or fields that go over the dataset's own.
local function apply_split(self)
  local part = self.splits and self.splits[self.split]
  local field = LAYOUTS[self.layout] and LAYOUTS[self.layout].part_field
  if type(part) == "string" and not field then field = "place" end
  if type(part) == "string" or part and part[1] ~= nil then
    self[field or "place"] = part
    return
  end
  for key, value in pairs(part or {}) do
    if OVERALL[key] or not ALL[key] then
      util.fail("dataset %s: splits: %s: unknown field %s", self.name, self.split, util.show(key))
    end
    self[key] = FIELDS[key] and check_type(value, FIELDS[key], prefix_of(self) .. key) or value
  end
end

-- ---- loading ----

-- Of so many items the garbage may be so much of what is used (per cent, with it) before it is
-- collected: beside a million pictures Lua's usual 200 would be half a gigabyte.
local MANY, PAUSE = 100000, 120

local function default_name(self)
  local layout = self.layout or "own"
  if not self.root then return layout end
  local name = LAYOUTS[layout] and LAYOUTS[layout].takes == "FILE" and util.stem(self.root) or
               util.basename(self.root)
  return name:find("[^.]") and util.utf8(name) or layout
end

-- Where it lies: what the script or the user says, else the table's own place.
local function find_place(self, layout)
  if not self.root then
    if self.layout == "own" then return self.place or "" end
    places.missing(self, "say where it lies: --data, or root =")
  end
  if not core.kind(self.root) then places.missing(self, "no %s", self.root) end
  if self.folder or self.splits then self.root = places.find(self, self.root) or self.root end
  local place = self.place and util.join(self.root, self.place) or self.root
  if layout.manifest and core.kind(place) == "directory" then
    place = util.join(place, layout.manifest)
  end
  self.searched = core.kind(place) == "directory" and place or util.directory(place)
  if self.layout ~= "own" and not core.kind(place) then places.missing(self, "no %s", place) end
  local unread = core.kind(place) == "file" and places.unread(place)
  if unread then util.fail("dataset %s: %s", self.name, unread) end
  return place
end

-- Sorted by id, each once and in order.
local function check_items(self)
  local sorted = true
  for i, item in ipairs(self.items) do
    item.id = util.utf8(item.id)
    sorted = sorted and (i == 1 or self.items[i - 1].id < item.id)
    local fault = items.fault(self.kind, item, self.classes)
    if fault then util.fail("dataset %s: item '%s': %s", self.name, item.id, fault) end
  end
  if not sorted then table.sort(self.items, function(a, b) return a.id < b.id end) end
  for i = 2, #self.items do
    if self.items[i].id == self.items[i - 1].id then
      util.fail("dataset %s: the id '%s' stands for two items", self.name, self.items[i].id)
    end
  end
  if #self.items == 0 then places.missing(self, "no pictures in %s", self.root or "it") end
end

-- Some pictures may be missing, and are told when they are read; where all are, the folder is
-- another one.
local function check_pictures(self)
  local first
  for _, item in ipairs(self.items) do
    local path = (item.pictures and item.pictures[1] or item).path
    if not path or core.kind(path) then return end
    first = first or path
  end
  places.missing(self, "none of its %s exists (the first would be %s)",
                 util.count(#self.items, "picture"), first)
end

-- The line that shows the files: the description's own, in which {place}, or another field,
-- stands for what the split has there, or else the layout's.
local function expected(self, layout)
  if not self.expects then return layout.expects(self) end
  return (self.expects:gsub("{(%l+)}", function(field)
    local value = self[field]
    return type(value) == "table" and table.concat(value, ", ") or value and tostring(value)
  end))
end

local function load(self, layout)
  self.expects = expected(self, layout)
  local place = find_place(self, layout)
  local given, kind = self.classes, nil
  self.items, self.classes, kind = layout.load(self, place)
  self.kind = kind or layout.kind
  if given and not items.has_classes[self.kind] then
    util.fail("dataset %s: it has classes, which are for classification and multilabel, but its "
              .. "task is %s", self.name, self.kind)
  end
  if self.task and self.task ~= self.kind then
    util.fail("dataset %s: its task is %s, but layout %s gives %s", self.name, self.task,
              self.layout, self.kind)
  end
  self.place = layout.takes == "FILE" and core.kind(place) ~= "directory" and
               util.directory(place) or place
  check_items(self)
  if #self.items > MANY then collectgarbage("incremental", PAUSE) end
  if layout.present then check_pictures(self) end
  return self
end

-- clip.dataset(name | file | "LAYOUT:PLACE" | table[, options])
local function dataset(what, options)
  if getmetatable(what) == Dataset then
    if options ~= nil then util.fail("dataset %s is open: options come too late", what.name) end
    return what
  end
  local description = describe(what)
  if options ~= nil then util.check_fields(options, ALL, "dataset") end
  local self = util.copy(description, options)
  check_fields(self)
  self.name = self.name or default_name(self)
  self.version, self.alpha = self.version or "", self.alpha or "drop"
  local outline = LAYOUTS[self.layout]
  if outline and outline.splits and not self.splits then
    self.splits, self.split = outline.splits, self.split or outline.split
  end
  if self.layout or not self.splits then find_layout(self) end
  choose_split(self)
  apply_split(self)
  local layout = find_layout(self)
  check_own_fields(self)
  if self.alpha ~= "drop" and self.alpha ~= "white" then
    util.fail("dataset %s: alpha must be \"drop\" or \"white\"", self.name)
  end
  if layout.fill_in then layout.fill_in(self) end
  return load(setmetatable(self, Dataset), layout)
end

-- ---- an open dataset ----

-- What model:encode_image takes for an item, or for one of its two pictures.
function Dataset:picture(item)
  if getmetatable(self) ~= Dataset or type(item) ~= "table" or
     not (item.path or item.image or self.pixels and item.at) then
    util.fail("dataset:picture needs an item of the dataset, not %s", util.show(item))
  end
  if item.offset then return { path = item.path, offset = item.offset, size = item.size } end
  if item.path or item.image then return item.path or item.image end
  local p = self.pixels
  local bytes = p.bytes:sub(item.at + 1, item.at + p.size)
  if p.planar then bytes = core.interleave(bytes, p.width, p.height, p.columns) end
  return { width = p.width, height = p.height, channels = p.channels, pixels = bytes }
end

-- The directory below which the ids are paths; nil where they are not, as far as the first item
-- tells.
function Dataset:directory()
  local item = self.items[1]
  local path = item and item.path
  if path and not item.offset and path:sub(-#item.id - 1) == "/" .. item.id then
    return path:sub(1, -#item.id - 2)
  end
end

function Dataset:__len() return #self.items end

function Dataset:__tostring()
  local classes = self.classes and ", " .. util.count(#self.classes, "class", "classes") or ""
  return ("dataset %s, split %s (%s%s)"):format(self.name, self.split,
    util.count(#self.items, self.kind == "vqa" and "question" or self.kind == "pairs" and "pair" or
                            "picture"), classes)
end

return dataset
