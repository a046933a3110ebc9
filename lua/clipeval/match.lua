-- clip.match: is this text of this picture? Pairs are scored by their cosine; figures are the
-- area under the ROC curve, and the accuracy at a threshold.
local core = require "clipeval.core"
local embeddings = require "clipeval.embeddings"
local evaluation = require "clipeval.evaluation"
local util = require "clipeval.util"

local function score(self)
  local embeds, row_of = embeddings.pictures(self)
  local scores, texts = {}, self.text_embeds
  for i = 1, self.n do
    scores[i] = row_of[i] and
                texts:slice(i, i):similarity(embeds:slice(row_of[i], row_of[i]))[1][1]
  end
  local first = embeddings.first_with_picture(self, row_of)
  self.columns = { "id", "text", "match", "score", "picture" }
  function self.each(row)
    for i, item in ipairs(self.items) do
      row(item.id, item.text, item.match, scores[i] or nil, first[i])
    end
  end
  return scores
end

local function score_kept(self, kept)
  self.text_embeds = self.text_embeds:select(kept)
  score(self)
end

local task = evaluation.task {
  name = "match", kinds = { "match" }, fields = { "threshold" }, partial = score_kept,
}

return function(spec)
  local self = evaluation.begin(task, spec)
  local threshold = spec.threshold
  if threshold ~= nil and (type(threshold) ~= "number" or threshold ~= threshold) then
    util.fail("match: threshold must be a number, not %s", util.show(threshold))
  end
  local texts, matches = {}, {}
  for i, item in ipairs(self.items) do texts[i], matches[i] = item.text, item.match end
  self.noun = "pair"
  self.text_embeds = embeddings.texts(self, texts)
  local scores = score(self)
  local roc = core.roc(scores, matches)
  local most = math.max(roc.positives, roc.negatives) / self.n
  evaluation.metric(self, "roc_auc", roc.auc, { chance = 0.5 })
  evaluation.metric(self, "best_accuracy", roc.accuracy, { chance = most })
  evaluation.metric(self, "best_threshold", roc.threshold, { unit = "plain" })
  if spec.threshold then
    local share = core.accuracy_from(scores, matches, spec.threshold)
    local low, high = core.wilson(math.floor(share * self.n + 0.5), self.n)
    evaluation.metric(self, "accuracy", share, { low = low, high = high, chance = most })
    evaluation.metric(self, "threshold", spec.threshold, { unit = "plain" })
  end
  self.text_embeds = nil
  return evaluation.finish(self)
end
