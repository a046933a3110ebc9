-- clip.multilabel: which of these things does a picture show? For each class the pictures are
-- ranked by their score; figures are average precisions, as CLIP_benchmark's.
local core = require "clipeval.core"
local classifier = require "clipeval.classifier"
local embeddings = require "clipeval.embeddings"
local evaluation = require "clipeval.evaluation"
local prompts = require "clipeval.prompts"

local function holds(list, class)
  for _, label in ipairs(list or {}) do
    if label == class then return true end
  end
  return false
end

-- Of a class: how many pictures show it, how many of those can be read, and the share of the
-- former, which is what a random order gives on average. Where a class is ignored, the
-- picture is none of it.
local function count_class(self, class, at)
  local count, read, n = 0, 0, self.n
  for i, item in ipairs(self.items) do
    local ignored, shown = holds(item.ignored, class), holds(item.labels, class)
    if ignored then
      n = n - 1
    elseif shown then
      count, read = count + 1, read + (at[i] and 1 or 0)
    end
  end
  return count, read, n > 0 and count / n or 0
end

-- For predictions.csv: what the picture is to each class, in their order, and where it stands
-- among all (row `ranks`; nil: it could not be read): "+3" is shown and third, "40" is not
-- shown, "0" and "+0" could not be read, "-" is ignored.
local function class_ranks(self, item, ranks)
  local words = {}
  for c = 1, #self.classes do
    words[c] = ranks and ("%d"):format(ranks[c]) or "0"
  end
  for _, c in ipairs(item.labels) do words[c] = "+" .. words[c] end
  for _, c in ipairs(item.ignored or {}) do words[c] = "-" end
  return table.concat(words, " ")
end

-- The scores of those pictures that can be read, and each one's line of them.
local function score(self)
  local embeds, row_of = embeddings.pictures(self)
  local rows, read, at = embeddings.readable(self, row_of)
  local scores = #rows > 0 and embeds:select(rows):similarity(self.classifier)
  local ignored = {}
  for k, i in ipairs(read) do ignored[k] = self.items[i].ignored or {} end
  local ranks = scores and core.class_ranks(scores, ignored)
  self.columns = { "id", "target", "prediction", "score", "class_ranks" }
  function self.each(row)
    for i, item in ipairs(self.items) do
      local names = {}
      for k, label in ipairs(item.labels) do names[k] = self.classes[label] end
      local best, value
      if at[i] then
        for c, x in ipairs(scores[at[i]]) do
          if not value or x > value then best, value = c, x end
        end
      end
      row(item.id, table.concat(names, "|"), best and self.classes[best], value,
          class_ranks(self, item, at[i] and ranks[at[i]]))
    end
  end
  return scores, at
end

local task = evaluation.task {
  name = "multilabel", kinds = { "multilabel" }, required = { "prompts" },
  fields = { "prompts", "classes" }, partial = score,
}

return function(spec)
  local self = evaluation.begin(task, spec)
  self.prompts = prompts(spec.prompts)
  self.classes = classifier.classes(self, spec.classes)
  self.classifier = classifier.build(self)
  local scores, at = score(self)
  local labels, ignored, ap = {}, {}, {}
  for i, item in ipairs(self.items) do
    if at[i] then labels[at[i]], ignored[at[i]] = item.labels, item.ignored or {} end
  end
  if scores then ap = core.average_precision(scores, labels, ignored) end
  local mean, chance, counts, rates = 0, 0, {}, {}
  for c = 1, #self.classes do
    local read
    counts[c], read, rates[c] = count_class(self, c, at)
    -- The precision at a picture that cannot be read is 0.
    ap[c] = read > 0 and ap[c] * read / counts[c] or 0
    mean, chance = mean + ap[c] / #self.classes, chance + rates[c] / #self.classes
  end
  evaluation.metric(self, "mean_average_precision", mean, { chance = chance })
  self.class_columns = { "class", "n", "average_precision", "chance" }
  self.class_rows = {}
  for c, name in ipairs(self.classes) do
    self.class_rows[c] = table.pack(name, counts[c], ap[c], rates[c])
  end
  self.classifier = nil
  return evaluation.finish(self)
end
