-- VQAv2 (and VQA v1, which has the same form): a file of questions and one of annotations.
-- https://visualqa.org/download.html
local annotations = require "clipeval.annotations"
local core = require "clipeval.core"
local items_of = require "clipeval.items"
local places = require "clipeval.places"
local util = require "clipeval.util"

local vqav2 = {
  kind = "vqa",
  takes = "DIR",
  present = true,
  fields = { questions = "path", annotations = "strings", pictures = "string", prefix = "path" },
}

function vqav2.expects()
  return "v2_OpenEnded_mscoco_val2014_questions.json, v2_mscoco_val2014_annotations.json and " ..
         "the pictures val2014/COCO_val2014_000000000042.jpg"
end

function vqav2.fill_in(self)
  local ok, fault = pcall(string.format, self.pictures or "%d", 1)
  if not ok then util.fail("dataset %s: pictures: %s", self.name, fault) end
end

-- One file of `place` whose name matches, or the one that was said.
local function find(self, place, field, said, pattern)
  if said then return annotations.below(self, place, { said })[1] end
  local there = {}
  for _, name in ipairs(core.list(place) or {}) do
    if name:find(pattern) then there[#there + 1] = name end
  end
  if #there == 0 then
    places.missing(self, "say which file of %s: %s = (there is none)", place, field)
  elseif #there > 1 then
    util.fail("dataset %s: say which file of %s: %s = (there are %s)", self.name, place, field,
              table.concat(there, ", "))
  end
  return util.join(place, there[1])
end

-- question_id -> its ten answers and types.
local function read_answers(file)
  local by_id = {}
  for i, record in annotations.records(file, "annotations") do
    local where = annotations.where(file, "annotations", i)
    local id = annotations.field(record, "question_id", "id", where)
    local answers = {}
    for k, answer in ipairs(annotations.field(record, "answers", "table", where)) do
      answers[k] = type(answer) == "table" and answer.answer
      if type(answers[k]) ~= "string" then
        util.fail("%s: answers[%d]: no text \"answer\"", where, k - 1)
      end
    end
    local fault = items_of.fault("vqa", { question = "?", answers = answers })
    if fault then util.fail("%s: %s", where, fault) end
    if by_id[id] then util.fail("%s: the question %s has answers already", where, id) end
    by_id[id] = { answers = answers, question_type = record.question_type,
                  answer_type = record.answer_type, answer = record.multiple_choice_answer,
                  where = where }
  end
  return by_id
end

-- Where the picture of an image id lies: as `pictures` says it, or as COCO names it.
local function picture_pattern(self, questions)
  if self.pictures then return self.pictures end
  local set, year = questions:match("_(%l+)(20%d%d)_questions%.json$")
  if not set then
    util.fail("dataset %s: say where the pictures lie: " ..
              'pictures = "val2014/COCO_val2014_%%012d.jpg"', self.name)
  end
  return ("%s%s/COCO_%s%s_%%012d.jpg"):format(set, year, set, year)
end

function vqav2.load(self, place)
  local questions = find(self, place, "questions", self.questions, "_questions%.json$")
  local answers = self.annotations and self.annotations[1]
  local file = find(self, place, "annotations (without answers nothing can be measured)", answers,
                    "_annotations%.json$")
  local by_id, pattern, base = read_answers(file), picture_pattern(self, questions),
                               annotations.base(self)
  local items, seen = {}, {}
  for i, record in annotations.records(questions, "questions") do
    local where = annotations.where(questions, "questions", i)
    local id = annotations.field(record, "question_id", "id", where)
    local image = math.tointeger(record.image_id)
    if not image then util.fail("%s: image_id is no integer", where) end
    local known = by_id[id]
    if seen[id] then util.fail("%s: the question %s stands twice", where, id) end
    if not known then util.fail("%s: the question %s has no answers in %s", where, id, file) end
    annotations.add(items, seen, "vqa", {
      id = id, path = util.join(base, pattern:format(image)), answers = known.answers,
      question = annotations.field(record, "question", "string", where),
      question_type = known.question_type, answer_type = known.answer_type,
      multiple_choice_answer = known.answer }, where)
    by_id[id] = false
  end
  for id, known in pairs(by_id) do
    if known then
      util.fail("%s: the question %s is not in %s", known.where, id, questions)
    end
  end
  return items
end

return vqav2
