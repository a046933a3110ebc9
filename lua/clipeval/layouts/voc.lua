-- PASCAL VOC: ImageSets/Main/SPLIT.txt names the pictures, Annotations/NAME.xml the objects in
-- each. http://host.robots.ox.ac.uk/pascal/VOC/
local annotations = require "clipeval.annotations"
local classes_of = require "clipeval.classes"
local core = require "clipeval.core"
local places = require "clipeval.places"
local util = require "clipeval.util"

local CLASSES = { "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
                  "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant",
                  "sheep", "sofa", "train", "tvmonitor" }

local voc = {
  kind = "multilabel",
  takes = "DIR",
  part_field = "list",
  present = true,
  fields = { list = "string", difficult = "string", labels = "strings" },
  splits = { test = "test", train = "train", val = "val", trainval = "trainval" },
  split = "test",
}

function voc.expects(self)
  return ("ImageSets/Main/%s.txt, Annotations/NAME.xml and JPEGImages/NAME.jpg"):format(self.list)
end

function voc.fill_in(self)
  self.difficult = self.difficult or "ignore"
  if self.difficult ~= "ignore" and self.difficult ~= "count" then
    util.fail('dataset %s: difficult must be "ignore" (as VOC itself does) or "count"', self.name)
  end
end

local function child_of(element, name)
  for _, child in ipairs(element) do
    if child.name == name then return child.text or "", child end
  end
end

-- Class numbers of the objects, and of those that are all marked as difficult.
local function read_objects(self, file, classes)
  local root, fault = core.xml(file)
  if not root then util.fail("%s", fault) end
  local present, difficult, labels, ignored = {}, {}, {}, {}
  for _, object in ipairs(root) do
    if object.name == "object" then
      local where = ("%s:%d"):format(file, object.line)
      local name = child_of(object, "name") or util.fail("%s: an object without a name", where)
      local class = classes:of(name, where)
      local hard = self.difficult == "ignore" and child_of(object, "difficult") == "1"
      if hard then difficult[class] = true else present[class] = true end
    end
  end
  for class in ipairs(classes.names) do
    if present[class] then
      labels[#labels + 1] = class
    elseif difficult[class] then
      ignored[#ignored + 1] = class
    end
  end
  return labels, #ignored > 0 and ignored or nil
end

-- The directory that holds ImageSets: here, or as the archives make it.
local function find_base(self, place)
  if core.kind(util.join(place, "ImageSets")) then return place end
  for _, above in ipairs { place, util.join(place, "VOCdevkit") } do
    local found
    for _, name in ipairs(core.list(above) or {}) do
      if name:find("^VOC%d%d%d%d$") and core.kind(util.join(above, name .. "/ImageSets")) then
        if found then
          util.fail("dataset %s: several in %s: %s and %s; place = says which", self.name, above,
                    found, name)
        end
        found = name
      end
    end
    if found then return util.join(above, found) end
  end
  places.missing(self, "no ImageSets in %s", place)
end

-- Whether the classes are VOC's twenty by other names ("a potted plant"), in VOC's order.
local function other_names(classes)
  if not classes or #classes ~= #CLASSES then return false end
  local given = util.set(classes)
  for _, name in ipairs(CLASSES) do
    if not given[name] then return true end
  end
  return false
end

function voc.load(self, place)
  local base = find_base(self, place)
  local file = util.join(base, ("ImageSets/Main/%s.txt"):format(self.list))
  if not core.kind(file) then places.missing(self, "no %s", file) end
  local labels = self.labels or other_names(self.classes) and CLASSES
  self.classes = self.classes or CLASSES
  local classes = classes_of(self, {}, labels)
  local items, seen = {}, {}
  for line, number in annotations.lines(file) do
    local where, name = ("%s:%d"):format(file, number), line:match("^%s*(%S+)")
    if seen[name] then util.fail("%s: '%s' stands twice", where, name) end
    seen[name] = true
    local labels, ignored = read_objects(self, util.join(base, "Annotations/" .. name .. ".xml"),
                                         classes)
    items[#items + 1] = { id = name, labels = labels, ignored = ignored,
                          path = util.join(base, "JPEGImages/" .. name .. ".jpg") }
  end
  return items, classes.names
end

return voc
