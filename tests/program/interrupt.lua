-- Ctrl-C: the program ends at once, and what was finished is kept.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local tree = arg.source .. "/tests/golden/zeroshot/folders"

-- Runs a script, and sends SIGINT when it has said "ready".
local function interrupt(script, ...)
  tap.write("loop.lua", script)
  local words = { tap.quote(arg.bin), "run", "--quiet", "loop.lua" }
  for _, word in ipairs { ... } do words[#words + 1] = tap.quote(word) end
  return tap.shell(([[rm -f ready; mkfifo ready
    %s >ready 2>err & pid=$!
    read line <ready; sleep 0.5; kill -INT $pid
    n=0; while kill -0 $pid 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
    kill -KILL $pid 2>/dev/null
    wait $pid; code=$?; cat err; exit $code]]):format(table.concat(words, " ")))
end

local READY = "io.stdout:setvbuf 'no' print 'ready'\n"
local code, stdout = interrupt(READY .. "while true do end")
tap.is(code, 130, "an endless loop: exit code 130")
tap.is(stdout, "clipeval: interrupted\n", "an endless loop: one line")
tap.is(interrupt(READY .. "while true do pcall(function() while true do end end) end"), 130,
       "an endless loop that catches errors")
tap.is(interrupt(READY .. "string.rep('x', 100):gsub('', function() while true do end end)"), 130,
       "an endless loop inside a library function")
tap.is(interrupt(READY .. [[
coroutine.wrap(function()
  while true do pcall(function() while true do end end) end
end)()]]), 130,
       "an endless loop inside a coroutine")
tap.is(interrupt(READY .. "repeat setmetatable({}, { __gc = function() end }) until false"), 130,
       "an endless loop that makes garbage")

local EVALUATE = [[
local clip = require "clipeval"
local model = clip.model()
local function evaluate(data)
  return clip.zeroshot { model = model, dataset = data, prompts = "{}" }
end
local first = evaluate("folders:" .. arg.data)
]]
code, stdout = interrupt(EVALUATE .. READY .. "while true do end", "--data", tree, "--out",
                         "between")
tap.is(code, 130, "after one evaluation: exit code 130")
tap.is(stdout, "clipeval: interrupted; what was finished is in between\n",
       "after one evaluation: says where it is")
tap.is(#clip.csv(tap.directory() .. "/between/predictions.csv"), 61,
       "after one evaluation: all of it")

code, stdout = interrupt(EVALUATE .. [[
local items, paths = {}, first.dataset.items
for i = 1, 200000 do
  items[i] = { path = paths[i % 60 + 1].path, label = "x", id = ("%06d"):format(i) }
end
local long = clip.dataset { name = "long", items = items }
]] .. READY .. "evaluate(long)", "--data", tree, "--out", "amid")
tap.is(code, 130, "amid an evaluation: exit code 130")
local rows = clip.csv(tap.directory() .. "/amid/predictions.csv")
local partial = 0
for _, row in ipairs(rows or {}) do partial = partial + (row[1] == "2" and 1 or 0) end
tap.ok(partial > 0 and partial < 200000, "amid an evaluation: the predictions so far",
       partial .. " rows")
local json = clip.json(tap.read(tap.directory() .. "/amid/run.json"))
tap.is(json.interrupted, true, "amid an evaluation: run.json says so")
tap.is(json.evaluations[2].finished, false, "amid an evaluation: and which was not finished")
tap.is(json.evaluations[2].n, partial, "amid an evaluation: and how far it came")
local unfinished = 0
for _, row in ipairs(clip.csv(tap.directory() .. "/amid/report.csv")) do
  unfinished = unfinished + (row[4] == "long" and 1 or 0)
end
tap.is(unfinished, 0, "amid an evaluation: no figure of what was not finished")
tap.done()
