-- Which evaluations of several runs belong together: those that comparison.lua pairs.
local comparison = require "clipeval.comparison"

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
  if not ok and type(compared) == "string" then error(compared, 0) end -- no refusal, but a fault
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
return function(loaded)
  local groups, refusals = {}, {}
  for _, evaluation in ipairs(loaded[1].evaluations) do
    add_group(groups, { run = loaded[1], number = 1, evaluation = evaluation })
  end
  for i = 2, #loaded do refusals[#refusals + 1] = add_run(groups, loaded[1], loaded[i], i) end
  return groups, refusals
end
