-- SugarCrepe: a file a category, { "0": { "filename", "caption", "negative_caption" } }; the
-- category is the group. https://github.com/RAIVNLab/sugar-crepe
local annotations = require "clipeval.annotations"
local core = require "clipeval.core"
local util = require "clipeval.util"

local CATEGORIES = { "add_att", "add_obj", "replace_att", "replace_obj", "replace_rel",
                     "swap_att", "swap_obj" }

local sugarcrepe = {
  kind = "pairs",
  takes = "DIR",
  part_field = "annotations",
  present = true,
  fields = annotations.fields(),
}

function sugarcrepe.expects()
  return "add_att.json, ... swap_obj.json and COCO's pictures in val2017"
end

-- What the description names, or all categories that are there.
local function find_files(self, place)
  if core.kind(place) ~= "directory" then return { place } end
  if self.annotations then return annotations.below(self, place, self.annotations) end
  local files = {}
  for _, name in ipairs(CATEGORIES) do
    local file = util.join(place, name .. ".json")
    if core.kind(file) then files[#files + 1] = file end
  end
  return files
end

function sugarcrepe.load(self, place)
  local base, items, seen = annotations.base(self), {}, {}
  if not self.prefix and core.kind(util.join(base, "val2017")) then
    base = util.join(base, "val2017")
  end
  for _, file in ipairs(find_files(self, place)) do
    local group = util.stem(file)
    for id, record in annotations.records(file) do
      local where = annotations.where(file, nil, id)
      local name = annotations.path(record, "filename", where)
      annotations.add(items, seen, "pairs", {
        id = ("%s/%s"):format(group, math.type(id) and id - 1 or id),
        path = util.join(base, name), group = group,
        captions = { annotations.field(record, "caption", "string", where),
                     annotations.field(record, "negative_caption", "string", where) } }, where)
    end
  end
  return items
end

return sugarcrepe
