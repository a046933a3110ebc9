-- Winoground: JSON lines { "id", "image_0", "image_1", "caption_0", "caption_1", "tag" }; the
-- first caption is of the first picture. https://huggingface.co/datasets/facebook/winoground
local annotations = require "clipeval.annotations"
local core = require "clipeval.core"
local util = require "clipeval.util"

local winoground = {
  kind = "pairs",
  takes = "FILE",
  part = "its examples.jsonl",
  present = true,
  fields = annotations.fields { suffix = "string" },
}

function winoground.expects()
  return "examples.jsonl and images/ex_0_img_0.png"
end

function winoground.load(self, place)
  local file = annotations.files(self, place, "^examples%.jsonl$")[1]
  local base = self.prefix and annotations.base(self) or util.join(util.directory(file), "images")
  local suffix, items, seen = self.suffix or ".png", {}, {}
  for _, record, line in annotations.json_lines(file) do
    local where = ("%s:%d"):format(file, line)
    local function picture(key)
      local name = annotations.path(record, key, where)
      local path = util.join(base, name .. suffix)
      if name:sub(-#suffix) == suffix and not core.kind(path) then path = util.join(base, name) end
      return { path = path }
    end
    annotations.add(items, seen, "pairs", {
      id = annotations.field(record, "id", "id", where),
      pictures = { picture "image_0", picture "image_1" },
      captions = { annotations.field(record, "caption_0", "string", where),
                   annotations.field(record, "caption_1", "string", where) },
      group = type(record.collapsed_tag) == "string" and record.collapsed_tag or
              type(record.tag) == "string" and record.tag:find("%S") and record.tag or nil },
      where)
  end
  return items
end

return winoground
