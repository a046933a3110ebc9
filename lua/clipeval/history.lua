-- clipeval history DIR: the runs below a directory, as a table, as CSV, or as a page.
local core = require "clipeval.core"
local figures = require "clipeval.page.figures"
local runs = require "clipeval.runs"
local util = require "clipeval.util"

-- ---- what is there ----

-- The metric of this name, or the evaluation's first.
local function choose(evaluation, name)
  for _, m in ipairs(evaluation.metrics) do
    if m.metric == name or not name and not figures.is_count(m.metric) then return m end
  end
end

-- Adds an entry for each evaluation of a run that has the metric.
local function add(entries, run, name)
  for _, evaluation in ipairs(run.evaluations) do
    local m = choose(evaluation, name)
    if m or not name then
      entries[#entries + 1] = { run = run, evaluation = evaluation, metric = m, path = run.path,
                                when = tostring(run.started or "") }
    end
  end
end

-- Entries, oldest first, and the runs that cannot be read: {path, problem}.
local function gather(directory, name)
  if core.kind(directory) ~= "directory" then
    util.quit(3, "%s: no such directory", directory)
  end
  local entries, broken = {}, {}
  for _, path in ipairs(runs.find(directory)) do
    local ok, run = pcall(runs.load, path)
    if ok then
      add(entries, run, name)
    elseif type(run) == "string" then
      error(run, 0) -- no broken run, but a fault
    else
      broken[#broken + 1] = { path = path, problem = tostring(run) }
    end
  end
  for i, entry in ipairs(entries) do entry.place = i end
  table.sort(entries, function(a, b)
    if a.when ~= b.when then return a.when < b.when end
    return a.place < b.place
  end)
  return entries, broken
end

-- ---- as a table ----

local HEADS = { "started", "model", "precision", "dataset", "split", "prompts", "metric", "value",
                "95 % interval", "n", "run" }

local function clean(text) return (tostring(text or ""):gsub("%c", "?")) end

local function line_of(entry)
  local e, m = entry.evaluation, entry.metric
  return { entry.when:gsub("T", " "):gsub(":%d+Z$", ""), clean(e.model.name), clean(e.precision),
           clean(e.dataset.name), clean(e.dataset.split), clean(e.prompts.name),
           m and clean(m.metric) or "(not finished)", m and figures.show(m.metric, m.value) or "",
           m and figures.range(m.metric, m.ci_low, m.ci_high):gsub("–", "-") or "",
           m and ("%d"):format(m.n) or "", clean(entry.path) }
end

local RIGHT = util.set { 8, 9, 10 } -- numbers

local function width_of(text) return utf8.len(text) or #text end

local function write_table(out, entries, broken)
  local lines, widths = { HEADS }, {}
  for i, entry in ipairs(entries) do lines[i + 1] = line_of(entry) end
  for _, line in ipairs(lines) do
    for k, text in ipairs(line) do widths[k] = math.max(widths[k] or 0, width_of(text)) end
  end
  for _, line in ipairs(lines) do
    local cells = {}
    for k, text in ipairs(line) do
      local pad = (" "):rep(widths[k] - width_of(text))
      cells[k] = RIGHT[k] and pad .. text or text .. pad
    end
    out:write((table.concat(cells, "  "):gsub("%s+$", "")), "\n")
  end
  for _, b in ipairs(broken) do out:write("cannot be read: ", clean(b.problem), "\n") end
  if #entries == 0 then out:write("no runs\n") end
end

-- ---- as CSV ----

local COLUMNS = { "run", "started", "clipeval", "model", "model_sha256", "precision", "dataset",
                  "dataset_version", "split", "task", "prompts", "metric", "value", "ci_low",
                  "ci_high", "n", "problem" }

local function write_csv(out, entries, broken)
  core.csv_row(out, table.unpack(COLUMNS))
  for _, entry in ipairs(entries) do
    local e, m = entry.evaluation, entry.metric or {}
    core.csv_row(out, util.utf8(entry.path), entry.when, entry.run.clipeval, e.model.name,
                 e.model.sha256, e.precision, e.dataset.name, e.dataset.version, e.dataset.split,
                 e.task, e.prompts.name, m.metric, m.value, m.ci_low, m.ci_high, m.n,
                 not entry.metric and "not finished" or nil)
  end
  for _, b in ipairs(broken) do
    core.csv_row(out, util.utf8(b.path), nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil,
                 nil, nil, nil, nil, util.utf8(b.problem))
  end
end

-- ---- where to ----

local function write_file(path, write)
  local file, fault = io.open(path, "wb")
  if not file then util.quit(3, "%s", fault) end
  write(file)
  local ok
  ok, fault = core.close(file)
  if not ok then util.quit(3, "%s: %s", path, fault) end
end

return function(options)
  local format, output = options.format or "table", options.output
  if format ~= "table" and format ~= "csv" then
    util.quit(2, "history: --format must be table or csv, not '%s'", format)
  end
  local entries, broken = gather(options[0], options.metric)
  local function write(out) (format == "csv" and write_csv or write_table)(out, entries, broken) end
  if output and output:lower():find("%.html?$") then
    require "clipeval.page.history".write(output, options[0], entries, broken)
    if options.format then write(io.stdout) end
  elseif output then
    write_file(output, write)
  else
    write(io.stdout)
  end
  return 0
end
