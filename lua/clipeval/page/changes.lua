-- One run beside the first: what changed, by how much, and on which items.
local answers = require "clipeval.page.answers"
local figures = require "clipeval.page.figures"
local h = require "clipeval.page.markup"
local plots = require "clipeval.page.plots"
local tables = require "clipeval.page.tables"

local changes = {}

local CLASSES = 10 -- that are shown at each end
local CARDS = 24   -- pictures each way

-- ---- metrics ----

local function direction(metric, difference)
  if not difference or difference == 0 then return "same" end
  return (difference > 0) == not metric.lower_is_better and "better" or "worse"
end

local WORDS = { better = "▲ ", worse = "▼ ", same = "" }

local function metric_row(m, axis)
  local way = direction(m, m.difference)
  local interval = figures.difference_range(m.metric, m.low, m.high)
  local shown = figures.difference(m.metric, m.difference)
  return {
    m.metric, figures.data(figures.show(m.metric, m.base), m.base),
    figures.data(figures.show(m.metric, m.new), m.new),
    h.span { class = way, WORDS[way], figures.data(shown, m.difference) },
    interval,
    figures.is_share(m.metric) and plots.interval(axis, {
      value = m.difference, low = m.low, high = m.high, class = way,
      shape = way == "worse" and "diamond" or "dot",
      label = ("%s: %s%s"):format(m.metric, shown, interval ~= "" and
        ", 95 % interval " .. interval or "") }) or "",
    figures.p(m.p), figures.p(m.adjusted), ("%d"):format(m.n or 0),
  }
end

local function tick(x)
  return math.abs(x) < 1e-12 and "0" or (figures.difference("", x, true):gsub("%.?0+$", ""))
end

local function metric_table(list)
  local values, rows = {}, {}
  for _, m in ipairs(list) do
    if figures.is_share(m.metric) then
      for _, v in ipairs { m.difference or 0, m.low or 0, m.high or 0 } do values[#values + 1] = v end
    end
  end
  local axis = plots.axis(values, { zero = true, count = 4 })
  for i, m in ipairs(list) do rows[i] = metric_row(m, axis) end
  return tables.make({ { "metric", "name" }, { "base", "number", "base" }, { "new", "number", "new" },
                       { "difference", "number" }, { "95 % interval", "number interval" },
                       { plots.scale(axis, tick), "plot" },
                       { "p", "number", "p" }, { "p, adjusted", "number", "adjusted" }, { "n", "number few", "n" } },
                     rows, { plotted = true, label = "Differences" })
end

-- ---- classes ----

local function class_bars(list, label)
  local axis = plots.axis({}, { from = 0, to = 1, count = 4 })
  local rows = {}
  for i, c in ipairs(list) do
    local way = c.difference < 0 and "worse" or c.difference > 0 and "better" or "same"
    local shown = figures.difference("", c.difference)
    rows[i] = {
      figures.name(c.class), h.span { class = way, WORDS[way], figures.data(shown, c.difference) },
      plots.change(axis, { base = c.base, new = c.new,
        label = ("%s: from %.1f %% to %.1f %%"):format(c.class, 100 * c.base, 100 * c.new) }),
      figures.p(c.adjusted), ("%d"):format(c.n or 0),
    }
  end
  return tables.make({ { "class", "name" }, { "difference", "number" },
                       { plots.scale(axis, function(x) return ("%d"):format(100 * x // 1) end),
                         "plot" }, { "p, adjusted", "number", "adjusted" }, { "n", "number few", "n" } },
                     rows, { plotted = true, label = label })
end

local function class_section(list)
  if #list == 0 then return nil end
  table.sort(list, function(a, b)
    if a.difference ~= b.difference then return a.difference < b.difference end
    return a.class < b.class
  end)
  if #list <= 2 * CLASSES then
    return h.all(h.h4 "By class", h.p { class = "remark", "Recall, from the ring to the dot. What "
                 .. "fell furthest comes first." }, class_bars(list, "Change by class"))
  end
  local rose = {}
  for i = 1, CLASSES do rose[i] = list[#list + 1 - i] end
  return h.all(
    h.h4 "By class",
    h.p { class = "remark", "Recall, from the ring to the dot." },
    h.div { class = "columns",
      h.div { h.h4(("Furthest down, of %d"):format(#list)),
              class_bars(table.move(list, 1, CLASSES, 1, {}), "Classes that fell") },
      h.div { h.h4 "Furthest up", class_bars(rose, "Classes that rose") } })
end

-- ---- items that flipped ----

local function frame(pictures, room)
  local frames = {}
  for i, p in ipairs(pictures) do
    if room:take(#p.uri) then
      frames[i] = h.div { class = "frame", h.img { src = p.uri, alt = "",
                          class = p.tiny and "tiny" or nil } }
    else
      frames[i] = h.div { class = "frame", "left out" }
    end
  end
  return #frames > 0 and h.div { class = "frames", frames } or false
end

local function line(term, text)
  return text and h.all(h.dt(term), h.dd(figures.name(text))) or nil
end

local function card(flip, pictures, room)
  local shown = pictures and pictures:of(flip.id) or {}
  return h.li {
    class = "card", frame(shown, room),
    h.dl { line("asked", flip.asked), line("is", flip.wanted),
           h.dt "base", h.dd { class = flip.way == "worse" and "better" or "worse",
             flip.way == "worse" and "✓ " or "✗ ", figures.name(flip.base or "no answer") },
           h.dt "new", h.dd { class = flip.way, flip.way == "worse" and "✗ " or "✓ ",
             figures.name(flip.new or "no answer") } },
    h.p { class = "id", figures.path(flip.id) },
  }
end

local function flip_list(list, title, pictures, room)
  if #list == 0 then return h.all(h.h4(title .. ": none")) end
  local cards, shown = {}, math.min(CARDS, #list)
  for i = 1, shown do -- evenly from all: the first would be of the first classes
    cards[i] = card(list[(i - 1) * #list // shown + 1], pictures, room)
  end
  local left = #list - #cards
  return h.all(
    h.h4(("%s: %d"):format(title, #list)), h.ul { class = "cards", cards },
    left > 0 and h.p { class = "more", ("%d more are not shown; clipeval compare --format csv "
                                        .. "lists all."):format(left) } or false)
end

local function flip_section(comparison, pictures, room)
  local worse, better = comparison.flipped.worse, comparison.flipped.better
  if #worse + #better == 0 then
    return h.all(h.h4 "Items that flipped", h.p { class = "remark", "None." })
  end
  local lists = h.all(flip_list(worse, "Right to wrong", pictures, room),
                      flip_list(better, "Wrong to right", pictures, room))
  local told = pictures and pictures.missing > 0 and h.p {
    class = "remark warning",
    pictures.found == 0 and ("The pictures are not shown: %s"):format(pictures:where()) or
    ("%d of %d pictures are not shown: %s"):format(pictures.missing,
      pictures.missing + pictures.found, pictures:where()) } or false
  return h.all(told, lists)
end

-- ---- all ----

-- comparison: see clipeval.page.versus
function changes.section(comparison, pictures, room)
  if comparison.refused then
    return h.p { class = "remark warning", "Not compared: " .. comparison.refused }
  end
  local remarks = {}
  for i, text in ipairs(comparison.remarks or {}) do remarks[i] = h.p { class = "remark", text } end
  return h.all(metric_table(comparison.metrics), remarks, class_section(comparison.classes or {}),
               flip_section(comparison, pictures, room))
end

changes.CARDS = CARDS
return changes
