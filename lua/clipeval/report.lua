-- The run directory: report.csv, classes.csv, predictions.csv, problems.csv, run.json. The
-- CSVs hold no clock and no path that differs between machines.
local core = require "clipeval.core"
local evaluation = require "clipeval.evaluation"
local session = require "clipeval.session"
local util = require "clipeval.util"

local report = {}

-- ---- where ----

-- nil and a message where a run directory cannot be made at `path`.
function report.check_out(path)
  local directory, fault = core.directory(path)
  if directory then directory:close() end
  return directory and true, fault
end

-- runs/SCRIPT-MODEL-N with the first N that is free; a model's name may hold slashes.
local function default_out(results)
  local model = results[1].about.model.name:gsub("/", "--")
  local stem = ("runs/%s-%s-"):format(util.stem(session.script), model)
  local n = 1
  while core.kind(stem .. n) do n = n + 1 end
  return stem .. n
end

-- ---- CSV ----

-- Writes DIRECTORY/NAME: a header, then what `fill(row)` passes to row(...). With several
-- results every file but report.csv begins with the column `evaluation`, the number of the
-- evaluation in run.json.
local function write_csv(directory, name, columns, fill)
  local path = util.join(directory, name)
  local file, fault = io.open(path, "wb")
  if not file then return nil, fault end
  core.csv_row(file, table.unpack(columns))
  fill(function(...) core.csv_row(file, ...) end)
  local ok
  ok, fault = core.close(file)
  return ok, fault and name .. ": " .. fault
end

-- The columns of all results, each once, in the order in which they appear.
local function all_columns(results, key)
  local columns, at = {}, {}
  for _, result in ipairs(results) do
    for _, column in ipairs(result[key] or {}) do
      if not at[column] then
        columns[#columns + 1] = column
        at[column] = #columns
      end
    end
  end
  return columns, at
end

-- A CSV of what each result tells of its items ("rows") or classes ("class_rows").
local function write_items(directory, name, results, kind)
  local several = #results > 1
  local key = kind == "rows" and "columns" or "class_columns"
  local columns, at = all_columns(results, key)
  local header = several and { "evaluation", table.unpack(columns) } or columns
  return write_csv(directory, name, header, function(row)
    for i, result in ipairs(results) do
      local own, line = result[key], {}
      evaluation.each_row(result, kind, not several and row or function(...)
        for k = 1, #columns do line[k] = nil end
        for k, column in ipairs(own) do line[at[column]] = (select(k, ...)) end
        row(i, table.unpack(line, 1, #columns))
      end)
    end
  end)
end

-- problems.csv
local function write_problems(directory, results)
  local several = #results > 1
  local header = several and { "evaluation", "id", "problem" } or { "id", "problem" }
  return write_csv(directory, "problems.csv", header, function(row)
    for i, result in ipairs(results) do
      for _, p in ipairs(result.problems) do
        if several then row(i, p.id, p.problem) else row(p.id, p.problem) end
      end
    end
  end)
end

local function dataset_version(data)
  local alpha = data.alpha ~= "drop" and "alpha=" .. data.alpha or nil
  return data.version .. (alpha and data.version ~= "" and " " or "") .. (alpha or "")
end

local function write_report(directory, results)
  local columns = { "model", "model_sha256", "precision", "dataset", "dataset_version", "split",
                    "task", "prompts", "prompts_sha256", "metric", "value", "ci_low", "ci_high",
                    "n" }
  return write_csv(directory, "report.csv", columns, function(row)
    for _, r in ipairs(results) do
      local model, data, prompts = r.about.model, r.about.dataset, r.about.prompts or {}
      local function line(metric, value, low, high, n)
        row(model.name, model.sha256, model.precision, data.name, dataset_version(data), data.split,
            r.task, prompts.name, prompts.sha256, metric, value, low, high, n)
      end
      for _, m in ipairs(r.metrics or {}) do
        line(m.metric, m.value, m.ci_low, m.ci_high, m.n)
      end
      if r.metrics then
        line("ties", r.ties, nil, nil, r.n)
        line("truncated_texts", r.truncated_texts, nil, nil, r.texts)
        line("unreadable", #r.problems - r.left_out, nil, nil, r.n)
      end
    end
  end)
end

-- ---- run.json ----

local function describe(r)
  local metrics = {}
  for _, m in ipairs(r.metrics or {}) do metrics[m.metric] = m.value end
  return {
    task = r.task,
    finished = r.metrics ~= nil,
    model = r.about.model,
    dataset = r.about.dataset, prompts = r.about.prompts,
    train = r.about.train, validation = r.about.validation, probe = r.about.probe,
    limit = r.limit, seed = r.seed, n = r.n, metrics = metrics, cache = r.cache,
    counts = { ties = r.ties, truncated_texts = r.truncated_texts,
               unreadable = #r.problems - r.left_out,
               left_out = r.left_out > 0 and r.left_out or nil },
  }
end

local function write_json(directory, results, interrupted)
  local evaluations, options = {}, {}
  for i, r in ipairs(results) do evaluations[i] = describe(r) end
  for key, value in pairs(session.options) do
    if type(key) == "string" then options[key] = value end -- not [0], the script
  end
  local about = core.about()
  local text = util.json {
    clipeval = about.version,
    build = { blas = about.blas, engine = about.engine, decoders = about.decoders,
              lua = about.lua },
    script = { name = util.basename(session.script), sha256 = session.script_sha256 },
    options = next(options) and options or nil,
    started = session.started, interrupted = interrupted, evaluations = evaluations,
  }
  local file, fault = io.open(util.join(directory, "run.json"), "wb")
  if not file then return nil, fault end
  file:write(text, "\n")
  local ok
  ok, fault = core.close(file)
  return ok, fault and "run.json: " .. fault
end

-- ---- all of it ----

local function write_files(directory, results, interrupted)
  local steps = {
    function() return write_report(directory, results) end,
    function() return write_items(directory, "classes.csv", results, "class_rows") end,
    function() return write_items(directory, "predictions.csv", results, "rows") end,
    function() return write_problems(directory, results) end,
    function() return write_json(directory, results, interrupted) end,
  }
  for _, step in ipairs(steps) do
    local ok, fault = step()
    if not ok then return nil, fault end
  end
  return true
end

-- Returns `out`, or nil, a message, and where the files are when only the name was taken.
local function write_directory(out, results, interrupted)
  local directory, fault = core.directory(out)
  if not directory then return nil, fault end
  local temporary, ok = directory:path(), nil
  ok, fault = write_files(temporary, results, interrupted or false)
  if ok then
    ok, fault = directory:commit()
  else
    directory:close()
    fault = out .. ": " .. fault
  end
  return ok and out, fault, temporary
end

-- Writes the run directory of a list of results; returns its path, or nil and a message.
function report.write(results, interrupted)
  os.setlocale("C") -- a script may have changed how numbers are written
  local out, fault, temporary
  if session.settings.out then
    out, fault = write_directory(session.settings.out, results, interrupted)
    return out, fault
  end
  local wanted
  repeat -- another run may take the name in between
    wanted = default_out(results)
    if temporary and core.kind(temporary) then
      out, fault = os.rename(temporary, wanted) and wanted, fault
    else
      out, fault, temporary = write_directory(wanted, results, interrupted)
    end
  until out or not core.kind(wanted)
  return out, fault
end

return report
