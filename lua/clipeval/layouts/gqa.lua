-- GQA: { "QUESTION ID": { "imageId", "question", "answer", "types" } }; one answer each.
-- https://cs.stanford.edu/people/dorarad/gqa/download.html
local annotations = require "clipeval.annotations"
local core = require "clipeval.core"
local util = require "clipeval.util"

local gqa = {
  kind = "vqa",
  takes = "FILE",
  part = "its questions",
  present = true,
  fields = annotations.fields { suffix = "string" },
}

function gqa.expects()
  return "val_balanced_questions.json and the pictures images/2370799.jpg"
end

function gqa.load(self, place)
  local file = annotations.files(self, place, "_questions%.json$")[1]
  local base, items, seen = annotations.base(self), {}, {}
  if not self.prefix then
    local images = util.join(base, "images")
    base = not core.kind(images) and core.kind(util.join(base, "../images")) and
           util.join(base, "../images") or images
  end
  for id, record in annotations.records(file) do
    local where = annotations.where(file, nil, id)
    if type(id) ~= "string" then util.fail("%s: a list, not an object of questions", file) end
    local image = annotations.field(record, "imageId", "id", where)
    if record.answer == nil then
      util.fail("%s: no \"answer\": a test file cannot be measured", where)
    end
    local types = type(record.types) == "table" and record.types or {}
    annotations.add(items, seen, "vqa", {
      id = id, path = util.join(base, image .. (self.suffix or ".jpg")),
      question = record.question, answers = { record.answer },
      question_type = types.detailed or types.semantic, answer_type = types.structural }, where)
  end
  return items
end

return gqa
