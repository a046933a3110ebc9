-- Baselines: the figures that a run must not fall below, in a CSV small enough for git.
--
-- BASELINE.csv has a row for each metric, sorted: no clock, no path, no model. BASELINE.hits.csv
-- beside it says which items were right, a bit each (hexadecimal, in the order of the sorted
-- ids): with it the test is paired, as between two runs. Without it, where the items are others,
-- and for what is no hit (of which the baseline has the standard error), two figures are compared
-- as if they were of different pictures, which sees far less; the output says so.
local chance = require "clipeval.chance"
local comparison = require "clipeval.comparison"
local core = require "clipeval.core"
local formats = require "clipeval.comparison_formats"
local measures = require "clipeval.measures"
local rules = require "clipeval.rules"
local runs = require "clipeval.runs"
local util = require "clipeval.util"

local baseline = {}

local KEY = { "task", "dataset", "split", "prompts", "number" }
local COLUMNS = { "task", "dataset", "split", "prompts", "metric", "value", "n", "max_drop",
                  "dataset_version", "items_sha256", "prompts_sha256", "standard_error", "number" }
local HIT_COLUMNS = { "task", "dataset", "split", "prompts", "metric", "n", "ids_sha256",
                      "number", "hits" }
local OPTIONAL = util.set { "max_drop", "dataset_version", "items_sha256", "prompts_sha256",
                            "standard_error", "number" }

local CHANCE = { seed = 0, resamples = comparison.RESAMPLES }

local function hits_path(path)
  return (path:gsub("%.csv$", "")) .. ".hits.csv"
end

-- What tells an evaluation from the others of a suite.
local function key_of(row)
  local words = {}
  for i, name in ipairs(KEY) do words[i] = row[name] or "" end
  return table.concat(words, "\0")
end

local function row_of(e)
  return { task = e.task, dataset = e.dataset.name, split = e.dataset.split or "",
           prompts = e.prompts.name or "", number = e.of_its_kind }
end

-- Evaluations that nothing tells apart, of two models say, are told apart by their order: the
-- second of a kind has the number 2.
local function number_evaluations(run)
  local count = {}
  for _, e in ipairs(run.evaluations) do
    e.of_its_kind = nil
    local key = key_of(row_of(e))
    count[key] = (count[key] or 0) + 1
    if count[key] > 1 then e.of_its_kind = tostring(count[key]) end
  end
end

-- The title of an evaluation among others of its kind.
local function title(e)
  local name = comparison.title(e)
  return e.of_its_kind and ("%s, number %s of its kind"):format(name, e.of_its_kind) or name
end

-- ---- reading ----

-- The rows of a CSV with these columns, each with its line.
local function read_rows(path, columns)
  local names, lists, lines = core.csv_columns(path)
  if not names then util.quit(3, "%s", lists) end
  local known, there = util.set(columns), util.set(names)
  for _, name in ipairs(names) do
    if not known[name] then util.quit(3, "%s:1: unknown column '%s'", path, name) end
  end
  for _, name in ipairs(columns) do
    if not there[name] and not OPTIONAL[name] then
      util.quit(3, "%s:1: no column '%s'", path, name)
    end
  end
  local rows, seen = {}, {}
  for i, line in ipairs(lines) do
    local row = { line = line }
    for k, name in ipairs(names) do row[name] = lists[k][i] end
    local key = key_of(row) .. "\0" .. row.metric
    if seen[key] then
      util.quit(3, "%s:%d: the same metric as in line %d", path, line, seen[key])
    end
    rows[i], seen[key] = row, line
  end
  return rows
end

local function read_figures(path)
  local rows = read_rows(path, COLUMNS)
  for _, row in ipairs(rows) do
    local function fault(column, what)
      util.quit(3, "%s:%d: %s is '%s', which is no %s", path, row.line, column, row[column], what)
    end
    row.about = measures.about(row.metric)
    row.figure, row.count = runs.number(row.value), math.tointeger(runs.number(row.n))
    if not row.figure then fault("value", "number") end
    if not row.count or row.count < 0 then fault("n", "count") end
    if (row.standard_error or "") ~= "" then
      row.error = runs.number(row.standard_error)
      if not row.error or not (row.error > 0 and row.error < math.huge) then
        fault("standard_error", "positive number")
      end
    end
    if (row.max_drop or "") ~= "" then
      local bound, points = rules.parse_drop(row.max_drop)
      if not bound or points and row.about.unit ~= "percent" then
        fault("max_drop", row.about.unit == "percent" and
              "drop such as 0.5pp or 0.005" or "plain number")
      end
      row.bound = bound
    end
  end
  return rows
end

-- { [key and metric] = row } of the file beside; empty where there is none.
local function read_hits(path)
  local hits = {}
  path = hits_path(path)
  if core.kind(path) ~= "file" then return hits end
  for _, row in ipairs(read_rows(path, HIT_COLUMNS)) do
    row.count = math.tointeger(runs.number(row.n))
    if not row.count or #row.hits ~= (row.count + 3) // 4 or row.hits:find "[^0-9a-f]" then
      util.quit(3, "%s:%d: hits must be %s's bits in hexadecimal", path, row.line, row.n)
    end
    hits[key_of(row) .. "\0" .. row.metric] = row
  end
  return hits
end

-- ---- bits ----

-- The order of a measure's items by their keys, and the hash that names them.
local function sorted_items(items)
  if not items.sorted then
    local order = util.range(#items.keys)
    table.sort(order, function(i, j) return items.keys[i] < items.keys[j] end)
    local keys = {}
    for k, i in ipairs(order) do keys[k] = items.keys[i] end
    items.sorted, items.sha256 = order, core.sha256(table.concat(keys, "\n"))
  end
  return items.sorted, items.sha256
end

-- Four items a digit, the first in the highest bit.
local function pack_bits(m)
  local order, digits = sorted_items(m.items), {}
  for k = 1, #order, 4 do
    local digit = 0
    for bit = 0, 3 do
      local i = order[k + bit]
      digit = 2 * digit + (i and m.values[i] == 1 and 1 or 0)
    end
    digits[#digits + 1] = ("%x"):format(digit)
  end
  return table.concat(digits)
end

-- The measure that these bits are, on the items of `m`.
local function unpack_bits(hits, m)
  local values = {}
  for k, i in ipairs((sorted_items(m.items))) do
    local digit = tonumber(hits:sub((k + 3) // 4, (k + 3) // 4), 16)
    values[i] = digit >> (3 - (k - 1) % 4) & 1
  end
  return util.copy(m, { values = values })
end

-- Bits serve hits, and the mean per-class recall, which is of the same hits as acc@1.
local function is_of_bits(m)
  if not m or m.statistic ~= "hits" and m.statistic ~= "class_mean" then return false end
  for _, x in ipairs(m.values) do
    if x == false then return false end
  end
  return true
end

-- ---- writing ----

local function csv_text(columns, rows)
  local lines = { table.concat(columns, ",") }
  for i, row in ipairs(rows) do
    local cells = {}
    for k, column in ipairs(columns) do
      local text = tostring(row[column] or "")
      cells[k] = text:find '[,"\r\n]' and '"' .. text:gsub('"', '""') .. '"' or text
    end
    lines[i + 1] = table.concat(cells, ",")
  end
  return table.concat(lines, "\n") .. "\n"
end

local function sort_rows(rows)
  table.sort(rows, function(a, b)
    local x, y = key_of(a), key_of(b)
    if x ~= y then return x < y end
    return a.metric < b.metric
  end)
  return rows
end

-- Whole or not at all.
local function replace(path, text)
  util.write(path .. ".new", text)
  local ok, fault = os.rename(path .. ".new", path)
  if not ok then util.quit(3, "%s", fault) end
end

local function add_evaluation(e, figures, hits, bounds)
  for _, m in ipairs(e.metrics) do
    if measures.about(m.metric).sign ~= 0 and m.value then
      local key = row_of(e)
      local row = util.copy(key, {
        metric = m.metric, value = ("%.9g"):format(m.value), n = m.n,
        dataset_version = e.dataset.version, items_sha256 = e.dataset.items_sha256,
        prompts_sha256 = e.prompts.sha256,
        max_drop = bounds[key_of(key) .. "\0" .. m.metric] })
      figures[#figures + 1] = row
      local measure = measures.of(e, m.metric)
      if measure and (measure.statistic ~= "hits" or measure.clusters) then
        local error = chance.standard_error(measure, CHANCE)
        row.standard_error = error and ("%.3g"):format(error)
      end
      if measure and measure.statistic == "hits" and is_of_bits(measure) then
        local bits = pack_bits(measure)
        local _, sha256 = sorted_items(measure.items)
        hits[#hits + 1] = util.copy(key, { metric = m.metric, n = #measure.items.keys,
                                           ids_sha256 = sha256, hits = bits })
      end
    end
  end
end

-- Writes the figures of a run as the baseline; bounds that the old one has stay.
local function update(path, run, old)
  local bounds, figures, hits = {}, {}, {}
  for _, row in ipairs(old or {}) do
    bounds[key_of(row) .. "\0" .. row.metric] = row.max_drop
  end
  for _, e in ipairs(run.evaluations) do
    add_evaluation(e, figures, hits, bounds)
  end
  replace(path, csv_text(COLUMNS, sort_rows(figures)))
  replace(hits_path(path), csv_text(HIT_COLUMNS, sort_rows(hits)))
  print(("baseline written to %s (%s)"):format(path, util.count(#figures, "figure")))
end

-- ---- unpaired ----

-- Items that share a picture are no hits each for itself; what is no hit needs an error, too.
local function unpaired(c, old, m, fresh)
  if not m or not fresh.value or old.count == 0 or fresh.n == 0 then return nil end
  if m.statistic ~= "hits" or m.clusters then
    local error = old.error and chance.standard_error(m, c)
    return error and chance.two_figures(old.figure, old.error, fresh.value, error, fresh.n)
  end
  local hits = old.figure * old.count
  if math.abs(hits - math.floor(hits + 0.5)) > 1e-3 then return nil end
  return chance.two_proportions(math.floor(hits + 0.5), old.count,
                                math.floor(fresh.value * fresh.n + 0.5), fresh.n)
end

-- ---- comparing ----

-- The bits of the baseline as a measure on the items of `m`, where they are of the same items.
local function old_measure(hits, row, m)
  if not is_of_bits(m) then return nil end
  local metric = m.statistic == "class_mean" and "acc@1" or row.metric
  local bits = hits[key_of(row) .. "\0" .. metric]
  if not bits or bits.count ~= #m.items.keys then return nil end
  local _, sha256 = sorted_items(m.items)
  if bits.ids_sha256 ~= sha256 then return nil end
  return unpack_bits(bits.hits, m)
end

-- The bits must be those of the figure beside.
local function check_bits(path, row, old)
  local value = measures.figure(old)
  if math.abs(value - row.figure) > 2e-9 then
    util.quit(3, "%s:%d: %s is %.9g, and %s gives %.9g: one of them was edited", path, row.line,
              row.metric, row.figure, hits_path(path), value)
  end
end

local function compare_row(c, pair, row, fresh, hits)
  local m = measures.of(pair.new, row.metric)
  if m then measures.check(pair.new, fresh, m) end
  local old = m and old_measure(hits, row, m)
  local result
  if old then
    check_bits(c.base.path, row, old)
    result = comparison.test(c, pair, old, m)
  else
    result = unpaired(c, row, m, fresh) or { base = row.figure, new = fresh.value,
                                          difference = fresh.value and fresh.value - row.figure }
  end
  result = util.copy(util.copy(row.about, result), {
    metric = row.metric, max_drop = row.bound, base_reported = row.figure,
    new_reported = fresh.value, base_n = row.count, new_n = fresh.n })
  comparison.orient(result)
  return result, old, m
end

local function add_flips(pair, old, m)
  for i, key in ipairs(m.items.keys) do
    local row = m.items.rows[i]
    if old.values[i] ~= m.values[i] then
      local target, answer = measures.answer(pair.new, row)
      local list = old.values[i] == 1 and pair.lost or pair.won
      list[#list + 1] = { id = m.items.t.of.id[row] or key, target = target, new = answer,
                          asked = measures.question(pair.new, row) }
    end
  end
end

-- Why a row of the baseline cannot be compared with the evaluation; nil where it can.
local function changed(row, e)
  if row.dataset_version and row.dataset_version ~= (e.dataset.version or "") then
    return ("version of the dataset: '%s', now '%s'"):format(row.dataset_version,
                                                             e.dataset.version or "")
  end
  local old, new = row.items_sha256 or "", e.dataset.items_sha256 or ""
  if old ~= "" and new ~= "" and old ~= new then
    return ("data: items_sha256 was %.12s and is %.12s"):format(old, new)
  end
end

local function new_pair(c, row, e)
  local pair = { base = util.copy(row_of(e), { dataset = { name = row.dataset, split = row.split },
                   prompts = { name = row.prompts ~= "" and row.prompts or nil }, run = c.base }),
                 new = e, title = title(e), notes = {}, metrics = {}, classes = {},
                 lost = {}, won = {} }
  if (row.prompts_sha256 or "") ~= "" and row.prompts_sha256 ~= e.prompts.sha256 then
    pair.notes[1] = "the texts of the prompts changed"
  end
  if row.count ~= e:metric(row.metric).n then
    pair.notes[#pair.notes + 1] = ("the baseline is of %d items, this run of %d"):format(
      row.count, e:metric(row.metric).n)
  end
  c.evaluations[#c.evaluations + 1] = pair
  return pair
end

local HOW_TO_MEND = "--update-baseline writes what the run has"

local function compare_all(c, rows, hits)
  local by_key, pairs_of = {}, {}
  for _, e in ipairs(c.new.evaluations) do
    local key = key_of(row_of(e))
    by_key[key] = e.finished and e or nil
  end
  for _, row in ipairs(rows) do
    local e = by_key[key_of(row)]
    local fresh = e and e:metric(row.metric)
    local words = ("%s of %s: %s (%s)%s"):format(row.metric, row.task, row.dataset, row.prompts,
      (row.number or "") ~= "" and ", number " .. row.number or "")
    local why = not fresh and "the run has no " .. words or changed(row, e)
    if why then
      c.faults[#c.faults + 1] = ("%s:%d: %s%s (%s)"):format(c.base.path, row.line,
        fresh and words .. ": other " or "", why, HOW_TO_MEND)
    else
      local pair = pairs_of[e] or new_pair(c, row, e)
      pairs_of[e] = pair
      local result, old, m = compare_row(c, pair, row, fresh, hits)
      pair.metrics[#pair.metrics + 1] = result
      c.has_bounds = c.has_bounds or row.bound ~= nil
      if old and row.metric == measures.main(e) then
        pair.main, pair.shared, pair.only_base, pair.only_new = row.metric, result.n, 0, 0
        add_flips(pair, old, m)
        comparison.classes(c, pair, old, m)
      end
    end
  end
  return pairs_of
end

-- What the run has and the baseline does not ask for.
local function note_new(c, pairs_of)
  for _, e in ipairs(c.new.evaluations) do
    local asked = {}
    for _, row in ipairs(pairs_of[e] and pairs_of[e].metrics or {}) do asked[row.metric] = true end
    for _, m in ipairs(e.metrics) do
      if measures.about(m.metric).sign ~= 0 and not asked[m.metric] then
        c.notes[#c.notes + 1] = ("not in the baseline: %s of %s"):format(m.metric, title(e))
      end
    end
  end
end

-- ---- the run ----

-- Before the run, since that may take hours: what --baseline names, read.
function baseline.prepare(options)
  local path = options.baseline
  if not path then
    for _, key in ipairs { "update_baseline", "max_drop", "significance" } do
      if options[key] then
        util.quit(2, "run: --%s needs --baseline", key == "significance" and "alpha" or
                  key:gsub("_", "-"))
      end
    end
    return nil
  end
  local b = { path = path, rules = rules.of(options, "run"), update = options.update_baseline }
  local there = core.kind(path)
  if there == "directory" then util.quit(3, "%s: is a directory", path) end
  if not there and not b.update then
    util.quit(3, "%s: no such baseline (--update-baseline writes it)", path)
  end
  if b.update and core.kind(util.directory(path)) ~= "directory" then
    util.quit(3, "%s: no such directory", util.directory(path))
  end
  b.rows = there and read_figures(path)
  b.hits = there and read_hits(path)
  return b
end

-- Compares the run directory `out` with the baseline, writes junit.xml into it and the table to
-- stdout; or rewrites the baseline. Returns the exit code.
function baseline.finish(b, out)
  local run = runs.load(out)
  number_evaluations(run)
  if b.update then
    update(b.path, run, b.rows)
    return 0
  end
  local c = { base = { path = b.path, label = b.path .. " (baseline)", evaluations = {} },
              new = run, rules = b.rules, seed = CHANCE.seed, resamples = CHANCE.resamples,
              notes = {},
              missing = {}, faults = {}, regressions = {}, evaluations = {} }
  note_new(c, compare_all(c, b.rows, b.hits))
  comparison.judge(c)
  util.write(util.join(out, "junit.xml"), formats.junit(c))
  print()
  io.stdout:write(formats.table(c))
  if #c.regressions > 0 then return 1 end
  return #c.faults > 0 and 3 or 0
end

return baseline
