-- clip.retrieval: does a picture find its captions, and a caption its picture? The figures are
-- CLIP_benchmark's (zeroshot_retrieval.py): image retrieval asks with texts, text retrieval
-- with pictures, and a picture is found when any of its captions is among the first k.
local core = require "clipeval.core"
local embeddings = require "clipeval.embeddings"
local evaluation = require "clipeval.evaluation"
local util = require "clipeval.util"

local KS = { 1, 5, 10 }

local function choose_ks(given)
  if given == nil then return KS end
  if type(given) ~= "table" or util.length(given, "retrieval: ks") == 0 then
    util.fail("retrieval: ks must be a list of integers from 1")
  end
  for i = 1, #given do
    if math.type(given[i]) ~= "integer" or given[i] < 1 then
      util.fail("retrieval: ks must be a list of integers from 1")
    end
  end
  return given
end

-- All captions, whose they are, and what is put to the model of each.
local function captions_of(self, prompt)
  local texts, owner = {}, {}
  for i, item in ipairs(self.items) do
    for _, caption in ipairs(item.captions) do
      owner[#owner + 1] = i
      texts[#texts + 1] = prompt and prompt:gsub("{c?}", function() return caption end) or caption
    end
  end
  return texts, owner
end

-- The chance that one of `own` right answers among `n` is in the first k of a random order.
local function chance(k, own, n)
  local missed = 1
  for i = 0, math.min(k, n) - 1 do missed = missed * math.max(0, n - own - i) / (n - i) end
  return 1 - missed
end

local function measure(self, name, result, ks, chances)
  for _, k in ipairs(ks) do
    local hits = 0
    for _, rank in ipairs(result.ranks) do hits = hits + (rank and rank <= k and 1 or 0) end
    local low, high = core.wilson(hits, #result.ranks)
    evaluation.metric(self, ("%s_recall@%d"):format(name, k), hits / #result.ranks,
                      { low = low, high = high, chance = chances(k), n = #result.ranks })
  end
  evaluation.metric(self, name .. "_median_rank", core.median_rank(result.ranks),
                    { n = #result.ranks, unit = "plain" })
  for _, tied in ipairs(result.tied) do self.ties = self.ties + (tied and tied ~= 0 and 1 or 0) end
end

-- What core.retrieve says; where no picture can be read, every caption is a miss.
local function retrieve(embeds, images, text_embeds, image_of_text)
  if #images > 0 then
    return core.retrieve(embeds:select(images), text_embeds, image_of_text)
  end
  local nothing = {}
  for t = 1, #image_of_text do nothing[t] = false end
  return {}, { ranks = nothing, tied = nothing, best = nothing, best_scores = nothing }
end

-- A picture that stands for two items is two; one that cannot be read is a miss.
local function rank(self)
  local embeds, row_of = embeddings.pictures(self)
  local images, item_of, at = embeddings.readable(self, row_of)
  local image_of_text = {}
  for t, i in ipairs(self.owner) do image_of_text[t] = at[i] or false end
  local found, of_texts = retrieve(embeds, images, self.text_embeds, image_of_text)
  local of_images = { ranks = {}, tied = {} }
  for i = 1, self.n do
    of_images.ranks[i] = at[i] and found.ranks[at[i]] or false
    of_images.tied[i] = at[i] and found.tied[at[i]] or 0
  end
  self.columns = { "id", "caption", "rank_of_picture", "found_picture", "score",
                   "rank_of_best_caption" }
  function self.each(row)
    for t, i in ipairs(self.owner) do
      local best = of_texts.best[t]
      row(self.items[i].id, self.asked[t], of_texts.ranks[t] or nil,
          best and self.items[item_of[best]].id or nil, of_texts.best_scores[t] or nil,
          of_images.ranks[i] or nil)
    end
  end
  return of_images, of_texts
end

-- Among the pictures that were reached, and their captions.
local function rank_kept(self, kept)
  local place_of, rows, asked, owner = {}, {}, {}, {}
  for place, i in ipairs(kept) do place_of[i] = place end
  for t, i in ipairs(self.owner) do
    if place_of[i] then
      rows[#rows + 1], asked[#rows + 1], owner[#rows + 1] = t, self.asked[t], place_of[i]
    end
  end
  self.asked, self.owner, self.text_embeds = asked, owner, self.text_embeds:select(rows)
  rank(self)
end

local task = evaluation.task {
  name = "retrieval", kinds = { "retrieval" }, fields = { "ks", "prompt" }, partial = rank_kept,
}

return function(spec)
  local self = evaluation.begin(task, spec)
  local ks = choose_ks(spec.ks)
  if spec.prompt ~= nil and (type(spec.prompt) ~= "string" or not spec.prompt:find("{c?}")) then
    util.fail("retrieval: prompt must be a text that holds {}")
  end
  self.noun = "picture"
  self.asked, self.owner = captions_of(self, spec.prompt)
  self.text_embeds = embeddings.texts(self, self.asked)
  local of_images, of_texts = rank(self)
  self.text_embeds = nil
  measure(self, "image_retrieval", of_texts, ks,
          function(k) return math.min(1, k / self.n) end)
  measure(self, "text_retrieval", of_images, ks, function(k)
    local sum = 0
    for _, item in ipairs(self.items) do sum = sum + chance(k, #item.captions, #self.asked) end
    return sum / self.n
  end)
  return evaluation.finish(self)
end
