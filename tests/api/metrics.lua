-- The figures of the tasks and the linear probe, through their bindings: argument checks, rows
-- that count from 1, and answers known by hand. Their arithmetic is tested in tests/core.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local core = require "clipeval.core"

local function list(t)
  local words = {}
  for i, v in ipairs(t) do words[i] = tostring(v) end
  return table.concat(words, " ")
end

-- ---- ranks ----

tap.is(core.median_rank { 1, 3, 9 }, 3.0, "the median of ranks from 1")
tap.is(core.median_rank { 1, false }, math.huge, "an unread item stands last")
tap.near(core.mean_reciprocal_rank { 1, 2, false, 4 }, 1.75 / 4, 1e-15, "1 / rank, or 0")

-- ---- retrieval ----

local images = clip.matrix { { 1, 0 }, { 0, 1 }, { 0, 1 } }
local texts = clip.matrix { { 0.5, 1 }, { 1, 0 }, { 0, 1 }, { 0, 1 } }
local of_images, of_texts = core.retrieve(images, texts, { 1, 1, 3, false })
tap.is(list(of_texts.ranks), "3 1 2 false", "ranks of the pictures that texts look for")
tap.is(list(of_texts.best), "2 1 2 2", "the picture that a text finds first")
tap.is(list(of_texts.tied), "0 0 1 0", "pictures that share the own one's score")
tap.is(list(of_images.ranks), "1 false 2", "ranks of the best own caption")
tap.is(list(of_images.own), "2 false 3", "the best own caption")
tap.is(list(of_images.tied), "0 0 2", "captions that share its score")
tap.is(of_images.scores[1], 1.0, "the own score")
tap.ok(of_images.scores[2] ~= of_images.scores[2], "NaN where there is none")
tap.is(of_texts.best_scores[1], 1.0, "the best score")
tap.raises(function() core.retrieve(images, texts, { 1, 1, 3 }) end, "one image for each text",
           "a short list of owners raises")
tap.raises(function() core.retrieve(images, texts, { 1, 1, 3, 4 }) end,
           "text 4 belongs to image 4 of 3", "an owner outside raises")

-- ---- several labels ----

local scores = clip.matrix { { 3, 0 }, { 2, 1 }, { 1, 2 } }
local ap, map = core.average_precision(scores, { { 1 }, {}, { 1, 2 } })
tap.near(ap[1], (1 + 2 / 3) / 2, 1e-15, "precision at each positive")
tap.is(ap[2], 1.0, "all found first")
tap.near(map, (ap[1] + ap[2]) / 2, 1e-15, "mAP is the mean over the classes")
ap = core.average_precision(scores, { { 1 }, {}, { 1 } }, { false, { 1 }, {} })
tap.is(list(ap), "1.0 0.0", "ignored rows count nowhere; no positives give 0")
tap.raises(function() core.average_precision(scores, { { 3 }, {}, {} }) end, "a label is no class",
           "a class outside raises")
tap.raises(function() core.average_precision(scores, { { 1 }, 2, {} }) end, "list of lists",
           "a label that is no list raises")

-- ---- pairs ----

local roc = core.roc({ 0.1, 0.4, 0.35, 0.8, false }, { false, false, true, true, true })
tap.near(roc.auc, 3 / 6, 1e-15, "the area, an unread pair lost")
tap.is(roc.positives .. " " .. roc.negatives, "3 2", "how many")
tap.near(roc.threshold, 0.225, 1e-15, "the lowest of the best thresholds")
tap.is(roc.accuracy, 0.6, "its accuracy")
tap.is(core.accuracy_from({ 1, 2, false }, { true, true, false }, 1.5), 1 / 3, "at a threshold")
tap.raises(function() core.roc({ 1, 2 }, { true }) end, "differ in length", "lists of one length")
local text, image, group =
  core.winoground(clip.matrix { { 2, 1, 1, 2 }, { 2, 3, 1, 4 }, { 1, 1, 1, 1 } })
tap.is(list(text), "true true false", "Winoground, text")
tap.is(list(image), "true false false", "Winoground, image")
tap.is(list(group), "true false false", "Winoground, group")

-- ---- probabilities ----

local confidences, targets, briers = core.beliefs(clip.matrix { { 1, 1 }, { 0 / 0, 1 } }, { 2, 1 },
                                                  100)
tap.is(confidences[1] .. " " .. targets[1] .. " " .. briers[1], "0.5 0.5 0.5", "softmax of a tie")
tap.ok(confidences[2] ~= confidences[2], "a row with NaN believes nothing")
confidences = core.beliefs(clip.matrix { { 0, 1 } }, { 1 }, 2, -2)
tap.is(confidences[1], 0.5, "with a bias, the sigmoid")
tap.raises(function() core.beliefs(clip.matrix { { 1, 1 } }, { 3 }, 1) end, "no column",
           "a target outside raises")
local ece, bins = core.calibration_error({ 0.5, 1, false }, { true, true, false })
tap.is(ece, 0.25, "the expected calibration error")
tap.is(#bins .. " " .. bins[8].count .. " " .. bins[15].count, "15 1 1", "its bins")

-- ---- intervals ----

local low, high = core.bootstrap_mean({ 1, 1, 1 }, nil, 100, 0)
tap.is(low .. " " .. high, "1.0 1.0", "the bootstrap of certainty")
low, high = core.bootstrap_mean({ 0, 1, 0, 1 }, { 1, 1, 2, 2 }, 100, 0)
tap.is(low .. " " .. high, "0.5 0.5", "clusters are drawn whole")
tap.raises(function() core.bootstrap_mean({ 1 }, { 2 }, 10, 0) end, "more clusters",
           "a cluster outside raises")
tap.near(core.mcnemar(0, 10), 2 / 1024, 1e-15, "McNemar's exact p")

-- ---- the linear probe ----

local rows, labels = {}, {}
for i = 1, 60 do
  labels[i] = i % 3 + 1
  local x = { math.sin(i * 12.9898) * 0.4, math.sin(i * 78.233) * 0.4, 0.2 }
  x[labels[i]] = x[labels[i]] + 1
  rows[i] = x
end
local x = clip.matrix(rows)
local logits, about = core.probe(x, labels, x, { classes = 4, strength = 10 })
tap.is(logits.rows .. " " .. logits.cols, "60 4", "a score for each class")
tap.is(logits[1][4], -math.huge, "a class without rows is never predicted")
tap.is(core.accuracy_at(logits:ranks(labels), 1), 1.0, "classes far apart are learned")
tap.ok(about.converged and about.iterations > 0 and about.objective > 0, "the fit is described")
tap.is(about.strength .. " " .. #about.trials, "10.0 0", "the strength was given")
logits, about = core.probe(x, labels, x,
                           { classes = 3, validation = x, validation_labels = labels })
tap.ok(#about.trials >= 11 and about.trials[1].accuracy <= 1, "the strengths that were tried")
tap.raises(function() core.probe(x, labels, x, { classes = 3 }) end,
           "without a validation split a strength must be given",
           "no strength and no validation raises")
tap.raises(function() core.probe(x, labels, x, { classes = 2, strength = 1 }) end,
           "the training split, row 2: label 3 of 2 classes", "a label outside raises")
tap.raises(function() core.probe(x, { 1 }, x, { classes = 3, strength = 1 }) end,
           "needs one label for each row", "a short list of labels raises")
tap.raises(function() core.probe(x, labels, x, { classes = 3, strength = "much" }) end,
           "strength must be a number", "a strength that is no number raises")

tap.done()
