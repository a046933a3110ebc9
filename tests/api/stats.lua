-- Comparing two runs, through the bindings: argument checks, options, and answers known by hand.
-- The arithmetic is tested in tests/core.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local core = require "clipeval.core"

local function fill(n, value)
  local t = {}
  for i = 1, n do t[i] = value(i) end
  return t
end

-- ---- paired_order ----

local function draw_unit(state)
  state[1] = (state[1] * 1103515245 + 12345) % 2 ^ 31
  return state[1] / 2 ^ 31
end

local yes = fill(60, function(i) return i % 3 == 0 and 1 or 0 end)
local up = fill(60, function(i) return i - 30 * yes[i] end)
local order = core.paired_order("auc", { up }, { fill(60, function(i) return -up[i] end) },
                                { labels = { yes }, resamples = 200 })
tap.near(order.base + order.new, 1, 1e-12, "an order and its reverse: areas of 1 in all")
tap.ok(order.p < 0.01 and order.high < 0, "and they differ")
tap.is(order.test, "swap permutation", "by a test that swaps")
tap.near(order.base, core.roc(fill(60, function(i) return -up[i] end),
                              fill(60, function(i) return yes[i] == 1 end)).auc, 1e-12,
                              "core.roc's area")
tap.is(core.paired_order("auc", { up }, { up }, { labels = { fill(60, function() return 1 end) } }),
       nil, "without negatives there is no figure")
tap.is(core.paired_order("median", { { 1, 2, false, false } }, { { 1, 2, 3, 4 } }, {}), nil,
       "an infinite median is not compared")
tap.is(core.paired_order("median", { { 1, 2, 3 } }, { { 2, 4, 9 } }, { resamples = 10 }).difference,
       2,
       "medians")
for what, f in pairs {
  ["needs labels"] = function() core.paired_order("auc", { up }, { up }, {}) end,
  ["needs places"] = function() core.paired_order("auc", {}, {}, {}) end,
  ["places are lists"] = function() core.paired_order("median", { 1 }, { 2 }, {}) end,
  ["places are numbers"] = function() core.paired_order("median", { { "x" } }, { { 1 } }, {}) end,
  ["a label is 0, 1 or 2"] = function()
    core.paired_order("auc", { up }, { up }, { labels = { up } })
  end,
  ["runs are of one length"] = function()
    core.paired_order("median", { { 1 } }, { { 1, 2 } }, {})
  end,
  ["an area is of one class"] = function()
    core.paired_order("auc", { up, up }, { up, up }, { labels = { yes, yes } })
  end,
} do
  tap.ok(not pcall(f), "paired_order: " .. what)
end

local ranks = core.class_ranks(core.matrix { { 0.5, 1 }, { 0.7, 0 / 0 }, { 0.5, 2 } },
                               { {}, { 1 }, {} })
tap.is(table.concat({ ranks[1][1], ranks[1][2], ranks[2][1], ranks[2][2], ranks[3][1],
                      ranks[3][2] }, " "),
       "1.0 2.0 0.0 0.0 2.0 1.0", "class_ranks: from 1; 0 where ignored or without a score")

-- ---- standard errors, against a bootstrap in Lua ----

local chance = require "clipeval.chance"

-- The standard deviation of figure(list of drawn items) over 400 resamples of n items.
local function bootstrap(n, figure)
  local state, total, squares = { 7 }, 0, 0
  for _ = 1, 400 do
    local drawn = fill(n, function() return 1 + math.floor(draw_unit(state) * n) end)
    local value = figure(drawn)
    total, squares = total + value, squares + value * value
  end
  return math.sqrt(squares / 400 - (total / 400) ^ 2)
end

local seed = { 3 }
local confidence = fill(200, function() return 0.2 + 0.8 * draw_unit(seed) end)
local correct = fill(200, function(i) return draw_unit(seed) < confidence[i] - 0.1 and 1 or 0 end)
local error =
  chance.standard_error({ statistic = "ece", values = correct, confidence = confidence }, {})
tap.near(error / bootstrap(200, function(drawn)
  return (core.calibration_error(fill(200, function(i) return confidence[drawn[i]] end),
                                 fill(200, function(i) return correct[drawn[i]] == 1 end)))
end), 1, 0.15, "of a calibration error")
local scores = fill(200, function(i) return -(draw_unit(seed) + 0.3 * correct[i]) end)
error = chance.standard_error({ statistic = "auc", values = correct, places = { scores },
                                labels = { correct } }, {})
tap.near(error / bootstrap(200, function(drawn)
  return core.roc(fill(200, function(i) return -scores[drawn[i]] end),
                  fill(200, function(i) return correct[drawn[i]] == 1 end)).auc
end), 1, 0.15, "of an ROC area")
local classes = fill(200, function(i) return i % 7 end)
error = chance.standard_error({ statistic = "class_mean", values = correct, classes = classes }, {})
tap.near(error / core.paired_test("class_mean", fill(200, function() return 0 end), correct,
  { classes = fill(200, function(i) return i % 7 + 1 end) }).spread * math.sqrt(200), 1, 0.01,
  "of a mean over classes")
local half = chance.two_figures(0.7, 0.03, 0.6, 0.04, 10)
tap.near(half.low, -0.1 - 1.959963984540054 * 0.05, 1e-12, "two figures: errors add in squares")
tap.near(half.p, chance.two_sided(2), 1e-12, "and the p is the normal's")

-- ---- paired_test ----

local a = fill(100, function(i) return i <= 70 end)
local b = fill(100, function(i) return i <= 60 or i == 100 end)
local r = core.paired_test("hits", a, b)
tap.is(r.n .. " " .. r.better .. " " .. r.worse .. " " .. r.test, "100 1 10 McNemar exact",
       "what changed")
tap.near(r.base, 0.7, 1e-15, "the base run's accuracy")
tap.near(r.new, 0.61, 1e-15, "the new one's")
tap.near(r.difference, -0.09, 1e-15, "new - base")
tap.near(r.p, core.mcnemar(10, 1), 1e-15, "the p is McNemar's")
tap.ok(r.low < r.difference and r.difference < r.high and r.high < 0,
       "the interval holds it, and not 0")

local numbers = core.paired_test("hits", fill(100, function(i) return a[i] and 1 or 0 end), b)
tap.is(numbers.p, r.p, "hits may be numbers")

local x = fill(60, function(i) return i / 60 end)
local y = fill(60, function(i) return i / 60 + (i % 3 - 1) / 10 + 0.02 end)
local m = core.paired_test("mean", x, y, { resamples = 500, seed = 7 })
tap.near(m.difference, 0.02, 1e-12, "the mean difference")
tap.is(m.test, "sign-flip permutation", "values are tested by their signs")
local again = core.paired_test("mean", x, y, { resamples = 500, seed = 7 })
tap.ok(m.low == again.low and m.high == again.high and m.p == again.p, "a seed repeats")
tap.ok(m.low ~= core.paired_test("mean", x, y, { resamples = 500, seed = -8 }).low,
       "another differs")

local pairs_of = fill(100, function(i) return (i + 1) // 2 * 1000 end)
local clustered = core.paired_test("hits", a, b, { clusters = pairs_of })
tap.is(clustered.test, "sign-flip permutation", "clustered hits are permuted")
tap.ok(clustered.p > 0 and clustered.p < 0.2, "by cluster")

local classes = fill(100, function(i) return i <= 90 and 3 or 50 end)
local c = core.paired_test("class_mean", a, b, { classes = classes, resamples = 200 })
tap.near(c.difference, (-10 / 90 + 1 / 10) / 2, 1e-12, "the mean over classes")

local sure = { confidence = fill(100, function() return 0.9 end), correct = a }
local modest = { confidence = fill(100, function() return 0.7 end), correct = a }
local e = core.paired_test("ece", sure, modest, { resamples = 200 })
tap.near(e.base, 0.2, 1e-12, "the base run's calibration error")
tap.near(e.new, 0, 1e-12, "the new one's")
tap.near(e.p, 1 / 201, 1e-15, "no swap is as far")
for _, same in ipairs { core.paired_test("ece", sure, sure), core.paired_test("hits", a, a),
                        core.paired_test("mean", x, x),
                        core.paired_test("class_mean", a, a, { classes = classes }) } do
  tap.ok(same.p == 1 and same.low == 0 and same.high == 0, "equal runs: " .. same.test)
end

local function refused(what, words, ...)
  local args = table.pack(...)
  tap.raises(function() core.paired_test(table.unpack(args, 1, args.n)) end, words, what)
end
refused("an unknown statistic", "invalid option", "median", a, b)
refused("runs of two lengths", "differ in length", "hits", a, { true })
refused("no items", "no items", "hits", {}, {})
refused("a hit of one half", "item 2", "hits", { 1, 0.5 }, { 1, 1 })
refused("a value that is no number", "numbers or booleans", "mean", { "x" }, { 1 })
refused("a value that is not finite", "not finite", "mean", { 1 }, { 0 / 0 })
refused("no classes", "needs classes", "class_mean", a, b)
refused("too few clusters", "one number for each item", "hits", a, b, { clusters = { 1 } })
refused("a cluster 0", "integers from 1", "hits", { 1 }, { 1 }, { clusters = { 0 } })
refused("no resamples", "resamples", "hits", a, b, { resamples = 0 })
refused("confidences without answers", "correct must be", "ece", { confidence = { 1 } }, sure)

-- ---- Holm and power ----

tap.is(table.concat(core.holm { 0.01, 0.5, 0.04 }, " "), "0.03 0.5 0.08",
       "Holm, in the order given")
tap.is(#core.holm {}, 0, "Holm of nothing")
tap.raises(function() core.holm { 2 } end, "from 0 to 1", "no p is above 1")

tap.near(core.power { n = 8, worse = 0.9, better = 0.1 }, 0.9 ^ 8 + 0.1 ^ 8, 1e-12,
         "eight items, all one way")
tap.near(core.power { n = 100, difference = 0, spread = 1, alpha = 0.1 }, 0.1, 1e-12,
         "no difference: the level")
tap.is(core.items_needed { drop = 1, discordant = 1 }, 6, "six of six: 2 / 2^6 < 0.05")
tap.is(core.items_needed { drop = 0.005, spread = 0.28 }, 24615, "values, by the z test")
local n = core.items_needed { drop = 0.02, discordant = 0.06, alpha = 0.01, power = 0.9 }
tap.ok(core.power { n = n, worse = 0.04, better = 0.02, alpha = 0.01 } >= 0.9,
       "as many as needed are enough")
tap.raises(function() core.items_needed { drop = 0.1, discordant = 0.05 } end, "discordant",
           "a drop above what differs")
tap.raises(function() core.power { n = 10, worse = 0.9, better = 0.2 } end, "above 1",
           "shares above 1")

tap.done()
