-- Runs that were written earlier (report.lua): run directories, or a report.csv alone.
--
--     local run = runs.load "runs/imagenet-pocket-1"
--     for _, e in ipairs(run.evaluations) do print(e.dataset.name, e.metrics[1].value) end
--     run.evaluations[1]:predictions()[1].id
--
-- A file that is broken, edited by hand, or of another version with other columns ends the
-- program with one line that says which file and line, and what is wrong with it.
local core = require "clipeval.core"
local util = require "clipeval.util"

local runs = {}

-- ---- columns ----

local REPORT = { "model", "model_sha256", "precision", "dataset", "dataset_version", "split",
                 "task", "prompts", "prompts_sha256", "metric", "value", "ci_low", "ci_high",
                 "n" }

-- What any task writes (see the tasks' self.columns and self.class_columns).
local KNOWN = {
  report = util.set(REPORT),
  predictions = util.set {
    "evaluation", "id", "target", "prediction", "rank", "score", "tied", "confidence", "brier",
    "caption", "rank_of_picture", "found_picture", "rank_of_best_caption", "question",
    "question_type", "answer_type", "answers", "accuracy", "candidates", "rule", "text",
    "picture", "class", "image", "group", "score_c1_p1", "score_c1_p2", "score_c2_p1",
    "score_c2_p2", "right", "score_right", "score_wrong", "match", "half", "class_ranks",
    "rank_by_subset" },
  classes = util.set {
    "evaluation", "class", "n", "hits", "recall", "ci_low", "ci_high", "average_precision",
    "chance", "kind", "accuracy", "prior", "prior_answer", "ceiling", "template", "alone",
    "without", "subset_step", "text_score", "image_score", "group_score" },
  problems = util.set { "evaluation", "id", "problem" },
}

-- " (written by clipeval 9.1; this is 0.4.0)", where that may explain a fault.
local function other_version(run)
  local ours = core.about().version
  if not run.clipeval or run.clipeval == ours then return "" end
  return (" (written by clipeval %s; this is %s)"):format(run.clipeval, ours)
end

-- A CSV of the run: { path, names, count = rows, lines, of = {column = list of strings} }.
local function read_table(run, kind, path, needed)
  local names, lists, lines = core.csv_columns(path)
  if not names then util.quit(3, "%s", lists) end
  local t = { path = path, names = names, count = #lines, lines = lines, of = {} }
  if #names == 0 then util.quit(3, "%s: is empty", path) end
  for i, name in ipairs(names) do
    if not KNOWN[kind][name] then
      util.quit(3, "%s:1: unknown column '%s'%s", path, name, other_version(run))
    end
    if t.of[name] then util.quit(3, "%s:1: two columns '%s'", path, name) end
    t.of[name] = lists[i]
  end
  for _, name in ipairs(needed) do
    if not t.of[name] then
      util.quit(3, "%s:1: no column '%s'%s", path, name, other_version(run))
    end
  end
  return t
end

-- ---- figures ----

local SPECIAL = { nan = 0 / 0, ["-nan"] = 0 / 0, inf = math.huge, ["-inf"] = -math.huge }

-- A number as report.lua writes it, or nil; a word, a hexadecimal or a comma is none.
function runs.number(text)
  return SPECIAL[text] or text:find("^%-?[%d.]+e?[-+]?%d*$") and tonumber(text) or nil
end

-- The figure in row i of a column; nil where the field is empty.
local function figure(t, column, i)
  local text = t.of[column][i]
  if text == "" then return nil end
  return runs.number(text) or util.quit(3, "%s:%d: %s is '%s', which is no number", t.path,
                                        t.lines[i], column, text)
end

local function read_metric(t, i)
  local m = { metric = t.of.metric[i], value = figure(t, "value", i), line = t.lines[i],
              ci_low = figure(t, "ci_low", i), ci_high = figure(t, "ci_high", i),
              n = math.tointeger(figure(t, "n", i)) }
  local function fault(text) util.quit(3, "%s:%d: %s", t.path, m.line, text) end
  if m.metric == "" then fault("no metric") end
  if not m.n or m.n < 0 then fault(("n is '%s', which is no count"):format(t.of.n[i])) end
  if (m.ci_low == nil) ~= (m.ci_high == nil) then fault("half an interval") end
  if m.ci_low and m.ci_low > m.ci_high then fault("an interval that ends before it begins") end
  return m
end

-- ---- an evaluation ----

local Evaluation = {}
Evaluation.__index = Evaluation

local KEY = table.move(REPORT, 1, 9, 1, {})

local function text_or_nil(text)
  return text ~= "" and text or nil
end

local function new_evaluation(run, t, i)
  local function field(name) return t.of[name][i] end
  return setmetatable({
    run = run, number = 0, finished = true, task = field "task", precision = field "precision",
    model = { name = field "model", sha256 = field "model_sha256" },
    dataset = { name = field "dataset", version = field "dataset_version",
                split = field "split" },
    prompts = { name = text_or_nil(field "prompts"), sha256 = text_or_nil(field "prompts_sha256") },
    metrics = {}, line = t.lines[i],
  }, Evaluation)
end

-- Rows of report.csv that say the same of model, data and prompts are an evaluation; where a
-- metric comes again, the next one.
local function split_report(run, t)
  local list, current, last, seen = {}, nil, nil, nil
  for i = 1, t.count do
    local words = {}
    for k, name in ipairs(KEY) do words[k] = t.of[name][i] end
    local key, m = table.concat(words, "\0"), read_metric(t, i)
    if key ~= last or seen[m.metric] then
      current, last, seen = new_evaluation(run, t, i), key, {}
      list[#list + 1] = current
    end
    seen[m.metric] = true
    current.metrics[#current.metrics + 1] = m
  end
  return list
end

-- The metric of this name, or nil.
function Evaluation:metric(name)
  for _, m in ipairs(self.metrics) do
    if m.metric == name then return m end
  end
end

-- ---- run.json ----

local function describe(e)
  return ("%s of %s (%s)"):format(e.task, e.dataset.name, e.dataset.split)
end

-- That a figure of report.csv is that of run.json, to the digits written.
local function check_value(run, path, m, value)
  local same = value == nil and (m.value == nil or m.value ~= m.value or
                                 math.abs(m.value) == math.huge)
  if type(value) == "number" and m.value then
    same = math.abs(value - m.value) <= 1e-8 * math.max(1, math.abs(value))
  end
  if not same then
    util.quit(3, "%s:%d: %s is %s, and run.json says %s: one of them was edited", run.report,
              m.line, m.metric, tostring(m.value), tostring(value))
  end
end

-- Adds what run.json says of an evaluation, whose figures must be the same.
local function enrich(run, path, e, about)
  local model = type(about.model) == "table" and about.model or {}
  local data = type(about.dataset) == "table" and about.dataset or {}
  local prompts = type(about.prompts) == "table" and about.prompts or {}
  if about.task ~= e.task or data.name ~= e.dataset.name or data.split ~= e.dataset.split or
     model.sha256 ~= e.model.sha256 then
    util.quit(3, "%s:%d: is not the evaluation that run.json has there (%s)", run.report, e.line,
              describe { task = about.task, dataset = data })
  end
  e.model, e.dataset = util.copy(model, e.model), util.copy(data, e.dataset)
  e.prompts = util.copy(prompts, e.prompts)
  e.limit, e.seed, e.n, e.probe = about.limit, about.seed, about.n, about.probe
  local metrics = type(about.metrics) == "table" and about.metrics or {}
  local counts = type(about.counts) == "table" and about.counts or {}
  for _, m in ipairs(e.metrics) do
    local value = metrics[m.metric]
    if value == nil then value = counts[m.metric] end
    check_value(run, path, m, value)
  end
end

-- An evaluation that was interrupted: it has items, and no figures.
local function unfinished(run, about)
  local function name(t) return type(t) == "table" and t or {} end
  return setmetatable({ run = run, finished = false, task = about.task,
                        precision = name(about.model).precision, model = name(about.model),
                        dataset = name(about.dataset), prompts = name(about.prompts),
                        limit = about.limit, seed = about.seed, n = about.n, metrics = {} },
                      Evaluation)
end

local function read_json(run, path)
  local file, fault = io.open(path, "rb")
  if not file then util.quit(3, "%s", fault) end
  local text = file:read("a") or ""
  file:close()
  local json
  json, fault = core.json_decode(text)
  if type(json) ~= "table" then
    util.quit(3, "%s: %s", path, fault or "is no object")
  end
  if type(json.clipeval) ~= "string" or type(json.evaluations) ~= "table" then
    util.quit(3, "%s: is not what clipeval writes there", path)
  end
  run.clipeval, run.started, run.interrupted = json.clipeval, json.started, json.interrupted
  run.build, run.script, run.options = json.build, json.script, json.options
  return json
end

-- Evaluations in the order of run.json, with what both files say of them.
local function join(run, path, json, finished)
  local list, at = {}, 0
  for i, about in ipairs(json.evaluations) do
    if type(about) ~= "table" then util.quit(3, "%s: evaluation %d is no object", path, i) end
    if about.finished == false then
      list[i] = unfinished(run, about)
    else
      at = at + 1
      if not finished[at] then
        util.quit(3, "%s: %d evaluations, and run.json has more", run.report, #finished)
      end
      enrich(run, path, finished[at], about)
      list[i] = finished[at]
    end
  end
  if at < #finished then
    util.quit(3, "%s:%d: an evaluation that run.json does not have", run.report,
              finished[at + 1].line)
  end
  return list
end

-- ---- items, classes, problems ----

-- The rows of `t` by evaluation, where the file holds several.
local function split(run, t)
  if not t.of.evaluation then
    if #run.evaluations ~= 1 then
      util.quit(3, "%s:1: no column 'evaluation', and there are %d of them", t.path,
                #run.evaluations)
    end
    return { t }
  end
  local parts = {}
  for i in ipairs(run.evaluations) do
    parts[i] = { path = t.path, names = t.names, count = 0, lines = {}, of = {} }
    for _, name in ipairs(t.names) do parts[i].of[name] = {} end
  end
  for i, text in ipairs(t.of.evaluation) do
    local part = parts[math.tointeger(tonumber(text))]
    if not part then
      util.quit(3, "%s:%d: there is no evaluation '%s'", t.path, t.lines[i], text)
    end
    part.count = part.count + 1
    part.lines[part.count] = t.lines[i]
    for _, name in ipairs(t.names) do part.of[name][part.count] = t.of[name][i] end
  end
  return parts
end

local NEEDED = { predictions = { "id" }, classes = {}, problems = { "id", "problem" } }

-- The CSV "predictions", "classes" or "problems", this evaluation's part of it: { path, names,
-- count, lines, of = {column = list of strings} }; nil where there is no such file.
function Evaluation:columns(kind)
  local run = self.run
  local path = util.join(run.directory, kind .. ".csv")
  if run.tables[kind] == nil then
    local there = run.whole and core.kind(path) == "file"
    local size = there and select(3, core.kind(path))
    local empty = kind == "classes" and size and size <= 1 -- no evaluation has classes
    run.tables[kind] = there and not empty and
                       split(run, read_table(run, kind, path, NEEDED[kind]))
  end
  return run.tables[kind] and run.tables[kind][self.number] or nil
end

-- A table by column for each row; what is empty is nil.
local function rows_of(self, kind)
  self.rows = self.rows or {}
  if not self.rows[kind] then
    local t, rows = self:columns(kind), {}
    for i = 1, t and t.count or 0 do rows[i] = { line = t.lines[i] } end
    for name, list in pairs(t and t.of or {}) do
      for i, text in ipairs(list) do
        if text ~= "" then rows[i][name] = text end
      end
    end
    self.rows[kind] = rows
  end
  return self.rows[kind]
end

function Evaluation:predictions() return rows_of(self, "predictions") end

function Evaluation:class_rows() return rows_of(self, "classes") end

function Evaluation:problem_rows() return rows_of(self, "problems") end

-- ---- runs ----

-- The run at `path`, a run directory or a report.csv:
--   { path, name, directory, clipeval =, started =, interrupted =, build =, script =, options =
--     (what run.json says, where there is one), evaluations = { { number, finished, task,
--     precision, model, dataset, prompts, limit, seed, n, metrics = { {metric, value, ci_low,
--     ci_high, n}, ... } }, ... } }
-- The files beside a report.csv are read where they are there.
function runs.load(path)
  local kind = core.kind(path)
  if not kind then util.quit(3, "%s: no such run", path) end
  local directory = kind == "directory" and path or util.directory(path)
  local report = kind == "directory" and util.join(path, "report.csv") or path
  if core.kind(report) ~= "file" then
    util.quit(3, "%s: no run directory: it holds no report.csv", path)
  end
  local run = { path = path, directory = directory, report = report, tables = {},
                name = util.basename(kind == "directory" and path or directory),
                whole = util.basename(report) == "report.csv" }
  if run.name == "." or run.name == ".." then run.name = util.basename(path) end
  local beside = util.join(directory, "run.json")
  local json = run.whole and core.kind(beside) and read_json(run, beside)
  local finished = split_report(run, read_table(run, "report", report, REPORT))
  run.evaluations = json and join(run, beside, json, finished) or finished
  for i, e in ipairs(run.evaluations) do e.number = i end
  if #run.evaluations == 0 then util.quit(3, "%s: holds no evaluation", report) end
  return run
end

local function find(directory, seen, list)
  local _, identity = core.kind(directory)
  if not identity or seen[identity] then return end
  seen[identity] = true
  if core.kind(util.join(directory, "report.csv")) == "file" then
    list[#list + 1] = directory
    return
  end
  local names, is_directory = core.list(directory)
  for i, name in ipairs(names or {}) do
    if is_directory[i] and name:sub(1, 1) ~= "." and not name:find("%.tmp%-......$") then
      find(util.join(directory, name), seen, list)
    end
  end
end

-- The run directories at and below `directory`, sorted; what is still being written (or was
-- left so) and hidden directories are none.
function runs.find(directory)
  local list = {}
  find(directory, {}, list)
  table.sort(list)
  return list
end

return runs
