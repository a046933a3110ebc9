-- A page of past runs: each dataset's metric over them, oldest first.
local document = require "clipeval.page.document"
local figures = require "clipeval.page.figures"
local h = require "clipeval.page.markup"
local plots = require "clipeval.page.plots"
local tables = require "clipeval.page.tables"
local util = require "clipeval.util"

local history = {}

local MOST = 200   -- points of a plot, and rows of a table: the latest
local BROKEN = 100 -- runs that cannot be read, and are listed

function history.when(text) return (text:gsub("T", " "):gsub(":%d+Z$", " UTC")) end

-- What is comparable: the same task on the same data with the same words, the same metric.
local function group(entries)
  local groups, at = {}, {}
  for _, entry in ipairs(entries) do
    local e, m = entry.evaluation, entry.metric
    if m and m.value and m.value == m.value and math.abs(m.value) < math.huge then
      local key = table.concat({ e.task, e.dataset.name, e.dataset.split, e.prompts.name or "",
                                 m.metric }, "\0")
      if not at[key] then
        at[key] = {}
        groups[#groups + 1] = at[key]
      end
      table.insert(at[key], entry)
    end
  end
  return groups
end

-- The plot of a list of {evaluation, metric, when}, oldest first.
function history.plot(list)
  local points, name = {}, list[1].metric.metric
  for i, entry in ipairs(list) do
    local m = entry.metric
    points[i] = {
      value = m.value, low = m.ci_low, high = m.ci_high,
      name = entry.label or entry.evaluation.model.name,
      label = ("%s, %s: %s %s%s"):format(entry.evaluation.model.name, history.when(entry.when),
        name, figures.show(name, m.value), m.ci_low and " (95 % interval " ..
        figures.range(name, m.ci_low, m.ci_high) .. ")" or "") }
  end
  local share = figures.is_share(name)
  local function show(x)
    return share and ("%.4g"):format(100 * x) .. " %" or ("%.4g"):format(x)
  end
  return h.div { class = "scroll", tabindex = "0", role = "region",
                 aria_label = name .. " over " .. util.count(#list, "run"),
                 plots.versions(points, show, ("%s of %s, oldest first"):format(name,
                                              util.count(#list, "run"))) }
end

local function table_of(list)
  local rows = {}
  for i = #list, 1, -1 do
    local e, m = list[i].evaluation, list[i].metric
    rows[#rows + 1] = {
      figures.name(e.model.name), history.when(list[i].when), e.precision,
      figures.data(figures.show(m.metric, m.value), m.value),
      m.ci_low and h.all(figures.data(figures.show(m.metric, m.ci_low, true), m.ci_low), " – ",
                         figures.data(figures.show(m.metric, m.ci_high), m.ci_high)) or "",
      ("%d"):format(m.n), figures.path(list[i].path) }
  end
  return tables.make({ { "model", "name" }, { "started", "run" }, { "precision", "run" },
                       { list[1].metric.metric, "number" }, { "95 % interval", "number" },
                       { "n", "number" }, { "run", "text" } }, rows, { label = "Runs" })
end

local function section(list, id)
  local first = list[1].evaluation
  local split = first.dataset.split
  local left = #list - MOST
  local shown = left > 0 and table.move(list, left + 1, #list, 1, {}) or list
  return h.section {
    class = "evaluation", aria_labelledby = id,
    h.h2 { id = id, figures.name(first.dataset.name .. (split ~= "" and split ~= "all" and
                                 " (" .. split .. ")" or "")) },
    h.p { class = "remark", ("%s · %s · %s%s"):format(first.task, list[1].metric.metric,
          util.count(#list, "run"),
          first.prompts.name and " · prompts " .. first.prompts.name or "") },
    history.plot(shown), table_of(shown),
    left > 0 and h.p { class = "more", ("%s before these are not shown."):format(
                                       util.count(left, "run")) },
  }
end

local function problems(broken)
  if #broken == 0 then return nil end
  local rows = {}
  for i = 1, math.min(BROKEN, #broken) do
    rows[i] = { figures.path(broken[i].path), broken[i].problem }
  end
  return h.section { class = "evaluation", h.h2 "Runs that cannot be read",
    tables.make({ { "run", "name" }, { "why", "text" } }, rows, { label = "Broken runs" }),
    #broken > BROKEN and h.p { class = "more", ("%d more"):format(#broken - BROKEN) } }
end

function history.write(path, directory, entries, broken)
  local groups, sections = group(entries), {}
  local seen, count = {}, 0
  for _, entry in ipairs(entries) do
    if not seen[entry.run] then seen[entry.run], count = true, count + 1 end
  end
  for i, list in ipairs(groups) do sections[i] = section(list, "e" .. i) end
  local first, last = entries[1], entries[#entries]
  local title = "History of " .. util.basename(directory)
  util.write(path, document.make(title, h.all(
    h.header { h.p { class = "eyebrow", "clipeval history" }, h.h1(figures.name(title)),
               h.p { class = "lead", util.count(count, "run"),
                     first and first.when ~= "" and (", from %s to %s"):format(
                       history.when(first.when), history.when(last.when)) or "", "." } },
    "\n", h.main { sections, problems(broken) }, "\n", document.footer())))
end

return history
