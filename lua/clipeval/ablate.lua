-- clip.ablate: which templates earn their place? From one embedding pass: the accuracy of each
-- template alone, of the ensemble without it, and of a subset that is chosen greedily on one
-- half of the pictures and judged on the other, so that nobody fools themselves.
local core = require "clipeval.core"
local classifier = require "clipeval.classifier"
local evaluation = require "clipeval.evaluation"
local prompts = require "clipeval.prompts"
local util = require "clipeval.util"

local STEPS = 10 -- templates that the greedy search takes at most

local task = evaluation.task {
  name = "ablate", kinds = { "classification" }, required = { "prompts" },
  fields = { "prompts", "classes", "steps" },
}

-- For each template [classes, d]: the sums of its normalised texts (none for a class: zeros).
local function template_sums(self)
  local texts, first = {}, {}
  for c, class in ipairs(self.classes) do
    local _, parts = self.prompts:texts(class)
    for t, part in ipairs(parts) do
      first[t] = first[t] or {}
      first[t][c] = { #texts + 1, #texts + #part }
      table.move(part, 1, #part, #texts + 1, texts)
    end
  end
  local embeds, sums = evaluation.texts(self, texts), {}
  for t, of_class in ipairs(first) do
    local rows = {}
    for c, range in ipairs(of_class) do
      local count = range[2] - range[1] + 1
      local mean = count > 0 and embeds:slice(range[1], range[2]):mean()[1] or nil
      rows[c] = {}
      for j = 1, embeds.cols do rows[c][j] = mean and mean[j] * count or 0 end
    end
    sums[t] = core.matrix(rows)
  end
  return sums
end

local function total(sums, wanted)
  local sum
  for t, one in ipairs(sums) do
    if wanted(t) then sum = sum and sum:plus(one) or one end
  end
  return sum
end

-- Share of the pictures whose best class is theirs.
local function accuracy(sum, part)
  local ranks, best = part.embeds:similarity(sum:normalize()):ranks(part.targets)
  return core.accuracy_at(ranks, 1), ranks, best
end

-- Two halves of the pictures that can be read, in a seeded order; and all of them.
local function halves(self)
  local embeds, row_of = evaluation.pictures(self)
  local readable = {}
  for i = 1, self.n do
    if row_of[i] then readable[#readable + 1] = i end
  end
  if #readable < 2 then util.fail("ablate: needs two pictures or more that can be read") end
  local is_first = {}
  for _, k in ipairs(core.sample(#readable // 2, #readable, self.seed)) do is_first[k] = true end
  local function part(chosen)
    local rows, targets = {}, {}
    for k, i in ipairs(readable) do
      if chosen(k) then
        rows[#rows + 1], targets[#targets + 1] = row_of[i], self.items[i].label
      end
    end
    return { embeds = embeds:select(rows), targets = targets, n = #rows }
  end
  return part(function(k) return is_first[k] end), part(function(k) return not is_first[k] end),
         part(function() return true end), readable, is_first
end

-- The order in which templates are added while that helps on `part`: {template, accuracy}.
local function greedy(sums, part, steps)
  local chosen, order, sum, reached = {}, {}, nil, -1
  for _ = 1, math.min(steps, #sums) do
    local best, best_accuracy, best_sum
    for t, one in ipairs(sums) do
      if not chosen[t] then
        local trial = sum and sum:plus(one) or one
        local value = accuracy(trial, part)
        if not best or value > best_accuracy then best, best_accuracy, best_sum = t, value, trial end
      end
    end
    if best_accuracy <= reached then break end
    chosen[best], sum, reached = true, best_sum, best_accuracy
    order[#order + 1] = { template = best, accuracy = best_accuracy }
  end
  return order, sum
end

local function shown(template, number)
  return type(template) == "string" and template or ("function %d"):format(number)
end

local function metric(self, name, value, n)
  local low, high = core.wilson(math.floor(value * n + 0.5), n)
  evaluation.metric(self, name, value, { low = low, high = high, n = n,
                                         chance = 1 / #self.classes })
end

return function(spec)
  local self = evaluation.begin(task, spec)
  self.prompts = prompts(spec.prompts)
  local steps = spec.steps or STEPS
  if math.type(steps) ~= "integer" or steps < 1 then
    util.fail("ablate: steps must be an integer from 1")
  end
  self.classes = classifier.classes(self, spec.classes)
  local sums = template_sums(self)
  local _, _, about = self.prompts:render(self.classes)
  self.about.prompts = about
  local first, second, all, readable, is_first = halves(self)
  local ensemble = total(sums, function() return true end)
  local whole, ranks, best = accuracy(ensemble, all)
  metric(self, "acc@1", whole, all.n)
  local order, subset = greedy(sums, first, steps)
  metric(self, "acc@1_second_half", (accuracy(ensemble, second)), second.n)
  metric(self, "subset_acc@1_second_half", (accuracy(subset, second)), second.n)
  evaluation.metric(self, "subset_templates", #order, { unit = "plain", n = #sums })
  local step_of = {}
  for step, o in ipairs(order) do step_of[o.template] = step end
  self.class_columns = { "template", "alone", "without", "subset_step" }
  self.class_rows = {}
  for t, template in ipairs(self.prompts.templates) do
    local without = #sums > 1 and
                    accuracy(total(sums, function(u) return u ~= t end), all) or nil
    self.class_rows[t] = table.pack(shown(template, t), (accuracy(sums[t], all)), without,
                                    step_of[t])
  end
  self.columns = { "id", "target", "prediction", "rank", "half" }
  function self.each(row)
    local at = {}
    for k, i in ipairs(readable) do at[i] = k end
    for i, item in ipairs(self.items) do
      local k = at[i]
      row(item.id, self.classes[item.label], k and self.classes[best[k]] or nil,
          k and ranks[k] or nil, k and (is_first[k] and 1 or 2) or nil)
    end
  end
  return evaluation.finish(self)
end
