-- STL-10's binary version: 96 x 96 pictures in planes, each column by column; the labels count
-- from 1. https://cs.stanford.edu/~acoates/stl10/
local annotations = require "clipeval.annotations"
local classes_of = require "clipeval.classes"
local core = require "clipeval.core"
local places = require "clipeval.places"
local util = require "clipeval.util"

local SIDE <const> = 96
local SIZE <const> = 3 * SIDE * SIDE

local stl10 = {
  kind = "classification",
  takes = "DIR",
  fields = { images = "path", labels = "path" },
  splits = { test = { images = "test_X.bin", labels = "test_y.bin" },
             train = { images = "train_X.bin", labels = "train_y.bin" } },
  split = "test",
}

function stl10.expects(self)
  return ("%s and %s"):format(self.images or "test_X.bin", self.labels or "test_y.bin")
end

function stl10.fill_in(self)
  if not self.images or not self.labels then
    util.fail("dataset %s: splits: %s must be { images = FILE, labels = FILE }", self.name,
              self.split)
  end
end

local function read_whole(self, path)
  if not core.kind(path) then places.missing(self, "no %s", path) end
  return annotations.read_whole(path)
end

local function find_names(self, directory)
  local file, names = util.join(directory, "class_names.txt"), {}
  if not core.kind(file) then
    util.fail("dataset %s: neither classes nor %s", self.name, file)
  end
  for line in annotations.lines(file) do names[#names + 1] = line end
  return names
end

function stl10.load(self, place)
  local inner = util.join(place, "stl10_binary") -- the folder that the archive makes
  if not core.kind(util.join(place, self.images)) and core.kind(inner) then place = inner end
  local images, labels = util.join(place, self.images), util.join(place, self.labels)
  local bytes, numbers = read_whole(self, images), read_whole(self, labels)
  self.classes = self.classes or find_names(self, place)
  self.label_base = 1
  local classes, items = classes_of(self, {}), {}
  if #bytes == 0 or #bytes % SIZE ~= 0 then
    util.fail("%s: %d bytes are not a number of pictures of %d: truncated?", images, #bytes, SIZE)
  end
  if #numbers * SIZE ~= #bytes then
    util.fail("%s: %d labels for %d pictures", labels, #numbers, #bytes // SIZE)
  end
  for i = 1, #numbers do
    items[i] = { id = ("%s/%05d"):format(self.split, i - 1), at = (i - 1) * SIZE,
                 label = classes:of(tostring(numbers:byte(i)),
                                    ("%s: item %d"):format(labels, i - 1)) }
  end
  self.pixels = { bytes = bytes, width = SIDE, height = SIDE, channels = 3, size = SIZE,
                  planar = true, columns = true }
  return items, classes.names
end

return stl10
