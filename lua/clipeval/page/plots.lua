-- Plots as SVG. Those of a row measure their widths in percent, so that they fill whatever
-- cell they stand in while lines and dots keep their size; the others have a size of their own.
-- Colours are the page's classes: it knows the light and the dark.
local h = require "clipeval.page.markup"

local plots = {}

local function round(x) return ("%.2f"):format(x):gsub("%.?0+$", "") end

-- A number as a share of the axis {from =, to =}, in percent.
local function place(axis, value)
  local share = (value - axis.from) / (axis.to - axis.from)
  return round(100 * math.max(0, math.min(1, share))) .. "%"
end

-- Round numbers that cut [low, high] into about `count` parts: steps of 1, 2 or 5.
local function steps(low, high, count)
  local raw = (high - low) / count
  local unit = 10 ^ math.floor(math.log(raw, 10))
  for _, factor in ipairs { 1, 2, 5, 10 } do
    if factor * unit >= raw * 0.999 then return factor * unit end
  end
end

-- An axis that holds these numbers: {from =, to =, ticks = {...}}. options: from, to: fixed
-- ends; zero: holds 0 as well; count: of ticks, about.
function plots.axis(values, options)
  options = options or {}
  local low, high = options.from or math.huge, options.to or -math.huge
  for _, value in ipairs(values) do
    if value == value and math.abs(value) < math.huge then
      if not options.from then low = math.min(low, value) end
      if not options.to then high = math.max(high, value) end
    end
  end
  if options.zero then low, high = math.min(low, 0), math.max(high, 0) end
  if low > high then low, high = 0, 1 end
  if low == high then low, high = low - 0.01, high + 0.01 end
  local step = steps(low, high, options.count or 4)
  local axis = { from = options.from or math.floor(low / step + 1e-9) * step,
                 to = options.to or math.ceil(high / step - 1e-9) * step, ticks = {} }
  for i = math.ceil(axis.from / step - 1e-9), math.floor(axis.to / step + 1e-9) do
    axis.ticks[#axis.ticks + 1] = i * step
  end
  return axis
end

-- ---- rows ----

local SHAPES = {
  ring = h.circle { class = "ring", r = 4.5 },
  dot = h.circle { r = 4.5 },
  diamond = h.path { d = "M0-6 6 0 0 6-6 0Z" },
  square = h.rect { x = -4.5, y = -4.5, width = 9, height = 9 },
  triangle = h.path { d = "M0-5.5 5.5 4.5-5.5 4.5Z" },
}
local SERIES = { "ring", "dot", "diamond", "square", "triangle" }

-- The shape and the class of the i-th run; the first is the base. They come again in the end.
function plots.series(i, count)
  if count == 1 then return "dot", "s1" end
  if i == 1 then return "ring", "s0" end
  local k = (i - 2) % 4
  return SERIES[k + 2], "s" .. k + 1
end

local function grid(axis)
  local lines = {}
  for i, tick in ipairs(axis.ticks) do
    local x = place(axis, tick)
    lines[i] = h.line { class = math.abs(tick) < 1e-12 and axis.from < 0 and "zero" or "grid",
                        x1 = x, x2 = x, y1 = 0, y2 = "100%" }
  end
  return lines
end

local function row(label, class, axis, content)
  return h.svg { class = "row " .. class, role = "img", aria_label = label, h.title(label),
                 grid(axis), content }
end

-- The key's sign of a run.
function plots.sign(shape, class)
  return h.svg { class = "sign " .. class, viewBox = "-8 -8 16 16", aria_hidden = "true",
                 SHAPES[shape] }
end

-- One value with its interval. mark: {value =, low =, high =, shape =, class =, label =}
function plots.interval(axis, mark)
  local x = place(axis, mark.value)
  return row(mark.label, mark.class or "s1", axis, {
    mark.low and h.line { class = "whisker", x1 = place(axis, mark.low),
                          x2 = place(axis, mark.high), y1 = "50%", y2 = "50%" },
    h.svg { class = "mark", x = x, y = "50%", SHAPES[mark.shape or "dot"] },
  })
end

-- A bar from the axis' beginning, with its interval.
function plots.bar(axis, mark)
  return row(mark.label, mark.class or "s1", axis, {
    h.rect { class = "bar", x = 0, y = "22%", width = place(axis, mark.value),
             height = "56%" },
    mark.low and h.line { class = "whisker over", x1 = place(axis, mark.low),
                          x2 = place(axis, mark.high), y1 = "50%", y2 = "50%" },
  })
end

-- From one value to another. mark: {base =, new =, class =, label =}
function plots.change(axis, mark)
  return row(mark.label, mark.class, axis, {
    h.line { class = "way", x1 = place(axis, mark.base), x2 = place(axis, mark.new), y1 = "50%",
             y2 = "50%" },
    h.svg { class = "mark s0", x = place(axis, mark.base), y = "50%", SHAPES.ring },
    h.svg { class = "mark", x = place(axis, mark.new), y = "50%", SHAPES.dot },
  })
end

-- The numbers under rows, for a table's head.
function plots.scale(axis, show)
  local labels = {}
  for i, tick in ipairs(axis.ticks) do
    local share = (tick - axis.from) / (axis.to - axis.from)
    labels[i] = h.text { x = place(axis, tick), y = 12, show(tick),
                         text_anchor = share < 0.04 and "start" or share > 0.96 and "end" or
                                       "middle" }
  end
  return h.svg { class = "scale", aria_hidden = "true", labels }
end

-- ---- reliability ----

local SIDE, LEFT, TOP = 300, 44, 8

-- Confidence against accuracy, and how many items each bin has. bins: 15 times {count,
-- accuracy, confidence}.
function plots.reliability(bins, label)
  local most, shapes = 1, {}
  for _, bin in ipairs(bins) do most = math.max(most, bin.count) end
  local width = SIDE / #bins
  for i, bin in ipairs(bins) do
    local x = LEFT + (i - 1) * width
    if bin.count > 0 then
      local y = TOP + SIDE * (1 - bin.accuracy)
      local cx = LEFT + SIDE * bin.confidence
      local told = ("confidence %.1f %%, right %.1f %%, %d items"):format(100 * bin.confidence,
                                                          100 * bin.accuracy, bin.count)
      shapes[#shapes + 1] = h.g {
        h.title(told),
        h.rect { class = "bin", x = round(x + 1), y = round(y), width = round(width - 2),
                 height = round(SIDE * bin.accuracy) },
        h.line { class = "gap", x1 = round(cx), x2 = round(cx), y1 = round(y),
                 y2 = round(TOP + SIDE * (1 - bin.confidence)) },
        h.circle { class = "point", cx = round(cx), cy = round(y), r = 3.5 },
        h.rect { class = "count", x = round(x + 1), width = round(width - 2),
                 y = round(TOP + SIDE + 84 - 48 * bin.count / most),
                 height = round(48 * bin.count / most) },
      }
    end
  end
  local frame = {}
  for i = 0, 4 do
    local x, y = LEFT + SIDE * i / 4, TOP + SIDE * (1 - i / 4)
    frame[#frame + 1] = {
      h.line { class = "grid", x1 = LEFT, x2 = LEFT + SIDE, y1 = y, y2 = y },
      h.text { x = LEFT - 8, y = y + 4, text_anchor = "end", ("%d"):format(25 * i) },
      h.text { x = x, y = TOP + SIDE + 102, text_anchor = "middle", ("%d"):format(25 * i) },
    }
  end
  return h.svg {
    class = "chart reliability", viewBox = "0 0 360 434", role = "img", aria_label = label,
    h.title(label), frame,
    h.line { class = "grid", x1 = LEFT, x2 = LEFT + SIDE, y1 = TOP + SIDE + 84,
             y2 = TOP + SIDE + 84 },
    h.line { class = "diagonal", x1 = LEFT, y1 = TOP + SIDE, x2 = LEFT + SIDE, y2 = TOP },
    shapes,
    h.text { class = "name", x = 12, y = TOP + SIDE / 2, text_anchor = "middle",
             transform = ("rotate(-90 12 %d)"):format(TOP + SIDE // 2), "right, %" },
    h.text { class = "name", x = 12, y = TOP + SIDE + 60, text_anchor = "middle",
             transform = ("rotate(-90 12 %d)"):format(TOP + SIDE + 60), "items" },
    h.text { class = "name", x = LEFT + SIDE / 2, y = TOP + SIDE + 120, text_anchor = "middle",
             "confidence, %" },
  }
end

-- ---- history ----

local STRIDE, HIGH, BEFORE = 76, 220, 96

-- A short form for a place under an axis.
local function clip(text, most)
  if (utf8.len(text) or 0) <= most then return text end
  return text:sub(1, utf8.offset(text, most) - 1) .. "…"
end

-- One metric over versions. points: list of {value =, low =, high =, name =, when =, label =},
-- oldest first; show(number) writes the axis' numbers.
function plots.versions(points, show, label)
  local values = {}
  for _, p in ipairs(points) do
    table.move({ p.value, p.low or p.value, p.high or p.value }, 1, 3, #values + 1, values)
  end
  local axis = plots.axis(values, { count = 4 })
  local width = BEFORE + 8 + STRIDE * #points
  local function y(value)
    return 10 + HIGH * (1 - (value - axis.from) / (axis.to - axis.from))
  end
  local frame, marks, line = {}, {}, {}
  for i, tick in ipairs(axis.ticks) do
    frame[i] = { h.line { class = "grid", x1 = BEFORE, x2 = width, y1 = round(y(tick)),
                          y2 = round(y(tick)) },
                 h.text { x = BEFORE - 8, y = round(y(tick) + 4), text_anchor = "end",
                          show(tick) } }
  end
  for i, p in ipairs(points) do
    local x = BEFORE + STRIDE * (i - 0.5)
    if p.value == p.value then line[#line + 1] = ("%s,%s"):format(round(x), round(y(p.value))) end
    marks[i] = h.g {
      class = "s1", h.title(p.label),
      p.low and h.line { class = "whisker", x1 = round(x), x2 = round(x), y1 = round(y(p.low)),
                         y2 = round(y(p.high)) },
      h.circle { cx = round(x), cy = round(y(p.value)), r = 4.5 },
      h.text { x = round(x), y = HIGH + 32, text_anchor = "end",
               transform = ("rotate(-35 %s %d)"):format(round(x), HIGH + 32), clip(p.name, 18) },
    }
  end
  return h.svg {
    class = "chart versions", width = width, height = HIGH + 130,
    viewBox = ("0 0 %d %d"):format(width, HIGH + 130), role = "img", aria_label = label,
    h.title(label), frame,
    h.polyline { class = "trend", points = table.concat(line, " ") }, marks,
  }
end

return plots
