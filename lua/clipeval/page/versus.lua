-- Two evaluations beside each other.
local answers = require "clipeval.page.answers"
local figures = require "clipeval.page.figures"

local versus = {}

local function flips(base, new)
  local known, flipped = {}, { worse = {}, better = {} }
  for _, row in ipairs(base:predictions()) do
    local a = answers.of(base.task, row)
    if a then known[a.key] = a end
  end
  for _, row in ipairs(new:predictions()) do
    local b = answers.of(new.task, row)
    local a = b and known[b.key]
    if a and a.right ~= nil and b.right ~= nil and a.right ~= b.right then
      local way = a.right and "worse" or "better"
      table.insert(flipped[way], { id = b.id, asked = b.asked, wanted = b.wanted, base = a.given,
                                   new = b.given, way = way })
    end
  end
  return flipped
end

-- {metrics =, classes =, flipped =, remarks =} or {refused = why}
function versus.of(base, new)
  local out = { metrics = {}, classes = {}, remarks = {}, flipped = flips(base, new) }
  for _, m in ipairs(base.metrics) do
    local other = new:metric(m.metric)
    if other and not figures.is_count(m.metric) then
      out.metrics[#out.metrics + 1] = { metric = m.metric, base = m.value, new = other.value,
        difference = other.value - m.value, n = m.n, lower_is_better = m.metric == "ece" or m.metric == "brier" }
    end
  end
  local at = {}
  for _, row in ipairs(base:class_rows()) do if row.recall then at[row.class] = row end end
  for _, row in ipairs(new:class_rows()) do
    local a = at[row.class or ""]
    local x, y = a and tonumber(a.recall), tonumber(row.recall)
    if x and y then
      table.insert(out.classes, { class = row.class, n = tonumber(row.n), base = x, new = y, difference = y - x })
    end
  end
  return out
end

return versus
