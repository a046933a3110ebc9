-- Two runs, compared: which evaluations are the same question, which items are in both, what
-- each metric's difference is and whether it is more than chance.
--
--     local c = comparison.of(runs.load "a", runs.load "b", { rules = {}, seed = 0 })
--     c.evaluations[1].metrics[1].difference, c.evaluations[1].metrics[1].p
local chance = require "clipeval.chance"
local core = require "clipeval.core"
local measures = require "clipeval.measures"
local rules = require "clipeval.rules"
local util = require "clipeval.util"

local comparison = {}

comparison.RESAMPLES = 10000

-- ---- which evaluation is which ----

local function title(e)
  local split = (e.dataset.split or "") ~= "" and (" (%s)"):format(e.dataset.split) or ""
  return ("%s: %s%s%s"):format(e.task, e.dataset.name, split,
                               e.prompts.name and ", prompts " .. e.prompts.name or "")
end
comparison.title = title

local LEVELS = { -- evaluations that agree in all of these are compared; the first level first
  { "task", "dataset", "split", "prompts" }, { "task", "dataset", "split" }, { "task", "dataset" },
}

local function key_of(e, level)
  local words = { task = e.task, dataset = e.dataset.name, split = e.dataset.split,
                  prompts = e.prompts.name }
  local key = {}
  for i, name in ipairs(level) do key[i] = words[name] or "" end
  return table.concat(key, "\0")
end

-- Pairs those of `base` and `new` (which have no partner in `partner`) with equal keys, in
-- their order.
local function match(base, new, level, partner)
  local waiting = {}
  for _, e in ipairs(new) do
    if not partner[e] then
      local key = key_of(e, level)
      waiting[key] = waiting[key] or {}
      table.insert(waiting[key], e)
    end
  end
  for _, e in ipairs(base) do
    local queue = not partner[e] and waiting[key_of(e, level)]
    if queue and queue[1] then
      local other = table.remove(queue, 1)
      partner[e], partner[other] = other, e
    end
  end
end

local function finished(run, notes)
  local list = {}
  for _, e in ipairs(run.evaluations) do
    if e.finished then
      list[#list + 1] = e
    else
      notes[#notes + 1] = ("%s: %s was interrupted and has no figures"):format(run.path, title(e))
    end
  end
  return list
end

local function pair_up(c)
  local base, new = finished(c.base, c.notes), finished(c.new, c.notes)
  local partner, pairs_found = {}, {}
  for _, level in ipairs(LEVELS) do match(base, new, level, partner) end
  for _, e in ipairs(base) do
    if partner[e] then
      pairs_found[#pairs_found + 1] = { base = e, new = partner[e], title = title(e), notes = {} }
    else
      c.missing[#c.missing + 1] = ("only in %s: %s"):format(c.base.path, title(e))
    end
  end
  for _, e in ipairs(new) do
    if not partner[e] then
      c.missing[#c.missing + 1] = ("only in %s: %s"):format(c.new.path, title(e))
    end
  end
  return pairs_found
end

-- ---- items that are in both ----

-- Places in both lists of items of what both have: { n, base = {...}, new = {...}, only_base,
-- only_new }.
local function align(base, new)
  local s = { n = 0, base = {}, new = {} }
  for i, key in ipairs(base.keys) do
    local j = new.at[key]
    if j then
      s.n = s.n + 1
      s.base[s.n], s.new[s.n] = i, j
    end
  end
  s.only_base, s.only_new = #base.keys - s.n, #new.keys - s.n
  return s
end

local function shared(pair, base, new)
  if base == new then -- a baseline's, laid on the run's
    return { n = #new.keys, base = util.range(#new.keys), new = util.range(#new.keys) }
  end
  pair.aligned = pair.aligned or {}
  if not pair.aligned[base] then pair.aligned[base] = align(base, new) end
  return pair.aligned[base]
end

-- ---- what can be compared ----

-- A dataset's class lists, where both runs say them.
local function classes_differ(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return nil end
  if #a ~= #b then return ("other classes: %d and %d"):format(#a, #b) end
  for i, name in ipairs(a) do
    if name ~= b[i] then
      return ("other classes: class %d is '%s' and '%s'"):format(i, tostring(name), tostring(b[i]))
    end
  end
end

-- Columns that tell the truth with the words of the prompt: they may differ on the same data.
local WORDED = util.set { "target", "caption", "text" }

local function truth_differs(pair, same_data)
  local base, new = measures.items(pair.base), measures.items(pair.new)
  if not base or not new then return nil end
  local s = shared(pair, base, new)
  for _, column in ipairs(measures.TRUTH[pair.base.task] or {}) do
    local a, b = base.t.of[column], new.t.of[column]
    for k = 1, a and b and not (same_data and WORDED[column]) and s.n or 0 do
      local x, y = a[base.rows[s.base[k]]], b[new.rows[s.new[k]]]
      if x ~= y then
        return ("the %s of item '%s' is '%s' and '%s'"):format(column,
          base.t.of.id[base.rows[s.base[k]]], x, y)
      end
    end
  end
end

-- Why two evaluations are not of the same data, in words; nil where they are.
local function incomparable(pair)
  local a, b = pair.base.dataset, pair.new.dataset
  if a.split ~= b.split then return ("other split: '%s' and '%s'"):format(a.split, b.split) end
  if a.version ~= b.version then
    return ("other version of the dataset: '%s' and '%s'"):format(a.version, b.version)
  end
  local why = classes_differ(a.classes, b.classes)
  if why then return why end
  local hashes = a.items_sha256 and b.items_sha256
  why = truth_differs(pair, hashes and a.items_sha256 == b.items_sha256)
  if why then return why end
  if hashes and a.items_sha256 ~= b.items_sha256 then
    return ("other data: items_sha256 is %.12s and %.12s"):format(a.items_sha256, b.items_sha256)
  end
end

local function check(c, pair)
  local why = incomparable(pair)
  if not why then return end
  why = why:gsub("%c", "?")
  if not c.force then
    util.quit(3, "%s and %s: %s: %s (--force compares all the same)", c.base.path, c.new.path,
              pair.title, why)
  end
  pair.notes[#pair.notes + 1] = "not the same data: " .. why
end

-- ---- a metric ----

-- The places of the shared items for which both runs have a value.
local function both_have(s, a, b)
  local base, new = {}, {}
  for k = 1, s.n do
    if a.values[s.base[k]] and b.values[s.new[k]] then
      base[#base + 1], new[#new + 1] = s.base[k], s.new[k]
    end
  end
  return base, new
end

-- The paired test of two measures over the items that are in both; nil where there is none.
function comparison.test(c, pair, a, b)
  local s = shared(pair, a.items, b.items)
  local base, new = both_have(s, a, b)
  if #base == 0 then return nil end
  return chance.paired(a, b, base, new, { resamples = c.resamples, seed = c.seed })
end

-- Where lower is better, what rose got worse.
function comparison.orient(row)
  if row.sign < 0 then row.better, row.worse = row.worse, row.better end
end

-- What two runs say of one metric; `old` and `fresh` are its rows in report.csv.
local function compare_metric(c, pair, old, fresh)
  local row = measures.about(old.metric)
  local a = row.sign ~= 0 and measures.of(pair.base, old.metric) or nil
  local b = row.sign ~= 0 and measures.of(pair.new, old.metric) or nil
  if a then measures.check(pair.base, old, a) end
  if b then measures.check(pair.new, fresh, b) end
  row = util.copy(row, a and b and comparison.test(c, pair, a, b))
  comparison.orient(row)
  row.metric, row.base_reported, row.new_reported = old.metric, old.value, fresh.value
  row.base_n, row.new_n = old.n, fresh.n
  if not row.p then
    row.base, row.new = old.value, fresh.value
    row.difference = row.base and row.new and row.new - row.base
  end
  return row
end

-- What predictions.csv (of an older clipeval, say) does not tell.
local function note_untested(pair)
  local names = {}
  for _, row in ipairs(pair.shared and pair.metrics or {}) do
    if row.sign ~= 0 and not row.p and row.base and row.new then names[#names + 1] = row.metric end
  end
  if #names == 0 then return end
  pair.notes[#pair.notes + 1] = "compared without a test, since predictions.csv does not tell " ..
                                "what its items are worth to it: " .. table.concat(names, ", ")
end

local function compare_metrics(c, pair)
  pair.metrics = {}
  for _, old in ipairs(pair.base.metrics) do
    local fresh = pair.new:metric(old.metric)
    if fresh then
      pair.metrics[#pair.metrics + 1] = compare_metric(c, pair, old, fresh)
    else
      pair.notes[#pair.notes + 1] = ("%s is only in %s"):format(old.metric, c.base.path)
    end
  end
  for _, fresh in ipairs(pair.new.metrics) do
    if not pair.base:metric(fresh.metric) then
      pair.notes[#pair.notes + 1] = ("%s is only in %s"):format(fresh.metric, c.new.path)
    end
  end
end

-- ---- classes ----

local function class_name(m, i)
  local target = m.items.t.of.target
  return target and target[m.items.rows[i]] or tostring(m.classes[i])
end

-- The shared items' hits by class, in the order in which the classes come: of n items those
-- right in BASE and in NEW, and what went wrong or became right.
local function by_class(s, a, b)
  local groups, order = {}, {}
  for k = 1, s.n do
    local i = s.base[k]
    local class = a.classes[i]
    local g = groups[class]
    if not g then
      g = { class = class_name(a, i), n = 0, base = 0, new = 0, worse = 0, better = 0 }
      groups[class], order[#order + 1] = g, g
    end
    local x, y = a.values[i], b.values[s.new[k]]
    g.n, g.base, g.new = g.n + 1, g.base + x, g.new + y
    g.worse, g.better = g.worse + math.max(0, x - y), g.better + math.max(0, y - x)
  end
  return order
end

-- Interval and p of hits depend on these three numbers alone, and many classes share them.
local function test_class(c, g, tested)
  local key = ("%d %d %d"):format(g.n, g.worse, g.better)
  if not tested[key] then
    local x, y = {}, {}
    for i = 1, g.n do
      x[i] = i <= g.worse and 1 or 0
      y[i] = i > g.worse and i <= g.worse + g.better and 1 or 0
    end
    tested[key] = core.paired_test("hits", x, y, { resamples = c.resamples, seed = c.seed })
  end
  return util.copy(tested[key], { class = g.class, sign = 1, unit = "percent",
                                  base = g.base / g.n, new = g.new / g.n })
end

local function holm(rows)
  local ps, tested = {}, {}
  for _, row in ipairs(rows) do
    if row.p then ps[#ps + 1], tested[#tested + 1] = row.p, row end
  end
  for i, adjusted in ipairs(#ps > 0 and core.holm(ps) or {}) do tested[i].adjusted = adjusted end
end

-- Fills pair.classes from two measures of hits.
function comparison.classes(c, pair, a, b)
  pair.classes = {}
  local task = pair.new.task
  if not a or not b or task ~= "zeroshot" and task ~= "linear_probe" then return end
  a.classes = measures.classes(a.items)
  if not a.classes then return end
  local tested = {}
  for i, g in ipairs(by_class(shared(pair, a.items, b.items), a, b)) do
    pair.classes[i] = test_class(c, g, tested)
  end
  holm(pair.classes)
  for _, row in ipairs(pair.classes) do row.verdict = rules.judge({ alpha = nil }, row) end
  table.sort(pair.classes, function(x, y)
    if x.difference ~= y.difference then return x.difference < y.difference end
    if x.p ~= y.p then return x.p < y.p end
    return x.class < y.class
  end)
end

-- ---- flipped items ----

local function flip(pair, a, b, i, j)
  local row = a.items.rows[i]
  local target, before = measures.answer(pair.base, row)
  local _, after = measures.answer(pair.new, b.items.rows[j])
  return { id = a.items.t.of.id[row], target = target, base = before, new = after,
           asked = measures.question(pair.new, b.items.rows[j]) }
end

-- pair.lost: right in BASE and wrong in NEW; pair.won: the other way round.
local function compare_items(pair)
  pair.lost, pair.won = {}, {}
  local items, other = measures.items(pair.base), measures.items(pair.new)
  if not items or not other then
    pair.notes[#pair.notes + 1] = "without predictions.csv of both nothing can be tested"
    return
  end
  local s = shared(pair, items, other)
  pair.shared, pair.only_base, pair.only_new = s.n, s.only_base, s.only_new
  local main = measures.main(pair.base)
  local a, b = measures.of(pair.base, main), measures.of(pair.new, main)
  if not a or not b then return end
  for k = 1, s.n do
    local x, y = a.values[s.base[k]], b.values[s.new[k]]
    local list = x and y and (x > 0) ~= (y > 0) and (x > 0 and pair.lost or pair.won)
    if list then list[#list + 1] = flip(pair, a, b, s.base[k], s.new[k]) end
  end
  pair.main = main
end

-- ---- all of it ----

local function note_prompts(pair)
  local a, b = pair.base.prompts, pair.new.prompts
  if a.name ~= b.name then
    pair.notes[#pair.notes + 1] = ("other prompts: %s and %s"):format(a.name or "none",
                                                                     b.name or "none")
  elseif a.sha256 ~= b.sha256 then
    pair.notes[#pair.notes + 1] = ("the texts of the prompts %s changed"):format(a.name)
  end
end

-- Verdicts, once all p are known.
function comparison.judge(c)
  local all = {}
  for _, pair in ipairs(c.evaluations) do
    table.move(pair.metrics, 1, #pair.metrics, #all + 1, all)
  end
  holm(all)
  for _, pair in ipairs(c.evaluations) do
    for _, row in ipairs(pair.metrics) do
      row.verdict, row.fired = rules.judge(c.rules, row)
      if row.verdict == "regression" then
        c.regressions[#c.regressions + 1] = { title = pair.title, row = row }
      end
    end
  end
end

-- options: { rules, force, seed, resamples }
-- -> { base, new, rules, notes, missing (lines), regressions = { {title, row} }, evaluations = {
--      { base, new, title, notes, shared, only_base, only_new, metrics = rows, classes = rows
--        (worst first), lost, won = flipped items, main = the metric that flips are of } } }
-- A row: { metric or class, unit, sign, base, new, difference, low, high, p, adjusted, n,
-- better, worse, test, verdict, fired }; p is nil where items do not tell.
function comparison.of(base, new, options)
  local c = { base = base, new = new, rules = options.rules or {}, force = options.force,
              seed = options.seed or 0, resamples = options.resamples or comparison.RESAMPLES,
              notes = {}, missing = {}, regressions = {} }
  c.evaluations = pair_up(c)
  if #c.evaluations == 0 then
    util.quit(3, "%s and %s have no evaluation in common (%s)", base.path, new.path,
              table.concat(c.missing, "; "))
  end
  for _, pair in ipairs(c.evaluations) do check(c, pair) end
  for _, pair in ipairs(c.evaluations) do
    note_prompts(pair)
    compare_items(pair)
    compare_metrics(c, pair)
    note_untested(pair)
    comparison.classes(c, pair, measures.of(pair.base, "acc@1"), measures.of(pair.new, "acc@1"))
  end
  comparison.judge(c)
  return c
end

return comparison
