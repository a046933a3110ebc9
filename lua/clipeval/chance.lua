-- Is a difference more than chance? The tests of measures (measures.lua), by their statistic.
--
--     chance.paired(a, b, { 1, 2, 3 }, { 1, 2, 4 }, { seed = 0 }).p    -- places in both lists
--     chance.two_figures(0.71, 0.01, 0.68, 0.012).p                   -- of different items
local core = require "clipeval.core"
local measures = require "clipeval.measures"
local util = require "clipeval.util"

local chance = {}

-- ---- paired ----

local function gather(values, places)
  local list = {}
  for k, i in ipairs(places) do list[k] = values[i] end
  return list
end

-- Numbers from 1 for equal values, or nil where every value is its own.
local function number_groups(values)
  local number, list, count = {}, {}, 0
  for i, value in ipairs(values) do
    if not number[value] then
      count = count + 1
      number[value] = count
    end
    list[i] = number[value]
  end
  return count < #values and list or nil, count
end

local function gather_all(lists, places)
  local all = {}
  for c, list in ipairs(lists or {}) do all[c] = gather(list, places) end
  return all
end

-- What changes from item to item does not add up to such a figure: none is better or worse.
local function test_order(a, b, base, new, options)
  if #a.places ~= #b.places then return nil end
  options.labels = gather_all(a.labels, base)
  local row = core.paired_order(a.statistic, gather_all(a.places, base),
                                gather_all(b.places, new), options)
  if not row then return nil end
  row.clustered, row.statistic = options.clusters ~= nil, a.statistic
  if a.statistic ~= "median" then row.better, row.worse = nil, nil end
  return row
end

-- The paired test of two measures, over the items at places `base` and `new` of their lists;
-- nil where there is none. options: { resamples, seed }
function chance.paired(a, b, base, new, options)
  local x, y = gather(a.values, base), gather(b.values, new)
  options = { resamples = options.resamples, seed = options.seed }
  if a.clusters then options.clusters = number_groups(gather(a.clusters, base)) end
  if measures.is_ordered(a) then return test_order(a, b, base, new, options) end
  if a.statistic == "class_mean" then
    options.classes = number_groups(gather(a.classes, base)) or util.range(#base)
  elseif a.statistic == "ece" then
    x = { confidence = gather(a.confidence, base), correct = x }
    y = { confidence = gather(b.confidence, new), correct = y }
  end
  local row = core.paired_test(a.statistic, x, y, options)
  row.clustered, row.statistic = options.clusters ~= nil, a.statistic
  return row
end

-- ---- unpaired ----

-- A run whose figure is the same in every resample: all are right, or none is worth anything.
local function constant(m)
  local zero, one, places = {}, {}, {}
  for i = 1, #m.values do zero[i], one[i] = m.values[i] and 0, m.values[i] and 1 end
  for c, labels in ipairs(m.labels or { zero }) do
    places[c] = {}
    for i, label in ipairs(labels) do places[c][i] = label == 1 and 1 or 2 end
  end
  local values = m.statistic == "ece" and one or zero
  return util.copy(m, { values = values, confidence = one, places = m.places and places })
end

-- The standard error of a measure's figure: by the bootstrap over its items, or what shares a
-- picture. nil where there is none. options: { resamples, seed }
function chance.standard_error(m, options)
  local there = {}
  for i, value in ipairs(m.values) do
    if value then there[#there + 1] = i end
  end
  local row = #there > 1 and chance.paired(constant(m), m, there, there, options)
  local error = row and row.spread / math.sqrt(row.n)
  return error and error > 0 and error < math.huge and error or nil
end

-- 2 (1 - Phi(z)), z >= 0: erfc(z / sqrt 2) by its continued fraction (Abramowitz and Stegun
-- 7.1.14), for small z by the series 7.1.6.
function chance.two_sided(z)
  local x = z / math.sqrt(2)
  if x < 2 then
    local term, sum = x, x
    for k = 1, 60 do
      term = term * 2 * x * x / (2 * k + 1)
      sum = sum + term
    end
    return 1 - 2 / math.sqrt(math.pi) * math.exp(-x * x) * sum
  end
  local f = x
  for k = 120, 1, -1 do f = x + k / 2 / f end
  return math.exp(-x * x) / (math.sqrt(math.pi) * f)
end

-- The difference of two shares of different items: the pooled z test, and Newcombe's interval
-- from the two Wilson intervals (Statistics in Medicine 1998, method 10).
function chance.two_proportions(hits1, n1, hits2, n2)
  local p1, p2, pooled = hits1 / n1, hits2 / n2, (hits1 + hits2) / (n1 + n2)
  local low1, high1 = core.wilson(hits1, n1)
  local low2, high2 = core.wilson(hits2, n2)
  local d = p2 - p1
  local se = math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
  return { difference = d, base = p1, new = p2, n = n2, test = "two proportions, unpaired",
           low = d - math.sqrt((p2 - low2) ^ 2 + (high1 - p1) ^ 2),
           high = d + math.sqrt((high2 - p2) ^ 2 + (p1 - low1) ^ 2),
           p = se > 0 and math.max(chance.two_sided(math.abs(d) / se), 2.3e-308) or 1 }
end

-- The difference of two figures of different items, by their standard errors: as if it were
-- normal, which figures of many items nearly are.
function chance.two_figures(base, error1, new, error2, n)
  local d, error = new - base, math.sqrt(error1 ^ 2 + error2 ^ 2)
  local half = 1.959963984540054 * error
  return { difference = d, base = base, new = new, n = n, low = d - half, high = d + half,
           p = math.max(chance.two_sided(math.abs(d) / error), 2.3e-308),
           test = "normal approximation, unpaired" }
end

return chance
