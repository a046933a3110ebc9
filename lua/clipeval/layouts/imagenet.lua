-- ImageNet: folders by WordNet id (n01440764/...), or the flat validation folder with its ground
-- truth:
--
--     val.txt, ...   "ILSVRC2012_val_00000001.JPEG n01751748", or a class number counting from 0
--                    in the order of the WordNet ids
--     ...            one WordNet id a line, in the order of the pictures
--     LOC_val_solution.csv            "ILSVRC2012_val_00000001,n01751748 85 131 499 341"
--     ILSVRC2012_validation_ground_truth.txt   the devkit's own numbers, one a line; which class
--                    each is, map_clsloc.txt says ("n02119789 1 kit_fox")
local annotations = require "clipeval.annotations"
local classes_of = require "clipeval.classes"
local core = require "clipeval.core"
local folders = require "clipeval.layouts.folders"
local places = require "clipeval.places"
local util = require "clipeval.util"

local DEVKIT <const> = "ILSVRC2012_validation_ground_truth.txt"
local TRUTHS <const> = { "val.txt", "ILSVRC2012_val.txt", "LOC_val_solution.csv",
                         "imagenet_2012_validation_synset_labels.txt", "synset_labels.txt",
                         DEVKIT }
local MAPS <const> = { "map_clsloc.txt", "synsets.txt" }

local imagenet = {
  kind = "classification",
  takes = "DIR",
  part = "its folder",
  fields = util.copy(folders.fields, { wnids = "strings", ground_truth = "path", map = "path" }),
}

function imagenet.expects()
  return "n01440764/NAME.JPEG, ...: a folder for each WordNet id; or " ..
         "ILSVRC2012_val_00000001.JPEG, ... and val.txt beside"
end

function imagenet.fill_in(self)
  folders.fill_in(self)
  self.wnids = self.wnids or self.folders
end

-- A file of this folder, of the one above, or of the devkit there.
local function find(self, place, said, names)
  local above = util.join(place, "..")
  if said then
    local path = util.join(self.root, said)
    return core.kind(path) and path or places.missing(self, "no %s", path)
  end
  for _, directory in ipairs { place, above, self.root, place .. "/ILSVRC2012_devkit_t12/data",
                               above .. "/ILSVRC2012_devkit_t12/data",
                               self.root .. "/ILSVRC2012_devkit_t12/data" } do
    for _, name in ipairs(names) do
      local path = util.join(directory, name)
      if core.kind(path) == "file" then return path end
    end
  end
end

-- The devkit's numbers: { ["1"] = "n02119789", ... }
local function read_map(self, place, truth)
  local file = find(self, place, self.map, MAPS)
  if not file then
    util.fail("%s: the devkit's own numbers; map_clsloc.txt beside it must say which WordNet id "
              .. "each is, one line \"n02119789 1 kit_fox\" for each class", truth)
  end
  local map = {}
  for line, number in annotations.lines(file) do
    local wnid, id = line:match("^%s*(n%d+)%s+(%d+)")
    if not wnid then wnid, id = line:match("^%s*(n%d+)%s*$"), tostring(number) end
    if not wnid or map[id] then
      util.fail("%s:%d: %s", file, number, wnid and "the number " .. id .. " stands twice" or
                "no WordNet id and number")
    end
    map[id] = wnid
  end
  return map
end

-- What stands in the lines of the ground truth: picture (nil: by order), label, line number.
local function read_truth(self, place, file)
  local rows, map = {}, nil
  for line, number in annotations.lines(file) do
    local name, label = line:match("^%s*(ILSVRC2012_val_%d+[%w.]*)[%s,]+(%w+)")
    label = label or line:match("^%s*(%w+)%s*$")
    local is_header = number == 1 and line:find("^ImageId,")
    if not label and not is_header then
      util.fail("%s:%d: neither a label nor a picture and its label", file, number)
    end
    if not name and label and label:find("^%d+$") then
      map = map or read_map(self, place, file)
      label = map[label] or util.fail("%s:%d: the number %s is not in the map", file, number, label)
    end
    if not is_header then
      rows[#rows + 1] = { name = name and name:gsub("%.%w+$", ""), label = label, line = number }
    end
  end
  return rows
end

-- The pictures ILSVRC2012_val_*: without their extension, and with it.
local function find_pictures(place)
  local stems, files = {}, {}
  for _, name in ipairs(core.list(place) or {}) do
    local stem = name:match("^(ILSVRC2012_val_%d+)%.%w+$")
    if stem then
      stems[#stems + 1] = stem
      files[stem] = name
    end
  end
  return stems, files
end

local function load_flat(self, place, stems, files)
  local truth = find(self, place, self.ground_truth, TRUTHS)
  if not truth then
    places.missing(self, "%s holds the validation pictures, but no val.txt (each line a picture "
                   .. "and its WordNet id) lies there or above", place)
  end
  local rows, labels, found, seen = read_truth(self, place, truth), {}, {}, {}
  if rows[1] and not rows[1].name and #rows ~= #stems then
    util.fail("%s: %d labels for %d pictures in %s", truth, #rows, #stems, place)
  end
  for i, row in ipairs(rows) do
    local stem = row.name or stems[i]
    if labels[stem] then
      util.fail("%s:%d: '%s' stands in line %d already", truth, row.line, stem, labels[stem].line)
    end
    labels[stem] = row
    if not seen[row.label] then found[#found + 1] = row.label end
    seen[row.label] = true
  end
  local classes, items = classes_of(self, found, self.wnids), {}
  for i, stem in ipairs(stems) do
    local row = labels[stem] or util.fail("%s: no label for '%s'", truth, stem)
    local number = self.wnids and math.tointeger(tonumber(row.label))
    local class = number and classes.names[number + 1] and number + 1 or
                  classes:of(row.label, ("%s:%d"):format(truth, row.line))
    items[i] = { id = files[stem], label = class, path = util.join(place, files[stem]) }
  end
  return items, classes.names
end

function imagenet.load(self, place)
  local inner = util.join(place, "val")
  local stems, files = find_pictures(place)
  if #stems == 0 and not self.splits and core.kind(inner) then
    place = inner
    stems, files = find_pictures(place)
  end
  if #stems > 0 then return load_flat(self, place, stems, files) end
  self.folders = self.wnids
  return folders.load(self, place)
end

return imagenet
