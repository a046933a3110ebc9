-- clip.retrieval: does a picture find its captions, and a caption its picture? The figures are
-- CLIP_benchmark's (zeroshot_retrieval.py): image retrieval asks with texts, text retrieval
-- with pictures, and a picture is found when any of its captions is among the first k.
local core = require "clipeval.core"
local evaluation = require "clipeval.evaluation"
local util = require "clipeval.util"

local KS = { 1, 5, 10 }

local task = evaluation.task {
  name = "retrieval", kinds = { "retrieval" }, fields = { "ks", "prompt" },
}

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

return function(spec)
  local self = evaluation.begin(task, spec)
  local ks = choose_ks(spec.ks)
  if spec.prompt ~= nil and (type(spec.prompt) ~= "string" or not spec.prompt:find("{c?}")) then
    util.fail("retrieval: prompt must be a text that holds {}")
  end
  local texts, owner = captions_of(self, spec.prompt)
  local text_embeds = evaluation.texts(self, texts)
  local embeds, row_of = evaluation.pictures(self)
  local images, image_of_text, at = {}, {}, {}
  for i = 1, self.n do -- a picture that stands for two items is two
    if row_of[i] then
      images[#images + 1] = row_of[i]
      at[i] = #images
    end
  end
  for t, i in ipairs(owner) do image_of_text[t] = at[i] or false end
  self.noun = "picture"
  local found, of_texts = retrieve(embeds, images, text_embeds, image_of_text)
  local of_images = { ranks = {}, tied = {} } -- a picture that cannot be read is a miss
  for i = 1, self.n do
    of_images.ranks[i] = at[i] and found.ranks[at[i]] or false
    of_images.tied[i] = at[i] and found.tied[at[i]] or 0
  end
  measure(self, "image_retrieval", of_texts, ks,
          function(k) return math.min(1, k / self.n) end)
  measure(self, "text_retrieval", of_images, ks, function(k)
    local sum = 0
    for _, item in ipairs(self.items) do sum = sum + chance(k, #item.captions, #texts) end
    return sum / self.n
  end)
  self.columns = { "id", "caption", "rank_of_picture", "found_picture", "score",
                   "rank_of_best_caption" }
  local item_of = {}
  for i, row in pairs(at) do item_of[row] = i end
  function self.each(row)
    for t, i in ipairs(owner) do
      local best = of_texts.best[t]
      row(self.items[i].id, texts[t], of_texts.ranks[t] or nil,
          best and self.items[item_of[best]].id or nil, of_texts.best_scores[t] or nil,
          of_images.ranks[i] or nil)
    end
  end
  return evaluation.finish(self)
end
