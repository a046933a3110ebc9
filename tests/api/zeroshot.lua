-- clip.zeroshot against the same arithmetic in plain Lua, on the embedded model.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local twin = require "twin"
local clip = require "clipeval"
local dot, normalize = twin.dot, twin.normalize
local root = arg.source .. "/tests/golden/zeroshot/folders"

local model = clip.model()
local templates = { "a photo of a {c}.", "{}" }
local data = clip.dataset("folders:" .. root)
local result = clip.zeroshot { model = model, dataset = data, prompts = templates }

-- the naive twin
local classifier = {}
for c, class in ipairs(data.classes) do
  local mean = {}
  for _, template in ipairs(templates) do
    local text = template:gsub("{c?}", class)
    for i, x in ipairs(normalize(model:encode_text(text)[1])) do mean[i] = (mean[i] or 0) + x end
  end
  classifier[c] = normalize(mean)
end
local hits, hits5, recall, count, same, worst = 0, 0, {}, {}, true, 0
for i, item in ipairs(data.items) do
  local image = normalize(model:encode_image(item.path)[1])
  local scores, best = {}, 1
  for c = 1, #classifier do
    scores[c] = dot(image, classifier[c])
    if scores[c] > scores[best] then best = c end
  end
  local better = 0
  for c = 1, #scores do better = better + (scores[c] > scores[item.label] and 1 or 0) end
  local p = result.predictions[i]
  same = same and p.prediction == data.classes[best] and p.rank == better + 1 and p.id == item.id
         and p.target == data.classes[item.label]
  worst = math.max(worst, math.abs(p.score - scores[best]))
  hits, hits5 = hits + (better == 0 and 1 or 0), hits5 + (better < 5 and 1 or 0)
  count[item.label] = (count[item.label] or 0) + 1
  recall[item.label] = (recall[item.label] or 0) + (better == 0 and 1 or 0)
end
tap.ok(same, "predictions, targets and ranks are those of the naive twin")
tap.ok(worst < 1e-6, "so are the scores", "worst " .. worst)
tap.is(result["acc@1"], hits / 60, "acc@1")
tap.is(result["acc@5"], hits5 / 60, "acc@5")
local mean = 0
for c = 1, 6 do mean = mean + recall[c] / count[c] / 6 end
tap.near(result.mean_per_class_recall, mean, 1e-12, "mean_per_class_recall")
for c, figure in ipairs(result.class_figures) do
  if figure.hits ~= recall[c] or figure.n ~= count[c] then tap.ok(false, figure.class) end
end
tap.is(#result.class_figures, 6, "figures for each class")
tap.is(result.n .. " " .. #result.problems .. " " .. result.texts, "60 0 12", "counts")
for _, m in ipairs(result.metrics) do
  tap.ok(not m.ci_low or m.ci_low <= m.value and m.value <= m.ci_high,
         m.metric .. " lies in its interval")
  tap.is(m.n, 60, "and is one of all")
end
tap.near(result.metrics[2].chance, 5 / 6, 1e-12, "chance of acc@5 among 6")
tap.has(tostring(result), "acc@1", "tostring is the table")

-- classes, metrics, samples
local renamed = clip.zeroshot { model = model, dataset = data, prompts = "{}",
                                metrics = { "acc@2" },
                                classes = { "a", "b", "c", "d", "e", "f" } }
tap.is(#renamed.metrics .. renamed.metrics[1].metric, "1acc@2", "only the metrics asked for")
tap.is(renamed.predictions[1].target, "a", "classes can be renamed")
local few = clip.zeroshot { model = model, prompts = "{}", dataset = clip.dataset("folders",
                            { root = root, classes = { "disc", "ring" } }) }
tap.is(few["acc@5"], nil, "acc@5 of two classes is not reported unasked")
local function sample(seed)
  local list = {}
  local r = clip.zeroshot { model = model, dataset = data, prompts = "{}", limit = 7, seed = seed }
  for i, p in ipairs(r.predictions) do list[i] = p.id end
  return table.concat(list, " "), #list, r
end
local first, n, limited = sample(1)
tap.is(n, 7, "limit takes so many items")
tap.is(sample(1), first, "the same seed takes the same")
tap.ok(sample(2) ~= first, "another seed takes others")
local by_id = {}
for _, p in ipairs(clip.zeroshot { model = model, dataset = data, prompts = "{}" }.predictions) do
  by_id[p.id] = p
end
local equal = true
for _, p in ipairs(limited.predictions) do
  equal = equal and p.score == by_id[p.id].score and p.rank == by_id[p.id].rank
end
tap.ok(equal, "an item scores the same in a sample as among all")

-- equal class names tie, and the first wins
local tied = clip.zeroshot { model = model, dataset = data, prompts = "{}",
                             classes = { "x", "x", "x", "x", "x", "x" } }
tap.is(tied.ties, 60, "equal class names tie")
tap.is(tied["acc@1"], 1 / 6, "the first of equals is taken")
tap.is(table.concat(tied.duplicate_classes), "x", "and duplicate names are told")

-- pictures that cannot be read are misses
local golden = arg.source .. "/tests/golden/images/"
local mixed = clip.zeroshot { model = model, prompts = "{}", metrics = { "acc@1" }, dataset = {
  name = "mixed", items = { { path = golden .. "rgb-33x32.png", label = "thing", id = "a" },
                            { path = golden .. "broken/empty.png", label = "thing", id = "b" } } } }
tap.is(mixed["acc@1"], 0.5, "a picture that cannot be read is a miss")
tap.is(mixed.problems[1].id, "b", "and a problem")
tap.is(mixed.problems[1].problem:find(golden, 1, true), nil, "told without the place where it lies")
tap.is(mixed.predictions[2].rank, nil, "without a rank")

local function wrong(change, message, name)
  local spec = { model = model, dataset = data, prompts = "{}" }
  for key, value in pairs(change) do spec[key] = value or nil end
  tap.raises(function() clip.zeroshot(spec) end, message, name)
end
wrong({ model = false }, "model is missing", "no model")
wrong({ model = "pocket" }, "clip.model", "a name is no model")
wrong({ metric = "acc@1" }, "unknown field 'metric'", "a misspelt field")
wrong({ metrics = { "acc1" } }, "no metric 'acc1'", "an unknown metric")
wrong({ metrics = { "acc@7" } }, "acc@7 of 6 classes", "more places than classes")
wrong({ classes = { "a" } }, "6 names", "too few class names")
wrong({ limit = 0 }, "limit", "a limit of 0")
wrong({ prompts = { function() return "\xff" end } }, "UTF-8", "a text that is not UTF-8")
wrong({ prompts = { "{}", function() return "" end } },
      "template 2 (a function) gave an empty text " ..
      "for '" .. data.classes[1] .. "'", "an empty text")
wrong({ prompts = { "{}", function() end } }, "template 2 (a function) gave nil", "no text")
wrong({ metrics = { "acc@1", nil, "acc@2" } }, "zeroshot: metric 2 is nil", "a hole in metrics")
wrong({ metrics = {} }, "metrics must be a list", "no metrics")
wrong({ metrics = { print } }, "no metric a function", "a function is no metric")
wrong({ classes = { "a", nil, "c", "d", "e", "f" } }, "zeroshot: class 2 is nil",
      "a hole in classes")
wrong({ prompts = { "a {}", nil, "b {}" } }, "prompts custom: template 2 is nil",
      "a hole in prompts")
wrong({ [print] = 1 }, "unknown field a function", "no address in a message")
tap.raises(function() clip.zeroshot() end, "needs a table", "nothing")
local closed = clip.model()
closed:close()
wrong({ model = closed }, "the model is closed", "a closed model")
tap.done()
os.exit(true, true) -- or all these evaluations would be written
