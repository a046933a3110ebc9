-- What the worst classes are taken for.
local figures = require "clipeval.page.figures"
local h = require "clipeval.page.markup"
local tables = require "clipeval.page.tables"
local util = require "clipeval.util"

local ROWS, COLUMNS, PAIRS = 10, 12, 10

-- How often the target `a` was answered with `b`: {a = {b = count}}, and {a = items}.
local function count_answers(rows)
  local given, total = {}, {}
  for _, row in ipairs(rows) do
    local target, answer = row.target or "", row.prediction or ""
    given[target] = given[target] or {}
    given[target][answer] = (given[target][answer] or 0) + 1
    total[target] = (total[target] or 0) + 1
  end
  return given, total
end

-- The targets with the lowest share of right answers.
local function worst_of(given, total)
  local list = util.keys(total)
  local function share(name) return (given[name][name] or 0) / total[name] end
  table.sort(list, function(a, b)
    if share(a) ~= share(b) then return share(a) < share(b) end
    return a < b
  end)
  return table.move(list, 1, math.min(ROWS, #list), 1, {})
end

-- The answers that were given most often for these targets, and those among the targets.
local function answers_of(given, total, targets)
  local score = {}
  for _, target in ipairs(targets) do
    for answer, count in pairs(given[target]) do
      if answer ~= "" then score[answer] = (score[answer] or 0) + count / total[target] end
    end
  end
  local list = util.keys(score)
  table.sort(list, function(a, b)
    if score[a] ~= score[b] then return score[a] > score[b] end
    return a < b
  end)
  return table.move(list, 1, math.min(COLUMNS, #list), 1, {})
end

local function matrix(given, total, targets, answers)
  local head = { h.td "" }
  for i, answer in ipairs(answers) do
    head[i + 1] = h.th { scope = "col", title = answer,
                         h.span { class = "upright", figures.name(answer) } }
  end
  head[#head + 1] = h.th { scope = "col", h.span { class = "upright", "another, or none" } }
  head[#head + 1] = h.th { scope = "col", h.span { class = "upright", "n" } }
  local body = {}
  for r, target in ipairs(targets) do
    local cells, left = {}, total[target]
    local function cell(count, class)
      return h.td { class = "heat" .. (class or ""), count > 0 and ("%d"):format(count) or "",
                    style = ("--share:%.3f"):format(count / total[target]) }
    end
    for c, answer in ipairs(answers) do
      local count = given[target][answer] or 0
      left = left - count
      cells[c] = cell(count, answer == target and " right")
    end
    cells[#cells + 1] = cell(left)
    cells[#cells + 1] = h.td { class = "number dim", ("%d"):format(total[target]) }
    body[r] = h.tr { h.th { scope = "row", figures.name(target) }, cells }
  end
  return h.div { class = "scroll", tabindex = "0", role = "region", aria_label = "Confusion",
                 h.table { class = "confusion", h.thead(h.tr(head)), h.tbody(body) } }
end

-- The pairs that are taken for each other most often.
local function pairs_of(given, total)
  local list = {}
  for target, answers in pairs(given) do
    for answer, count in pairs(answers) do
      if answer ~= target and answer ~= "" then
        list[#list + 1] = { target = target, answer = answer, count = count, n = total[target] }
      end
    end
  end
  table.sort(list, function(a, b)
    if a.count ~= b.count then return a.count > b.count end
    if a.target ~= b.target then return a.target < b.target end
    return a.answer < b.answer
  end)
  local rows = {}
  for i = 1, math.min(PAIRS, #list) do
    local p = list[i]
    rows[i] = { figures.name(p.target), figures.name(p.answer), ("%d of %d"):format(p.count, p.n),
                ("%.1f %%"):format(100 * p.count / p.n) }
  end
  return #rows > 0 and tables.make({ { "what it is", "name" }, { "the answer", "text" },
                                     { "how often", "number" }, { "share", "number" } },
                                   rows, { label = "Most frequent wrong answers" })
end

-- Of an evaluation whose targets and predictions are classes; nil where there is nothing to show.
return function(evaluation)
  local rows = evaluation:predictions()
  if #rows == 0 then return nil end
  local given, total = count_answers(rows)
  local targets = worst_of(given, total)
  local answers = answers_of(given, total, targets)
  if #answers == 0 then return nil end
  return h.all(
    h.h3 "What is taken for what",
    h.p { class = "remark", ("Rows are the %d classes of lowest recall, worst first; columns the "
          .. "answers they got most often. Right answers are framed; a stronger colour is a "
          .. "larger share of the row."):format(#targets) },
    matrix(given, total, targets, answers),
    h.h4 "The most frequent wrong answers", pairs_of(given, total) or h.p "There are none.")
end
