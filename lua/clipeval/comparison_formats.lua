-- A comparison (comparison.lua) as text: a table to read, CSV, JSON, Markdown, JUnit XML.
local rules = require "clipeval.rules"
local util = require "clipeval.util"

local formats = {}

local MOST = 10 -- classes, and flipped items each way, that a table shows

-- ---- figures ----

local function is_number(x) return x and x - x == 0 end

local function value(x, unit)
  if not x then return "" end
  if not is_number(x) then return x == x and (x > 0 and "inf" or "-inf") or "-" end
  return unit == "percent" and ("%.2f %%"):format(100 * x) or ("%.4g"):format(x)
end

local function signed(x, unit)
  if not is_number(x) then return "-" end
  if x == 0 then return "0" .. (unit == "percent" and " pp" or "") end
  return unit == "percent" and ("%+.2f pp"):format(100 * x) or ("%+.4g"):format(x)
end

local function interval(row)
  if not (row.p and is_number(row.low) and is_number(row.high)) then return "" end
  if row.unit ~= "percent" then return ("%+.4f to %+.4f"):format(row.low, row.high) end
  return ("%+.2f to %+.2f pp"):format(100 * row.low, 100 * row.high)
end

local function p_value(p)
  if not p then return "" end
  return p >= 0.001 and ("%.3f"):format(p) or ("%.1e"):format(p)
end

-- Counts that do not differ are not worth a line.
local function worth_showing(row) return row.sign ~= 0 or row.difference ~= 0 end

-- ---- sentences ----

local function run_line(run)
  if run.label then return run.label end
  local e = run.evaluations[1]
  return ("%s%s (model %s %.12s)"):format(run.path,
    run.clipeval and ", clipeval " .. run.clipeval or "", e.model.name or "?", e.model.sha256 or "")
end

local function shared_line(pair)
  if not pair.shared then return nil end
  local line = ("%s in both"):format(util.count(pair.shared, "item"))
  if pair.only_base + pair.only_new > 0 then
    line = line .. ("; %d only in BASE and %d only in NEW are left out"):format(pair.only_base,
                                                                              pair.only_new)
  end
  return line
end

-- What was tested, and how, once each.
local function test_lines(c)
  local lines, seen = {}, {}
  for _, pair in ipairs(c.evaluations) do
    for _, row in ipairs(pair.metrics) do
      local words = row.test and ("%s: %s%s"):format(row.metric, row.test,
        row.clustered and ", by picture" or "")
      if words and not seen[words] then
        seen[words] = true
        lines[#lines + 1] = words
      end
    end
  end
  return lines
end

local function regression_lines(c)
  local lines = {}
  for i, found in ipairs(c.regressions) do
    lines[i] = ("regression: %s: %s: %s"):format(found.title, found.row.metric,
                                                  table.concat(found.row.fired, ", and "))
  end
  return lines
end

local function verdict_line(c)
  local words = rules.words(c.rules, c.has_bounds)
  if not words then
    return "no rule was set (--max-drop, --alpha): nothing is called a regression"
  end
  return ("%s; a regression is %s"):format(#c.regressions == 0 and "no regression" or
                                            util.count(#c.regressions, "regression"), words)
end

local METHOD = "intervals: 95 %%, paired bootstrap over items (%d resamples, seed %d)%s; " ..
               "adjusted: p after Holm, over all metrics tested"

local function method_line(c, tests)
  local unpaired = table.concat(tests, "\n"):find("unpaired", 1, true)
  return METHOD:format(c.resamples, c.seed, unpaired and ", but by their own test where unpaired" or
                       "")
end

-- ---- aligned columns ----

-- Rows of cells as lines; the first column and the last are left-aligned.
local function align(rows)
  local widths, lines = {}, {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do
      widths[i] = math.max(widths[i] or 0, utf8.len(cell) or #cell)
    end
  end
  for k, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do
      local space = (" "):rep(widths[i] - (utf8.len(cell) or #cell))
      cells[i] = (i == 1 or i == #row) and cell .. space or space .. cell
    end
    lines[k] = (table.concat(cells, "  "):gsub("%s+$", ""))
  end
  return lines
end

local HEAD = { "metric", "base", "new", "difference", "95 % interval", "p", "adjusted", "verdict" }

local function cells_of(row, name)
  return { name, value(row.base, row.unit), value(row.new, row.unit),
           signed(row.difference, row.unit), interval(row), p_value(row.p),
           p_value(row.adjusted), row.verdict }
end

local function metric_cells(pair)
  local rows = { HEAD }
  for _, row in ipairs(pair.metrics) do
    if worth_showing(row) then rows[#rows + 1] = cells_of(row, row.metric) end
  end
  return rows
end

-- The classes that differ, worst first; how many there are in all.
local function class_cells(pair)
  local rows = { { "class", table.unpack(HEAD, 2) } }
  for _, row in ipairs(pair.classes) do
    if #rows > MOST then break end
    if row.difference ~= 0 or row.better > 0 then rows[#rows + 1] = cells_of(row, row.class) end
  end
  return rows
end

-- ---- table ----

local function flip_lines(lines, list, words)
  if #list == 0 then return end
  local part = #list > MOST and (", the first %d:"):format(MOST) or ""
  lines[#lines + 1] = ("  %s: %s%s"):format(words, util.count(#list, "item"), part)
  local rows = {}
  for i = 1, math.min(MOST, #list) do
    local f = list[i]
    local answers = f.base and ("%s -> %s"):format(f.base, f.new or "nothing") or
                    f.new and "-> " .. f.new or ""
    rows[i] = { "    " .. f.id, f.asked or f.target or "", answers }
  end
  for _, line in ipairs(align(rows)) do lines[#lines + 1] = line end
end

local function table_of(lines, cells)
  for _, line in ipairs(align(cells)) do lines[#lines + 1] = "  " .. line end
end

local function add_evaluation(lines, pair)
  lines[#lines + 1] = ""
  lines[#lines + 1] = pair.title
  local counts = shared_line(pair)
  if counts then lines[#lines + 1] = "  " .. counts end
  for _, note in ipairs(pair.notes) do lines[#lines + 1] = "  " .. note end
  table_of(lines, metric_cells(pair))
  local classes = class_cells(pair)
  if #classes > 1 then
    lines[#lines + 1] = ""
    lines[#lines + 1] = ("  classes that differ most for the worse (of %d; adjusted over these):")
      :format(#pair.classes)
    table_of(lines, classes)
  end
  if #pair.lost + #pair.won > 0 then lines[#lines + 1] = "" end
  flip_lines(lines, pair.lost, "right to wrong by " .. (pair.main or ""))
  flip_lines(lines, pair.won, "wrong to right by " .. (pair.main or ""))
end

function formats.table(c)
  local lines = { "BASE " .. run_line(c.base), "NEW  " .. run_line(c.new) }
  for _, note in ipairs(c.notes) do lines[#lines + 1] = note end
  for _, note in ipairs(c.missing) do lines[#lines + 1] = note end
  for _, pair in ipairs(c.evaluations) do add_evaluation(lines, pair) end
  lines[#lines + 1] = ""
  local tests = test_lines(c)
  if #tests > 0 then
    lines[#lines + 1] = method_line(c, tests)
    lines[#lines + 1] = "tests: " .. table.concat(tests, "; ")
  end
  table.move(c.faults or {}, 1, #(c.faults or {}), #lines + 1, lines)
  table.move(regression_lines(c), 1, #c.regressions, #lines + 1, lines)
  lines[#lines + 1] = verdict_line(c)
  for i, line in ipairs(lines) do lines[i] = line:gsub("%c", "?") end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- CSV ----

local COLUMNS = { "kind", "evaluation", "task", "dataset", "split", "prompts", "metric", "class",
                  "id", "base", "new", "difference", "ci_low", "ci_high", "p", "p_adjusted", "n",
                  "better", "worse", "test", "verdict", "target" }

local function csv_line(fields)
  local cells = {}
  for i, column in ipairs(COLUMNS) do
    local x = fields[column]
    local text = math.type(x) == "float" and ("%.9g"):format(x) or x ~= nil and tostring(x) or ""
    cells[i] = text:find '[,"\r\n]' and '"' .. text:gsub('"', '""') .. '"' or text
  end
  return table.concat(cells, ",")
end

local function csv_fields(row)
  return { base = row.base, new = row.new, difference = row.difference,
           ci_low = row.p and row.low, ci_high = row.p and row.high, p = row.p,
           p_adjusted = row.adjusted, n = row.n, better = row.better, worse = row.worse,
           test = row.test, verdict = row.verdict, metric = row.metric, class = row.class }
end

function formats.csv(c)
  local lines = { table.concat(COLUMNS, ",") }
  for i, pair in ipairs(c.evaluations) do
    local e = pair.base
    local function line(kind, fields)
      fields.kind, fields.evaluation, fields.task, fields.dataset = kind, i, e.task, e.dataset.name
      fields.split, fields.prompts = e.dataset.split, e.prompts.name
      for key, x in pairs(fields) do fields[key] = x ~= false and x or nil end
      lines[#lines + 1] = csv_line(fields)
    end
    for _, row in ipairs(pair.metrics) do line("metric", csv_fields(row)) end
    for _, row in ipairs(pair.classes) do line("class", csv_fields(row)) end
    local main = { metric = pair.main }
    for _, f in ipairs(pair.lost) do line("right to wrong", util.copy(f, main)) end
    for _, f in ipairs(pair.won) do line("wrong to right", util.copy(f, main)) end
  end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- JSON ----

local function about_run(run)
  if run.label then return { path = run.path } end
  local e = run.evaluations[1]
  return { path = run.path, clipeval = run.clipeval, started = run.started,
           model = { name = e.model.name, sha256 = e.model.sha256 } }
end

local function json_row(row)
  local higher
  if row.sign ~= 0 then higher = row.sign > 0 end
  return { metric = row.metric, class = row.class, unit = row.unit, base = row.base,
           new = row.new, difference = row.difference, ci_low = row.p and row.low,
           ci_high = row.p and row.high, p = row.p, p_adjusted = row.adjusted, n = row.n,
           better = row.better, worse = row.worse, test = row.test, clustered = row.clustered,
           verdict = row.verdict, fired = row.fired, base_reported = row.base_reported,
           new_reported = row.new_reported, higher_is_better = higher }
end

local function map(list, f)
  local mapped = {}
  for i, one in ipairs(list) do mapped[i] = f(one) end
  return mapped
end

local function json_pair(pair)
  local e = pair.base
  return { task = e.task, dataset = e.dataset.name, split = e.dataset.split,
           prompts = e.prompts.name, new_prompts = pair.new.prompts.name, notes = pair.notes,
           shared = pair.shared, only_base = pair.only_base, only_new = pair.only_new,
           metrics = map(pair.metrics, json_row), classes = map(pair.classes, json_row),
           flips_of = pair.main, right_to_wrong = pair.lost, wrong_to_right = pair.won }
end

function formats.json(c)
  return util.json {
    base = about_run(c.base), new = about_run(c.new), notes = c.notes, missing = c.missing,
    resamples = c.resamples, seed = c.seed,
    rules = { max_drop = c.rules.max_drop, alpha = c.rules.alpha,
              words = rules.words(c.rules, c.has_bounds) or "none" },
    evaluations = map(c.evaluations, json_pair),
    regressions = map(c.regressions, function(found)
      return { evaluation = found.title, metric = found.row.metric, fired = found.row.fired }
    end),
  } .. "\n"
end

-- ---- Markdown ----

local function escape_markdown(text)
  return (text:gsub("%c", " "):gsub("[\\`*_{}%[%]<>|#]", "\\%0"))
end

local function markdown_table(lines, rows)
  for k, row in ipairs(rows) do
    lines[#lines + 1] = "| " .. table.concat(map(row, escape_markdown), " | ") .. " |"
    if k == 1 then
      lines[#lines + 1] = "|:---|" .. ("---:|"):rep(#row - 2) .. ":---|"
    end
  end
end

local function markdown_flips(lines, list, words)
  if #list == 0 then return end
  lines[#lines + 1] = ""
  lines[#lines + 1] = ("<details><summary>%s: %s</summary>\n"):format(words,
                                                                     util.count(#list, "item"))
  local rows = { { "item", "target", "base", "new" } }
  for i = 1, math.min(MOST, #list) do
    local f = list[i]
    rows[i + 1] = { f.id, f.asked or f.target or "", f.base or "", f.new or "" }
  end
  markdown_table(lines, rows)
  lines[#lines + 1] = "\n</details>"
end

function formats.markdown(c)
  local lines = { ("**%s**"):format(escape_markdown(verdict_line(c))), "",
                  "BASE " .. escape_markdown(run_line(c.base)) .. "  ",
                  "NEW " .. escape_markdown(run_line(c.new)) }
  for _, list in ipairs { c.notes, c.missing, c.faults or {}, regression_lines(c) } do
    for _, note in ipairs(list) do
      lines[#lines + 1] = ""
      lines[#lines + 1] = escape_markdown(note)
    end
  end
  for _, pair in ipairs(c.evaluations) do
    lines[#lines + 1] = "\n### " .. escape_markdown(pair.title) .. "\n"
    local notes = table.move(pair.notes, 1, #pair.notes, 2, { shared_line(pair) or "" })
    for _, note in ipairs(notes) do
      lines[#lines + 1] = escape_markdown(note) .. "\n"
    end
    markdown_table(lines, metric_cells(pair))
    local classes = class_cells(pair)
    if #classes > 1 then
      lines[#lines + 1] = ""
      markdown_table(lines, classes)
    end
    markdown_flips(lines, pair.lost, "right to wrong")
    markdown_flips(lines, pair.won, "wrong to right")
  end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- JUnit XML ----

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
                   ["'"] = "&apos;", ["\n"] = "&#10;", ["\t"] = "&#9;", ["\r"] = "&#13;" }

-- XML 1.0 has no other control characters, not even escaped, and no U+FFFE and U+FFFF.
local function escape_xml(text)
  text = util.utf8(text):gsub("[&<>\"'\n\t\r]", ENTITIES):gsub("[\0-\31]", "?")
  return (text:gsub("\xef\xbf[\xbe\xbf]", "?"))
end

local function junit_words(row)
  local words = ("%s: %s -> %s (%s%s%s)"):format(row.metric, value(row.base, row.unit),
    value(row.new, row.unit), signed(row.difference, row.unit),
    row.p and ", 95 % interval " .. interval(row) or "",
    row.adjusted and ", adjusted p " .. p_value(row.adjusted) or "")
  if not row.fired or row.verdict ~= "regression" then return words end
  return words .. ": " .. table.concat(row.fired, ", and ")
end

-- A bound or a level that somebody set for this metric; else there is nothing to pass.
local function is_asked(c, row)
  return row.sign ~= 0 and (row.verdict == "regression" or row.max_drop or
    c.rules.max_drop and row.unit ~= "count" or c.rules.alpha and row.p) and true or false
end

local function junit_case(c, pair, row)
  local case = ('    <testcase classname="%s" name="%s"'):format(escape_xml(pair.title),
                                                                 escape_xml(row.metric))
  local words = escape_xml(junit_words(row))
  if row.verdict == "regression" then
    return ('%s>\n      <failure type="regression" message="%s">%s</failure>\n    </testcase>')
      :format(case, words, words)
  end
  if not is_asked(c, row) then
    return ('%s>\n      <skipped message="no rule is for this metric: %s"/>\n    </testcase>')
      :format(case, words)
  end
  return ("%s>\n      <system-out>%s</system-out>\n    </testcase>"):format(case, words)
end

local function junit_suite(c, pair)
  local cases, failures, skipped = {}, 0, 0
  for _, row in ipairs(pair.metrics) do
    if row.sign ~= 0 then
      cases[#cases + 1] = junit_case(c, pair, row)
      if row.verdict == "regression" then failures = failures + 1
      elseif not is_asked(c, row) then skipped = skipped + 1 end
    end
  end
  return ('  <testsuite name="%s" tests="%d" failures="%d" errors="0" skipped="%d">\n%s\n' ..
          "  </testsuite>"):format(escape_xml(pair.title), #cases, failures, skipped,
                                   table.concat(cases, "\n")), #cases, failures
end

-- What a baseline asks for and the run does not have, or has of other data.
local function junit_faults(faults)
  local cases = {}
  for i, words in ipairs(faults) do
    cases[i] = ('    <testcase classname="baseline" name="fault %d">\n      <error ' ..
                'type="baseline" message="%s"/>\n    </testcase>'):format(i, escape_xml(words))
  end
  return ('  <testsuite name="baseline" tests="%d" failures="0" errors="%d" skipped="0">\n%s\n' ..
          "  </testsuite>"):format(#faults, #faults, table.concat(cases, "\n"))
end

function formats.junit(c)
  local suites, tests, failures, errors = {}, 0, 0, #(c.faults or {})
  for i, pair in ipairs(c.evaluations) do
    local n, failed
    suites[i], n, failed = junit_suite(c, pair)
    tests, failures = tests + n, failures + failed
  end
  if errors > 0 then suites[#suites + 1] = junit_faults(c.faults) end
  return ('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="clipeval" tests="%d" ' ..
          'failures="%d" errors="%d">\n%s\n</testsuites>\n'):format(
    tests + errors, failures, errors, table.concat(suites, "\n"))
end

return formats
