-- clip.multilabel: which of these things does a picture show? For each class the pictures are
-- ranked by their score; figures are average precisions, as CLIP_benchmark's.
local core = require "clipeval.core"
local classifier = require "clipeval.classifier"
local evaluation = require "clipeval.evaluation"
local prompts = require "clipeval.prompts"

local task = evaluation.task {
  name = "multilabel", kinds = { "multilabel" }, required = { "prompts" },
  fields = { "prompts", "classes" },
}

-- The share of a class's pictures, which is what a random order gives on average.
local function base_rate(self, labels, class)
  local count = 0
  for i = 1, self.n do
    for _, label in ipairs(labels[i]) do
      if label == class then
        count = count + 1
        break
      end
    end
  end
  return count / self.n, count
end

local function score(self)
  local embeds, row_of = evaluation.pictures(self)
  local rows, at = {}, {}
  for i = 1, self.n do
    if row_of[i] then
      rows[#rows + 1] = row_of[i]
      at[i] = #rows
    end
  end
  return embeds and embeds:select(rows):similarity(self.classifier), at
end

return function(spec)
  local self = evaluation.begin(task, spec)
  self.prompts = prompts(spec.prompts)
  self.classes = classifier.classes(self, spec.classes)
  self.classifier = classifier.build(self)
  local scores, at = score(self)
  local labels, ignored, read = {}, {}, {}
  for i, item in ipairs(self.items) do
    labels[i] = item.labels
    if at[i] then
      read[at[i]], ignored[at[i]] = item.labels, item.ignored or {}
    end
  end
  local ap, mean = core.average_precision(scores, read, ignored)
  local sum, rates = 0, {}
  for c = 1, #self.classes do
    local rate, count = base_rate(self, labels, c)
    rates[c] = { rate, count }
    sum = sum + rate
  end
  evaluation.metric(self, "mean_average_precision", mean, { chance = sum / #self.classes })
  self.class_columns = { "class", "n", "average_precision", "chance" }
  self.class_rows = {}
  for c, name in ipairs(self.classes) do
    self.class_rows[c] = table.pack(name, rates[c][2], ap[c], rates[c][1])
  end
  self.columns = { "id", "target", "prediction", "score" }
  function self.each(row)
    for i, item in ipairs(self.items) do
      local names = {}
      for k, label in ipairs(item.labels) do names[k] = self.classes[label] end
      local best, value
      if at[i] then
        local line = scores[at[i]]
        for c, x in ipairs(line) do
          if not value or x > value then best, value = c, x end
        end
      end
      row(item.id, table.concat(names, "|"), best and self.classes[best], value)
    end
  end
  return evaluation.finish(self)
end
