-- clip.linear_probe: how much do the embeddings know? A logistic regression on frozen,
-- normalised embeddings of the training pictures, judged on the test pictures. The strength
-- of its L2 regularisation is chosen on a validation split (core/probe.h).
local core = require "clipeval.core"
local embeddings = require "clipeval.embeddings"
local evaluation = require "clipeval.evaluation"
local util = require "clipeval.util"

local HELD_OUT = 5 -- of the training pictures every fifth, in a seeded order, validates

local task = evaluation.task {
  name = "linear_probe", kinds = { "classification" }, required = { "train" },
  fields = { "train", "validation", "strength", "train_limit" },
}

-- Both splits have the same classes in the same order: else labels would mean others.
local function check_classes(part, whole)
  if #part.classes ~= #whole.classes then
    util.fail("linear_probe: %s has %d classes, %s has %d", part.name, #part.classes, whole.name,
              #whole.classes)
  end
  for c, name in ipairs(part.classes) do
    if name ~= whole.classes[c] then
      util.fail("linear_probe: class %d of %s is '%s', of %s '%s'", c, part.name, name,
                whole.name, whole.classes[c])
    end
  end
end

-- Embeddings and labels of the pictures of another split that can be read.
local function embed(self, data, what, limit)
  local part = evaluation.begin(task, { model = self.model, dataset = data, train = true,
                                        limit = limit or math.maxinteger, seed = self.seed })
  check_classes(part.dataset, self.dataset)
  local embeds, row_of = embeddings.pictures(part)
  local rows, numbers = embeddings.readable(part, row_of)
  local labels = {}
  for k, i in ipairs(numbers) do labels[k] = part.items[i].label end
  self.left_out = self.left_out + #part.problems
  for _, p in ipairs(part.problems) do
    self.problems[#self.problems + 1] = { id = what .. "/" .. p.id, problem = p.problem }
  end
  self.about[what] = part.about.dataset
  if #labels == 0 then
    util.fail("linear_probe: no picture of %s (%s) can be read", part.dataset.name, what)
  end
  return embeds:select(rows), labels
end

-- Every fifth of a seeded order goes to validation.
local function hold_out(embeds, labels, seed)
  local n, is_held = #labels, {}
  if n < 2 then
    util.fail("linear_probe: one picture cannot train and validate: give a strength")
  end
  for _, i in ipairs(core.sample(math.max(1, n // HELD_OUT), n, seed)) do is_held[i] = true end
  local keep, keep_labels, held, held_labels = {}, {}, {}, {}
  for i = 1, n do
    local rows, list = keep, keep_labels
    if is_held[i] then rows, list = held, held_labels end
    rows[#rows + 1], list[#list + 1] = i, labels[i]
  end
  return embeds:select(keep), keep_labels, embeds:select(held), held_labels
end

local function options_of(self, spec, train, labels)
  local options = { classes = #self.dataset.classes, progress = "probe" }
  if spec.strength then
    options.strength = spec.strength
  elseif spec.validation then
    options.validation, options.validation_labels = embed(self, spec.validation, "validation")
  else
    train, labels, options.validation, options.validation_labels =
      hold_out(train, labels, self.seed)
  end
  return train, labels, options
end

local function check_spec(spec)
  local strength, limit = spec.strength, spec.train_limit
  if strength ~= nil and not (type(strength) == "number" and strength > 0 and
                              strength < math.huge) then
    util.fail("linear_probe: strength must be a number above 0")
  end
  if strength and spec.validation ~= nil then
    util.fail("linear_probe: with a strength given there is nothing to validate")
  end
  if limit ~= nil and (math.type(limit) ~= "integer" or limit < 1) then
    util.fail("linear_probe: train_limit must be an integer from 1")
  end
end

-- ranks[i], predicted[i] and targets[i] of every item; false where it cannot be read.
local function predict(self, train, labels, options)
  local embeds, row_of = embeddings.pictures(self)
  local rows, numbers, at = embeddings.readable(self, row_of)
  if #rows == 0 then
    util.fail("linear_probe: no picture of %s can be read", self.dataset.name)
  end
  local targets = {}
  for k, i in ipairs(numbers) do targets[k] = self.items[i].label end
  local scores, about = core.probe(train, labels, embeds:select(rows), options)
  local ranks, best, _, tied = scores:ranks(targets)
  self.ranks, self.predicted, self.targets = {}, {}, {}
  for i, item in ipairs(self.items) do
    local k = at[i]
    self.ranks[i], self.predicted[i] = k and ranks[k] or false, k and best[k] or false
    self.targets[i] = item.label
    self.ties = self.ties + (k and tied[k] and 1 or 0)
  end
  self.about.probe = about
  if not about.converged then
    util.warn("linear_probe: stopped after %d iterations, before it converged", about.iterations)
  end
end

local function accuracy(self, k)
  local hits = 0
  for _, rank in ipairs(self.ranks) do hits = hits + (rank and rank <= k and 1 or 0) end
  local low, high = core.wilson(hits, self.n)
  evaluation.metric(self, "acc@" .. k, hits / self.n,
                    { low = low, high = high, chance = k / #self.dataset.classes })
end

local function measure(self, trained)
  local classes = self.dataset.classes
  accuracy(self, 1)
  if #classes > 5 then accuracy(self, 5) end
  local hits, counts, recall = core.class_recall(self.ranks, self.targets, #classes)
  local low, high = core.bootstrap_mean_recall(self.ranks, self.targets, #classes, 1000,
                                               self.seed)
  evaluation.metric(self, "mean_per_class_recall", recall,
                    { low = low, high = high, chance = 1 / #classes })
  evaluation.metric(self, "strength", self.about.probe.strength, { unit = "plain", n = trained })
  self.class_columns = { "class", "n", "hits", "recall" }
  self.class_rows = {}
  for c, name in ipairs(classes) do
    self.class_rows[c] = table.pack(name, counts[c], hits[c],
                                    counts[c] > 0 and hits[c] / counts[c] or nil)
  end
end

return function(spec)
  local self = evaluation.begin(task, spec)
  check_spec(spec)
  local train, labels = embed(self, spec.train, "train", spec.train_limit)
  local trained = #labels
  local options
  train, labels, options = options_of(self, spec, train, labels)
  predict(self, train, labels, options)
  measure(self, trained)
  self.columns = { "id", "target", "prediction", "rank", "class" }
  function self.each(row)
    local classes = self.dataset.classes
    for i, item in ipairs(self.items) do
      row(item.id, classes[item.label], classes[self.predicted[i]], self.ranks[i] or nil,
          item.label)
    end
  end
  return evaluation.finish(self)
end
