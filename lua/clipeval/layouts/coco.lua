-- COCO's captions: { "images": [{ "id", "file_name" }], "annotations": [{ "image_id",
-- "caption" }] }. All captions of a picture are kept, in the order of the file.
local annotations = require "clipeval.annotations"
local core = require "clipeval.core"
local util = require "clipeval.util"

local FOLDERS = { "train2014", "val2014", "train2017", "val2017" }

local coco = {
  kind = "retrieval",
  takes = "FILE",
  part = "its JSON file",
  present = true,
  fields = annotations.fields(),
}

function coco.expects()
  return 'captions_NAME.json with "images" and "annotations", and the pictures in val2014, ... ' ..
         "or below prefix"
end

-- The folder of the pictures: what the description says, or one of COCO's own beside the file
-- or above it.
local function find_folder(self, file, first)
  local base = annotations.base(self)
  if self.prefix or core.kind(util.join(base, first)) then return base end
  local beside = util.directory(file)
  for _, directory in ipairs { base, beside, util.join(beside, "..") } do
    for _, name in ipairs(FOLDERS) do
      local folder = util.join(directory, name)
      if core.kind(util.join(folder, first)) then return folder end
    end
  end
  return base
end

function coco.load(self, place)
  local file = annotations.files(self, place, "^captions.*%.json$")[1]
  local items, by_id, folder, names = {}, {}, nil, {}
  for i, record in annotations.records(file, "images") do
    local where = annotations.where(file, "images", i)
    local id = annotations.field(record, "id", "id", where)
    local name = annotations.path(record, "file_name", where)
    if by_id[id] then util.fail("%s: the id %s stands for two pictures", where, id) end
    if names[name] then util.fail("%s: the picture '%s' stands twice", where, name) end
    names[name] = true
    folder = folder or find_folder(self, file, name)
    by_id[id] = { id = name, path = util.join(folder, name), captions = {} }
    items[i] = by_id[id]
  end
  for i, record in annotations.records(file, "annotations") do
    local where = annotations.where(file, "annotations", i)
    local id = annotations.field(record, "image_id", "id", where)
    if not by_id[id] then util.fail("%s: the picture %s is not among the images", where, id) end
    annotations.caption(items, by_id, id, nil, record.caption, where)
  end
  for i, item in ipairs(items) do
    if #item.captions == 0 then
      util.fail("%s: '%s' has no caption", annotations.where(file, "images", i), item.id)
    end
  end
  return items
end

return coco
