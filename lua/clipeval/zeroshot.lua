-- clip.zeroshot: which of these class names fits the picture best? The arithmetic is that of
-- CLIP_benchmark (zeroshot_classification.py): each text's embedding is normalised, a class
-- is the normalised mean of its texts, scores are cosines.
local core = require "clipeval.core"
local dataset = require "clipeval.dataset"
local prompts = require "clipeval.prompts"
local session = require "clipeval.session"
local util = require "clipeval.util"

local FIELDS = util.set { "model", "dataset", "prompts", "metrics", "classes", "limit", "seed" }
local BLOCK = 1024 -- pictures whose scores are held at a time
local RESAMPLES = 1000

local Result = {}
Result.__name = "result"

-- ---- what is asked ----

local function rank_bound(metric)
  local k = metric:match("^acc@([1-9]%d*)$")
  return k and math.tointeger(k)
end

local function choose_metrics(given, class_count)
  if not given then
    local metrics = { "acc@1", "acc@5", "mean_per_class_recall" }
    if class_count <= 5 then table.remove(metrics, 2) end -- it could only be 100 %
    return metrics
  end
  if type(given) ~= "table" or util.length(given, "zeroshot: metric") == 0 then
    util.fail("zeroshot: metrics must be a list of names")
  end
  for _, metric in ipairs(given) do
    local k = type(metric) == "string" and rank_bound(metric)
    if not k and metric ~= "mean_per_class_recall" then
      util.fail("zeroshot: no metric %s (there are acc@1, acc@5, ..., mean_per_class_recall)",
                util.show(metric))
    end
    if k and k > class_count then
      util.fail("zeroshot: %s of %d classes means nothing", metric, class_count)
    end
  end
  return given
end

local function choose_classes(given, data)
  if not given then return data.classes end
  if type(given) ~= "table" or util.length(given, "zeroshot: class") ~= #data.classes then
    util.fail("zeroshot: classes must be a list of %d names, in the order of %s",
              #data.classes, data.name)
  end
  for i, name in ipairs(given) do
    if type(name) ~= "string" or name == "" then util.fail("zeroshot: class %d is no text", i) end
  end
  return given
end

local function whole(value, what, least)
  if value ~= nil and (math.type(value) ~= "integer" or value < least) then
    util.fail("zeroshot: %s must be an integer from %d", what, least)
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

local function duplicates(classes, data)
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

-- What the report says of the model and the dataset, noted before anything is computed: by
-- then the script may have closed or changed them.
local function record(self)
  local d = self.dataset
  self.about = {
    model = util.copy(self.model.info, { sha256 = self.model:sha256(),
                                         notes = self.model.notes }),
    dataset = { name = d.name, version = d.version, split = d.split, root = d.root or "",
                alpha = d.alpha, items = #d.items, classes = self.classes,
                duplicate_classes = self.duplicate_classes },
  }
end

local function prepare(spec)
  if type(spec) ~= "table" then util.fail("zeroshot: needs a table") end
  util.check_fields(spec, FIELDS, "zeroshot")
  for _, field in ipairs { "model", "dataset", "prompts" } do
    if spec[field] == nil then util.fail("zeroshot: %s is missing", field) end
  end
  if type(spec.model) ~= "userdata" or not tostring(spec.model):find("^model ") then
    util.fail("zeroshot: model must come from clip.model")
  end
  if tostring(spec.model) == "model (closed)" then util.fail("zeroshot: the model is closed") end
  local settings = session.settings
  local self = { task = "zeroshot", model = spec.model, dataset = dataset(spec.dataset),
                 prompts = prompts(spec.prompts),
                 limit = whole(spec.limit or settings.limit, "limit", 1),
                 seed = whole(spec.seed or settings.seed or 0, "seed", 0) }
  self.classes = choose_classes(spec.classes, self.dataset)
  self.metric_names = choose_metrics(spec.metrics, #self.classes)
  self.items = choose_items(self.dataset, self.limit, self.seed)
  self.duplicate_classes = duplicates(self.classes, self.dataset)
  record(self)
  return self
end

-- ---- embeddings ----

local function classifier(self)
  local texts, first, about = self.prompts:render(self.classes)
  local embeds, problems, truncated = self.model:encode_text(texts, { progress = "texts" })
  for i, fault in pairs(problems or {}) do
    util.fail("zeroshot: the text '%s': %s", util.utf8(texts[i]), fault)
  end
  self.about.prompts, self.texts, self.truncated_texts = about, #texts, 0
  for _, cut in ipairs(truncated) do
    self.truncated_texts = self.truncated_texts + (cut and 1 or 0)
  end
  local rows = {}
  for class = 1, #self.classes do
    local own = embeds:slice(first[class], first[class + 1] - 1)
    rows[class] = own:normalize():mean():normalize()[1]
  end
  return core.matrix(rows)
end

local function encode_pictures(self)
  local pictures = {}
  for i, item in ipairs(self.items) do pictures[i] = self.dataset:picture(item) end
  local embeds, problems, _, done = self.model:encode_image(pictures, {
    alpha = self.dataset.alpha, progress = "pictures", partial = true })
  self.embeds, self.faults = embeds, problems or {}
  if done then -- interrupted: what is done is kept, see program.salvage
    self.done = done
    session.current = self
    core.interrupt()
  end
end

-- ---- scores ----

-- The message without the place where the dataset lies, which differs between machines.
local function tell_problem(self, item, fault)
  local path = item.path and item.path:gsub("%c", "?") -- as core writes it
  if path and fault:sub(1, #path) == path then fault = item.id .. fault:sub(#path + 1) end
  return util.utf8(fault)
end

-- Drops what was not reached before an interruption.
local function keep_done(self)
  local rows, items, faults = {}, {}, {}
  for i, item in ipairs(self.items) do
    if self.done[i] then
      rows[#rows + 1] = i
      items[#rows] = item
      faults[#rows] = self.faults[i]
    end
  end
  self.items, self.faults, self.embeds = items, faults, self.embeds:select(rows)
end

-- More than one in a hundred: a wrong path rather than a broken file.
local function warn_of_problems(self)
  local bad = #self.problems
  if bad * 100 <= #self.items then return end
  util.warn("dataset %s: %d of %s cannot be read (%s)", self.about.dataset.name, bad,
            util.count(#self.items, "picture"), self.problems[1].problem)
end

local function score(self)
  local n = #self.items
  self.targets, self.ranks, self.predicted, self.scores, self.tied = {}, {}, {}, {}, {}
  self.problems, self.ties = {}, 0
  for i, item in ipairs(self.items) do self.targets[i] = item.label end
  for first = 1, n, BLOCK do
    local last = math.min(first + BLOCK - 1, n)
    local scores = self.embeds:slice(first, last):normalize():similarity(self.classifier)
    local ranks, best, value, tied = scores:ranks(table.move(self.targets, first, last, 1, {}))
    table.move(ranks, 1, #ranks, first, self.ranks)
    table.move(best, 1, #best, first, self.predicted)
    table.move(value, 1, #value, first, self.scores)
    table.move(tied, 1, #tied, first, self.tied)
  end
  for i, item in ipairs(self.items) do
    if self.faults[i] then
      self.ranks[i], self.predicted[i], self.scores[i], self.tied[i] = false, false, false, false
      self.problems[#self.problems + 1] = { id = item.id,
                                            problem = tell_problem(self, item, self.faults[i]) }
    elseif self.tied[i] then
      self.ties = self.ties + 1
    end
  end
  warn_of_problems(self)
  self.n, self.embeds, self.faults, self.classifier = n, nil, nil, nil
  return self
end

-- ---- figures ----

local function accuracy(self, k)
  local hits = 0
  for _, rank in ipairs(self.ranks) do
    if rank and rank <= k then hits = hits + 1 end
  end
  local low, high = core.wilson(hits, self.n)
  return core.accuracy_at(self.ranks, k), low, high, k / #self.classes
end

local function mean_recall(self)
  local _, _, value = core.class_recall(self.ranks, self.targets, #self.classes)
  local low, high = core.bootstrap_mean_recall(self.ranks, self.targets, #self.classes,
                                               RESAMPLES, self.seed)
  return value, low, high, 1 / #self.classes
end

local function class_figures(self)
  local hits, counts = core.class_recall(self.ranks, self.targets, #self.classes)
  local figures = {}
  for i, name in ipairs(self.classes) do
    figures[i] = { class = name, n = counts[i], hits = hits[i] }
    if counts[i] > 0 then
      figures[i].recall = hits[i] / counts[i]
      figures[i].ci_low, figures[i].ci_high = core.wilson(hits[i], counts[i])
    end
  end
  return figures
end

local function measure(self)
  self.metrics = {}
  for i, name in ipairs(self.metric_names) do
    local k = rank_bound(name)
    local value, low, high, chance
    if k then
      value, low, high, chance = accuracy(self, k)
    else
      value, low, high, chance = mean_recall(self)
    end
    self.metrics[i] = { metric = name, value = value, ci_low = low, ci_high = high,
                        chance = chance, n = self.n }
    self[name] = value
  end
  self.class_figures = class_figures(self)
  return setmetatable(self, Result)
end

-- ---- the result ----

-- result.predictions is made when it is asked for: {id, target, prediction, rank, score, tied}
function Result:__index(key)
  if key ~= "predictions" then return Result[key] end
  local list = {}
  for i, item in ipairs(self.items) do
    list[i] = { id = item.id, target = self.classes[self.targets[i]],
                prediction = self.predicted[i] and self.classes[self.predicted[i]] or nil,
                rank = self.ranks[i] or nil, score = self.scores[i] or nil,
                tied = self.tied[i] }
  end
  rawset(self, key, list)
  return list
end

local function percent(x) return ("%.2f"):format(100 * x) end

function Result:__tostring()
  local about = self.about
  local lines = {
    ("%s (%s): %s, %s; model %s, prompts %s (%d)"):format(about.dataset.name,
      about.dataset.split, util.count(self.n, "picture"),
      util.count(#self.classes, "class", "classes"), about.model.name, about.prompts.name,
      #about.prompts.templates),
    ("  %-24s %8s %17s %9s %8s"):format("metric", "value", "95 % interval", "chance", "n"),
  }
  for _, m in ipairs(self.metrics) do
    lines[#lines + 1] = ("  %-24s %6s %% %7s - %5s %% %7s %% %8d"):format(m.metric,
      percent(m.value), percent(m.ci_low), percent(m.ci_high), percent(m.chance), m.n)
  end
  lines[#lines + 1] = ("  %s, %s of %d cut, %s unreadable%s"):format(
    util.count(self.ties, "tie"), util.count(self.truncated_texts, "text"), self.texts,
    util.count(#self.problems, "picture"), #self.problems > 0 and " (counted as misses)" or "")
  return table.concat(lines, "\n")
end

local function zeroshot(spec)
  local self = prepare(spec)
  self.classifier = classifier(self)
  encode_pictures(self)
  local result = measure(score(self))
  session.finished[#session.finished + 1] = result
  return result
end

-- The evaluation that an interruption cut short, with what was reached.
local function finish_partial(self)
  keep_done(self)
  return score(self)
end

return { zeroshot = zeroshot, finish_partial = finish_partial,
         is_result = function(value) return getmetatable(value) == Result end }
