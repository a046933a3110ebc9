-- clipeval compare: small runs written by hand, whose differences, tests and verdicts are known.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local core = require "clipeval.core"

local REPORT = "model,model_sha256,precision,dataset,dataset_version,split,task,prompts," ..
               "prompts_sha256,metric,value,ci_low,ci_high,n\n"

-- Writes a run: about = {dataset =, version =, split =, task =, prompts =}, metrics = list of
-- {name, value, n}, predictions = the file's text.
local function write(name, about, metrics, predictions)
  local lines = {}
  for i, m in ipairs(metrics) do
    lines[i] = ("m,00,fp32,%s,%s,%s,%s,%s,aa,%s,%s,,,%d\n"):format(
      '"' .. (about.dataset or "d"):gsub('"', '""') .. '"', about.version or "1",
        about.split or "test",
      about.task or "zeroshot", about.prompts or "p", m[1],
      type(m[2]) == "string" and m[2] or ("%.9g"):format(m[2]), m[3])
  end
  tap.write(name .. "/report.csv", REPORT .. table.concat(lines))
  if predictions then tap.write(name .. "/predictions.csv", predictions) end
end

-- A run of hits: `hits` holds true and false; classes alternate between "cat" and "dog".
local function write_hits(name, hits, about)
  local lines, right = { "id,target,prediction,rank\n" }, 0
  for i, hit in ipairs(hits) do
    local target = i % 2 == 0 and "cat" or "dog"
    right = right + (hit and 1 or 0)
    lines[i + 1] = ("i%04d,%s,%s,%d\n"):format(i, target, hit and target or "cow", hit and 1 or 2)
  end
  write(name, about or {}, { { "acc@1", right / #hits, #hits } }, table.concat(lines))
end

-- `both` items right in both, `lost` right only in base, `won` only in new, `neither`.
local function pair(both, lost, won, neither)
  local base, new = {}, {}
  for i = 1, both + lost + won + neither do
    base[i] = i <= both + lost
    new[i] = i <= both or i > both + lost and i <= both + lost + won
  end
  return base, new
end

local function compare(...)
  return tap.clipeval("compare", ...)
end

local function as_json(...)
  local code, stdout, stderr = compare("--format", "json", ...)
  local value = clip.json(stdout)
  return type(value) == "table" and value or {}, code, stderr
end

-- ---- McNemar's test, against SciPy's p ----

local cases = arg.shared .. "/metrics/cases.json"
if tap.exists(cases) then
  for _, case in ipairs(clip.json(tap.read(cases)).mcnemar) do
    local base, new = pair(3, case.b, case.c, 2)
    write_hits("base", base)
    write_hits("new", new)
    local m = as_json("base", "new", "--resamples", "100").evaluations[1].metrics[1]
    tap.near(m.p / case.p, 1, 1e-9, ("McNemar: p of %d and %d"):format(case.b, case.c))
    tap.near(m.difference, (case.c - case.b) / #base, 1e-12, "and the difference")
    tap.is(m.test .. m.worse .. " " .. m.better, ("McNemar exact%d %d"):format(case.b, case.c),
           "and the counts")
  end
else
  tap.skip("McNemar: p", "no " .. cases)
end

-- ---- one comparison, in every format ----

-- 200 items: 120 right in both, 20 lost, 4 won; p = 2 * sum_{k <= 4} C(24, k) / 2^24
local P = 2 * (1 + 24 + 276 + 2024 + 10626) / 2 ^ 24
local base, new = pair(120, 20, 4, 56)
write_hits("base", base)
write_hits("new", new)
local c, code, stderr = as_json("base", "new")
local m = c.evaluations[1].metrics[1]
tap.is(code .. stderr, "0", "no rule: exit code 0")
tap.near(m.base, 0.7, 1e-12, "base")
tap.near(m.new, 0.62, 1e-12, "new")
tap.near(m.difference, -0.08, 1e-12, "difference")
tap.near(m.p, P, 1e-12, "p")
tap.is(m.p_adjusted, m.p, "of one metric the adjusted p is the p")
-- The standard error of the mean paired difference is sqrt((24/200 - 0.08^2) / 200).
local se = math.sqrt((24 / 200 - 0.08 ^ 2) / 200)
tap.near(m.ci_low, -0.08 - 1.96 * se, 0.01, "interval: low, near the normal one")
tap.near(m.ci_high, -0.08 + 1.96 * se, 0.01, "interval: high")
tap.is(m.verdict, "worse", "the verdict without a rule is a word")
tap.is(c.rules.words, "none", "and the rules are said to be none")
tap.is(#c.evaluations[1].right_to_wrong .. " " .. #c.evaluations[1].wrong_to_right, "20 4",
       "flipped items: all of them")
local first = c.evaluations[1].right_to_wrong[1]
tap.is(table.concat({ first.id, first.target, first.base, first.new }, " "), "i0121 dog dog cow",
       "with both answers")
local cat, dog = c.evaluations[1].classes[1], c.evaluations[1].classes[2]
tap.is(cat.n + dog.n, 200, "classes")
tap.ok(cat.difference <= dog.difference, "classes: worst first")
tap.near(cat.p, 0.0386, 0.01, "classes: McNemar (10 lost, 2 won)")
tap.near(cat.p_adjusted, math.min(1, 2 * math.min(cat.p, dog.p)), 1e-12, "classes: Holm")
tap.is((as_json("base", "new")).evaluations[1].metrics[1].ci_low, m.ci_low, "the same seed again")

local _, text = compare("base", "new")
for _, part in ipairs { "70.00 %", "62.00 %", "-8.00 pp", "0.002", "worse", "200 items in both",
                        "right to wrong by acc@1: 20 items, the first 10:",
                        "wrong to right by acc@1: 4 items", "no rule was set", "10000 resamples",
                        "McNemar exact" } do
  tap.has(text, part, "table: " .. part)
end
compare("base", "new", "--format", "csv", "-o", "out.csv")
local rows = clip.csv(tap.directory() .. "/out.csv")
local kinds = {}
for _, row in ipairs(rows) do kinds[row[1]] = (kinds[row[1]] or 0) + 1 end
tap.is(("%d %d %d %d"):format(kinds.metric, kinds.class, kinds["right to wrong"],
                              kinds["wrong to right"]), "1 2 20 4", "csv: a row for each")
tap.is(rows[2][12], "-0.08", "csv: the difference")
tap.near(tonumber(rows[2][15]), P, 1e-9, "csv: p")
local _, markdown = compare("base", "new", "--format", "markdown", "--max-drop", "5pp")
tap.has(markdown, "| acc@1 | 70.00 % | 62.00 % | -8.00 pp |", "markdown: a row")
tap.has(markdown, "**1 regression; a regression is", "markdown: the verdict first")

-- ---- rules ----

local function rule_code(...)
  local rc, out = compare("base", "new", ...)
  return rc, out
end

local rc, out = rule_code("--max-drop", "5pp")
tap.is(rc, 1, "--max-drop: a larger drop is a regression")
tap.has(out,
        "regression: zeroshot: d (test), prompts p: acc@1: a drop of 8 pp is more than 5 pp " ..
        "(--max-drop)", "and says which rule fired")
tap.is(rule_code("--max-drop", "8pp"), 0, "--max-drop: a drop of exactly the bound is none")
tap.is(rule_code("--max-drop", "7.99%"), 1, "--max-drop: % is points")
tap.is(rule_code("--max-drop", "0.0799"), 1, "--max-drop: a fraction")
tap.is(rule_code("--alpha", "0.05"), 1, "--alpha: p is smaller")
tap.is(rule_code("--alpha", "0.001"), 0, "--alpha: p is larger")
rc, out = rule_code("--max-drop", "5pp", "--alpha", "0.05")
tap.is(rc, 1, "both: both fire")
tap.has(out, "(--max-drop), and adjusted p 0.0015 is at most 0.05 (--alpha)", "and both are said")
tap.is(rule_code("--max-drop", "9pp", "--alpha", "0.05"), 0, "both: only --alpha would fire")
tap.is(rule_code("--max-drop", "5pp", "--alpha", "0.001"), 0, "both: only --max-drop would fire")
tap.is(compare("new", "base", "--max-drop", "0pp", "--alpha", "0.5"), 0, "a rise is no regression")
for _, wrong in ipairs { { "--max-drop", "5 apples" }, { "--max-drop", "-1pp" },
                         { "--max-drop", "150pp" }, { "--alpha", "1" }, { "--alpha", "x" },
                         { "--format", "xml" }, { "--power", "0" } } do
  tap.is(rule_code(table.unpack(wrong)), 2, "wrong usage: " .. table.concat(wrong, " "))
end
tap.is(compare("base"), 2, "wrong usage: one run")
tap.is(compare(), 2, "wrong usage: none")

-- ---- JUnit ----

local function junit(...)
  local exit = compare("--format", "junit", "-o", "junit.xml", ...)
  return core.xml(tap.directory() .. "/junit.xml"), exit
end

local function attribute(name, words)
  return tap.read(tap.directory() .. "/junit.xml"):match("<" .. name .. "[^>]- " .. words ..
                                                         '="([^"]*)"')
end

local xml, exit = junit("base", "new", "--max-drop", "5pp")
tap.is(exit, 1, "junit: exit code 1")
tap.is(xml and xml[1][1][1].name, "failure", "junit: a failure in a case in a suite")
tap.has(xml and xml[1][1][1].text, "a drop of 8 pp is more than 5 pp", "with the words")
tap.is(attribute("testsuites", "failures") .. attribute("testsuite", "tests"), "11", "and counts")
xml = junit("base", "new")
tap.is(xml and xml[1][1][1].name, "skipped", "junit: without a rule nothing is passed")
xml = junit("new", "base", "--alpha", "0.05")
tap.is(xml and xml[1][1][1].name, "system-out", "junit: passed")
write_hits("odd1", base, { dataset = [[a <b> & "c" 'd']] })
write_hits("odd2", new, { dataset = [[a <b> & "c" 'd']] })
xml, exit = junit("odd1", "odd2", "--max-drop", "5pp")
tap.is(exit .. (xml and xml[1][1][1].name or ""), "1failure",
       "junit: names with markup are escaped")
tap.has(tap.read(tap.directory() .. "/junit.xml"),
        '<testsuite name="zeroshot: a &lt;b&gt; &amp; &quot;c&quot; &apos;d&apos; (test)',
        "as XML wants")
if os.execute("python3 -c '' 2>/dev/null") then
  tap.is(tap.shell("python3 -c 'import xml.dom.minidom as d; d.parse(\"junit.xml\")'"), 0,
         "junit: another parser reads it")
end

-- ---- several metrics: Holm, directions, calibration, classes ----

-- Three classes of 40, 20 and 4 items, with confidences in two bins.
local function classify(name, hit, confidence, brier)
  local lines, sums, counts, hits, briers =
    { "id,target,prediction,rank,confidence,brier,class\n" },
                                            {}, {}, 0, 0
  for i = 1, 64 do
    local class = i <= 40 and 1 or i <= 60 and 2 or 3
    local right = hit(i)
    counts[class], sums[class] = (counts[class] or 0) + 1, (sums[class] or 0) + (right and 1 or 0)
    hits, briers = hits + (right and 1 or 0), briers + brier(i)
    lines[i + 1] = ("i%d,x,y,%d,%s,%s,%d\n"):format(i, right and 1 or 7, confidence(i), brier(i),
                                                    class)
  end
  local recall = (sums[1] / counts[1] + sums[2] / counts[2] + sums[3] / counts[3]) / 3
  local ece = math.abs(hits / 64 - confidence(1)) -- all in one bin
  write(name, {}, { { "acc@1", hits / 64, 64 }, { "mean_per_class_recall", recall, 64 },
                    { "ece", ece, 64 }, { "brier", briers / 64, 64 },
                    { "ties", 0, 64 } }, table.concat(lines))
end
classify("c1", function(i) return i % 4 ~= 0 end, function() return 0.75 end,
         function() return 0.5 end)
classify("c2", function(i) return i % 4 ~= 0 and i % 4 ~= 1 end, function() return 0.75 end,
         function(i) return i % 2 == 0 and 0.75 or 0.5 end)
local several = as_json("c1", "c2", "--alpha", "0.05").evaluations[1]
local by = {}
for _, row in ipairs(several.metrics) do by[row.metric] = row end
tap.near(by["acc@1"].difference, -0.25, 1e-12, "acc@1 fell")
tap.near(by.mean_per_class_recall.difference, -0.25, 1e-12, "so did the mean per-class recall")
tap.near(by.ece.difference, 0.25, 1e-12, "the calibration error rose")
tap.near(by.brier.difference, 0.125, 1e-12, "and the Brier score")
for _, name in ipairs { "acc@1", "mean_per_class_recall", "ece", "brier" } do
  tap.is(by[name].verdict, "regression", name .. ": a regression, in its own direction")
  tap.ok(by[name].p_adjusted >= by[name].p and by[name].p_adjusted <= 4 * by[name].p,
         name .. ": Holm over four metrics")
end
tap.is(by.brier.worse .. " " .. by.brier.better, "32 0",
       "of a Brier score those that rose are worse")
tap.is(by["acc@1"].p, 2 * 0.5 ^ 16, "16 lost, none won")
tap.is(tostring(by.ece.higher_is_better) .. tostring(by["acc@1"].higher_is_better), "falsetrue",
       "json: which way is better")
tap.is(by.ties.p, nil, "counts are not tested")
tap.is(compare("c2", "c1", "--max-drop", "0.01", "--alpha", "0.05"), 0,
       "better in all: exit code 0")
tap.is(compare("c1", "c2", "--max-drop", "30pp"), 0, "points: of metrics in percent")
tap.is(compare("c1", "c2", "--max-drop", "0.2"), 1, "a plain number: of calibration too")

-- ---- pictures that several items share ----

local function captions(name, ranks)
  local lines, hits = { "id,caption,rank_of_picture,found_picture,score,rank_of_best_caption\n" }, 0
  for i, rank in ipairs(ranks) do
    lines[i + 1] = ("pic%d,caption %d,%d,pic1,0.5,1\n"):format((i + 4) // 5, i, rank)
    hits = hits + (rank == 1 and 1 or 0)
  end
  write(name, { task = "retrieval", prompts = "" },
        { { "image_retrieval_recall@1", hits / #ranks, #ranks },
          { "image_retrieval_median_rank", 1, #ranks },
          { "text_retrieval_recall@1", 1, #ranks // 5 } }, table.concat(lines))
end
local one, other = {}, {}
for i = 1, 50 do one[i], other[i] = 1, i <= 10 and 2 or 1 end -- two pictures lose all five
captions("r1", one)
captions("r2", other)
local r = as_json("r1", "r2").evaluations[1].metrics
tap.is(r[1].clustered, true, "captions of a picture are drawn together")
tap.near(r[1].p, 0.5, 0.03, "two pictures that flip have a p of 1/2, whatever their captions say")
tap.is(r[1].n, 50, "over all captions")
tap.is(r[2].p .. r[2].test, "1swap permutation", "a median that stays has a p of 1")
tap.is(r[2].verdict, "same", "and is the same")
tap.is(r[3].n, 10, "text retrieval: over pictures")

-- ---- figures that are no means: median rank, ROC area, mean average precision ----

-- Of 11 captions, each of a picture of its own, all fall from rank 1 to 3.
local function medians(name, rank)
  local lines = { "id,caption,rank_of_picture,found_picture,score,rank_of_best_caption\n" }
  for i = 1, 11 do lines[i + 1] = ("pic%d,caption,%d,pic1,0.5,%d\n"):format(i, rank, rank) end
  write(name, { task = "retrieval", prompts = "" },
        { { "image_retrieval_median_rank", rank, 11 }, { "text_retrieval_median_rank", rank, 11 } },
        table.concat(lines))
end
medians("m1", 1)
medians("m3", 3)
local medians_of = as_json("m1", "m3", "--alpha", "0.05").evaluations[1].metrics
for _, row in ipairs(medians_of) do
  tap.is(("%g %g %g"):format(row.difference, row.ci_low, row.ci_high), "2 2 2",
         row.metric .. ": by two")
  -- Six or more of one kind among eleven always: a difference of 2 or -2 in every permutation.
  tap.is(row.p, 1, "the median of eleven equal differences can tell nothing")
  tap.is(row.worse .. " " .. row.better, "11 0", "a rank that rose is worse")
end

local function matches(name, score)
  local lines, wins = { "id,text,match,score\n" }, 0
  for i = 1, 40 do lines[i + 1] = ("i%02d,t,%d,%.9g\n"):format(i, i % 2, score(i)) end
  for i = 1, 39, 2 do
    for k = 2, 40, 2 do
      wins = wins + (score(i) > score(k) and 1 or score(i) == score(k) and 0.5 or 0)
    end
  end
  write(name, { task = "match", prompts = "" }, { { "roc_auc", wins / 400, 40 } },
        table.concat(lines))
end
matches("auc1", function(i) return i % 2 + i / 100 end)
matches("auc2", function(i) return 100 * (i * 7 % 40) end) -- on a scale of its own
local auc = as_json("auc1", "auc2", "--alpha", "0.05").evaluations[1].metrics[1]
tap.is(auc.base, 1, "ROC area: all matches were first")
tap.ok(auc.difference < -0.2 and auc.ci_high < 0 and auc.p < 0.01, "and are no longer")
tap.is(auc.verdict .. " " .. auc.test .. tostring(auc.worse), "regression swap permutationnil",
       "which is a regression; no item of its own is worse")
matches("auc3", function(i) return math.exp(i % 2 + i / 100) end)
tap.is((as_json("auc1", "auc3")).evaluations[1].metrics[1].p, 1, "the same order on another scale")

-- Two classes; the second is shown by every third picture, and one picture is ignored in it.
local function precisions(name, swapped)
  local lines, first, second = { "id,target,prediction,score,class_ranks\n" }, 0, 0
  local found, shown, rank = 0, 0, 0
  for i = 1, 60 do
    local place = swapped and 61 - i or i
    if i <= 20 then first = first + (swapped and i / (40 + i) or 1) / 20 end
    if i ~= 5 then rank = rank + 1 end
    if i % 3 == 0 then
      shown = shown + 1
      found = found + shown / rank
    end
    lines[i + 1] = ("i%02d,x,x,0.5,%s%d %s%s\n"):format(i, i <= 20 and "+" or "", place,
      i % 3 == 0 and "+" or "", i == 5 and "-" or rank)
  end
  second = found / 20
  write(name, { task = "multilabel" }, { { "mean_average_precision", (first + second) / 2, 60 } },
        table.concat(lines))
end
precisions("map1", false)
precisions("map2", true)
local map = as_json("map1", "map2", "--alpha", "0.05").evaluations[1].metrics[1]
tap.ok(map.difference < -0.3 and map.ci_low < map.difference and map.ci_high < -0.2 and
       map.p < 0.001,
       "mean average precision: interval and p")
tap.is(map.verdict .. " " .. map.test, "regression swap permutation", "and a regression")
local text_of = tap.read(tap.directory() .. "/map1/predictions.csv")
local function broken_ranks(what, from, to, part)
  tap.write("map3/predictions.csv", (text_of:gsub(from, to, 1)))
  tap.write("map3/report.csv", tap.read(tap.directory() .. "/map1/report.csv"))
  local code, _, stderr = compare("map1", "map3")
  tap.is(code, 3, "class_ranks: " .. what)
  tap.has(stderr, part, part)
end
broken_ranks("no rank", "%+1 1", "+x 1",
             "map3/predictions.csv:2: class_ranks: '+x' is no rank of a class")
broken_ranks("a class less", "%+2 2", "+2",
             "map3/predictions.csv:3: class_ranks: 1, and others have 2")
broken_ranks("a class more", "%+2 2", "+2 2 2",
             "map3/predictions.csv:3: class_ranks: '2' is no rank of a class")
broken_ranks("another rank", "%+1 1", "+9 1", "one of them was edited")
tap.write("map3/predictions.csv", (text_of:gsub(",class_ranks", ""):gsub(",[^,\n]*\n", "\n"):gsub(
  "prediction\n", "prediction,score\n")))
local _, without = compare("map1", "map3")
tap.has(without,
        "compared without a test, since predictions.csv does not tell what its items are " ..
        "worth to it: mean_average_precision", "without ranks the output says why there is no test")

-- ---- items, evaluations and data that differ ----

local function lines_of(name, keep)
  local text, k = {}, 0
  for line in tap.read(tap.directory() .. "/" .. name .. "/predictions.csv"):gmatch "[^\n]*\n" do
    k = k + 1
    if k == 1 or keep(k - 1) then text[#text + 1] = line end
  end
  return table.concat(text)
end
write("half", {}, { { "acc@1", 1, 100 } }, lines_of("new", function(i) return i <= 100 end))
c = as_json("base", "half").evaluations[1]
tap.is(("%d %d %d"):format(c.shared, c.only_base, c.only_new), "100 100 0", "items in one only")
tap.is(("%.9g %.9g %.9g"):format(c.metrics[1].base, c.metrics[1].new, c.metrics[1].base_reported),
       "1 1 0.7", "are left out of the figures, and the reported one is told")
_, text = compare("base", "half")
tap.has(text, "100 items in both; 100 only in BASE and 0 only in NEW are left out", "and said")

local function refuses(what, words, ...)
  local exit_code, _, fault = compare(...)
  tap.is(exit_code, 3, what .. ": refused")
  tap.has(fault, words, what .. ": says why")
  tap.is(select(2, fault:gsub("\n", "")), 1, what .. ": in one line")
end
write_hits("val", new, { split = "val" })
refuses("another split", "other split: 'test' and 'val'", "base", "val")
tap.is(compare("base", "val", "--force"), 0, "--force compares all the same")
_, text = compare("base", "val", "--force")
tap.has(text, "not the same data: other split", "and says so")
write_hits("v2", new, { version = "2" })
refuses("another version", "other version of the dataset: '1' and '2'", "base", "v2")
write("relabelled", {}, { { "acc@1", 0.62, 200 } },
      (lines_of("new", function() return true end):gsub("i0007,dog", "i0007,cat")))
refuses("another target", "the target of item 'i0007' is 'dog' and 'cat'", "base", "relabelled")
write_hits("elsewhere", new, { dataset = "e" })
refuses("nothing in common", "have no evaluation in common", "base", "elsewhere")
write_hits("prompted", new, { prompts = "q" })
_, text = compare("base", "prompted")
tap.has(text, "other prompts: p and q", "other prompts: compared, and said")
refuses("no run", "nowhere: no such run", "base", "nowhere")
tap.write("empty/x", "")
refuses("an empty directory", "holds no report.csv", "base", "empty")

-- Hashes of the data, in run.json.
local function with_json(name, hash, classes)
  local d = tap.directory() .. "/" .. name
  tap.write(name .. "/run.json", ([[{"clipeval": "9.9", "evaluations": [{"task": "zeroshot",
    "finished": true, "model": {"sha256": "00"}, "metrics": {"acc@1": %.15g},
    "dataset": {"name": "d", "split": "test", "items_sha256": "%s", "classes": %s}}]}]]):format(
    tonumber(tap.read(d .. "/report.csv"):match "acc@1,([^,]*)"), hash, classes))
end
with_json("base", "aaaaaaaaaaaaaaaa", '["cat", "dog"]')
with_json("new", "bbbbbbbbbbbbbbbb", '["cat", "dog"]')
refuses("another hash", "other data: items_sha256 is aaaaaaaaaaaa and bbbbbbbbbbbb", "base", "new")
with_json("new", "aaaaaaaaaaaaaaaa", '["cat", "wolf"]')
refuses("other classes", "other classes: class 2 is 'dog' and 'wolf'", "base", "new")
with_json("new", "aaaaaaaaaaaaaaaa", '["cat", "dog"]')
tap.is(compare("base", "new"), 0, "a run of another version with known columns is read")
tap.is(compare("base/report.csv", "new/report.csv"), 0, "a report.csv stands for its run")

-- ---- files that were edited or broken ----

local good = tap.read(tap.directory() .. "/new/report.csv")
local items = tap.read(tap.directory() .. "/new/predictions.csv")
local function broken(what, words, report, predictions)
  tap.write("bad/report.csv", report or good)
  tap.write("bad/predictions.csv", predictions or items)
  refuses(what, words, "base", "bad")
end
broken("another value", "acc@1 is 0.63, and bad/predictions.csv gives 0.62: one of them was edited",
       (good:gsub("0.62", "0.63")))
broken("a value that is none", "bad/report.csv:2: value is 'good', which is no number",
       (good:gsub("0.62", "good")))
broken("a comma for a point", "bad/report.csv:2: 15 fields, and the header has 14",
       (good:gsub("0.62", "0,62")))
broken("n", "bad/report.csv:2: n is '-5', which is no count", (good:gsub(",200\n", ",-5\n")))
broken("other n", "acc@1 is of 199 items, and bad/predictions.csv has 200",
       (good:gsub(",200\n", ",199\n")))
broken("an unknown column", "bad/report.csv:1: unknown column 'worth'",
       (good:gsub("value", "worth")))
broken("half a row", "bad/predictions.csv:5: 2 fields, and the header has 4", nil,
       (items:gsub("i0004,cat,cat,1", "i0004,cat")))
broken("a rank", "bad/predictions.csv:5: rank is '0x1', which is no rank", nil,
       (items:gsub("i0004,cat,cat,1", "i0004,cat,cat,0x1")))
broken("an id twice", "bad/predictions.csv:6: the id 'i0004' stands in line 5 already", nil,
       (items:gsub("i0005", "i0004")))
broken("no report", "is empty", "")
tap.write("bad/report.csv", good)
tap.write("bad/predictions.csv", items)
tap.write("bad/run.json", '{"clipeval": "9.9", "evaluations": [')
refuses("half a run.json", "bad/run.json", "base", "bad")
tap.write("bad/run.json", tap.read(tap.directory() .. "/new/run.json"):gsub("0.62", "0.55") .. "")
refuses("run.json and report.csv differ", "run.json says 0.55: one of them was edited", "base",
        "bad")
tap.write("bad/run.json", tap.read(tap.directory() .. "/new/run.json"))
tap.write("bad/predictions.csv", (items:gsub("rank", "place")))
refuses("a version with other columns",
        "unknown column 'place' (written by clipeval 9.9; this is", "base", "bad")

-- ---- without items ----

tap.write("only/report.csv", good)
c = as_json("base", "only/report.csv").evaluations[1]
tap.near(c.metrics[1].difference, -0.08, 1e-9, "a report alone: the difference")
tap.is(c.metrics[1].verdict .. tostring(c.metrics[1].p), "not testednil", "a report alone: no test")
tap.is(compare("base", "only/report.csv", "--max-drop", "5pp", "--alpha", "0.05"), 1,
       "what cannot be tested is held to --max-drop alone")

-- ---- power ----

rc, out = compare("base", "new", "--power", "1pp", "--format", "json")
local power = clip.json(out)
tap.is(rc, 0, "--power: exit code 0")
tap.near(power.metrics[1].discordant, 0.12, 1e-12, "--power: the share of items that differ")
-- Normal approximation (Connor 1987): (1.96 sqrt(psi) + 0.8416 sqrt(psi - d^2))^2 / d^2
tap.near(power.metrics[1].needed,
         (1.95996 * math.sqrt(0.12) + 0.84162 * math.sqrt(0.12 - 1e-4)) ^ 2 / 1e-4, 300,
         "--power: near Connor's formula")
-- Two of ten pictures lost all five captions: by picture the variance of the difference is
-- 0.8 / 50, where single items would have 0.16 * 50 / 49 / 50.
rc, out = compare("r1", "r2", "--power", "1pp", "--format", "json")
power = clip.json(out).metrics[1]
tap.near(power.design_effect, 0.8 / (0.16 * 50 / 49), 0.25,
         "--power: the design effect of pictures")
tap.near(power.needed / ((1.959963984540054 * math.sqrt(0.2) + 0.8416212335729143 *
                          math.sqrt(0.2 - 1e-4)) / 0.01) ^ 2, power.design_effect,
                          0.02 * power.design_effect,
         "--power: so many times Connor's formula")
tap.has(select(2, compare("r1", "r2", "--power", "1pp")), "by picture: ", "--power: and says so")
rc, out = compare("--power", "0.5pp", "--format", "csv")
tap.is(rc .. " " .. select(2, out:gsub("\n", "")), "0 7", "--power without runs: a table of shares")
tap.done()
