-- clip.ablate: which templates earn their place? From one embedding pass: the accuracy of each
-- template alone, of the ensemble without it, and of a subset that is chosen greedily on one
-- half of the pictures and judged on the other, so that nobody fools themselves.
local core = require "clipeval.core"
local classifier = require "clipeval.classifier"
local embeddings = require "clipeval.embeddings"
local evaluation = require "clipeval.evaluation"
local prompts = require "clipeval.prompts"
local util = require "clipeval.util"

local STEPS = 10 -- templates that the greedy search takes at most

-- For each template { sum = [classes, d]: its normalised texts, weighted and added; whole =
-- whether every class has one }; and what run.json says of the prompts.
local function template_sums(self)
  local texts, first, about, _, counts = self.prompts:render(self.classes)
  local embeds, sums = embeddings.texts(self, texts), {}
  local next_text = table.move(first, 1, #self.classes, 1, {})
  for t, weight in ipairs(self.prompts.weights) do
    local rows, is_whole = {}, true
    for c = 1, #self.classes do
      local from, count = next_text[c], counts[c][t]
      next_text[c] = from + count
      is_whole = is_whole and count > 0
      local mean = count > 0 and embeds:slice(from, from + count - 1):mean()[1] or nil
      rows[c] = {}
      for j = 1, embeds.cols do rows[c][j] = mean and mean[j] * count * weight or 0 end
    end
    sums[t] = { sum = core.matrix(rows), whole = is_whole }
  end
  return sums, about
end

-- The templates that are wanted, added; nil where they leave a class without a text.
local function total(sums, wanted)
  local sum, is_whole
  for t, one in ipairs(sums) do
    if wanted(t) then
      sum = sum and sum:plus(one.sum) or one.sum
      is_whole = is_whole or one.whole
    end
  end
  return is_whole and sum or nil
end

-- Those of the items with these numbers that can be read: {embeds =, numbers =, targets =, n =
-- how many there are, unreadable ones included}.
local function part_of(self, embeds, row_of, numbers)
  local rows, read = embeddings.readable(self, row_of, numbers)
  local part = { embeds = embeds and embeds:select(rows), numbers = read, targets = {},
                 n = #numbers }
  for k, i in ipairs(read) do part.targets[k] = self.items[i].label end
  return part
end

-- Share of the pictures whose best class is theirs (one that cannot be read is a miss); by the
-- number of a picture the rank of its class, the best class, and whether that is tied.
local function accuracy(sum, part)
  local ranks, best, tied, hits = {}, {}, {}, 0
  if #part.numbers > 0 then
    local r, b, _, t = part.embeds:similarity(sum:normalize()):ranks(part.targets)
    for k, i in ipairs(part.numbers) do
      ranks[i], best[i], tied[i] = r[k], b[k], t[k]
      hits = hits + (r[k] == 1 and 1 or 0)
    end
  end
  return hits / part.n, ranks, best, tied
end

-- All pictures, the first and the second half of them in a seeded order, and a figure: the
-- accuracy of all templates.
local function score(self)
  local embeds, row_of = embeddings.pictures(self)
  local numbers, halves = {}, { {}, {} }
  for i = 1, self.n do
    numbers[i] = i
    table.insert(halves[self.half[i]], i)
  end
  local all = part_of(self, embeds, row_of, numbers)
  local value, ranks, best, tied = accuracy(self.ensemble, all)
  for _, i in ipairs(all.numbers) do self.ties = self.ties + (tied[i] and 1 or 0) end
  self.columns = { "id", "target", "prediction", "rank", "half", "rank_by_subset" }
  function self.each(row)
    for i, item in ipairs(self.items) do
      row(item.id, self.classes[item.label], best[i] and self.classes[best[i]],
          ranks[i] or nil, self.half[i], self.subset_ranks and self.subset_ranks[i])
    end
  end
  return all, part_of(self, embeds, row_of, halves[1]), part_of(self, embeds, row_of, halves[2]),
         value
end

local function score_kept(self, kept)
  local half = {}
  for place, i in ipairs(kept) do half[place] = self.half[i] end
  self.half = half
  score(self)
end

local task = evaluation.task {
  name = "ablate", kinds = { "classification" }, required = { "prompts" },
  fields = { "prompts", "classes", "steps" }, partial = score_kept,
}

-- For each picture the half that it is in, by the seed.
local function halves(self)
  if self.n < 2 then util.fail("ablate: needs two pictures or more") end
  local half = {}
  for i = 1, self.n do half[i] = 2 end
  for _, i in ipairs(core.sample(self.n // 2, self.n, self.seed)) do half[i] = 1 end
  return half
end

-- The order in which templates are added while that helps on `part`: {template, accuracy}.
local function greedy(sums, part, steps)
  local chosen, order, sum, reached = {}, {}, nil, -1
  for _ = 1, math.min(steps, #sums) do
    local best, best_accuracy, best_sum
    for t, one in ipairs(sums) do
      if not chosen[t] and (sum or one.whole) then
        local trial = sum and sum:plus(one.sum) or one.sum
        local value = accuracy(trial, part)
        if not best or value > best_accuracy then
          best, best_accuracy, best_sum = t, value, trial
        end
      end
    end
    if not best or best_accuracy <= reached then break end
    chosen[best], sum, reached = true, best_sum, best_accuracy
    order[#order + 1] = { template = best, accuracy = best_accuracy }
  end
  return order, sum
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
  local sums, about = template_sums(self)
  self.about.prompts = about
  self.half = halves(self)
  local ensemble = total(sums, function() return true end)
  if not ensemble then util.fail("ablate: needs a template that every class has a text of") end
  self.ensemble = ensemble
  local all, first, second, whole = score(self)
  self.ensemble = nil
  metric(self, "acc@1", whole, all.n)
  local order, subset = greedy(sums, first, steps)
  metric(self, "acc@1_second_half", (accuracy(ensemble, second)), second.n)
  local by_subset, ranks = accuracy(subset, second)
  metric(self, "subset_acc@1_second_half", by_subset, second.n)
  self.subset_ranks = ranks
  evaluation.metric(self, "subset_templates", #order, { unit = "plain", n = #sums })
  local step_of = {}
  for step, o in ipairs(order) do step_of[o.template] = step end
  self.class_columns = { "template", "alone", "without", "subset_step" }
  self.class_rows = {}
  for t, template in ipairs(about.templates) do
    local others = total(sums, function(u) return u ~= t end)
    self.class_rows[t] = table.pack(template, sums[t].whole and accuracy(sums[t].sum, all) or nil,
                                    others and accuracy(others, all) or nil, step_of[t])
  end
  return evaluation.finish(self)
end
