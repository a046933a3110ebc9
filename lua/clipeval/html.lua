-- clipeval report RUN... -o FILE.html: one page that needs nothing else.
local changes = require "clipeval.page.changes"
local classes = require "clipeval.page.classes"
local confusion = require "clipeval.page.confusion"
local document = require "clipeval.page.document"
local figures = require "clipeval.page.figures"
local group = require "clipeval.page.groups"
local h = require "clipeval.page.markup"
local head = require "clipeval.page.head"
local history = require "clipeval.page.history"
local metrics = require "clipeval.page.metrics"
local pictures_of = require "clipeval.page.pictures"
local plots = require "clipeval.page.plots"
local reliability = require "clipeval.page.reliability"
local room = require "clipeval.page.room"
local runs = require "clipeval.runs"
local tables = require "clipeval.page.tables"
local util = require "clipeval.util"

local PROBLEMS = 20 -- that are shown
local DIAGRAMS = 4  -- beside each other

-- ---- one evaluation ----

local NOUNS = { vqa = "questions", compositional = "items" }

local function subtitle(evaluation)
  local data, prompts = evaluation.dataset, evaluation.prompts or {}
  local n = evaluation.metrics[1] and evaluation.metrics[1].n
  local parts = { evaluation.task,
                  n and ("%d %s"):format(n, NOUNS[evaluation.task] or "pictures") or nil }
  if type(data.classes) == "table" and #data.classes > 0 then
    parts[#parts + 1] = util.count(#data.classes, "class", "classes")
  end
  if data.version and data.version ~= "" then parts[#parts + 1] = "version " .. data.version end
  if prompts.name and prompts.name ~= "" then parts[#parts + 1] = "prompts " .. prompts.name end
  return h.p { class = "remark", table.concat(parts, " · ") }
end

local function templates(evaluation)
  local list = evaluation.prompts and evaluation.prompts.templates
  if type(list) ~= "table" or #list == 0 then return nil end
  local items, shown = {}, math.min(#list, 200)
  for i = 1, shown do
    if type(list[i]) == "string" then items[#items + 1] = h.li(h.code(list[i])) end
  end
  return h.details { h.summary(("The prompts: %s"):format(util.count(#list, "template"))),
                     h.ul(items),
                     #list > shown and h.p { class = "more",
                                             ("and %d more"):format(#list - shown) } }
end

local function problems(evaluation)
  local rows = evaluation:problem_rows()
  if #rows == 0 then return nil end
  local lines = {}
  for i = 1, math.min(PROBLEMS, #rows) do
    lines[i] = { figures.name(rows[i].id), figures.name(rows[i].problem) }
  end
  return h.all(
    h.h3 "Problems",
    h.p { class = "remark", util.count(#rows, "picture") .. " could not be read." },
    tables.make({ { "item", "name" }, { "what is wrong", "text" } }, lines, { label = "Problems" }),
    #rows > #lines and h.p { class = "more",
                             ("%d more are in problems.csv."):format(#rows - #lines) })
end

local HAVE_CLASSES = util.set { "zeroshot", "linear_probe", "ablate" } -- as target and prediction

-- What a run's own files tell: classes, confusion, problems.
local function own(entry, page)
  local evaluation = entry.evaluation
  return h.all(classes.section(evaluation, page.room),
               HAVE_CLASSES[evaluation.task] and confusion(evaluation) or false,
               problems(evaluation), templates(evaluation))
end

local function reliabilities(entries)
  local diagrams, left = {}, 0
  for _, entry in ipairs(entries) do
    local diagram = reliability(entry.evaluation, #entries > 1 and metrics.run_name(entry))
    if diagram and #diagrams < DIAGRAMS then
      diagrams[#diagrams + 1] = diagram
    elseif diagram then
      left = left + 1
    end
  end
  if #diagrams == 0 then return h.all() end
  return h.all(
    h.h3 "Reliability",
    h.p { class = "remark", "How often answers of each confidence are right. On the dashed line "
          .. "they are as often right as the model believes; below it the model is too sure. "
          .. "Orange is the gap." },
    h.div { class = "columns", diagrams },
    left > 0 and h.p { class = "more", ("The diagrams of %s are not shown."):format(
                                        util.count(left, "more run")) })
end

local function beside(base, entry, page)
  local head = h.h3 { metrics.run_name(entry), " beside ", metrics.run_name(base) }
  if not entry.compared then
    local why = entry.refused or "the first of these runs has no such evaluation"
    return h.all(head, h.p { class = "remark warning", "Not compared: ", why, "." })
  end
  local pictures = page.pictures(entry.evaluation, base.evaluation)
  return h.all(head, changes(entry.compared, pictures, page.room))
end

-- The first metric over three runs or more, by when they were started.
local function over_time(entries)
  local list = {}
  for _, entry in ipairs(entries) do
    local m = entry.evaluation.metrics[1]
    if m and m.value and m.value - m.value == 0 and type(entry.run.started) == "string" and
       (not list[1] or m.metric == list[1].metric.metric) then
      list[#list + 1] = { evaluation = entry.evaluation, metric = m, when = entry.run.started,
                          label = entry.label, place = #list }
    end
  end
  if #list < 3 then return h.all() end
  table.sort(list, function(a, b)
    if a.when ~= b.when then return a.when < b.when end
    return a.place < b.place
  end)
  return h.all(h.h3 { list[1].metric.metric, " over versions" },
               h.p { class = "remark", "Oldest first." }, history.plot(list))
end

local function evaluation_section(entries, page, id)
  local first, space = entries[1], page.room
  local parts = { h.h2 { id = id, figures.name(head.title_of(first.evaluation)) },
                  subtitle(first.evaluation),
                  space:block("Metrics", function() return metrics.section(entries) end) }
  local function add(what, make) parts[#parts + 1] = space:block(what, make) end
  for i = 2, #entries do
    add(entries[i].label .. " beside " .. first.label, function()
      return beside(first, entries[i], page)
    end)
  end
  add("Over versions", function() return over_time(entries) end)
  add("Reliability", function() return reliabilities(entries) end)
  if #entries == 1 then
    add("Classes, confusion, problems", function() return own(first, page) end)
  else
    parts[#parts + 1] = h.h3 "Each run by itself"
    for _, entry in ipairs(entries) do
      add(entry.label, function()
        return h.details { h.summary { metrics.run_name(entry),
                                       ": classes, confusion, problems, prompts" },
                           own(entry, page) }
      end)
    end
  end
  return h.section { class = "evaluation", aria_labelledby = id, parts }
end

-- ---- all of it ----

-- The pictures of an evaluation: where the new run's dataset lies, else where the base's.
local function picture_finder(data)
  local open = {}
  return function(evaluation, base)
    local one = evaluation.dataset.root and evaluation or base
    local facts_key = table.concat({ one.dataset.name or "", one.dataset.root or "",
                                     one.dataset.split or "" }, "\0")
    open[facts_key] = open[facts_key] or pictures_of(one, data)
    open[facts_key].found, open[facts_key].missing = 0, 0
    return open[facts_key]
  end
end

local function build(loaded, data)
  local labels = head.labels(loaded)
  local groups, refusals = group(loaded)
  for i, why in ipairs(refusals) do
    refusals[i] = h.p { class = "remark warning", "Not compared: ", why, "." }
  end
  local page = { room = room.new(), pictures = picture_finder(data) }
  for _, entries in ipairs(groups) do
    for _, entry in ipairs(entries) do
      entry.label = labels[entry.number]
      entry.shape, entry.class = plots.series(entry.number, #loaded)
    end
  end
  local title = head.title(loaded, labels)
  local sections = {}
  for i, entries in ipairs(groups) do
    sections[i] = evaluation_section(entries, page, "e" .. i)
  end
  local body = h.all(
    h.header { h.p { class = "eyebrow", "clipeval report" }, h.h1(figures.name(title)),
               h.p { class = "lead", head.lead(loaded, groups) },
               refusals, head.facts(loaded, labels), head.contents(groups) }, "\n",
    h.main(sections), "\n",
    document.footer(page.room))
  return document.make(title, body)
end

return function(options)
  if not options.output then util.quit(2, "report: -o FILE.html is missing") end
  local loaded = {}
  for i = 0, #options do loaded[i + 1] = runs.load(options[i]) end
  util.write(options.output, build(loaded, options.data))
  return 0
end
