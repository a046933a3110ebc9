-- Every task but vqa against the same arithmetic in plain Lua, on the embedded model.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local twin = require "twin"
local clip = require "clipeval"
local dot, normalize = twin.dot, twin.normalize
local golden = arg.source .. "/tests/golden/images/"
local broken = golden .. "broken/empty.png"
local folders = "folders:" .. arg.source .. "/tests/golden/zeroshot/folders"

local model = clip.model()

-- ---- the naive twin ----

local known = {}
local function picture(path)
  known[path] = known[path] or normalize(model:encode_image(path)[1])
  return known[path]
end
local function text(t)
  known["\0" .. t] = known["\0" .. t] or normalize(model:encode_text(t)[1])
  return known["\0" .. t]
end
-- weighted: a list of {text, weight}
local function class_of(weighted)
  local mean = {}
  for _, w in ipairs(weighted) do
    for j, x in ipairs(text(w[1])) do mean[j] = (mean[j] or 0) + w[2] * x end
  end
  return normalize(mean)
end
local function rank(scores, own)
  local better = 0
  for i, x in ipairs(scores) do
    if x > scores[own] or x == scores[own] and i < own then better = better + 1 end
  end
  return better + 1
end

local names = { "grey", "noise-64x48", "palette", "rgb-33x32", "rgb-37x53", "rgb-44x40",
                "rgb-97x41" }
local function path_of(i) return golden .. names[i] .. ".png" end

-- ---- retrieval ----

local captions = { { "a grey square", "a cat" }, { "noise" },
                   { "a red disc on blue", "stripes", "a ring" },
                   { "a dog" }, { "a photo of a disc", "the sea" }, { "a thin line" },
                   { "a wide picture" } }
local items = {}
for i in ipairs(names) do
  items[i] = { id = ("p%d"):format(i), path = path_of(i), captions = captions[i] }
end
local function with_broken(list, item)
  local out = table.move(list, 1, #list, 1, {})
  item.id, item.path = "z", broken
  out[#out + 1] = item
  return out
end

local function retrieval_twin(readable, all)
  local texts, owner = {}, {}
  for i, item in ipairs(all) do
    for _, c in ipairs(item.captions) do texts[#texts + 1], owner[#owner + 1] = c, i end
  end
  local of_text, of_image = {}, {}
  for t in ipairs(texts) do
    local scores = {}
    for i = 1, readable do scores[i] = dot(picture(all[i].path), text(texts[t])) end
    of_text[t] = owner[t] <= readable and rank(scores, owner[t]) or math.huge
  end
  for i = 1, #all do
    of_image[i] = math.huge
    local scores = {}
    for t in ipairs(texts) do
      scores[t] = i <= readable and dot(picture(all[i].path), text(texts[t])) or 0
    end
    for t in ipairs(texts) do
      if owner[t] == i and i <= readable then
        of_image[i] = math.min(of_image[i], rank(scores, t))
      end
    end
  end
  return of_text, of_image
end
local function at(ranks, k)
  local hits = 0
  for _, r in ipairs(ranks) do hits = hits + (r <= k and 1 or 0) end
  return hits / #ranks
end
for _, case in ipairs { { items, "retrieval" },
                        { with_broken(items, { captions = { "nothing", "to see" } }),
                          "with a picture that cannot be read" } } do
  local of_text, of_image = retrieval_twin(#items, case[1])
  local r = clip.retrieval { model = model, dataset = { name = "r", items = case[1] },
                             ks = { 1, 2, 3, 5 } }
  for _, k in ipairs { 1, 2, 3, 5 } do
    tap.is(r["image_retrieval_recall@" .. k], at(of_text, k), case[2] .. ": image R@" .. k)
    tap.is(r["text_retrieval_recall@" .. k], at(of_image, k), case[2] .. ": text R@" .. k)
  end
  tap.is(#r.predictions, #of_text, "a line for each caption")
  local same = true
  for t, p in ipairs(r.predictions) do
    same = same and (p.rank_of_picture or math.huge) == of_text[t]
  end
  tap.ok(same, "with its rank")
  tap.is(#r.problems, #case[1] - #items, "problems")
end
local none = clip.retrieval { model = model, dataset = { name = "none", items = {
  { id = "a", path = broken, captions = { "x" } },
    { id = "b", path = broken, captions = { "y" } } } } }
tap.is(none["image_retrieval_recall@1"] + none["text_retrieval_recall@10"], 0,
       "where no picture can be read, all are misses")
tap.is(#none.problems .. #none.predictions, "22", "and problems")
local prompted = clip.retrieval { model = model, prompt = "a photo of {}",
                                  dataset = { name = "r", items = items } }
tap.is(prompted.predictions[1].caption, "a photo of a grey square",
       "a prompt stands around captions")

-- ---- multilabel ----

local things = { "disc", "ring", "square", "unicorn" }
local shown = { { "disc" }, { "ring", "square" }, { "square" }, { "disc", "ring" }, { "disc" },
                { "square" },
                { "ring" } }
local many = {}
for i in ipairs(names) do many[i] = { id = "m" .. i, path = path_of(i), labels = shown[i] } end
many[1].ignored = { "ring" }
many = with_broken(many, { labels = { "disc", "square" } })
local function average_precision(c)
  local scored, total = {}, 0
  for i, item in ipairs(many) do
    local yes, skip = false, item.ignored and item.ignored[1] == things[c]
    for _, l in ipairs(item.labels) do yes = yes or l == things[c] end
    if not skip then
      total = total + (yes and 1 or 0)
      if item.path ~= broken then
        scored[#scored + 1] = { dot(picture(item.path), class_of { { things[c], 1 } }), yes, i }
      end
    end
  end
  table.sort(scored, function(a, b) return a[1] > b[1] end)
  local hits, sum = 0, 0
  for k, s in ipairs(scored) do
    if s[2] then hits = hits + 1 sum = sum + hits / k end
  end
  return total > 0 and sum / total or 0, total
end
local ml = clip.multilabel { model = model, prompts = "{}",
                             dataset = { name = "ml", items = many, classes = things } }
local mean = 0
for c in ipairs(things) do
  local ap, n = average_precision(c)
  mean = mean + ap / #things
  tap.near(ml.class_rows[c][3], ap, 1e-12, "average precision of " .. things[c])
  tap.is(ml.class_rows[c][2], n, "and how many there are")
end
tap.near(ml.mean_average_precision, mean, 1e-12, "their mean; an unreadable picture is a miss")
tap.is(ml.problems[1].id .. ml.n, "z8", "and a problem")
local dark = clip.multilabel { model = model, prompts = "{}",
                               dataset = { name = "ml", classes = things,
  items = { { id = "a", path = broken, labels = { "disc" } } } } }
tap.is(dark.mean_average_precision, 0, "none can be read")

-- ---- compositional ----

local pairs_of_two, want = {}, { text = 0, image = 0, group = 0 }
local texts = { "a cat", "a disc", "noise", "the sea", "a dog", "stripes", "a ring" }
for i = 1, 6 do
  local c = { texts[i], i == 6 and texts[i] or texts[i + 1] } -- the last: equal captions, a tie
  pairs_of_two[i] = { id = "w" .. i, captions = c, group = i % 2 == 0 and "even" or "odd",
                      pictures = { { path = path_of(i) }, { path = path_of(i + 1) } } }
  local s = {}
  for k = 1, 2 do
    for p = 1, 2 do s[2 * k + p - 2] = dot(text(c[k]), picture(path_of(i + p - 1))) end
  end
  local t = s[1] > s[3] and s[4] > s[2]
  local m = s[1] > s[2] and s[4] > s[3]
  want.text, want.image = want.text + (t and 1 or 0), want.image + (m and 1 or 0)
  want.group = want.group + (t and m and 1 or 0)
end
pairs_of_two[7] = { id = "w7", captions = { "a", "b" }, group = "odd",
                    pictures = { { path = path_of(1) }, { path = broken } } }
local wino = clip.compositional { model = model, dataset = { name = "w", items = pairs_of_two } }
for kind, hits in pairs(want) do
  tap.is(wino[kind .. "_score"], hits / 7, "Winoground's " .. kind)
end
tap.is(wino.ties, 1, "equal captions tie, which is wrong")
tap.is(wino.predictions[6].text, false, "in text")
tap.is(wino.predictions[7].group, false, "half a pair that cannot be read is a miss")
tap.is(wino.problems[1].id .. #wino.problems, "w71", "and one problem")
tap.is(wino.class_rows[2][1] .. wino.class_rows[2][2], "odd4", "figures by group")

local choices, right = {}, 0
for i = 1, 7 do
  local wrong = i == 7 and texts[i] or texts[i % 7 + 1]
  choices[i] = { id = "s" .. i, path = path_of(i), caption = texts[i], negative_caption = wrong }
  if i < 7 and dot(picture(path_of(i)), text(texts[i])) > dot(picture(path_of(i)), text(wrong)) then
    right = right + 1
  end
end
choices = with_broken(choices, { caption = "a", negative_caption = "b" })
local crepe = clip.compositional { model = model, dataset = { name = "s", items = choices } }
tap.is(crepe.accuracy, right / 8, "SugarCrepe's choice; ties and unreadable ones are wrong")
tap.is(crepe.ties .. #crepe.problems, "11", "and are counted")
tap.raises(function()
  clip.compositional { model = model,
                       dataset = { name = "mix", items = { pairs_of_two[1], choices[1] } } }
end, "has two pictures", "one picture and two do not mix")

-- ---- match ----

local matched, scores = {}, {}
for i = 1, 7 do
  matched[i] = { id = "m" .. i, path = path_of(i), text = texts[i], match = i % 3 ~= 0 }
  scores[i] = dot(picture(path_of(i)), text(texts[i]))
end
local function auc_of(list)
  local sum, n = 0, 0
  for i, a in ipairs(list) do
    for j, b in ipairs(list) do
      if a.match and not b.match then
        local x, y = scores[i], scores[j]
        n = n + 1
        if x and y then sum = sum + (x > y and 1 or x == y and 0.5 or 0) end
      end
    end
  end
  return sum / n
end
local function accuracy_from(list, threshold)
  local hits = 0
  for i, item in ipairs(list) do
    if scores[i] and (scores[i] >= threshold) == item.match then hits = hits + 1 end
  end
  return hits / #list
end
local readable = clip.match { model = model, dataset = { name = "m", items = matched } }
tap.near(readable.roc_auc, auc_of(matched), 1e-12, "AUC")
local with_bad = with_broken(matched, { text = "a", match = true })
local m = clip.match { model = model, dataset = { name = "m", items = with_bad }, threshold = 0.2 }
tap.near(m.roc_auc, auc_of(with_bad), 1e-12, "AUC with a pair that cannot be read")
tap.is(m.accuracy, accuracy_from(with_bad, 0.2), "accuracy at a threshold")
local best = 0
for _, x in ipairs(scores) do best = math.max(best, accuracy_from(with_bad, x - 1e-7)) end
tap.is(m.best_accuracy, math.max(best, accuracy_from(with_bad, math.huge)), "at the best one")
tap.near(accuracy_from(with_bad, m.best_threshold), m.best_accuracy, 1e-12, "which is told")
tap.is(m.problems[1].id .. m.n, "z8", "an unreadable pair counts")

-- ---- calibration ----

local data = clip.dataset(folders)
local z = clip.zeroshot { model = model, dataset = data, prompts = "{}",
                          metrics = { "ece", "brier" } }
local scale, bins, brier = model.info.logit_scale, {}, 0
local classes = {}
for c, name in ipairs(data.classes) do classes[c] = class_of { { name, 1 } } end
for i, item in ipairs(data.items) do
  local p, sum, top = {}, 0, 1
  for c in ipairs(classes) do
    p[c] = math.exp(scale * (dot(picture(item.path), classes[c]) - 1))
    sum = sum + p[c]
    if p[c] > p[top] then top = c end
  end
  for c in ipairs(p) do
    p[c] = p[c] / sum
    brier = brier + (p[c] - (c == item.label and 1 or 0)) ^ 2 / #data.items
  end
  local b = math.max(1, math.ceil(p[top] * 15))
  bins[b] = bins[b] or { 0, 0 }
  bins[b][1], bins[b][2] = bins[b][1] + p[top], bins[b][2] + (top == item.label and 1 or 0)
  if i == 1 then tap.near(z.predictions[1].confidence, p[top], 1e-4, "confidence") end
end
local ece = 0
for _, b in pairs(bins) do ece = ece + math.abs(b[1] - b[2]) / #data.items end
tap.near(z.ece, ece, 1e-4, "ece")
tap.near(z.brier, brier, 1e-4, "brier")

-- ---- linear probe ----

local function made(name, count, missing)
  local list = {}
  for i = 1, count do -- flat colours: red, green, blue and some noise
    local class = i % 3 + 1
    local pixel = { 20 + i * 7 % 30, 20 + i * 11 % 30, 20 + i * 13 % 30 }
    pixel[class] = 225 + i * 5 % 30
    if class ~= missing then
      list[#list + 1] = { id = ("%03d"):format(i), label = class, image = { width = 8, height = 8,
        channels = 3, pixels = string.char(table.unpack(pixel)):rep(64) } }
    end
  end
  return { name = name, classes = { "red", "green", "blue" }, items = list }
end
local train, test = clip.dataset(made("train", 60)), clip.dataset(made("test", 31))
local function vectors(d)
  local list = {}
  for i, item in ipairs(d.items) do list[i] = normalize(model:encode_image(d:picture(item))[1]) end
  return list
end
local seen, asked, naive = vectors(train), vectors(test), 0
for i, v in ipairs(asked) do -- nearest neighbour
  local top, label = -2, nil
  for k, u in ipairs(seen) do
    local s = dot(u, v)
    if s > top then top, label = s, train.items[k].label end
  end
  naive = naive + (label == test.items[i].label and 1 or 0) / #asked
end
local function probe(change)
  local spec = { model = model, dataset = test, train = train, seed = 1 }
  for key, value in pairs(change or {}) do spec[key] = value end
  return clip.linear_probe(spec)
end
local probed = probe()
tap.near(naive, 1, 1e-12, "the classes are apart")
tap.near(probed["acc@1"], naive, 1e-12, "and the probe tells them")
local again = probe()
tap.is(again.strength .. " " .. again["acc@1"], probed.strength .. " " .. probed["acc@1"],
       "the same seed gives the same")
tap.is(probe { seed = 2 }.seed, 2, "another seed holds out others")
tap.is(probe { strength = 10 }.strength, 10, "a strength that is given is taken")
tap.is(probe { validation = made("val", 12) }["acc@1"], 1, "a validation split")
local two = probe { train = made("two", 60, 3) }
tap.is(two.class_rows[3][4], 0, "a class without a training picture is never predicted")
tap.is(two["acc@1"], (two.class_rows[1][3] + two.class_rows[2][3]) / 31, "and a miss")
local dim = made("dim", 31)
dim.items[#dim.items + 1] = { id = "z", path = broken, label = 1 }
local dimmed = probe { dataset = dim }
tap.near(dimmed["acc@1"], 31 / 32, 1e-12, "an unreadable picture is a miss")
tap.is(dimmed.problems[1].id, "z", "and a problem")
dim = made("dim", 60)
dim.items[#dim.items + 1] = { id = "z", path = broken, label = 1 }
dimmed = probe { train = dim, validation = dim }
tap.is(dimmed.problems[1].id .. " " .. dimmed.problems[2].id, "train/z validation/z",
       "also of what it learns from")
tap.is(dimmed["acc@1"] .. " " .. dimmed.left_out, "1.0 2", "which is no miss, but left out")
tap.has(tostring(dimmed), "0 pictures unreadable, and 2 to learn from (left out)", "and told so")
local other = made("other", 12)
other.classes = { "green", "red", "blue" }
tap.raises(function() probe { train = other } end, "class 1 of other is 'green', of test 'red'",
           "classes in another order")
tap.raises(function() probe { strength = 1, validation = train } end, "nothing to validate",
           "strength and validation")
tap.raises(function() probe { strength = -1 } end, "above 0", "a negative strength")
tap.raises(function() probe { train_limit = 0 } end, "train_limit must be", "no training pictures")
local six, near = clip.linear_probe { model = model, dataset = data, train = data, strength = 10 },
  0
for _, line in ipairs(six.predictions) do
  near = near + ((line.rank or math.huge) <= 5 and 1 or 0) / #six.items
end
tap.near(six["acc@5"], near, 1e-12, "of six classes five are asked for as well")

-- ---- ablate ----

local mixed = {}
for i, item in ipairs(data.items) do
  mixed[i] = { id = item.id, path = item.path, label = data.classes[item.label] }
end
mixed = { name = "mixed", classes = data.classes,
          items = with_broken(mixed, { label = data.classes[1] }) }
local described = { ["checker board"] = { "black and white fields", "chess" },
                    disc = "a full circle",
                    ring = "a circle with a hole", square = "four equal sides",
                    stripes = "many lines",
                    triangle = "three corners" }
local calls = 0
local list = { templates = { { "a photo of a {}.", weight = 3 }, "{}", function(class)
  calls = calls + 1
  return { "the " .. class, "one " .. class .. " on paper" }
end }, descriptions = described }
local prompts = clip.prompts(list)
local ablated = clip.ablate { model = model, dataset = mixed, prompts = prompts, seed = 5 }
tap.is(calls, #data.classes, "a function is called once a class")
local function zeroshot(keep)
  local templates, weights = {}, {}
  for t, template in ipairs(prompts.templates) do
    if keep(t) and type(template) ~= "table" then
      templates[#templates + 1] = template
      weights[#weights + 1] = prompts.weights[t]
    end
  end
  local own = { templates = templates, descriptions = keep(#prompts) and described or nil }
  if keep(#prompts) then weights[#weights + 1] = 1 end
  own.weights = weights
  return clip.zeroshot { model = model, dataset = mixed, prompts = own, metrics = { "acc@1" } }
end
tap.is(ablated["acc@1"], zeroshot(function() return true end)["acc@1"],
       "acc@1 is zeroshot's, weights and an unreadable picture included")
tap.is(#ablated.class_rows, 4, "a line for each template")
for t, row in ipairs(ablated.class_rows) do
  tap.is(row[2], zeroshot(function(u) return u == t end)["acc@1"], row[1] .. " alone")
  tap.is(row[3], zeroshot(function(u) return u ~= t end)["acc@1"], "and without it")
end
tap.is(ablated.class_rows[3][1], "function: checker board -> the checker board",
       "functions are shown")
tap.has(ablated.class_rows[4][1], "descriptions: checker board -> black and white",
        "and descriptions")
local chosen, half, counts = {}, { {}, {} }, 0
for t, row in ipairs(ablated.class_rows) do
  if row[4] then chosen[t], counts = true, counts + 1 end
end
tap.is(ablated.subset_templates, counts, "the subset is marked")
local of_subset, of_all = zeroshot(function(t) return chosen[t] end),
  zeroshot(function() return true end)
local hits, all_hits = { 0, 0 }, { 0, 0 }
for i, p in ipairs(ablated.predictions) do
  half[p.half][#half[p.half] + 1] = p.id
  hits[p.half] = hits[p.half] + (of_subset.predictions[i].rank == 1 and 1 or 0)
  all_hits[p.half] = all_hits[p.half] + (of_all.predictions[i].rank == 1 and 1 or 0)
end
tap.is(#half[1] .. " " .. #half[2], "30 31", "two halves, the unreadable picture in one")
tap.is(ablated["subset_acc@1_second_half"], hits[2] / 31, "the subset is judged on the second half")
tap.is(ablated["acc@1_second_half"], all_hits[2] / 31, "beside all templates")

-- Labels of the second half have no say in the choice.
local is_second, changed = {}, {}
for _, id in ipairs(half[2]) do is_second[id] = true end
for i, item in ipairs(mixed.items) do
  changed[i] = { id = item.id, path = item.path,
                 label = is_second[item.id] and "ring" or item.label }
end
local shuffled = clip.ablate { model = model, prompts = prompts, seed = 5,
  dataset = { name = "changed", classes = data.classes, items = changed } }
local same = true
for t, row in ipairs(shuffled.class_rows) do same = same and row[4] == ablated.class_rows[t][4] end
tap.ok(same, "nothing of the second half tells which templates are chosen")

local partly = clip.ablate { model = model, dataset = data, prompts = { "{}", function(class)
  return class == "ring" and {} or "a " .. class
end } }
tap.is(partly.class_rows[2][2], nil, "a template that leaves out a class has no figure alone")
tap.is(partly.class_rows[1][3], nil, "nor can it stand without the others")

-- ---- memory ----

local stale = false -- what was embedded of a dataset that is gone is nobody else's
for i = 1, 40 do
  local value = string.char(i * 6, 255 - i * 6, i * 3 % 256)
  local image = { width = 4, height = 4, channels = 3, pixels = value:rep(16) }
  local r = clip.match { model = model, dataset = { name = "x", items = {
    { id = "a", text = "a cat", match = true, image = image } } } }
  local s = dot(normalize(model:encode_image(image)[1]), text "a cat")
  stale = stale or math.abs(r.predictions[1].score - s) > 1e-5
  r = nil
  collectgarbage()
end
tap.ok(not stale, "pictures of datasets with equal ids stay apart")

-- ---- misuse ----

local DATA = { zeroshot = data, multilabel = { name = "ml", items = many, classes = things },
               retrieval = { name = "r", items = items }, ablate = data, linear_probe = data,
               compositional = { name = "s", items = choices },
               match = { name = "m", items = matched } }
local KIND = { multilabel = "multilabel", retrieval = "retrieval", compositional = "pairs",
               match = "match" }
for _, task in ipairs { "zeroshot", "retrieval", "multilabel", "compositional", "match",
                        "linear_probe",
                        "ablate" } do
  local needs = task == "zeroshot" or task == "multilabel" or task == "ablate"
  local function call(change)
    local spec = { model = model, dataset = DATA[task], prompts = needs and "{}" or nil,
                   train = task == "linear_probe" and data or nil }
    for key, value in pairs(change) do spec[key] = value or nil end
    return function() clip[task](spec) end
  end
  local foreign = task == "match" and data or DATA.match
  tap.raises(call { dataset = foreign }, ("%s: takes a dataset for %s, and "):format(task,
             KIND[task] or "classification"), task .. ": another kind of dataset")
  tap.raises(call { nonsense = 1 }, "nonsense", task .. ": an unknown field")
  tap.raises(call { dataset = false }, task .. ": dataset is missing", task .. ": no dataset")
  tap.raises(call { model = 1 }, task .. ": model must come from clip.model", task .. ": no model")
  tap.raises(call { limit = 0 }, task .. ": limit must be an integer from 1", task .. ": no items")
  tap.raises(call { dataset = { name = "empty", items = {} } }, "empty",
             task .. ": an empty dataset")
  tap.raises(function() clip[task]() end, task .. ": needs a table", task .. ": nothing")
  if needs then tap.raises(call { prompts = false }, "prompts is missing",
                           task .. ": no prompts") end
end
for _, ks in ipairs { 5, {}, { 0 }, { "1" }, { 1.5 } } do
  tap.raises(function() clip.retrieval { model = model, dataset = DATA.retrieval, ks = ks } end,
             "ks must be a list of integers", "odd ks")
end
tap.raises(function() clip.retrieval { model = model, dataset = DATA.retrieval, prompt = "x" } end,
           "holds {}", "a prompt without a place")
tap.raises(function() clip.match { model = model, dataset = DATA.match, threshold = 0 / 0 } end,
           "threshold must be a number", "no number")
tap.raises(function() clip.ablate { model = model, dataset = data, prompts = "{}", steps = 0 } end,
           "steps must be", "no steps")

-- ---- a suite ----

tap.write("suite.lua", ([[
local clip = require "clipeval"
local golden, folders = %q, %q
local model = clip.model()
local function p(name) return golden .. name end
return {
  clip.zeroshot { model = model, dataset = folders, prompts = "{}", limit = 5 },
  clip.retrieval { model = model, ks = { 1 }, dataset = { name = "r", items = {
    { id = "a", path = p "grey.png", captions = { "x", "y" } },
    { id = "b", path = p "broken/empty.png", captions = { "z" } } } } },
  clip.match { model = model, dataset = { name = "m", items = {
    { id = "a", path = p "grey.png", text = "x", match = true },
    { id = "b", path = p "rgb-33x32.png", text = "x", match = false } } } },
}
]]):format(golden, folders))
local code, _, err = tap.clipeval("run", "--quiet", "suite.lua", "--out", "run")
tap.is(code, 0, "a suite of several tasks runs: " .. err)
local report = tap.read(tap.directory() .. "/run/report.csv")
for _, part in ipairs { ",zeroshot,", ",retrieval,", ",match,", "image_retrieval_recall@1",
                        "roc_auc" } do
  tap.has(report, part, "report.csv holds " .. part)
end
local rows = clip.csv(tap.directory() .. "/run/predictions.csv")
tap.is(#rows, 1 + 5 + 3 + 2, "predictions.csv has a line for each item")
local columns = {}
for k, name in ipairs(rows[1]) do columns[name] = k end
tap.is(rows[7][1] .. rows[7][columns.caption], "2x", "each with the columns of its task")
tap.is(rows[10][1] .. rows[10][columns.text] .. rows[10][columns.match], "3x1", "and no others'")
tap.is(rows[10][columns.caption], "", "which stay empty")
tap.has(tap.read(tap.directory() .. "/run/problems.csv"), "2,b,", "problems.csv says of which")

tap.done()
