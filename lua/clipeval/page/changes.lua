-- One run beside the first: what changed, by how much, and on which items. The figures are
-- comparison.lua's, as clipeval compare writes them.
local figures = require "clipeval.page.figures"
local h = require "clipeval.page.markup"
local plots = require "clipeval.page.plots"
local tables = require "clipeval.page.tables"
local util = require "clipeval.util"

local CLASSES = 10 -- that are shown at each end
local CARDS = 24   -- pictures each way

-- ---- verdicts ----

local CLASS = { better = "better", worse = "worse", regression = "worse" }
local SIGN = { better = "▲ ", worse = "▼ ", regression = "▼ " }
local SHAPE = { better = "dot", worse = "diamond", regression = "diamond" }

local function difference(row, shown)
  return h.span { class = CLASS[row.verdict] or "dim", SIGN[row.verdict] or false,
                  figures.data(shown, row.difference) }
end

-- ---- metrics ----

local function metric_row(row, axis)
  local interval = row.p and figures.difference_range(row.metric, row.low, row.high) or ""
  local shown = figures.difference(row.metric, row.difference)
  local n = row.n or row.new_n
  return {
    row.metric, figures.data(figures.show(row.metric, row.base), row.base),
    figures.data(figures.show(row.metric, row.new), row.new), difference(row, shown),
    interval ~= "" and h.all(
      figures.data(figures.difference(row.metric, row.low, true), row.low), " to ",
      figures.data(figures.difference(row.metric, row.high), row.high)) or "",
    figures.is_share(row.metric) and row.difference and row.difference == row.difference and
      plots.interval(axis, {
        value = row.difference, low = row.p and row.low, high = row.p and row.high,
        class = CLASS[row.verdict] or "same", shape = SHAPE[row.verdict] or "dot",
        label = ("%s: %s%s; %s"):format(row.metric, shown, interval ~= "" and
          ", 95 % interval " .. interval or "", row.verdict) }) or "",
    row.p and figures.data(figures.p(row.p), row.p) or "",
    row.adjusted and figures.data(figures.p(row.adjusted), row.adjusted) or "",
    n and ("%d"):format(n) or "",
  }
end

local function tick(x)
  return math.abs(x) < 1e-12 and "0" or (figures.difference("", x, true):gsub("%.?0+$", ""))
end

local function metric_table(list)
  local values, rows, tested = {}, {}, false
  for _, row in ipairs(list) do
    tested = tested or row.p ~= nil
    if figures.is_share(row.metric) and row.difference then
      values[#values + 1] = row.difference
      if row.p then table.move({ row.low, row.high }, 1, 2, #values + 1, values) end
    end
  end
  local axis = plots.axis(values, { zero = true, count = 4 })
  for _, row in ipairs(list) do
    if not figures.is_count(row.metric) or row.difference ~= 0 then
      rows[#rows + 1] = metric_row(row, axis)
    end
  end
  local columns = { { "metric", "name" }, { "base", "number", "base" }, { "new", "number", "new" },
                    { "difference", "number" }, { "95 % interval", "number interval" },
                    { plots.scale(axis, tick), "plot" }, { "p", "number", "p" },
                    { "adjusted", "number", "adjusted" }, { "n", "number few", "n" } }
  return tables.make(columns, rows, { plotted = true, class = "metrics", label = "Differences" }),
         tested
end

-- "acc@1, acc@5: McNemar exact. brier: sign-flip permutation by picture."
local function tests(pair)
  local order, names = {}, {}
  for _, row in ipairs(pair.metrics) do
    local test = row.p and row.test and row.test .. (row.clustered and ", by picture" or "")
    if test and not names[test] then
      names[test] = {}
      order[#order + 1] = test
    end
    if test then table.insert(names[test], row.metric) end
  end
  local sentences = {}
  for i, test in ipairs(order) do
    sentences[i] = ("%s (%s)"):format(test, table.concat(names[test], ", "))
  end
  return table.concat(sentences, "; ")
end

-- What is to be known of the table: which items, which tests, which words.
local function remarks(pair, tested)
  local parts = {}
  local function say(...) parts[#parts + 1] = h.p { class = "remark", ... } end
  for _, note in ipairs(pair.notes) do
    parts[#parts + 1] = h.p { class = "remark warning", note:sub(1, 1):upper() .. note:sub(2), "." }
  end
  if pair.shared then
    say(("%s in both runs%s."):format(util.count(pair.shared, "item"),
      pair.only_base + pair.only_new > 0 and
      ("; %d only in the base and %d only in the new one are left out"):format(pair.only_base,
                                                                              pair.only_new) or ""))
  end
  if tested then
    say("Intervals are paired, by bootstrap over the items. p: ", tests(pair),
        "; adjusted by Holm's method for all metrics compared. Grey: within chance (adjusted p "
        .. "above 0.05), or not tested.")
  end
  return h.div { class = "counts", parts }
end

-- ---- classes ----

local function class_bars(list, label)
  local axis = plots.axis({}, { from = 0, to = 1, count = 4 })
  local rows = {}
  for i, row in ipairs(list) do
    local shown = figures.difference("", row.difference)
    rows[i] = {
      figures.name(row.class), difference(row, shown),
      plots.change(axis, { base = row.base, new = row.new, class = CLASS[row.verdict] or "same",
        label = ("%s: from %.1f %% to %.1f %%; %s"):format(row.class, 100 * row.base,
                                                         100 * row.new, row.verdict) }),
      row.adjusted and figures.data(figures.p(row.adjusted), row.adjusted) or "",
      ("%d"):format(row.n),
    }
  end
  return tables.make({ { "class", "name" }, { "difference", "number" },
                       { plots.scale(axis, function(x) return ("%d"):format(100 * x // 1) end),
                         "plot" }, { "adjusted p", "number", "adjusted p" },
                       { "n", "number few", "n" } },
                     rows, { plotted = true, label = label })
end

-- list: worst first.
local function class_section(list)
  if #list == 0 then return false end
  local title = h.h4 "By class"
  local words = "Recall, from the ring to the dot. Grey: within chance, after Holm's method over "
                .. "all classes."
  if #list <= 2 * CLASSES then
    return h.all(title, h.p { class = "remark", words, " What fell furthest comes first." },
                 class_bars(list, "Change by class"))
  end
  local rose = {}
  for i = 1, CLASSES do rose[i] = list[#list + 1 - i] end
  return h.all(title, h.p { class = "remark", words }, h.div { class = "columns",
    h.div { h.h4(("Furthest down, of %d"):format(#list)),
            class_bars(table.move(list, 1, CLASSES, 1, {}), "Classes that fell") },
    h.div { h.h4 "Furthest up", class_bars(rose, "Classes that rose") } })
end

-- ---- items that flipped ----

local function frames(pictures, room)
  local list = {}
  for i, p in ipairs(pictures) do
    list[i] = h.div { class = "frame", room:take(#p.uri) and h.img {
      src = p.uri, alt = "", class = p.tiny and "tiny" or nil } or "left out" }
  end
  return #list > 0 and h.div { class = "frames", list } or false
end

local function answer(term, text, is_right)
  return h.all(h.dt(term), h.dd { class = is_right and "better" or "worse",
    is_right and "✓ " or "✗ ", text and figures.name(text) or is_right and "right" or "wrong" })
end

local function card(flip, was_right, pictures, room)
  return h.li {
    class = "card", frames(pictures:of(flip.id), room),
    h.dl { flip.asked and { h.dt "asked", h.dd(figures.name(flip.asked)) },
           flip.target and { h.dt "is", h.dd(figures.name(flip.target)) },
           answer("base", flip.base, was_right), answer("new", flip.new, not was_right) },
    h.p { class = "id", figures.path(flip.id) },
  }
end

local function flip_list(list, was_right, pictures, room)
  local title = was_right and "Right to wrong" or "Wrong to right"
  if #list == 0 then return h.h4(title .. ": none") end
  local cards, shown = {}, math.min(CARDS, #list)
  for i = 1, shown do -- evenly from all: the first would be of the first classes
    cards[i] = card(list[(i - 1) * #list // shown + 1], was_right, pictures, room)
  end
  local left = #list - shown
  return h.all(h.h4(("%s: %d"):format(title, #list)), h.ul { class = "cards", cards },
    left > 0 and h.p { class = "more", ("%d more are not shown; clipeval compare --format csv "
                                        .. "lists all."):format(left) } or false)
end

local function flip_section(pair, pictures, room)
  if not pair.main then return false end
  if #pair.lost + #pair.won == 0 then
    return h.all(h.h4 "Items that flipped", h.p { class = "remark", "None." })
  end
  local lists = h.all(flip_list(pair.lost, true, pictures, room),
                      flip_list(pair.won, false, pictures, room))
  local found, missing = pictures.found, pictures.missing
  local told = missing > 0 and h.p {
    class = "remark warning", found == 0 and "The pictures are not shown: " or
    ("%d of %d pictures are not shown: "):format(missing, missing + found), pictures:where() }
  return h.all(told, lists)
end

-- ---- all ----

-- pair: of comparison.of; pictures: of clipeval.page.pictures.
return function(pair, pictures, room)
  local made, tested = metric_table(pair.metrics)
  return h.all(made, remarks(pair, tested), class_section(pair.classes or {}),
               flip_section(pair, pictures, room))
end
