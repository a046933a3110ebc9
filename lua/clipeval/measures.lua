-- What each item is worth to a metric, from predictions.csv: what a paired test needs.
--
--     local m = measures.of(evaluation, "acc@1")
--     m.statistic, m.values[m.items.at["cat/1.png"]]     --> "hits", 1
--
-- An item that could not be read is a miss, as the tasks count it (calibration leaves it out,
-- as they do). All is read from text that a hand may have edited: what cannot be ends the
-- program with its line.
local core = require "clipeval.core"
local runs = require "clipeval.runs"
local util = require "clipeval.util"

local measures = {}

-- ---- what metrics are ----

-- Counts and settings: a difference is shown, and is no one's regression.
local NEUTRAL = util.set { "ties", "truncated_texts", "unreadable", "best_threshold", "threshold",
                           "strength", "subset_templates", "prior_accuracy", "ceiling_accuracy" }
local PERCENT_NEUTRAL = util.set { "prior_accuracy", "ceiling_accuracy" }
local LOWER = util.set { "ece", "brier" }

-- { unit = "percent" (of a fraction) | "plain" (a fraction too) | "count" (any other number),
--   sign = 1: higher is better, -1: lower is, 0: neither }
function measures.about(metric)
  if NEUTRAL[metric] then
    return { unit = PERCENT_NEUTRAL[metric] and "percent" or "count", sign = 0 }
  end
  if LOWER[metric] then return { unit = "plain", sign = -1 } end
  if metric:find "_median_rank$" then return { unit = "count", sign = -1 } end
  return { unit = "percent", sign = 1 }
end

-- ---- columns ----

local function fault(t, i, format, ...)
  util.quit(3, "%s:%d: %s", t.path, t.lines[i], format:format(...))
end

-- Numbers of a column, false where it is empty; nil where there is no such column. `fits(x)`
-- says whether one can be.
local function numbers(e, t, column, fits, what)
  local texts = t.of[column]
  if not texts then return nil end
  e.numbers = e.numbers or {}
  if e.numbers[column] then return e.numbers[column] end
  local list, known = {}, { [""] = false }
  for i, text in ipairs(texts) do
    local x = known[text]
    if x == nil then
      x = runs.number(text)
      if not x or not fits(x) then fault(t, i, "%s is '%s', which is no %s", column, text, what) end
      known[text] = x
    end
    list[i] = x
  end
  e.numbers[column] = list
  return list
end

local function is_rank(x) return x >= 1 and x % 1 == 0 end

local function is_share(x) return x >= 0 and x <= 1 end

local function is_bit(x) return x == 0 or x == 1 end

local function is_positive(x) return x >= 0 and x < math.huge end

local function is_finite(x) return x - x == 0 end

local function ranks(e, t, column) return numbers(e, t, column, is_rank, "rank") end

-- ---- items ----

-- The items of an evaluation: { t, keys, rows, at = {key = place} }. A key is an id; where one
-- id has several rows (a picture's captions), "rows" numbers them and "pictures" takes the
-- first of each.
local function index(t, several, by_picture)
  local items = { t = t, keys = {}, rows = {}, at = {} }
  local count, first = {}, {}
  for i, id in ipairs(t.of.id) do
    count[id] = (count[id] or 0) + 1
    if count[id] > 1 and not several then
      fault(t, i, "the id '%s' stands in line %d already", id, t.lines[first[id]])
    end
    first[id] = first[id] or i
    if not (by_picture and count[id] > 1) then
      local key = several and not by_picture and ("%s\0%d"):format(id, count[id]) or id
      local place = #items.keys + 1
      items.keys[place], items.rows[place], items.at[key] = key, i, place
    end
  end
  return items
end

-- nil where the run has no predictions.csv.
function measures.items(e, by_picture)
  local t = e:columns "predictions"
  if not t then return nil end
  e.items = e.items or {}
  by_picture = by_picture or false
  if not e.items[by_picture] then
    e.items[by_picture] = index(t, e.task == "retrieval", by_picture)
  end
  return e.items[by_picture]
end

-- ---- what items are worth ----

-- values: one a row of the items; false: the item is not among those that the metric is about
local function measure(statistic, items, value, more)
  local m = util.copy(more or {}, { statistic = statistic, items = items, values = {} })
  for place, row in ipairs(items.rows) do m.values[place] = value(row) end
  return m
end

local function hits_to(items, list, k, more)
  return list and measure("hits", items, function(row)
    local rank = list[row]
    return rank and rank <= k and 1 or 0
  end, more)
end

local function pick(items, list)
  local own = {}
  for place, row in ipairs(items.rows) do own[place] = list[row] end
  return own
end

-- The classes of items: numbers where the run has them (names may occur twice), else names.
function measures.classes(items)
  local list = items.t.of.class or items.t.of.target
  return list and pick(items, list)
end

local function bound(metric) return math.tointeger(tonumber(metric:match "@(%d+)$")) end

local function classification(e, items, metric)
  local t = items.t
  local rank = ranks(e, t, "rank")
  if not rank then return nil end
  if metric:find "^acc@%d+$" then return hits_to(items, rank, bound(metric)) end
  if metric == "mean_per_class_recall" then
    local m = hits_to(items, rank, 1, { classes = measures.classes(items) })
    m.statistic = "class_mean"
    return m.classes and m
  end
  if metric == "brier" then
    local brier = numbers(e, t, "brier", is_positive, "Brier score")
    return brier and measure("mean", items, function(row) return brier[row] end)
  end
  if metric == "ece" then
    local confidence = numbers(e, t, "confidence", is_share, "probability")
    if not confidence then return nil end
    return measure("ece", items, function(row)
      return confidence[row] and (rank[row] == 1 and 1 or 0)
    end, { confidence = pick(items, confidence) })
  end
end

local TASKS = { zeroshot = classification, linear_probe = classification }

-- What "+3", "40", "0" and "-" in the column class_ranks say (multilabel.lua): the place, false
-- where there is none, and the label: 0 for no, 1 for yes, 2 for ignored.
local function parse_class_rank(word)
  if word == "-" then return { false, 2 } end
  local plus, digits = word:match "^(%+?)(%d+)$"
  local rank = digits and math.tointeger(tonumber(digits))
  return rank and { rank > 0 and rank, plus == "" and 0 or 1 }
end

-- places[class][item] and labels[class][item]
local function class_ranks(items)
  local t, places, labels, known = items.t, {}, {}, {}
  for place, row in ipairs(items.rows) do
    local class = 0
    for word in t.of.class_ranks[row]:gmatch "%S+" do
      local parsed = known[word] or parse_class_rank(word)
      class, known[word] = class + 1, parsed
      if place == 1 then places[class], labels[class] = {}, {} end
      if not parsed or not places[class] then
        fault(t, row, "class_ranks: '%s' is no rank of a class", word)
      end
      places[class][place], labels[class][place] = parsed[1], parsed[2]
    end
    if class ~= #places then
      fault(t, row, "class_ranks: %d, and others have %d", class, #places)
    end
  end
  return places, labels
end

-- An order's statistic is of all items at once: `values` only tell that they are in it.
local function ordered(statistic, items, places, labels, more)
  local m = measure(statistic, items, function() return 1 end, more)
  m.places, m.labels = places, labels
  return m
end

function TASKS.multilabel(_, items, metric)
  if metric ~= "mean_average_precision" or not items.t.of.class_ranks then return nil end
  return ordered("precision", items, class_ranks(items))
end

function TASKS.ablate(e, items, metric)
  if metric == "acc@1" then return classification(e, items, metric) end
  local column = metric == "acc@1_second_half" and "rank" or
                 metric == "subset_acc@1_second_half" and "rank_by_subset"
  if not column then return nil end
  local rank, half = ranks(e, items.t, column), numbers(e, items.t, "half", is_rank, "half")
  return rank and half and measure("hits", items, function(row)
    return half[row] == 2 and (rank[row] == 1 and 1 or 0)
  end)
end

function TASKS.retrieval(e, items, metric)
  local what, figure = metric:match "^(%l+)_retrieval_(.+)$"
  if what ~= "text" and what ~= "image" then return nil end
  if what == "text" then items = measures.items(e, true) end
  local list = ranks(e, items.t, what == "text" and "rank_of_best_caption" or "rank_of_picture")
  local more = { clusters = what == "image" and pick(items, items.t.of.id) or nil }
  if figure == "median_rank" then
    return list and ordered("median", items, { pick(items, list) }, nil, more)
  end
  return figure:find "^recall@%d+$" and hits_to(items, list, bound(metric), more)
end

function TASKS.vqa(e, items, metric)
  if metric ~= "vqa_accuracy" then return nil end
  local t = items.t
  local accuracy = numbers(e, t, "accuracy", is_share, "accuracy")
  return accuracy and measure("mean", items, function(row) return accuracy[row] or 0 end,
                              { clusters = t.of.picture and pick(items, t.of.picture) })
end

local HIT_COLUMNS = { accuracy = "right", text_score = "text", image_score = "image",
                      group_score = "group" }

function TASKS.compositional(e, items, metric)
  local t, column = items.t, HIT_COLUMNS[metric]
  local list = column and numbers(e, t, column, is_bit, "0 or 1")
  return list and measure("hits", items, function(row) return list[row] or 0 end,
                          { clusters = t.of.picture and pick(items, t.of.picture) })
end

-- Pairs by their scores, the highest first.
local function area(e, items)
  local t = items.t
  local score = numbers(e, t, "score", is_finite, "score")
  local match = numbers(e, t, "match", is_bit, "0 or 1")
  if not score or not match then return nil end
  local places, labels = {}, {}
  for place, row in ipairs(items.rows) do
    places[place], labels[place] = score[row] and -score[row], match[row] or 0
  end
  return ordered("auc", items, { places }, { labels },
                 { clusters = t.of.picture and pick(items, t.of.picture) })
end

function TASKS.match(e, items, metric)
  if metric == "roc_auc" then return area(e, items) end
  local own = { best_accuracy = "best_threshold", accuracy = "threshold" }
  local threshold = own[metric] and e:metric(own[metric])
  local t = items.t
  local score = numbers(e, t, "score", is_finite, "score")
  local match = numbers(e, t, "match", is_bit, "0 or 1")
  if not (threshold and threshold.value and score and match) then return nil end
  return measure("hits", items, function(row)
    return score[row] and (score[row] >= threshold.value) == (match[row] == 1) and 1 or 0
  end, { clusters = t.of.picture and pick(items, t.of.picture) })
end

-- What the items of an evaluation are worth to a metric: { statistic, items, values, clusters,
-- classes, confidence } (lists in the order of items.keys), or nil where they do not tell. For
-- what is no mean over items (precision, auc, median) places and labels, a list for each class.
function measures.of(e, metric)
  local items = TASKS[e.task] and measures.items(e)
  local m = items and TASKS[e.task](e, items, metric)
  return m or nil
end

-- ---- and back ----

local function mean(values)
  local sum, n = 0, 0
  for _, x in ipairs(values) do
    if x then sum, n = sum + x, n + 1 end
  end
  return sum / n, n
end

local function class_mean(m)
  local sums, counts, order = {}, {}, {}
  for i, class in ipairs(m.classes) do
    if not counts[class] then counts[class], sums[class], order[#order + 1] = 0, 0, class end
    counts[class], sums[class] = counts[class] + 1, sums[class] + m.values[i]
  end
  local total = 0
  for _, class in ipairs(order) do total = total + sums[class] / counts[class] end
  return total / #order
end

-- The precision at each of a class's items, 0 at one that could not be read, averaged.
local function precision(places, labels)
  local found, positives, sum = {}, 0, 0
  for i, label in ipairs(labels) do
    if label == 1 then
      positives = positives + 1
      if places[i] then found[#found + 1] = places[i] end
    end
  end
  table.sort(found)
  for k, rank in ipairs(found) do sum = sum + k / rank end
  return positives > 0 and sum / positives or 0
end

local ORDERED = {}

function ORDERED.precision(m)
  local sum = 0
  for c, places in ipairs(m.places) do sum = sum + precision(places, m.labels[c]) end
  return sum / #m.places
end

function ORDERED.auc(m)
  local scores, matches = {}, {}
  for i, place in ipairs(m.places[1]) do
    scores[i], matches[i] = place and -place, m.labels[1][i] == 1
  end
  return core.roc(scores, matches).auc
end

function ORDERED.median(m) return core.median_rank(m.places[1]) end

function measures.is_ordered(m) return ORDERED[m.statistic] ~= nil end

-- The figure that the values give, and of how many items.
function measures.figure(m)
  local value, n = mean(m.values)
  if m.statistic == "class_mean" then value = class_mean(m) end
  if ORDERED[m.statistic] then value = ORDERED[m.statistic](m) end
  if m.statistic == "ece" then
    local correct = {}
    for i, x in ipairs(m.values) do correct[i] = x == 1 end
    value = core.calibration_error(m.confidence, correct)
  end
  return value, n
end

-- How far rounding to nine digits may move a figure: by half a digit in the report, and where
-- items are no hits (a Brier score may be above 1) by as much again. A confidence at the edge
-- of a bin of the calibration error may fall into the next.
local function tolerance(m, n)
  local edges = 0
  for _, x in ipairs(m.statistic == "ece" and m.confidence or {}) do
    local place = x and x * 15
    if x and math.abs(place - math.floor(place + 0.5)) < 1e-7 then edges = edges + 1 end
  end
  return (m.statistic == "mean" and 1.1e-8 or 2e-9) + 2 * edges / n
end

-- The items must give the figures of report.csv: else one of the two files was edited.
function measures.check(e, reported, m)
  local value, n = measures.figure(m)
  local where = ("%s:%d"):format(e.run.report, reported.line)
  if n ~= reported.n then
    util.quit(3, "%s: %s is of %d items, and %s has %d: one of them was edited", where,
              reported.metric, reported.n, m.items.t.path, n)
  end
  if n == 0 then return end
  if not reported.value or not (math.abs(value - reported.value) <=
                                tolerance(m, n) * math.max(1, math.abs(value))) then
    util.quit(3, "%s: %s is %.9g, and %s gives %.9g: one of them was edited", where,
              reported.metric, reported.value or 0 / 0, m.items.t.path, value)
  end
end

-- ---- answers ----

local MAIN = { zeroshot = "acc@1", linear_probe = "acc@1", ablate = "acc@1", vqa = "vqa_accuracy",
               retrieval = "image_retrieval_recall@1", match = "best_accuracy" }

-- The metric that says whether an item is right.
function measures.main(e)
  if MAIN[e.task] then return MAIN[e.task] end
  return e:metric "group_score" and "group_score" or "accuracy"
end

-- Of a row of predictions.csv: what is right, and what was said (both may be nil).
function measures.answer(e, row)
  local of = e:columns("predictions").of
  local function field(name)
    local text = of[name] and of[name][row]
    return text ~= "" and text or nil
  end
  if e.task == "retrieval" then return field "id", field "found_picture" end
  if e.task == "match" then
    return field "match" == "1" and "match" or "no match", field "score"
  end
  return field "target" or field "answers", field "prediction"
end

-- What was asked about the item of a row, where that differs from item to item.
function measures.question(e, row)
  local of = e:columns("predictions").of
  local asked = of.caption or of.question or e.task == "match" and of.text
  return asked and asked[row] or nil
end

-- The columns that say what is asked and what is right: equal in two runs on the same data.
-- Some are part of what is put to the model, and may differ with the prompt.
measures.TRUTH = {
  zeroshot = { "class", "target" }, linear_probe = { "class", "target" },
  ablate = { "target" }, multilabel = { "target" }, vqa = { "question", "answers" },
  retrieval = { "caption" }, match = { "match", "text" }, compositional = {},
}

return measures
