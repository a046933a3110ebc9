-- What every task shares: what is asked is checked, and figures become a result that report.lua
-- writes. (Pictures and texts become embeddings in embeddings.lua.)
local core = require "clipeval.core"
local dataset = require "clipeval.dataset"
local embeddings = require "clipeval.embeddings"
local fingerprint = require "clipeval.fingerprint"
local models = require "clipeval.models"
local session = require "clipeval.session"
local store = require "clipeval.store"
local util = require "clipeval.util"

local evaluation = {}

local Result = {}
Result.__name = "result"

-- ---- what is asked ----

-- A task: {name =, kinds = what items may be, fields = what its table may hold beside model,
-- dataset, limit and seed, partial = function(self, kept) that makes the predictions of the
-- items that an interruption left; kept[i] is the number that items[i] had}.
function evaluation.task(t)
  t.known = util.set { "model", "dataset", "limit", "seed", table.unpack(t.fields or {}) }
  t.takes = util.set(t.kinds)
  return t
end

local function whole(name, value, what, least)
  if value ~= nil and (math.type(value) ~= "integer" or value < least) then
    util.fail("%s: %s must be an integer from %d", name, what, least)
  end
  return value
end

-- All items, or a seeded random sample in the same order.
local function choose_items(data, limit, seed)
  if not limit or limit >= #data.items then return data.items end
  local items = {}
  for i, chosen in ipairs(core.sample(limit, #data.items, seed)) do
    items[i] = data.items[chosen]
  end
  return items
end

local function check_model(name, model)
  if type(model) ~= "userdata" or not tostring(model):find("^model ") then
    util.fail("%s: model must come from clip.model", name)
  end
  if tostring(model) == "model (closed)" then util.fail("%s: the model is closed", name) end
end

-- Begins an evaluation. What the report says of model and dataset is noted before anything
-- is computed: by the end the script may have closed or changed them.
function evaluation.begin(task, spec)
  local name = task.name
  if type(spec) ~= "table" then util.fail("%s: needs a table", name) end
  util.check_fields(spec, task.known, name)
  for _, field in ipairs { "model", "dataset", table.unpack(task.required or {}) } do
    if spec[field] == nil then util.fail("%s: %s is missing", name, field) end
  end
  check_model(name, spec.model)
  local settings = session.settings
  local data = dataset(spec.dataset)
  local kind = data.kind or "classification"
  if not task.takes[kind] then
    util.fail("%s: takes a dataset for %s, and %s is one for %s", name,
              table.concat(task.kinds, " or "), data.name, kind)
  end
  local self = { name = name, task = name, model = spec.model, dataset = data,
                 limit = whole(name, spec.limit or settings.limit, "limit", 1),
                 seed = whole(name, spec.seed or settings.seed or 0, "seed", 0),
                 metrics = {}, problems = {}, faults = {}, ties = 0, texts = 0,
                 truncated_texts = 0, left_out = 0, partial = task.partial,
                 cache = { pictures_found = 0, pictures_computed = 0, texts_found = 0,
                           texts_computed = 0 } }
  session.current = nil -- one that a script gave up
  self.items = choose_items(data, self.limit, self.seed)
  self.n = #self.items
  self.about = {
    model = util.copy(self.model.info, { sha256 = self.model:sha256(store.open()),
                                         notes = self.model.notes,
                                         precision_reason = models.reason(self.model) }),
    dataset = { name = data.name, version = data.version, split = data.split,
                root = data.root or "", alpha = data.alpha, items = #data.items,
                items_sha256 = fingerprint(data), classes = data.classes, layout = data.layout,
                pictures = data:directory() },
  }
  return self
end

-- ---- figures ----

-- options: low, high (95 % interval), chance, n, unit = "percent" (default: of a fraction) or
-- "plain"; nil where there is none.
function evaluation.metric(self, name, value, options)
  options = options or {}
  self.metrics[#self.metrics + 1] = { metric = name, value = value, ci_low = options.low,
    ci_high = options.high, chance = options.chance, n = options.n or self.n,
    unit = options.unit or "percent" }
  self[name] = value
end

-- What a class name stands for twice or more is told, and counted in run.json.
function evaluation.duplicates(classes, data)
  local count, list = {}, {}
  for _, name in ipairs(classes) do count[name] = (count[name] or 0) + 1 end
  for _, name in ipairs(util.keys(count)) do
    if count[name] > 1 then
      list[#list + 1] = name
      util.warn("dataset %s: %d classes are named '%s'", data.name, count[name], name)
    end
  end
  return list
end

-- The evaluation is done: what the script gets, and the report writes. self.columns and
-- self.each(row) give predictions.csv, self.class_columns and self.each_class(row)
-- classes.csv; either may be a list instead: self.rows, self.class_rows.
function evaluation.finish(self)
  setmetatable(self, Result)
  session.current = nil
  session.finished[#session.finished + 1] = self
  return self
end

-- Without figures: what an interruption left. Only the items that are done stay.
function evaluation.finish_partial(self)
  local kept, items = embeddings.done(self), {}
  for k, i in ipairs(kept) do items[k] = self.items[i] end
  self.items, self.n = items, #items
  self.interrupted, self.metrics = true, nil
  self.partial(self, kept)
  return self
end

function evaluation.is_result(value)
  return getmetatable(value) == Result
end

-- ---- the result ----

-- Calls row(...) for each line of the table `kind`: "rows" or "class_rows".
function evaluation.each_row(self, kind, row)
  local each = rawget(self, kind == "rows" and "each" or "each_class")
  if each then return each(row) end
  for _, line in ipairs(rawget(self, kind) or {}) do row(table.unpack(line, 1, line.n)) end
end

-- result.predictions is made when it is asked for: a table by column for each line.
function Result:__index(key)
  if key ~= "predictions" then return Result[key] end
  local list, columns = {}, rawget(self, "columns") or {}
  evaluation.each_row(self, "rows", function(...)
    local line, values = {}, table.pack(...)
    for i, column in ipairs(columns) do line[column] = values[i] end
    list[#list + 1] = line
  end)
  rawset(self, key, list)
  return list
end

local function figure(x, unit)
  if x == nil then return "" end
  if x ~= x then return "-" end
  return unit == "percent" and ("%.2f"):format(100 * x) or ("%.4g"):format(x)
end

local function metric_line(m, width)
  local sign = m.unit == "percent" and " %" or "  "
  local interval = m.ci_low and ("%7s - %5s%s"):format(figure(m.ci_low, m.unit),
                                                       figure(m.ci_high, m.unit), sign) or ""
  local chance = m.chance and figure(m.chance, m.unit) .. sign or ""
  return ("  %s %6s%s %17s %9s %8d"):format(m.metric .. (" "):rep(width - #m.metric),
                                            figure(m.value, m.unit), sign, interval, chance, m.n)
end

function Result:__tostring()
  local about = self.about
  local asked = {}
  if about.dataset.classes and #about.dataset.classes > 0 then
    asked[1] = util.count(#about.dataset.classes, "class", "classes")
  end
  local width, unreadable = 24, #self.problems - self.left_out
  for _, m in ipairs(self.metrics) do width = math.max(width, #m.metric) end
  local lines = {
    ("%s (%s): %s%s; model %s%s"):format(about.dataset.name, about.dataset.split,
      util.count(self.n, self.noun or "picture"), asked[1] and ", " .. asked[1] or "",
      about.model.name, about.prompts and (", prompts %s (%d)"):format(about.prompts.name,
                                           #about.prompts.templates) or ""),
    ("  metric%s %8s %17s %9s %8s"):format((" "):rep(width - 6), "value", "95 % interval",
                                           "chance", "n"),
  }
  for _, m in ipairs(self.metrics) do lines[#lines + 1] = metric_line(m, width) end
  lines[#lines + 1] = ("  %s, %s of %d cut, %s unreadable%s"):format(
    util.count(self.ties, "tie"), util.count(self.truncated_texts, "text"), self.texts,
    util.count(unreadable, "picture"), unreadable > 0 and " (counted as misses)" or "")
  if self.left_out > 0 then
    lines[#lines] = ("%s, and %s to learn from (left out)"):format(lines[#lines], self.left_out)
  end
  return table.concat(lines, "\n")
end

return evaluation
