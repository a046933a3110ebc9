-- Ctrl-C, SIGTERM, SIGHUP: the program ends at once, and what was finished is kept.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local tree = arg.source .. "/tests/golden/zeroshot/folders"

-- Runs a script, and does `signals` (in the shell) to $pid when it has said "ready".
local function signal(signals, script, ...)
  tap.write("loop.lua", script)
  local words = { tap.quote(arg.bin), "run", "--quiet", "loop.lua" }
  for _, word in ipairs { ... } do words[#words + 1] = tap.quote(word) end
  return tap.shell(([[rm -f ready; mkfifo ready
    %s >ready 2>err & pid=$!
    exec 3<ready; read line <&3; sleep 0.2; %s
    n=0; while kill -0 $pid 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
    kill -KILL $pid 2>/dev/null
    wait $pid; code=$?; cat err; exit $code]]):format(table.concat(words, " "), signals))
end

local function interrupt(...) return signal("kill -INT $pid", ...) end

-- Amid an evaluation that writes to `out`: on a slow machine, later, until pictures are done.
-- Without a cache: there are 60 pictures, and what was computed once would all be found.
local function interrupt_amid(out, ...)
  local code, stdout
  local words = table.pack(...)
  table.move({ "--no-cache", "--out", out }, 1, 3, words.n + 1, words)
  for _, seconds in ipairs { 1.5, 3, 6, 12, 24 } do
    tap.shell("rm -rf " .. tap.quote(out))
    code, stdout = signal(("sleep %g; kill -INT $pid"):format(seconds),
                          table.unpack(words))
    local json = tap.directory() .. "/" .. out .. "/run.json"
    local told = tap.exists(json) and clip.json(tap.read(json)).evaluations or {}
    local last = told[#told]
    if last and not last.finished and last.n > 0 or code ~= 130 then break end
  end
  return code, stdout
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

code, stdout = interrupt_amid("amid", EVALUATE .. [[
local items, images = {}, {} -- not paths: of one file the picture is embedded once
for i, item in ipairs(first.dataset.items) do images[i] = clip.image(item.path) end
for i = 1, 200000 do
  items[i] = { image = images[i % 60 + 1], label = "x", id = ("%06d"):format(i) }
end
local long = clip.dataset { name = "long", items = items }
]] .. READY .. "evaluate(long)", "--data", tree)
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

-- every other task whose predictions need no more than pictures
local TASKS = [[
local clip = require "clipeval"
local root, kinds, items = arg.data, { "disc", "ring", "square" }, {}
local images = {}
for i = 1, 60 do
  images[i] = clip.image { width = 4, height = 4, pixels = string.char(4 * i, 99, 250 - 4 * i):rep(16) }
end
local make = {
  retrieval = function() return { captions = { "a disc", "a ring" } } end,
  multilabel = function(i) return { labels = { kinds[i % 3 + 1] } } end,
  match = function(i) return { text = "text " .. i % 7, match = i % 2 == 0 } end,
  compositional = function() return { caption = "a disc", negative_caption = "a ring" } end,
  vqa = function(i)
    return { question = "Is it round?", answers = { "yes" }, choices = { "yes", "no" } }
  end,
  ablate = function(i) return { label = kinds[i % 3 + 1] } end,
}
for i = 1, 60000 do
  items[i] = make[arg.task](i)
  items[i].id, items[i].image = ("%06d"):format(i), images[i % 60 + 1]
end
local needs = arg.task == "multilabel" or arg.task == "ablate"
local spec = { model = clip.model(), prompts = needs and { "{}", "a {}" } or nil,
               dataset = { name = "long", items = items, task = arg.task == "vqa" and "vqa" or nil } }
]] .. READY .. "clip[arg.task](spec)"
local TARGET = { retrieval = "rank_of_picture", multilabel = "prediction", match = "score",
                 compositional = "score_right", vqa = "prediction", ablate = "prediction" }
for _, task in ipairs { "retrieval", "multilabel", "match", "compositional", "vqa", "ablate" } do
  local name = "amid " .. task .. ": "
  code, stdout = interrupt_amid(task, TASKS, "-o", "task=" .. task)
  tap.is(code, 130, name .. "exit code 130")
  tap.has(stdout, "what was finished is in " .. task, name .. "says where it is")
  local out = tap.directory() .. "/" .. task
  local lines, columns = clip.csv(out .. "/predictions.csv") or { {} }, {}
  for k, column in ipairs(lines[1]) do columns[column] = k end
  local empty, target = 0, columns[TARGET[task]]
  for i = 2, #lines do empty = empty + (lines[i][target] == "" and 1 or 0) end
  local n = (#lines - 1) / (task == "retrieval" and 2 or 1)
  tap.ok(n > 0 and n < 60000, name .. "the predictions so far", n .. " items")
  tap.is(empty, 0, name .. "each is there")
  local told = clip.json(tap.read(out .. "/run.json"))
  tap.is(told.evaluations[1].finished, false, name .. "not finished")
  tap.is(told.evaluations[1].n, math.tointeger(n), name .. "and how far it came")
  tap.is(#clip.csv(out .. "/report.csv"), 1, name .. "no figure")
  tap.is(tap.read(out .. "/problems.csv"), "id,problem\n", name .. "no problem")
end

-- while the run directory is written: report.write begins with os.setlocale
local SLOW = [[
local function wait(seconds)
  local till = os.clock() + seconds
  while os.clock() < till do end
end
]]
code, stdout = interrupt(EVALUATE .. SLOW .. [[
function os.setlocale() io.stdout:setvbuf 'no' print 'ready' wait(1) end
return first]], "--data", tree, "--out", "writing")
tap.is(code, 130, "while the run is written: exit code 130")
tap.is(stdout, "", "while the run is written: nothing to tell")
tap.is(tap.exists(tap.directory() .. "/writing/run.json"), true,
       "while the run is written: it is written")

-- timeout -s INT sends each signal twice
local KEEP = EVALUATE .. SLOW .. "function os.setlocale() wait(1) end\n" .. READY ..
             "while true do end"
code, stdout = signal("kill -INT $pid; sleep 0.1; kill -INT $pid", KEEP, "--data", tree, "--out",
                      "twice")
tap.is(code, 130, "twice at once: exit code 130")
tap.is(stdout, "clipeval: interrupted; what was finished is in twice\n",
       "twice at once is one Ctrl-C")
tap.is(tap.exists(tap.directory() .. "/twice/run.json"), true, "twice at once: the run is written")

for name, number in pairs { TERM = 15, HUP = 1 } do
  code, stdout = signal("kill -" .. name .. " $pid", EVALUATE .. READY .. "while true do end",
                        "--data", tree, "--out", name)
  tap.is(code, 128 + number, "SIG" .. name .. ": exit code 128 + its number")
  tap.is(stdout, "clipeval: interrupted; what was finished is in " .. name .. "\n",
         "SIG" .. name .. ": what was finished is kept")
end

-- where no Lua runs, the first Ctrl-C is not seen: the second one kills
local began = os.time()
code, stdout = signal("kill -INT $pid; sleep 0.7; kill -INT $pid", READY ..
                      "string.find(('a'):rep(9999), ('.-'):rep(30) .. 'b')")
tap.is(code, 130, "a second Ctrl-C ends a pattern that matches forever")
tap.ok(stdout == "" and os.time() - began < 8, "at once", stdout)

code = signal("kill -INT $pid",
              "kept = setmetatable({}, { __gc = function() while true do end end })\n" .. READY)
tap.is(code, 130, "a finalizer that never ends cannot hold the program")

-- encode
tap.write("many", (arg.source .. "/tests/golden/images/rgb-33x32.png\n"):rep(200000))
for name, number in pairs { INT = 2, TERM = 15, HUP = 1 } do
  code, stdout = tap.shell(([[%s encode --quiet --images many -o many.st 2>err & pid=$!
    n=0; until ls many.st.tmp-* >/dev/null 2>&1 || [ $n -eq 100 ]; do sleep 0.1; n=$((n+1)); done
    sleep 0.2; kill -%s $pid; wait $pid; code=$?; cat err; exit $code]]):format(tap.quote(arg.bin),
    name))
  tap.is(code, 128 + number, "encode, SIG" .. name .. ": exit code 128 + its number")
  tap.is(stdout, "clipeval: interrupted\n", "encode, SIG" .. name .. ": one line")
  tap.is(select(2, tap.shell("ls | grep many.st")), "", "encode, SIG" .. name ..
         ": no half-written file is left")
end
tap.done()
