-- clip.vqa: visual question answering. Question and candidate answer become a text, the text
-- most similar to the picture gives the answer, and the official accuracy says what it is
-- worth (answers.lua).
local answers = require "clipeval.answers"
local core = require "clipeval.core"
local embeddings = require "clipeval.embeddings"
local evaluation = require "clipeval.evaluation"
local questions = require "clipeval.questions"
local session = require "clipeval.session"
local util = require "clipeval.util"

local MOST_COMMON = 1000 -- candidates where neither the script nor the items name any
local TEXTS = 8192       -- distinct texts that are encoded and held at a time
local BLOCK = 1024       -- pictures whose scores are held at a time
local RESAMPLES = 1000

-- ---- candidates ----

-- The k most frequent reference answers of the whole split, in their normalised form; of
-- equally frequent ones the first in the alphabet.
local function most_common(data, k)
  local count = {}
  for _, item in ipairs(data.items) do
    for _, answer in ipairs(item.answers) do
      local form = answers.normalise(answer)
      if form ~= "" then count[form] = (count[form] or 0) + 1 end
    end
  end
  local forms = util.keys(count)
  table.sort(forms, function(a, b)
    if count[a] ~= count[b] then return count[a] > count[b] end
    return a < b
  end)
  return table.move(forms, 1, math.min(k, #forms), 1, {})
end

local function check_choices(choices)
  if choices == nil or math.type(choices) == "integer" and choices >= 1 then return choices end
  if type(choices) ~= "table" or util.length(choices, "vqa: choice") == 0 then
    util.fail("vqa: choices must be a list of answers, or how many of the most common, not %s",
              util.show(choices))
  end
  for i, choice in ipairs(choices) do
    if type(choice) ~= "string" or choice == "" then util.fail("vqa: choice %d is no text", i) end
  end
  return choices
end

-- Where an item's candidates come from, in words for run.json, and function(item) -> list.
local function choose_source(self, given)
  if type(given) == "table" then
    return ("%d of the script"):format(#given), function() return given end
  end
  local k, common = given or MOST_COMMON, nil
  for _, item in ipairs(self.items) do
    if given or not item.choices then common = common or most_common(self.dataset, k) end
  end
  if not common then return "each item's own", function(item) return item.choices end end
  if #common == 0 then util.fail("vqa: dataset %s: no reference answer", self.dataset.name) end
  local words = ("the %d most common reference answers of the split"):format(#common)
  if given then return words, function() return common end end
  return "each item's own, else " .. words, function(item) return item.choices or common end
end

-- ---- groups: items with the same question and candidates are rendered and scored once ----

local function group_items(self, candidates_of)
  local groups, by_key, lists = {}, {}, {}
  for i, item in ipairs(self.items) do
    local list = candidates_of(item)
    local key = lists[list] or table.concat(list, "\0")
    lists[list] = key
    key = item.question .. "\0\0" .. key
    local group = by_key[key]
    if not group then
      group = { question = item.question, candidates = list, items = {} }
      by_key[key], groups[#groups + 1] = group, group
    end
    group.items[#group.items + 1] = i
  end
  return groups
end

-- The candidates that the rule takes, with their texts.
local function render(self, group)
  local texts, rule = self.questions:texts(group.question, group.candidates)
  group.rule, group.choices, group.texts = rule, {}, {}
  for i, own in ipairs(texts) do
    if own then
      group.choices[#group.choices + 1] = group.candidates[i]
      group.texts[#group.texts + 1] = own
    end
  end
end

-- Adds the texts of a group to `batch`: {list =, row_of = {text = row}}.
local function collect(batch, group)
  for _, own in ipairs(group.texts) do
    for _, text in ipairs(own) do
      if not batch.row_of[text] then
        batch.list[#batch.list + 1] = text
        batch.row_of[text] = #batch.list
      end
    end
  end
end

-- One row a candidate; of several texts the normalised mean, as of a class in zero-shot
-- classification.
local function candidate_rows(group, batch, embeds)
  local rows, several = {}, false
  for i, own in ipairs(group.texts) do
    rows[i] = batch.row_of[own[1]]
    several = several or #own > 1
  end
  if not several then return embeds:select(rows) end
  for i, own in ipairs(group.texts) do
    local numbers = {}
    for j, text in ipairs(own) do numbers[j] = batch.row_of[text] end
    rows[i] = embeds:select(numbers):mean():normalize()[1]
  end
  return core.matrix(rows)
end

-- ---- scores ----

local function score_block(self, group, candidates, block)
  local rows, targets = {}, {}
  for k, i in ipairs(block) do rows[k], targets[k] = self.row_of[i], 1 end
  local scores = self.pictures:select(rows):similarity(candidates)
  local _, best, value, tied = scores:ranks(targets) -- of equal ones the first is the best
  for k, i in ipairs(block) do
    self.found[i] = { choice = group.choices[best[k]], text = group.texts[best[k]][1],
                      score = value[k], tied = tied[k] }
    if tied[k] then self.ties = self.ties + 1 end
  end
end

local function score_group(self, group, candidates)
  local block = {}
  for _, i in ipairs(group.items) do
    if self.row_of[i] then block[#block + 1] = i end
    if #block == BLOCK then
      score_block(self, group, candidates, block)
      block = {}
    end
  end
  if #block > 0 then score_block(self, group, candidates, block) end
end

-- What each item's answer is worth; and what guessing, each answer, and the best one of the
-- candidates would have been.
local function judge_group(self, group)
  local clean, normal = {}, {}
  for _, choice in ipairs(group.choices) do
    local form = answers.clean(choice)
    clean[form] = (clean[form] or 0) + 1
    form = answers.normalise(choice)
    normal[form] = (normal[form] or 0) + 1
  end
  for _, i in ipairs(group.items) do
    local found, scorer = self.found[i], answers.scorer(self.items[i].answers)
    local there = scorer.form == answers.clean and clean or normal
    local guess, best, constant = 0, 0, {}
    for _, form in ipairs(util.keys(scorer.worth)) do -- sums in one order are one number
      local worth = scorer.worth[form]
      guess = guess + worth * (there[form] or 0)
      if there[form] then
        best, constant[answers.normalise(form)] = math.max(best, worth), worth
      end
    end
    self.accuracy[i] = found and scorer.worth[scorer.form(found.choice)] or 0
    self.chance[i], self.ceiling[i] = guess / #group.choices, best
    self.constant[i] = constant
    self.rule[i], self.candidates[i] = group.rule, #group.choices
  end
end

-- ---- answers, some thousand texts at a time ----

-- The groups that come next, rendered, and their texts' embeddings; nil after the last.
local function next_batch(self)
  local batch = { list = {}, row_of = {} }
  while #batch.list < TEXTS and self.groups[self.next_group] do
    local group = self.groups[self.next_group]
    render(self, group)
    collect(batch, group)
    batch[#batch + 1] = group
    self.next_group = self.next_group + 1
  end
  if #batch == 0 then return nil end
  batch.embeds = embeddings.texts(self, batch.list)
  self.digest = core.sha256(self.digest .. table.concat(batch.list, "\n"))
  return batch
end

local function answer(self, batch)
  for _, group in ipairs(batch) do
    score_group(self, group, candidate_rows(group, batch, batch.embeds))
    judge_group(self, group)
    group.texts, group.choices = nil, nil
  end
end

local function tabulate(self)
  self.columns = { "id", "question", "question_type", "answer_type", "answers", "prediction",
                   "accuracy", "score", "tied", "candidates", "rule", "text", "picture" }
  local first = embeddings.first_with_picture(self, self.row_of)
  function self.each(row)
    for i, item in ipairs(self.items) do
      local found = self.found[i] or {}
      if self.accuracy[i] then -- else an interruption came first
        row(item.id, item.question, item.question_type, item.answer_type,
            table.concat(item.answers, " | "), found.choice, self.accuracy[i], found.score,
            found.tied, self.candidates[i], self.rule[i], found.text, first[i])
      end
    end
  end
end

local function tell_prompts(self, digest)
  self.about.prompts = { name = self.questions.name, version = self.questions.version,
                         templates = self.questions:describe(), texts = self.texts,
                         sha256 = digest }
end

-- The first texts are there before the pictures: an interruption amid these leaves answers.
local function answer_all(self)
  self.batch = next_batch(self)
  self.pictures, self.row_of = embeddings.pictures(self)
  session.current = self -- also where there are many texts, and it is these that take long
  while self.batch do
    answer(self, self.batch)
    self.batch = next_batch(self)
  end
  self.pictures, self.groups = nil, nil
  tell_prompts(self, self.digest)
  tabulate(self)
end

-- After an interruption: the answers so far; amid the pictures, those to the first texts.
local function answer_kept(self, kept)
  if not self.row_of then
    local place_of = {}
    for place, i in ipairs(kept) do place_of[i] = place end
    for _, group in ipairs(self.batch) do
      local items = {}
      for _, i in ipairs(group.items) do items[#items + 1] = place_of[i] end
      group.items = items
    end
    self.pictures, self.row_of = embeddings.pictures(self)
    answer(self, self.batch)
  end
  self.n = 0
  for i in ipairs(self.items) do self.n = self.n + (self.accuracy[i] and 1 or 0) end
  self.class_rows = nil
  tell_prompts(self)
  tabulate(self)
end

local task = evaluation.task {
  name = "vqa", kinds = { "vqa" }, fields = { "prompt", "choices" }, partial = answer_kept,
}

-- ---- figures ----

local function mean(values, numbers)
  local sum = 0
  for _, i in ipairs(numbers) do sum = sum + values[i] end
  return sum / #numbers
end

-- The one answer that would have been worth most, given to all these items, and its mean.
local function best_constant(self, numbers)
  local sums, best = {}, nil
  for _, i in ipairs(numbers) do
    for form, worth in pairs(self.constant[i]) do sums[form] = (sums[form] or 0) + worth end
  end
  for _, form in ipairs(util.keys(sums)) do
    if not best or sums[form] > sums[best] then best = form end
  end
  return best, best and sums[best] / #numbers or 0
end

-- Questions about one picture are drawn together.
local function interval(self, numbers)
  local values, clusters, known, count = {}, {}, {}, 0
  for k, i in ipairs(numbers) do
    local row = self.row_of[i]
    if not row or not known[row] then
      count = count + 1
      if row then known[row] = count end
    end
    values[k], clusters[k] = self.accuracy[i], row and known[row] or count
  end
  return core.bootstrap_mean(values, clusters, RESAMPLES, self.seed)
end

-- The numbers of the items by what `field` says of them, and those names, sorted.
local function by_field(self, field)
  local lists = {}
  for i, item in ipairs(self.items) do
    local name = item[field]
    if name then
      lists[name] = lists[name] or {}
      table.insert(lists[name], i)
    end
  end
  return lists, util.keys(lists)
end

local function add_classes(self, field)
  local lists, names = by_field(self, field)
  for _, name in ipairs(names) do
    local numbers = lists[name]
    local low, high = interval(self, numbers)
    local answer, prior = best_constant(self, numbers)
    self.class_rows[#self.class_rows + 1] = table.pack(
      (field:gsub("_", " ")), name, #numbers, mean(self.accuracy, numbers), low, high,
      mean(self.chance, numbers), prior, answer, mean(self.ceiling, numbers))
  end
end

-- What the best single answer to each type of question would have been worth.
local function prior_accuracy(self, all)
  local lists, names = by_field(self, "question_type")
  local rest, sum = {}, 0
  for _, i in ipairs(all) do
    if not self.items[i].question_type then rest[#rest + 1] = i end
  end
  for _, name in ipairs(names) do
    local _, prior = best_constant(self, lists[name])
    sum = sum + prior * #lists[name]
  end
  if #rest > 0 then
    local _, prior = best_constant(self, rest)
    sum = sum + prior * #rest
  end
  return sum / #all
end

local function measure(self)
  local all = {}
  for i in ipairs(self.items) do all[i] = i end
  local low, high = interval(self, all)
  evaluation.metric(self, "vqa_accuracy", mean(self.accuracy, all),
                    { low = low, high = high, chance = mean(self.chance, all), n = #all,
                      unit = "percent" })
  evaluation.metric(self, "prior_accuracy", prior_accuracy(self, all),
                    { n = #all, unit = "percent" })
  evaluation.metric(self, "ceiling_accuracy", mean(self.ceiling, all),
                    { n = #all, unit = "percent" })
  self.class_columns = { "kind", "class", "n", "accuracy", "ci_low", "ci_high", "chance", "prior",
                         "prior_answer", "ceiling" }
  self.class_rows = {}
  add_classes(self, "question_type")
  add_classes(self, "answer_type")
end

-- clip.vqa { model =, dataset =, prompt =, choices = }
return function(spec)
  local self = evaluation.begin(task, spec)
  self.questions = questions(spec.prompt)
  local source, candidates_of = choose_source(self, check_choices(spec.choices))
  self.groups, self.next_group = group_items(self, candidates_of), 1
  self.found, self.accuracy, self.chance, self.ceiling = {}, {}, {}, {}
  self.constant, self.rule, self.candidates = {}, {}, {}
  self.digest, self.noun = "", "question"
  self.about.dataset.candidates = source
  answer_all(self)
  measure(self)
  return evaluation.finish(self)
end
