-- The metrics of one evaluation in one or several runs: values, intervals, and dots.
local figures = require "clipeval.page.figures"
local h = require "clipeval.page.markup"
local plots = require "clipeval.page.plots"
local tables = require "clipeval.page.tables"

local metrics = {}

-- The names in the order in which they first appear.
local function names_of(entries)
  local names, seen = {}, {}
  for _, entry in ipairs(entries) do
    for _, m in ipairs(entry.evaluation.metrics) do
      if not seen[m.metric] and not figures.is_count(m.metric) then
        names[#names + 1] = m.metric
      end
      seen[m.metric] = true
    end
  end
  return names
end

-- The sign and the name of a run.
function metrics.run_name(entry)
  return h.span { class = "run", plots.sign(entry.shape, entry.class), figures.name(entry.label) }
end

local function row(m, entry, axis, several)
  local share = figures.is_share(m.metric)
  local shown = figures.show(m.metric, m.value)
  local label = ("%s%s: %s%s"):format(several and entry.label .. ", " or "", m.metric, shown,
    m.ci_low and ", 95 % interval " .. figures.range(m.metric, m.ci_low, m.ci_high) or "")
  local cells = {
    m.metric,
    figures.data(shown, m.value),
    m.ci_low and h.all(figures.data(figures.show(m.metric, m.ci_low, true), m.ci_low), " – ",
                       figures.data(figures.show(m.metric, m.ci_high), m.ci_high)) or "",
    share and m.value and m.value == m.value and plots.interval(axis, {
      value = m.value, low = m.ci_low, high = m.ci_high, shape = entry.shape,
      class = entry.class, label = label }) or "",
    figures.data(("%d"):format(m.n or 0), m.n),
  }
  if several then table.insert(cells, 2, metrics.run_name(entry)) end
  return cells
end

-- The line under the table: what was counted beside the metrics.
local function counts(entries)
  local lines = {}
  for _, entry in ipairs(entries) do
    local parts = {}
    for _, name in ipairs { "ties", "truncated_texts", "unreadable" } do
      local m = entry.evaluation:metric(name)
      if m and m.value and m.value == m.value then
        local value = figures.data(("%d"):format(m.value // 1), m.value)
        parts[#parts + 1] = h.all(#parts > 0 and ", " or "",
          name == "ties" and { value, m.value == 1 and " tie" or " ties" } or
          name == "truncated_texts" and { value, (" of %d texts cut"):format(m.n or 0) } or
          { value, " unreadable", m.value > 0 and " (counted as misses)" or "" })
      end
    end
    if #parts > 0 then
      lines[#lines + 1] = h.p { class = "remark", #entries > 1 and
                                { metrics.run_name(entry), ": " }, parts }
    end
  end
  return lines
end

-- entries: list of {evaluation, label, shape, class}
function metrics.section(entries)
  local several = #entries > 1
  local axis = plots.axis({}, { from = 0, to = 1, count = 4 })
  local rows = {}
  for _, name in ipairs(names_of(entries)) do
    local first = true
    for _, entry in ipairs(entries) do
      local m = entry.evaluation:metric(name)
      if m then
        rows[#rows + 1] = row(m, entry, axis, several)
        rows[#rows].class = not first and "follows" or nil
        first = false
      end
    end
  end
  if #rows == 0 then return h.p { class = "remark", "No metrics: the run did not finish." } end
  local columns = { { "metric", "name" }, { "value", "number" },
                    { "95 % interval", "number interval" },
                    { plots.scale(axis, function(x) return ("%d"):format(100 * x // 1) end),
                      "plot" },
                    { "n", "number few", "n" } }
  if several then table.insert(columns, 2, { "run", "run" }) end
  return h.all(h.h3 "Metrics",
               tables.make(columns, rows, { plotted = true, class = "metrics",
                                            label = "Metrics" }),
               h.div { class = "counts", counts(entries) })
end

return metrics
