-- Karpathy's splits of COCO and Flickr: { "images": [{ "filename", "filepath", "split",
-- "sentences": [{ "raw" }] }] } (https://cs.stanford.edu/people/karpathy/deepimagesent/).
local annotations = require "clipeval.annotations"
local core = require "clipeval.core"
local util = require "clipeval.util"

local karpathy = {
  kind = "retrieval",
  takes = "FILE",
  part_field = "parts",
  present = true,
  fields = annotations.fields { parts = "strings" },
  splits = { test = "test", val = "val", train = { "train", "restval" } },
  split = "test",
}

function karpathy.expects()
  return "dataset_coco.json, dataset_flickr30k.json or dataset_flickr8k.json, and the pictures " ..
         "beside it or below prefix"
end

local function captions_of(record, where)
  local captions = {}
  for i, sentence in ipairs(annotations.field(record, "sentences", "table", where)) do
    captions[i] = annotations.field(sentence, "raw", "string",
                                    ("%s: sentences[%d]"):format(where, i - 1))
  end
  return captions
end

function karpathy.load(self, place)
  local file = annotations.files(self, place, "^dataset.*%.json$")[1]
  local wanted, items, seen, there = util.set(self.parts), {}, {}, {}
  local base, folder = annotations.base(self), nil
  for i, record in annotations.records(file, "images") do
    local where = annotations.where(file, "images", i)
    local split = annotations.field(record, "split", "string", where)
    there[split] = true
    if wanted[split] then
      local name = annotations.path(record, "filename", where)
      local below = record.filepath and annotations.path(record, "filepath", where) or ""
      local path = util.join(below, name)
      if folder == nil then -- pictures of COCO lie below their filepath, if not all in prefix
        folder = core.kind(util.join(base, path)) or not core.kind(util.join(base, name))
      end
      annotations.add(items, seen, "retrieval",
                      { id = name, path = util.join(base, folder and path or name),
                        captions = captions_of(record, where) }, where)
    end
  end
  if not next(there) then util.fail("%s: no images in it", file) end
  for _, part in ipairs(self.parts) do
    if not there[part] then
      util.fail("%s: no split '%s' (there are %s)", file, part,
                table.concat(util.keys(there), ", "))
    end
  end
  return items
end

return karpathy
