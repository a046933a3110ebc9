-- clipeval report RUN... -o FILE.html: one page that needs nothing else.
local changes = require "clipeval.page.changes"
local classes = require "clipeval.page.classes"
local confusion = require "clipeval.page.confusion"
local comparison = require "clipeval.comparison"
local document = require "clipeval.page.document"
local figures = require "clipeval.page.figures"
local h = require "clipeval.page.markup"
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

-- ---- which evaluations belong together ----

local function key_of(evaluation)
  local data = evaluation.dataset
  return table.concat({ evaluation.task, data.name or "", data.split or "",
                        evaluation.prompts.name or "" }, "\0")
end

local function add_group(groups, entry)
  groups[#groups + 1] = { key = key_of(entry.evaluation), entry }
end

-- The n-th group of this key that has no entry of this run yet, or nil.
local function find_group(groups, evaluation, number)
  local key = key_of(evaluation)
  for _, entries in ipairs(groups) do
    if entries.key == key and entries[#entries].number ~= number then return entries end
  end
end

-- Adds the evaluations of a run to the groups: beside those of the first run that they are
-- compared with, beside their equals among the others, or as their own.
local function add_run(groups, base, run, number)
  local ok, compared = pcall(comparison.of, base, run, {})
  local refused = not ok and tostring(compared):gsub(" %(%-%-force .*%)$", "") or nil
  local partner = {}
  for _, pair in ipairs(ok and compared.evaluations or {}) do partner[pair.new] = pair end
  for _, evaluation in ipairs(run.evaluations) do
    local entry, pair = { run = run, number = number, evaluation = evaluation },
                        partner[evaluation]
    local entries
    for _, group in ipairs(pair and groups or {}) do
      if group[1].evaluation == pair.base then entries = group end
    end
    entries = entries or find_group(groups, evaluation, number)
    if not entries then
      add_group(groups, entry)
    else
      entry.compared = pair
      entry.refused = refused
      entries[#entries + 1] = entry
    end
  end
  return refused
end

-- Groups in the order of the first run: lists of {run, number, evaluation, compared, refused}; and
-- why runs could not be compared with the first.
local function group(loaded)
  local groups, refusals = {}, {}
  for _, evaluation in ipairs(loaded[1].evaluations) do
    add_group(groups, { run = loaded[1], number = 1, evaluation = evaluation })
  end
  for i = 2, #loaded do refusals[#refusals + 1] = add_run(groups, loaded[1], loaded[i], i) end
  return groups, refusals
end

-- ---- names ----

local function all_differ(list)
  local seen = {}
  for _, name in ipairs(list) do
    if name == "" or seen[name] then return false end
    seen[name] = true
  end
  return true
end

local function model_of(run)
  local name
  for _, evaluation in ipairs(run.evaluations) do
    local own = evaluation.model.name or ""
    if name and name ~= own then return "" end
    name = own
  end
  return name or ""
end

-- What tells the runs apart: their models, else their directories' names, else their paths.
local function labels_of(loaded)
  local kinds = { {}, {}, {} }
  for i, run in ipairs(loaded) do
    kinds[1][i], kinds[2][i], kinds[3][i] = model_of(run), run.name, run.path
  end
  for _, list in ipairs(kinds) do
    if all_differ(list) then return list end
  end
  for i, path in ipairs(kinds[3]) do kinds[3][i] = ("%s (%d)"):format(path, i) end
  return kinds[3]
end

-- ---- the head ----

local function short_hash(hash)
  return hash and hash ~= "" and h.span { class = "hash", title = hash, hash:sub(1, 12) } or ""
end

-- What all evaluations of a run say, or how many things they say.
local function common(run, get)
  local seen, list = {}, {}
  for _, evaluation in ipairs(run.evaluations) do
    local value = get(evaluation)
    if value and value ~= "" and not seen[value] then
      seen[value], list[#list + 1] = true, value
    end
  end
  return list
end

local function joined(list, most)
  local shown = table.move(list, 1, math.min(most, #list), 1, {})
  return table.concat(shown, ", ") .. (#list > most and (" and %d more"):format(#list - most) or "")
end

local FACTS = {
  { "model", function(run) return joined(common(run, function(e) return e.model.name end), 3) end },
  { "weights", function(run)
      return common(run, function(e) return e.model.sha256 end)[1] or ""
    end, short_hash },
  { "architecture", function(run)
      return common(run, function(e) return e.model.vision end)[1] or ""
    end },
  { "precision", function(run) return joined(common(run, function(e) return e.precision end), 3) end },
  { "data", function(run)
      return joined(common(run, function(e)
        local d = e.dataset
        return d.name .. (d.split and d.split ~= "" and d.split ~= "all" and
                          " (" .. d.split .. ")" or "")
      end), 4)
    end },
  { "prompts", function(run)
      return joined(common(run, function(e) return e.prompts and e.prompts.name end), 3)
    end },
  { "started", function(run) return run.started and run.started:gsub("T", " "):gsub("Z$", " UTC") or "" end },
  { "clipeval", function(run) return run.clipeval or "" end },
  { "run", function(run) return run.name .. (run.interrupted and " (interrupted)" or "") end },
}

local function facts(loaded, labels)
  local rows = {}
  for _, fact in ipairs(FACTS) do
    local row, first, differs, any = { fact[1] }, nil, false, false
    for i, run in ipairs(loaded) do
      local text = fact[2](run)
      differs = differs or i > 1 and text ~= first
      first, any = first or text, any or text ~= ""
      row[i + 1] = fact[3] and fact[3](text) or figures.name(text)
    end
    row.class = differs and "differs" or nil
    if any then rows[#rows + 1] = row end
  end
  local heads
  if #loaded > 1 then
    heads = {}
    for i, label in ipairs(labels) do
      local shape, class = plots.series(i, #loaded)
      heads[i] = metrics.run_name { label = label, shape = shape, class = class }
    end
  end
  return tables.facts(rows, heads)
end

-- ---- one evaluation ----

local NOUNS = { vqa = "questions", compositional = "items" }

local function title_of(evaluation)
  local data = evaluation.dataset
  return data.name .. (data.split and data.split ~= "" and data.split ~= "all" and
                       " (" .. data.split .. ")" or "")
end

local function subtitle(evaluation)
  local data, prompts = evaluation.dataset, evaluation.prompts or {}
  local n = evaluation.metrics[1] and evaluation.metrics[1].n
  local parts = { evaluation.task,
                  n and ("%d %s"):format(n, NOUNS[evaluation.task] or "pictures") or nil }
  if data.classes and #data.classes > 0 then
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
                     #list > shown and h.p { class = "more", ("and %d more"):format(#list - shown) } }
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
    #rows > #lines and h.p { class = "more", ("%d more are in problems.csv."):format(#rows - #lines) })
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
    if m and m.value and m.value - m.value == 0 and entry.run.started and
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
  local parts = { h.h2 { id = id, figures.name(title_of(first.evaluation)) },
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

local function lead_single(run)
  local sentences = {}
  for i, evaluation in ipairs(run.evaluations) do
    local m = evaluation.metrics[1]
    if i <= 3 and m then
      sentences[#sentences + 1] = ("%s: %s %s%s."):format(
        title_of(evaluation), m.metric, figures.show(m.metric, m.value), m.ci_low and
        (" (95 %% interval %s)"):format(figures.range(m.metric, m.ci_low, m.ci_high)) or "")
    end
  end
  if #run.evaluations > 3 then
    sentences[#sentences + 1] = ("%d evaluations more."):format(#run.evaluations - 3)
  end
  return table.concat(sentences, " ")
end

-- "fell by 1.20 points (95 % interval ..., p = ...)"
local function in_words(m)
  if m.difference == 0 then return ("%s did not change."):format(m.metric) end
  local size = figures.is_share(m.metric) and ("%.2f points"):format(100 * math.abs(m.difference)) or
               figures.show(m.metric, math.abs(m.difference))
  local interval = figures.difference_range(m.metric, m.low, m.high)
  local p = figures.p(m.p)
  local more = {}
  if interval ~= "" then more[1] = "95 % interval " .. interval end
  if p ~= "" then more[#more + 1] = "p\u{A0}" .. (p:find("^<") and p:gsub(" ", "\u{A0}") or "=\u{A0}" .. p) end
  return ("%s %s by %s%s."):format(m.metric, m.difference < 0 and "fell" or "rose", size,
    #more > 0 and " (" .. table.concat(more, ", ") .. ")" or "")
end

local function lead_several(groups)
  for _, entries in ipairs(groups) do
    local pair = entries[2] and entries[2].compared
    local m = pair and pair.metrics[1]
    if m and m.difference then
      return ("%s: %s %s"):format(title_of(entries[1].evaluation), in_words(m), pair.lost[1] ==
        nil and pair.won[1] == nil and "" or ("%s went from right to wrong, %d from wrong to right."):
        format(util.count(#pair.lost, "item"), #pair.won))
    end
  end
  return "Nothing in these runs could be compared with the first."
end

local function contents(groups)
  if #groups < 2 then return nil end
  local items = {}
  for i, entries in ipairs(groups) do
    local m = entries[1].evaluation.metrics[1]
    items[i] = h.li { h.a { href = "#e" .. i, figures.name(title_of(entries[1].evaluation)) },
                      m and h.span { class = "dim", (" %s %s"):format(m.metric,
                                     figures.show(m.metric, m.value)) } }
  end
  return h.nav { aria_label = "Contents", h.ul(items) }
end

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
  local labels = labels_of(loaded)
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
  local title = #loaded == 1 and (model_of(loaded[1]) ~= "" and model_of(loaded[1]) or loaded[1].name) or
                #loaded == 2 and labels[2] .. " beside " .. labels[1] or
                ("%d runs beside %s"):format(#loaded - 1, labels[1])
  local sections = {}
  for i, entries in ipairs(groups) do
    sections[i] = evaluation_section(entries, page, "e" .. i)
  end
  local body = h.all(
    h.header { h.p { class = "eyebrow", "clipeval report" }, h.h1(figures.name(title)),
               h.p { class = "lead", #loaded == 1 and lead_single(loaded[1]) or lead_several(groups) },
               refusals, facts(loaded, labels), contents(groups) }, "\n",
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
