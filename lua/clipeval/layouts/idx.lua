-- MNIST's files, plain or gzip-compressed.
local classes_of = require "clipeval.classes"
local core = require "clipeval.core"
local places = require "clipeval.places"
local util = require "clipeval.util"

local idx = {
  kind = "classification",
  takes = "DIR",
  fields = { images = "path", labels = "path", label_base = "integer" },
}

function idx.expects(self)
  return ("%s and %s"):format(self.images, self.labels)
end

function idx.fill_in(self)
  if not (self.splits and self.classes) then
    util.fail("dataset %s: an idx dataset needs splits and classes", self.name)
  end
  for name, part in pairs(self.splits) do
    if type(part) ~= "table" or type(part.images) ~= "string" or type(part.labels) ~= "string" then
      util.fail("dataset %s: splits: %s must be { images = FILE, labels = FILE }", self.name,
                util.show(name))
    end
  end
end

local function read_idx(self, root, name, rank)
  local path = util.join(root, name)
  if not core.kind(path) then -- unpacked, where the table says packed
    path = path:match("^(.*)%.gz$") or path
  end
  if not core.kind(path) then places.missing(self, "no %s", util.join(root, name)) end
  local shape, bytes = core.idx(path)
  if not shape then util.fail("dataset %s: %s", self.name, bytes) end
  if #shape ~= rank then
    util.fail("%s: has %d dimensions, not %d", path, #shape, rank)
  end
  return shape, bytes, path
end

function idx.load(self, root)
  local shape, pixels, path = read_idx(self, root, self.images, 3)
  local count, labels, labels_path = read_idx(self, root, self.labels, 1)
  if count[1] ~= shape[1] then
    util.fail("%s: %d labels for %d pictures", labels_path, count[1], shape[1])
  end
  if shape[2] == 0 or shape[3] == 0 then
    util.fail("%s: pictures of %d x %d pixels", path, shape[3], shape[2])
  end
  local classes = classes_of(self, {})
  local items, size = {}, shape[2] * shape[3]
  for i = 1, shape[1] do
    local label = labels:byte(i)
    local listed = classes.listed and label - classes.base + 1
    local class = classes.names[listed] and listed or classes.number[tostring(label)]
    if not class then
      util.fail("%s: item %d: the label %d is no class (there are %d)", labels_path, i - 1,
                label, #classes.names)
    end
    items[i] = { id = ("%s/%05d"):format(self.split, i - 1), label = class,
                 at = (i - 1) * size }
  end
  self.pixels = { bytes = pixels, width = shape[3], height = shape[2], channels = 1, size = size }
  return items, classes.names
end

return idx
