-- The head of a report: what the runs are called, what was evaluated, and what came of it in a
-- sentence.
local figures = require "clipeval.page.figures"
local h = require "clipeval.page.markup"
local metrics = require "clipeval.page.metrics"
local plots = require "clipeval.page.plots"
local tables = require "clipeval.page.tables"
local util = require "clipeval.util"

local head = {}

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
function head.labels(loaded)
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

-- ---- what was evaluated ----

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
  { "precision", function(run)
      return joined(common(run, function(e) return e.precision end), 3)
    end },
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
  { "started", function(run)
      return tostring(run.started or ""):gsub("T", " "):gsub("Z$", " UTC")
    end },
  { "clipeval", function(run) return tostring(run.clipeval or "") end },
  { "run", function(run) return run.name .. (run.interrupted and " (interrupted)" or "") end },
}

function head.facts(loaded, labels)
  local rows = {}
  for _, fact in ipairs(FACTS) do
    local row, first, differs, any = { fact[1] }, nil, false, false
    for i, run in ipairs(loaded) do
      local text = (fact[2](run))
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

-- ---- what came of it ----

function head.title_of(evaluation)
  local data = evaluation.dataset
  return data.name .. (data.split and data.split ~= "" and data.split ~= "all" and
                       " (" .. data.split .. ")" or "")
end

local function lead_single(run)
  local sentences = {}
  for i, evaluation in ipairs(run.evaluations) do
    local m = evaluation.metrics[1]
    if i <= 3 and m then
      sentences[#sentences + 1] = ("%s: %s %s%s."):format(
        head.title_of(evaluation), m.metric, figures.show(m.metric, m.value), m.ci_low and
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
  local change = math.abs(m.difference)
  local size = figures.is_share(m.metric) and ("%.2f points"):format(100 * change) or
               figures.show(m.metric, change)
  local interval = figures.difference_range(m.metric, m.low, m.high)
  local p = figures.p(m.p)
  local more = {}
  if interval ~= "" then more[1] = "95 % interval " .. interval end
  if p ~= "" then
    more[#more + 1] = ("p\u{A0}" .. (p:find("^<") and p or "= " .. p)):gsub(" ", "\u{A0}")
  end
  return ("%s %s by %s%s."):format(m.metric, m.difference < 0 and "fell" or "rose", size,
    #more > 0 and " (" .. table.concat(more, ", ") .. ")" or "")
end

local function lead_several(groups)
  for _, entries in ipairs(groups) do
    local pair = entries[2] and entries[2].compared
    local m = pair and pair.metrics[1]
    if m and m.difference and m.difference == m.difference then
      local flips = #pair.lost + #pair.won > 0 and
        (" %s went from right to wrong, %d from wrong to right."):format(
          util.count(#pair.lost, "item"), #pair.won) or ""
      return head.title_of(entries[1].evaluation) .. ": " .. in_words(m) .. flips
    end
  end
  return "Nothing in these runs could be compared with the first."
end

function head.contents(groups)
  if #groups < 2 then return nil end
  local items = {}
  for i, entries in ipairs(groups) do
    local m = entries[1].evaluation.metrics[1]
    items[i] = h.li { h.a { href = "#e" .. i, figures.name(head.title_of(entries[1].evaluation)) },
                      m and h.span { class = "dim", (" %s %s"):format(m.metric,
                                     figures.show(m.metric, m.value)) } }
  end
  return h.nav { aria_label = "Contents", h.ul(items) }
end

-- groups: of clipeval.page.groups
function head.lead(loaded, groups)
  return #loaded == 1 and lead_single(loaded[1]) or lead_several(groups)
end

function head.title(loaded, labels)
  if #loaded == 2 then return labels[2] .. " beside " .. labels[1] end
  if #loaded > 2 then return ("%d runs beside %s"):format(#loaded - 1, labels[1]) end
  return model_of(loaded[1]) ~= "" and model_of(loaded[1]) or loaded[1].name
end

return head
