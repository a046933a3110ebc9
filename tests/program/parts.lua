-- Many items with a cache: their embeddings are let go of part by part. The files are those of
-- one part, also after an interruption, and after another evaluation has found them again.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"

local N = 1200
local SCRIPT = [[
local clip = require "clipeval"
local embeddings = require "clipeval.embeddings"
if arg.many then embeddings.MANY, embeddings.PART = tonumber(arg.many), tonumber(arg.part) end
local items = {}
for i = 1, ]] .. N .. [[ do
  local pixels = string.char(i % 251, i % 239, i % 7 * 30):rep(16)
  items[i] = { id = ("%05d"):format(i), label = i % 3 + 1,
               image = { width = 4, height = 4, channels = 3, pixels = pixels } }
  if i % 100 == 7 then items[i].image, items[i].path = nil, ("none%d.png"):format(i) end
end
local data = clip.dataset { name = "many", version = "1", items = items,
                            classes = { "red", "green", "blue" } }
local model = clip.model(arg.model)
if arg.ready then io.stdout:setvbuf "no" print "ready" end
local results = {}
for i, template in ipairs { "{}", "a {} thing" } do
  local prompts = { name = "p" .. i, version = "1", templates = { template } }
  results[i] = clip.zeroshot { model = model, dataset = data, prompts = prompts }
end
return results
]]
tap.write("many.lua", SCRIPT)

local FILES = { "report.csv", "predictions.csv", "classes.csv", "problems.csv" }

local function read(out)
  local text = {}
  for i, name in ipairs(FILES) do
    text[i] = tap.read(tap.directory() .. "/" .. out .. "/" .. name)
  end
  return table.concat(text, "\n")
end

local function run(out, ...)
  local code, _, stderr = tap.clipeval("run", "many.lua", "--quiet", "--out", out, ...)
  tap.is(code, 0, out .. " runs: " .. stderr)
  return read(out), clip.json(tap.read(tap.directory() .. "/" .. out .. "/run.json")).evaluations
end

local whole = run("whole", "--no-cache")
tap.is(select(2, whole:gsub("No such file", "")), 2 * N // 100, "some pictures cannot be read")
for _, part in ipairs { "7", "500", "1199", "1200", "5000" } do
  local bytes = run("parts" .. part, "--cache", "c" .. part, "-o", "many=10", "-o", "part=" .. part)
  tap.is(bytes, whole, "parts of " .. part .. ": the same bytes")
end
tap.is(run("full", "--cache", "cfull", "--cache-size", "30KB", "-o", "many=10", "-o", "part=500"),
       whole, "a cache that is full: the same bytes")
local bytes, told = run("again", "--cache", "c500", "-o", "many=10", "-o", "part=700")
tap.is(bytes, whole, "all found: the same bytes")
for i, evaluation in ipairs(told) do
  tap.is(evaluation.cache.pictures_computed, N // 100,
         ("evaluation %d: only what cannot be read"):format(i))
end
tap.is(run("uncached", "--no-cache", "-o", "many=10", "-o", "part=700"), whole,
       "without a cache they stay in memory")

-- ---- interrupted ----

local function interrupted(seconds)
  local line = ("%s run --quiet many.lua --cache ci --out cut -o many=10 -o part=64 -o ready=1")
  return tap.shell(([[rm -rf ci cut ready; mkfifo ready
    %s >ready 2>err & pid=$!
    exec 3<ready; read line <&3; sleep %g; kill -INT $pid
    wait $pid; code=$?; cat err; exit $code]]):format(line:format(tap.quote(arg.bin)), seconds))
end

-- All rows of whole's first evaluation, by id.
local function first_rows(out)
  local rows = {}
  for _, row in ipairs(clip.csv(tap.directory() .. "/" .. out .. "/predictions.csv") or {}) do
    if row[1] == "1" then rows[#rows + 1] = table.concat(row, ",") end
    if #row == 9 and row[1] ~= "id" then rows[#rows + 1] = "1," .. table.concat(row, ",") end
  end
  return rows
end

local full, rows = first_rows("whole"), {}
for _, seconds in ipairs { 0.4, 0.8, 0.2, 1.6, 0.1, 3.2, 6.4, 12.8, 25.6 } do
  local code = interrupted(seconds)
  rows = code == 130 and first_rows("cut") or {}
  if #rows > 64 and #rows < N then break end
end
tap.ok(#rows > 64 and #rows < N, "Ctrl-C amid the parts: the predictions so far", #rows .. " rows")
local at, same = {}, true
for _, row in ipairs(full) do at[row] = true end
for _, row in ipairs(rows) do same = same and at[row] end
tap.ok(same, "each as it would have been")
local unread, problems = 0, 0
for _, row in ipairs(rows) do unread = unread + (row:find(",,,", 1, true) and 1 or 0) end
for _, row in ipairs(clip.csv(tap.directory() .. "/cut/problems.csv") or {}) do
  problems = problems + (row[#row]:find("No such file", 1, true) and 1 or 0)
end
tap.is(problems, unread, "the problems are those of the items that are there")
tap.done()
