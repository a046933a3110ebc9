-- What classes.csv says: recall of each class, average precision, accuracy of a kind of question;
-- worst and best as bars, all in a table.
local figures = require "clipeval.page.figures"
local h = require "clipeval.page.markup"
local plots = require "clipeval.page.plots"
local tables = require "clipeval.page.tables"
local util = require "clipeval.util"

local classes = {}

local VALUES = { "recall", "average_precision", "accuracy", "group_score", "alone" }
local FEW = 24   -- classes that are all shown
local SHOWN = 10 -- of more: the worst, and as many of the best

-- {kind =, value = which column, names = columns, list = {{name, value, text, low, high, n, row},
-- ...}, rows = all} for each kind of class (questions have several).
local function read(evaluation)
  local t = evaluation:columns "classes"
  local kinds, at, column = {}, {}, nil
  for _, candidate in ipairs(VALUES) do column = column or t and t.of[candidate] and candidate end
  for _, row in ipairs(column and evaluation:class_rows() or {}) do
    local value, kind = tonumber(row[column]), row.kind or ""
    if not at[kind] then
      at[kind] = { kind = kind, value = column, names = t.names, list = {}, rows = {} }
      kinds[#kinds + 1] = at[kind]
    end
    table.insert(at[kind].rows, row)
    if value and value == value then
      table.insert(at[kind].list, {
        name = row.class or row.template or "", value = value, text = row[column],
        low = tonumber(row.ci_low), high = tonumber(row.ci_high), n = tonumber(row.n), row = row })
    end
  end
  return kinds
end

local function by_value(list)
  table.sort(list, function(a, b)
    if a.value ~= b.value then return a.value < b.value end
    return a.name < b.name
  end)
end

local function bars(list, what, label)
  local axis = plots.axis({}, { from = 0, to = 1, count = 4 })
  local rows = {}
  for i, c in ipairs(list) do
    local shown = ("%.1f %%"):format(100 * c.value)
    rows[i] = {
      figures.name(c.name), figures.data(shown, c.text),
      plots.bar(axis, { value = c.value, low = c.low, high = c.high,
        label = ("%s: %s%s"):format(c.name, shown, c.low and
          (", 95 %% interval %.1f – %.1f %%"):format(100 * c.low, 100 * c.high) or "") }),
      figures.data(c.row.n or "", c.row.n),
    }
  end
  return tables.make({ { "class", "name" }, { what, "number" },
                       { plots.scale(axis, function(x) return ("%d"):format(100 * x // 1) end),
                         "plot" }, { "n", "number few", "n" } },
                     rows, { plotted = true, label = label })
end

local TEXTS = util.set { "class", "template", "prior_answer" }

-- Every class and every column of classes.csv, as it stands there.
local function all(kind, room)
  local columns, rows = {}, {}
  for _, name in ipairs(kind.names) do
    if name ~= "evaluation" and name ~= "kind" then
      columns[#columns + 1] = { name, (name == "class" or name == "template") and "name" or
                                      TEXTS[name] and "text" or "number", name }
    end
  end
  for i, row in ipairs(kind.rows) do
    rows[i] = {}
    for k, column in ipairs(columns) do
      local text = row[column[3]]
      rows[i][k] = TEXTS[column[3]] and figures.name(text) or
                   figures.data(text and text:find("%.") and ("%.4f"):format(tonumber(text) or 0) or
                                text or "", text)
    end
  end
  local made = tables.make(columns, rows, { label = "All classes" })
  if not room:take(#made.text) then
    return h.p { class = "more", ("The table of all %d is left out, to keep this page small: "
                 .. "classes.csv holds it."):format(#rows) }
  end
  return h.details { h.summary(("All %d, as classes.csv has them"):format(#rows)), made }
end

local TITLES = { recall = "Recall by class", average_precision = "Average precision by class",
                 accuracy = "Accuracy", group_score = "Group score", alone = "Templates" }
local WORDS = { recall = "recall", average_precision = "average precision", accuracy = "accuracy",
                group_score = "group score", alone = "acc@1 alone" }

local function section(kind, room)
  local list = kind.list
  by_value(list)
  local title = TITLES[kind.value] .. (kind.kind ~= "" and " by " .. kind.kind:gsub("_", " ") or
                                       kind.value == "accuracy" and " by kind" or "")
  local word = WORDS[kind.value]
  if #list <= FEW then
    return h.all(h.h3(title), h.p { class = "remark", "Worst first." },
                 bars(list, word, title), all(kind, room))
  end
  local worst = table.move(list, 1, SHOWN, 1, {})
  local best = {}
  for i = 1, SHOWN do best[i] = list[#list + 1 - i] end
  return h.all(h.h3(title), h.div {
    class = "columns",
    h.div { h.h4(("The %d worst of %d"):format(SHOWN, #list)), bars(worst, word, "Worst classes") },
    h.div { h.h4(("The %d best"):format(SHOWN)), bars(best, word, "Best classes") },
  }, all(kind, room))
end

function classes.section(evaluation, room)
  local parts = {}
  for i, kind in ipairs(read(evaluation)) do
    if #kind.list > 0 then parts[i] = section(kind, room) end
  end
  return parts
end

return classes
