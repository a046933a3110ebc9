-- clipeval run --baseline: what is written, what is compared with it, and how that test is made.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local core = require "clipeval.core"

local tree = arg.source .. "/tests/golden/zeroshot/folders"
local number = 0

-- Runs the folders' evaluation: exit code, stdout, stderr, and where the run is.
local function run(...)
  number = number + 1
  local out = "run" .. number
  local code, stdout, stderr = tap.clipeval("run", "--quiet", "--out", out, "folders.lua", "--data",
                                            tree, ...)
  return code, stdout, stderr, tap.directory() .. "/" .. out
end

local function is_one_line(text) return select(2, text:gsub("\n", "")) == 1 end

-- ---- without one ----

local code, out, err = run("--baseline", "none.csv")
tap.is(code, 3, "a baseline that is not there: exit code 3")
tap.has(err, "none.csv: no such baseline (--update-baseline writes it)", "and what to add")
tap.ok(is_one_line(err), "in one line")
for _, words in ipairs { { "--update-baseline" }, { "--max-drop", "1pp" },
                         { "--alpha", "0.05" } } do
  code, _, err = run(table.unpack(words))
  tap.is(code, 2, words[1] .. " without --baseline: wrong usage")
  tap.has(err, words[1] .. " needs --baseline", "and says so")
end

-- ---- written ----

local directory
code, out, err, directory = run("--baseline", "b.csv", "--update-baseline")
tap.is(code .. err, "0", "--update-baseline: exit code 0")
tap.has(out, "baseline written to b.csv", "and says where")
local run_of_b = directory
local path, hits_path = tap.directory() .. "/b.csv", tap.directory() .. "/b.hits.csv"
local text, hits = tap.read(path), tap.read(hits_path)
local rows = clip.csv(path)
local report = {}
for _, row in ipairs(clip.csv(directory .. "/report.csv")) do report[row[10]] = row end
for i = 2, #rows do
  tap.is(rows[i][6] .. " " .. rows[i][7], report[rows[i][5]][11] .. " " .. report[rows[i][5]][14],
         rows[i][5] .. ": the figure of the report")
  if i > 2 then tap.ok(rows[i - 1][5] < rows[i][5], "sorted") end
end
tap.is(text:find(tap.directory(), 1, true) or text:find("20%d%d%-"), nil, "no path and no clock")
run("--baseline", "c.csv", "--update-baseline", "--threads", "1")
tap.is(tap.read(tap.directory() .. "/c.csv"), text, "the same bytes again")
local bits = 0
for digit in hits:match("acc@1,[^\n]*,(%x+)\n"):gmatch "." do
  local x = tonumber(digit, 16)
  bits = bits + (x & 1) + (x >> 1 & 1) + (x >> 2 & 1) + (x >> 3 & 1)
end
local n, value = tonumber(report["acc@1"][14]), tonumber(report["acc@1"][11])
tap.is(bits, math.floor(value * n + 0.5), "a bit for each hit")

-- ---- compared ----

code, out, err, directory = run("--baseline", "b.csv", "--max-drop", "0pp", "--alpha", "0.05")
tap.is(code .. err, "0", "the same run: no regression")
tap.has(out, "no regression", "and says so")
tap.has(out, "McNemar exact", "the test is paired")
local xml = core.xml(directory .. "/junit.xml")
tap.is(xml and xml.name .. xml[1].name, "testsuitestestsuite",
       "junit.xml lies in the run directory")

-- A baseline that was right on everything: each miss of now is a lost item.
local lost = n - bits
local all = ("f"):rep(n // 4) .. (n % 4 > 0 and ("%x"):format(0xf << (4 - n % 4) & 0xf) or "")
local function write_better()
  local figures = {}
  for line in text:gmatch "[^\n]+" do
    figures[#figures + 1] = (line:gsub("acc@1,[^,]*", "acc@1,1"):gsub("recall,[^,]*", "recall,1"))
  end
  tap.write("better.csv", table.concat(figures, "\n") .. "\n")
  return tap.write("better.hits.csv", (hits:gsub("(acc@1,[^\n]*,)%x+\n", "%1" .. all .. "\n")))
end
write_better()
code, out, err, directory = run("--baseline", "better.csv", "--max-drop", "1pp", "--alpha", "0.05")
tap.is(code, 1, "a drop: exit code 1")
tap.has(out, "regression: zeroshot: ", "names the metric and the rule")
tap.has(out, "(--max-drop), and adjusted p", "which fired")
tap.has(out, ("right to wrong by acc@1: %d item"):format(lost),
        "and the items that were right before")
tap.has(tap.read(directory .. "/junit.xml"), '<failure type="regression"', "junit.xml: failures")
tap.has(tap.read(directory .. "/predictions.csv"), "id,target", "the run directory is whole")

-- Without the items the test is unpaired, and said to be.
os.remove(tap.directory() .. "/better.hits.csv")
code, out = run("--baseline", "better.csv", "--alpha", "0.05")
tap.is(code, 1, "without the items: still a regression")
tap.has(out, "acc@1: two proportions, unpaired", "by the unpaired test, which is named")
tap.is(out:find("McNemar", 1, true), nil, "and no other")
tap.has(out, "by their own test where unpaired", "and its interval is no bootstrap's")

-- ---- the unpaired test ----

-- 56 of 70 and 48 of 80 are the shares of Newcombe 1998, table II (a), method 10: the difference
-- 0.2 with the interval 0.0524 to 0.3339.
local two = require "clipeval.chance".two_proportions(48, 80, 56, 70)
tap.near(two.difference, 0.2, 1e-12, "two proportions: difference")
tap.near(two.low, 0.0524, 5e-5, "two proportions: Newcombe's interval, low")
tap.near(two.high, 0.3339, 5e-5, "two proportions: high")
local z = 0.2 / math.sqrt(104 / 150 * 46 / 150 * (1 / 80 + 1 / 70))
tap.near(two.p, require "clipeval.chance".two_sided(z), 1e-15, "two proportions: pooled z")
for _, known in ipairs { { 0, 1 }, { 1, 0.31731050786291415 }, { 1.959963984540054, 0.05 },
                         { 2.5758293035489004, 0.01 }, { 5, 5.733031437583875e-07 },
                         { 10, 1.5239706048321052e-23 } } do
  tap.near(require "clipeval.chance".two_sided(known[1]) / known[2], 1, 1e-12,
           ("the normal tail at %g"):format(known[1]))
end

-- ---- figures that are no hits: unpaired, by their standard errors ----

local function row_of(metric)
  for _, row in ipairs(clip.csv(path)) do
    if row[5] == metric then return row end
  end
end
local predictions, sum, squares = clip.csv(run_of_b .. "/predictions.csv"), 0, 0
local brier_at
for k, name in ipairs(predictions[1]) do brier_at = name == "brier" and k or brier_at end
for i = 2, #predictions do
  local x = tonumber(predictions[i][brier_at])
  sum, squares = sum + x, squares + x * x
end
local brier_n = #predictions - 1
local error = math.sqrt((squares / brier_n - (sum / brier_n) ^ 2) / (brier_n - 1))
tap.near(tonumber(row_of("brier")[12]) / error, 1, 0.01, "standard_error: of a mean, s / sqrt(n)")
tap.ok(tonumber(row_of("ece")[12]) > 0, "of the calibration error, one too")
tap.is(row_of("acc@1")[12], "", "of hits there are the hits")
local less = sum / brier_n - 5 * error
tap.write("brier.csv", (text:gsub("brier,[^,]*", ("brier,%.9g"):format(less))))
tap.write("brier.hits.csv", hits)
code, out = run("--baseline", "brier.csv", "--alpha", "0.05")
tap.is(code, 1, "a Brier score that rose by five standard errors: a regression")
tap.has(out, "brier: normal approximation, unpaired", "by a test that is named")
tap.has(out, "acc@1: McNemar exact", "beside the paired one")
local p = require "clipeval.chance".two_sided(5 / math.sqrt(2))
local shown = tonumber(out:match "\n +brier [^\n]- (%d%.%de%-%d+) ")
tap.near(shown and shown / p or 0, 1, 0.1, "and whose p is known")
local faulty_error = text:gsub("(brier,[^\n]*),[%d.e-]+,\n", "%1,-1,\n")
tap.write("faulty.csv", faulty_error)
code, _, err = run("--baseline", "faulty.csv")
tap.is(code, 3, "a standard error below 0: exit code 3")
tap.has(err, "standard_error is '-1', which is no positive number", "said")

-- ---- two evaluations of a kind ----

tap.write("twice.lua", [[
local clip = require "clipeval"
local function half(from)
  local d = clip.dataset("folders", { root = arg.data })
  return clip.zeroshot { model = clip.model(arg.model), dataset = d, prompts = from }
end
local first = { name = "p", version = 1, templates = { "a photo of a {}." } }
local second = { name = "p", version = 1, templates = { "{}" } }
return { half(first), half(second) }
]])
local function twice(...)
  number = number + 1
  return tap.clipeval("run", "--quiet", "--out", "run" .. number, "twice.lua", "--data", tree, ...)
end
code, out, err = twice("--baseline", "twice.csv", "--update-baseline")
tap.is(code .. err, "0", "two evaluations of the same data and prompts: a baseline of both")
local numbers = {}
for i, row in ipairs(clip.csv(tap.directory() .. "/twice.csv")) do numbers[row[13]] = i end
tap.ok(numbers[""] and numbers["2"] and numbers[""] < numbers["2"], "told apart by their number")
code, out = twice("--baseline", "twice.csv", "--max-drop", "0pp")
tap.is(code, 0, "compared each with its own: no regression")
tap.has(out, "number 2 of its kind", "and named")
tap.is(select(2, out:gsub("the texts of the prompts changed", "")), 0, "the prompts are its own")

-- ---- bounds of its own ----

local bounded = text:gsub("(acc@1,[^,]*,%d+,)", function(head)
  return (head:gsub("acc@1,[^,]*", "acc@1,1")) .. "2pp"
end)
tap.write("bounded.csv", bounded)
code, out = run("--baseline", "bounded.csv")
tap.is(code, 1, "max_drop of a row: a regression without any option")
tap.has(out, "is more than 2 pp (the baseline's max_drop)", "and says whose bound it was")
run("--baseline", "bounded.csv", "--update-baseline")
tap.has(tap.read(tap.directory() .. "/bounded.csv"), "," .. n .. ",2pp,", "an update keeps bounds")
code = run("--baseline", "bounded.csv")
tap.is(code, 0, "and has the figures of now")

-- ---- what is wrong with one ----

local function faulty(what, words, change)
  tap.write("faulty.csv", change)
  local exit, stdout, fault = run("--baseline", "faulty.csv")
  tap.is(exit, 3, what .. ": exit code 3")
  tap.has(fault .. stdout, words, what .. ": said")
end
faulty("an unknown column", "faulty.csv:1: unknown column 'worth'", (text:gsub("value", "worth")))
faulty("a missing column", "faulty.csv:1: no column 'n'",
       "task,dataset,split,prompts,metric,value\n")
faulty("a value", "faulty.csv:2: value is 'good', which is no number",
       (text:gsub("acc@1,[^,]*", "acc@1,good")))
faulty("a bound", "max_drop is 'much', which is no drop",
       (text:gsub("(acc@1,[^,]*,%d+,)", "%1much")))
faulty("a row twice", "the same metric as in line 2", text .. text:match "\n([^\n]*\n)")
faulty("a metric that the run has not", "the run has no acc@3", (text:gsub("acc@1", "acc@3")))
faulty("other data", "data: items_sha256 was aaaaaaaaaaaa",
       (text:gsub(rows[2][10], ("a"):rep(64))))
faulty("nothing", "faulty.csv:1: no column", "\n")
tap.write("edited.csv", text)
tap.write("edited.hits.csv", (hits:gsub("(acc@1,[^\n]*,)%x+\n", "%1" .. all .. "\n")))
code, _, err = run("--baseline", "edited.csv")
tap.is(code, 3, "items that are not those of the figure: exit code 3")
tap.has(err, "one of them was edited", "said")
tap.write("edited.hits.csv", (hits:gsub("(acc@1,[^\n]*,)%x+\n", "%1xyz\n")))
code, _, err = run("--baseline", "edited.csv")
tap.is(code, 3, "items that are no bits: exit code 3")

-- ---- a sample of the items ----

code, out = run("--baseline", "b.csv", "--limit", "20", "--max-drop", "60pp")
tap.is(code, 0, "a sample: compared")
tap.has(out, ("the baseline is of %d items, this run of 20"):format(n), "said")
tap.has(out, "two proportions, unpaired", "by the unpaired test")
tap.done()
