-- CIFAR's binary version: records of one label byte (CIFAR-100: a coarse and a fine one) and
-- 3072 bytes, the red, the green and the blue plane of 32 x 32 pixels.
-- https://www.cs.toronto.edu/~kriz/cifar.html
local annotations = require "clipeval.annotations"
local classes_of = require "clipeval.classes"
local core = require "clipeval.core"
local places = require "clipeval.places"
local util = require "clipeval.util"

local SIDE <const>, PIXELS <const> = 32, 3072

local TEN = { splits = { test = { "test_batch.bin" },
                         train = { "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                   "data_batch_4.bin", "data_batch_5.bin" } },
              directory = "cifar-10-batches-bin", names = "batches.meta.txt", label_bytes = 1 }
local HUNDRED = { splits = { test = { "test.bin" }, train = { "train.bin" } },
                  directory = "cifar-100-binary", names = "fine_label_names.txt",
                  label_bytes = 2 }

local cifar = {
  kind = "classification",
  takes = "DIR",
  part_field = "files",
  fields = { files = "strings", label_bytes = "integer" },
  splits = { test = {}, train = {} },
  split = "test",
}

function cifar.expects(self)
  return self.files and table.concat(self.files, ", ") or
         "test_batch.bin and data_batch_1.bin to 5 (CIFAR-10), or test.bin and train.bin " ..
         "(CIFAR-100): the binary version"
end

function cifar.fill_in(self)
  if self.label_bytes and self.label_bytes ~= 1 and self.label_bytes ~= 2 then
    util.fail("dataset %s: label_bytes must be 1 (CIFAR-10) or 2 (CIFAR-100)", self.name)
  end
end

-- Which of the two lies in `place`, or in the folder there that the archive makes.
local function find(self, place)
  for _, version in ipairs { TEN, HUNDRED } do
    local files = self.files or version.splits[self.split]
    for _, directory in ipairs { place, util.join(place, version.directory) } do
      if files and (not self.label_bytes or self.label_bytes == version.label_bytes) and
         core.kind(util.join(directory, files[1])) then
        local two = files[1] == "test.bin" or files[1] == "train.bin"
        if self.label_bytes or two == (version == HUNDRED) then
          return directory, files, version
        end
      end
    end
  end
  local python = core.kind(util.join(place, "data_batch_1")) or
                 core.kind(util.join(place, "cifar-10-batches-py")) or
                 core.kind(util.join(place, "cifar-100-python"))
  places.missing(self, "no such files in %s%s", place,
                 python and ": that is the Python version, and the binary one is read" or "")
end

local function read_names(file)
  if not core.kind(file) then return nil end
  local names = {}
  for line in annotations.lines(file) do names[#names + 1] = line end
  return names
end

function cifar.load(self, place)
  local directory, files, version = find(self, place)
  self.classes = self.classes or read_names(util.join(directory, version.names)) or
                 util.fail("dataset %s: neither classes nor %s in %s", self.name, version.names,
                           directory)
  local classes = classes_of(self, {})
  local skip = self.label_bytes or version.label_bytes
  local record, parts, items, start = PIXELS + skip, {}, {}, 0
  for k, name in ipairs(files) do
    local file = util.join(directory, name)
    parts[k] = annotations.read_whole(file)
    if #parts[k] == 0 or #parts[k] % record ~= 0 then
      util.fail("%s: %d bytes are not a number of records of %d: truncated, or of the other CIFAR",
                file, #parts[k], record)
    end
    for i = 0, #parts[k] // record - 1 do
      local at = i * record
      local label = tostring(parts[k]:byte(at + skip)) -- the last: CIFAR-100's fine one
      items[#items + 1] = { id = ("%s/%05d"):format(self.split, #items),
                            label = classes:of(label, ("%s: record %d"):format(file, i)),
                            at = start + at + skip }
    end
    start = start + #parts[k]
  end
  self.pixels = { bytes = table.concat(parts), width = SIDE, height = SIDE, channels = 3,
                  size = PIXELS, planar = true }
  return items, classes.names
end

return cifar
