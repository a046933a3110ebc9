-- ./dev bench rescore|compare|warm: what a second run costs. Wall clock of whole processes,
-- from exec to exit; medians of ROUNDS.
local ROUNDS, ITEMS, CLASSES = 5, 50000, 1000
local wanted, small, bin = arg.what, arg.small, arg.bin
local directory = os.tmpname()
os.remove(directory)
os.execute("mkdir " .. directory)

local function clock()
  local pipe = io.popen("date +%s.%N")
  local seconds = tonumber((pipe:read("a")))
  pipe:close()
  return seconds
end

-- Seconds that `clipeval ARGUMENTS` takes, run in the directory.
local function timed(arguments)
  local start = clock()
  local ok = os.execute(("cd %s && '%s' %s >log 2>&1"):format(directory, bin, arguments))
  local seconds = clock() - start
  if not ok then
    local log = io.open(directory .. "/log")
    error(log:read("a"), 0)
  end
  return seconds
end

local function median(list)
  table.sort(list)
  return list[#list // 2 + 1]
end

-- 50,000 grey pictures of noise, and a script that has 1000 classes of them.
local function write_data()
  local file = io.open(directory .. "/pixels", "wb")
  for i = 1, ITEMS do
    math.randomseed(i)
    local rows = {}
    for k = 1, 8 do rows[k] = string.char(math.random(0, 255), math.random(0, 255)):rep(16) end
    file:write(table.concat(rows):rep(4))
  end
  file:close()
  file = io.open(directory .. "/many.lua", "w")
  file:write(([[
local clip = require "clipeval"
local file, items, classes = io.open("pixels", "rb"), {}, {}
for c = 1, %d do classes[c] = "thing number " .. c end
for i = 1, %d do
  items[i] = { id = ("%%06d"):format(i), label = i %% #classes + 1,
               image = { width = 32, height = 32, channels = 1, pixels = file:read(1024) } }
end
return clip.zeroshot {
  model = clip.model(arg.model), prompts = arg.words .. " {}",
  metrics = { "acc@1", "acc@5", "mean_per_class_recall", "ece", "brier" },
  dataset = { name = "many", version = "1", classes = classes, items = items },
}
]]):format(CLASSES, ITEMS))
  file:close()
end

local function rescore(words, out, more)
  return timed(("run many.lua --quiet --model %s --cache cache -o words='%s' --out %s %s"):format(
    small, words, out, more or ""))
end

-- With one picture a run costs its start, the list of items and the texts.
local function bench_rescore()
  local cold, again, one = rescore("a photo of", "cold"), {}, {}
  for i = 1, ROUNDS do
    again[i] = rescore("round " .. i .. " of", "again" .. i)
    one[i] = rescore("one " .. i .. " of", "one" .. i, "--limit 1")
  end
  print(("rescore %d cached pictures, %d classes, new prompts: %.2f s, of which %.2f s before and "
         .. "for the texts (cold %.1f s)"):format(ITEMS, CLASSES, median(again), median(one), cold))
end

local function bench_compare()
  local seconds = {}
  for i = 1, ROUNDS do seconds[i] = timed "compare cold again1 --force" end
  print(("compare two runs of %d items, 5 figures, 10000 resamples: %.2f s"):format(
    ITEMS, median(seconds)))
end

local function bench_warm()
  for _, script in ipairs { "fashion_mnist", "tuxpaint_stamps" } do
    local run = "run " .. script .. " --quiet --cache warm --out " .. script
    local cold, warm = timed(run .. "-cold"), {}
    for i = 1, ROUNDS do warm[i] = timed(run .. i) end
    print(("warm    %s: cold %.2f s, warm %.2f s, ratio %.0f"):format(script, cold, median(warm),
                                                                       cold / median(warm)))
  end
end

local ok, fault = pcall(function()
  if wanted ~= "warm" then
    write_data()
    bench_rescore()
  end
  if wanted == "all" or wanted == "compare" then bench_compare() end
  if wanted == "all" or wanted == "warm" then bench_warm() end
end)
os.execute("rm -rf " .. directory)
if not ok then error(fault, 0) end
