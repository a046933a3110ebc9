-- What a line of predictions.csv says of its item, whatever the task: what was asked, what is
-- right, what the model answered, and whether that is right (nil: the line alone does not tell).
local util = require "clipeval.util"

local answers = {}

local function class(row)
  return { wanted = row.target, given = row.prediction, right = row.rank == "1" }
end

local function holds(list, name)
  return ("|" .. list .. "|"):find("|" .. name .. "|", 1, true) ~= nil
end

local READ = { zeroshot = class, linear_probe = class, ablate = class }

-- The label that the model is surest of is one of the picture's.
function READ.multilabel(row)
  return { wanted = row.target, given = row.prediction,
           right = row.prediction ~= nil and holds(row.target or "", row.prediction) }
end

function READ.vqa(row)
  return { asked = row.question, wanted = row.answers, given = row.prediction,
           right = (tonumber(row.accuracy) or 0) > 0.5, worth = tonumber(row.accuracy) }
end

function READ.retrieval(row)
  return { asked = row.caption, key = row.id .. "\0" .. (row.caption or ""), wanted = row.id,
           given = row.found_picture, right = row.rank_of_picture == "1" }
end

local function yes(value) return value == "1" end

function READ.compositional(row)
  if row.text == nil then
    return { wanted = "the right caption", right = yes(row.right),
             given = yes(row.right) and "the right caption" or "the wrong caption" }
  end
  local told = {}
  for _, name in ipairs { "text", "image", "group" } do
    told[#told + 1] = name .. (yes(row[name]) and " ✓" or " ✗")
  end
  return { wanted = "text ✓, image ✓, group ✓", given = table.concat(told, ", "),
           right = yes(row.group) }
end

function READ.match(row)
  return { asked = row.text, wanted = yes(row.match) and "matches" or "does not match",
           given = row.score and "score " .. row.score }
end

-- {key, id, asked, wanted, given, right} of a line, or nil where the task is not known here.
function answers.of(task, row)
  local read = READ[task]
  if not read or row.id == nil then return nil end
  local answer = read(row)
  answer.id, answer.key = row.id, answer.key or row.id
  return answer
end

-- Tasks whose targets and predictions are classes, one each.
answers.has_classes = util.set { "zeroshot", "linear_probe", "ablate" }

return answers
