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

-- ---- paired_test ----

local a = fill(100, function(i) return i <= 70 end)
local b = fill(100, function(i) return i <= 60 or i == 100 end)
local r = core.paired_test("hits", a, b)
tap.is(r.n .. " " .. r.better .. " " .. r.worse .. " " .. r.test, "100 1 10 McNemar exact", "what changed")
tap.near(r.base, 0.7, 1e-15, "the base run's accuracy")
tap.near(r.new, 0.61, 1e-15, "the new one's")
tap.near(r.difference, -0.09, 1e-15, "new - base")
tap.near(r.p, core.mcnemar(10, 1), 1e-15, "the p is McNemar's")
tap.ok(r.low < r.difference and r.difference < r.high and r.high < 0, "the interval holds it, and not 0")

local numbers = core.paired_test("hits", fill(100, function(i) return a[i] and 1 or 0 end), b)
tap.is(numbers.p, r.p, "hits may be numbers")

local x = fill(60, function(i) return i / 60 end)
local y = fill(60, function(i) return i / 60 + (i % 3 - 1) / 10 + 0.02 end)
local m = core.paired_test("mean", x, y, { resamples = 500, seed = 7 })
tap.near(m.difference, 0.02, 1e-12, "the mean difference")
tap.is(m.test, "sign-flip permutation", "values are tested by their signs")
local again = core.paired_test("mean", x, y, { resamples = 500, seed = 7 })
tap.ok(m.low == again.low and m.high == again.high and m.p == again.p, "a seed repeats")
tap.ok(m.low ~= core.paired_test("mean", x, y, { resamples = 500, seed = -8 }).low, "another differs")

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

tap.is(table.concat(core.holm { 0.01, 0.5, 0.04 }, " "), "0.03 0.5 0.08", "Holm, in the order given")
tap.is(#core.holm {}, 0, "Holm of nothing")
tap.raises(function() core.holm { 2 } end, "from 0 to 1", "no p is above 1")

tap.near(core.power { n = 8, worse = 0.9, better = 0.1 }, 0.9 ^ 8 + 0.1 ^ 8, 1e-12, "eight items, all one way")
tap.near(core.power { n = 100, difference = 0, spread = 1, alpha = 0.1 }, 0.1, 1e-12, "no difference: the level")
tap.is(core.items_needed { drop = 1, discordant = 1 }, 6, "six of six: 2 / 2^6 < 0.05")
tap.is(core.items_needed { drop = 0.005, spread = 0.28 }, 24615, "values, by the z test")
local n = core.items_needed { drop = 0.02, discordant = 0.06, alpha = 0.01, power = 0.9 }
tap.ok(core.power { n = n, worse = 0.04, better = 0.02, alpha = 0.01 } >= 0.9, "as many as needed are enough")
tap.raises(function() core.items_needed { drop = 0.1, discordant = 0.05 } end, "discordant",
           "a drop above what differs")
tap.raises(function() core.power { n = 10, worse = 0.9, better = 0.2 } end, "above 1", "shares above 1")

tap.done()
