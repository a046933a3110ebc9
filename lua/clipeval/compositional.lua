-- clip.compositional: does the order of words count? An item has two captions, and one
-- picture (SugarCrepe: the first caption is the right one) or two (Winoground: the first
-- caption belongs to the first picture). Every comparison is strict, as Thrush et al. 2022
-- define it: a tie is wrong.
local core = require "clipeval.core"
local embeddings = require "clipeval.embeddings"
local evaluation = require "clipeval.evaluation"
local util = require "clipeval.util"

-- Cosines of one item: caption 1 with each picture, then caption 2.
local function scores_of(text_embeds, picture_embeds, i, rows)
  if type(rows) ~= "table" then rows = { rows } end
  local scores = text_embeds:slice(2 * i - 1, 2 * i):similarity(picture_embeds:select(rows))
  local line = {}
  for caption = 1, 2 do table.move(scores[caption], 1, #rows, #line + 1, line) end
  return line
end

-- hits: a list of booleans, one an item
local function measure(self, name, hits, chance)
  local sum = 0
  for _, hit in ipairs(hits) do sum = sum + (hit and 1 or 0) end
  local low, high = core.wilson(sum, #hits)
  evaluation.metric(self, name, sum / #hits, { low = low, high = high, chance = chance })
end

local function by_group(self, names, hits)
  local groups, order = {}, {}
  for i, item in ipairs(self.items) do
    local name = item.group or ""
    if not groups[name] then
      groups[name] = { n = 0 }
      order[#order + 1] = name
    end
    local g = groups[name]
    g.n = g.n + 1
    for k = 1, #names do g[k] = (g[k] or 0) + (hits[k][i] and 1 or 0) end
  end
  table.sort(order)
  self.class_columns = { "class", "n", table.unpack(names) }
  self.class_rows = {}
  for i, name in ipairs(order) do
    local line = { name, groups[name].n }
    for k = 1, #names do line[k + 2] = groups[name][k] / groups[name].n end
    line.n = #names + 2
    self.class_rows[i] = line
  end
end

-- Which comparisons an item's scores win (one picture: the first alone), and whether any ties.
local function judge(s, two)
  if not s then return { false, false, false }, false end
  if not two then return { s[1] > s[2] }, s[1] == s[2] end
  local text, image, group = core.winoground(core.matrix { s })
  return { text[1], image[1], group[1] },
         s[1] == s[2] or s[1] == s[3] or s[4] == s[2] or s[4] == s[3]
end

-- hits[k][i]: whether item i wins comparison k
local function score(self)
  local embeds, row_of = embeddings.pictures(self)
  local hits, lines, two = { {}, {}, {} }, {}, self.two
  for i = 1, self.n do
    lines[i] = row_of[i] and scores_of(self.text_embeds, embeds, i, row_of[i])
    local won, tied = judge(lines[i], two)
    for k = 1, 3 do hits[k][i] = won[k] end
    if tied then self.ties = self.ties + 1 end
  end
  local first = not two and embeddings.first_with_picture(self, row_of)
  self.columns = two and { "id", "text", "image", "group", "score_c1_p1", "score_c1_p2",
                           "score_c2_p1", "score_c2_p2" } or
                 { "id", "right", "score_right", "score_wrong", "picture" }
  function self.each(row)
    for i, item in ipairs(self.items) do
      local s = lines[i] or {}
      if two then
        row(item.id, hits[1][i], hits[2][i], hits[3][i], s[1], s[2], s[3], s[4])
      else
        row(item.id, hits[1][i], s[1], s[2], first[i])
      end
    end
  end
  return hits
end

local function score_kept(self, kept)
  local rows = {}
  for place, i in ipairs(kept) do rows[2 * place - 1], rows[2 * place] = 2 * i - 1, 2 * i end
  self.text_embeds = self.text_embeds:select(rows)
  score(self)
end

local task = evaluation.task { name = "compositional", kinds = { "pairs" }, partial = score_kept }

-- The captions, two an item; and whether items have two pictures, as all or none must.
local function captions_of(self)
  local texts, two = {}, self.items[1] and self.items[1].pictures ~= nil
  for i, item in ipairs(self.items) do
    if (item.pictures ~= nil) ~= two then
      util.fail("compositional: dataset %s: item '%s' has %s, and '%s' %s", self.dataset.name,
                item.id, two and "one picture" or "two pictures", self.items[1].id,
                two and "two" or "one")
    end
    texts[2 * i - 1], texts[2 * i] = item.captions[1], item.captions[2]
  end
  return texts, two
end

return function(spec)
  local self = evaluation.begin(task, spec)
  self.noun = "item"
  local texts
  texts, self.two = captions_of(self)
  self.text_embeds = embeddings.texts(self, texts)
  local hits = score(self)
  self.text_embeds = nil
  local names = self.two and { "text_score", "image_score", "group_score" } or { "accuracy" }
  local chances = self.two and { 0.25, 0.25, 1 / 6 } or { 0.5 }
  for k, name in ipairs(names) do measure(self, name, hits[k], chances[k]) end
  by_group(self, names, hits)
  return evaluation.finish(self)
end
