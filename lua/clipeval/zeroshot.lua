-- clip.zeroshot: which of these class names fits the picture best? The arithmetic is that of
-- CLIP_benchmark (zeroshot_classification.py): each text's embedding is normalised, a class
-- is the normalised mean of its texts, scores are cosines.
local classifier = require "clipeval.classifier"
local core = require "clipeval.core"
local embeddings = require "clipeval.embeddings"
local evaluation = require "clipeval.evaluation"
local prompts = require "clipeval.prompts"
local util = require "clipeval.util"

local BLOCK = 1 << 14 -- pictures that are judged at a time: Ctrl-C comes in between
local RESAMPLES = 1000

-- ---- what is asked ----

local function rank_bound(metric)
  local k = metric:match("^acc@([1-9]%d*)$")
  return k and math.tointeger(k)
end

local OTHERS = util.set { "mean_per_class_recall", "ece", "brier" }

local function choose_metrics(given, class_count)
  if not given then
    local metrics = { "acc@1", "acc@5", "mean_per_class_recall", "ece", "brier" }
    if class_count <= 5 then table.remove(metrics, 2) end -- it could only be 100 %
    return metrics
  end
  if type(given) ~= "table" or util.length(given, "zeroshot: metric") == 0 then
    util.fail("zeroshot: metrics must be a list of names")
  end
  for _, metric in ipairs(given) do
    local k = type(metric) == "string" and rank_bound(metric)
    if not k and not OTHERS[metric] then
      util.fail("zeroshot: no metric %s (there are acc@1, acc@5, ..., %s)", util.show(metric),
                table.concat(util.keys(OTHERS), ", "))
    end
    if k and k > class_count then
      util.fail("zeroshot: %s of %d classes means nothing", metric, class_count)
    end
  end
  return given
end

-- ---- scores ----

local function score_block(self, embeds, rows, at)
  local targets = {}
  for k, i in ipairs(at) do targets[k] = self.targets[i] end
  local ranks, best, value, tied, confidence, brier =
    core.judge(embeds, rows, targets, self.classifier, self.scale, self.bias)
  for k, i in ipairs(at) do
    self.ranks[i], self.predicted[i], self.scores[i] = ranks[k], best[k], value[k]
    self.tied[i], self.confidences[i], self.briers[i] = tied[k], confidence[k], brier[k]
  end
end

local function score_part(self, first, last, embeds, row_of)
  local rows, at = {}, {}
  for i = first, last do
    self.targets[i] = self.items[i].label
    self.ranks[i], self.predicted[i], self.scores[i], self.tied[i] = false, false, false, false
    self.confidences[i], self.briers[i] = false, false
    if row_of[i] then
      rows[#rows + 1], at[#at + 1] = row_of[i], i
    end
    if #rows == BLOCK or i == last and #rows > 0 then
      score_block(self, embeds, rows, at)
      rows, at = {}, {}
    end
  end
end

local function score(self)
  if not self.targets then -- else an interruption left the first parts
    self.targets, self.ranks, self.predicted, self.scores, self.tied = {}, {}, {}, {}, {}
    self.confidences, self.briers = {}, {}
  end
  self.scale = self.about.model.logit_scale
  self.bias = self.about.model.sigmoid and self.about.model.logit_bias or nil
  embeddings.in_parts(self, function(...) score_part(self, ...) end)
  self.ties = 0
  for i = 1, self.n do self.ties = self.ties + (self.tied[i] and 1 or 0) end
  self.columns = { "id", "target", "prediction", "rank", "score", "tied", "confidence",
                   "brier", "class" }
  function self.each(row)
    for i, item in ipairs(self.items) do
      local best, target = self.predicted[i], self.classes[self.targets[i]]
      if best then
        row(item.id, target, self.classes[best], self.ranks[i], self.scores[i], self.tied[i],
            self.confidences[i], self.briers[i], self.targets[i])
      else
        row(item.id, target, nil, nil, nil, nil, nil, nil, self.targets[i])
      end
    end
  end
end

-- ---- figures ----

local function accuracy(self, k)
  local hits = 0
  for _, rank in ipairs(self.ranks) do
    if rank and rank <= k then hits = hits + 1 end
  end
  local low, high = core.wilson(hits, self.n)
  return core.accuracy_at(self.ranks, k), low, high, k / #self.classes
end

local function mean_recall(self)
  local _, _, value = core.class_recall(self.ranks, self.targets, #self.classes)
  local low, high = core.bootstrap_mean_recall(self.ranks, self.targets, #self.classes,
                                               RESAMPLES, self.seed)
  return value, low, high, 1 / #self.classes
end

local function class_figures(self)
  local hits, counts = core.class_recall(self.ranks, self.targets, #self.classes)
  local figures = {}
  for i, name in ipairs(self.classes) do
    figures[i] = { class = name, n = counts[i], hits = hits[i] }
    if counts[i] > 0 then
      figures[i].recall = hits[i] / counts[i]
      figures[i].ci_low, figures[i].ci_high = core.wilson(hits[i], counts[i])
    end
  end
  return figures
end

-- How far probabilities can be trusted: the softmax of the cosines times the model's own
-- scale (the sigmoid, with its bias, where the model was trained so). Of the pictures that
-- could be read: a plain figure and how many they are.
local CALIBRATION = {}

function CALIBRATION.ece(self)
  local correct, n = {}, 0
  for i, rank in ipairs(self.ranks) do
    correct[i] = rank == 1
    n = n + (rank and 1 or 0)
  end
  return (core.calibration_error(self.confidences, correct)), n
end

function CALIBRATION.brier(self)
  local sum, n = 0, 0
  for _, x in ipairs(self.briers) do
    if x then sum, n = sum + x, n + 1 end
  end
  return sum / n, n
end

local function measure(self)
  for _, name in ipairs(self.metric_names) do
    local k = rank_bound(name)
    if CALIBRATION[name] then
      local value, n = CALIBRATION[name](self)
      evaluation.metric(self, name, value, { n = n, unit = "plain" })
    else
      local value, low, high, chance
      if k then
        value, low, high, chance = accuracy(self, k)
      else
        value, low, high, chance = mean_recall(self)
      end
      evaluation.metric(self, name, value, { low = low, high = high, chance = chance })
    end
  end
  self.class_figures = class_figures(self)
  self.class_columns = { "class", "n", "hits", "recall", "ci_low", "ci_high" }
  function self.each_class(row)
    for _, c in ipairs(self.class_figures) do
      row(c.class, c.n, c.hits, c.recall, c.ci_low, c.ci_high)
    end
  end
end

local task = evaluation.task {
  name = "zeroshot", kinds = { "classification" }, required = { "prompts" },
  fields = { "prompts", "metrics", "classes" }, partial = score,
}

return function(spec)
  local self = evaluation.begin(task, spec)
  self.prompts = prompts(spec.prompts)
  self.classes = classifier.classes(self, spec.classes)
  self.metric_names = choose_metrics(spec.metrics, #self.classes)
  self.classifier = classifier.build(self)
  score(self)
  measure(self)
  self.classifier = nil
  return evaluation.finish(self)
end
