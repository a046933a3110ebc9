-- clipeval as peer.py has the others: told what to do on standard input.
-- clipeval run --quiet bench/ours.lua --model DIR --precision P -o prompts=FILE
local clip = require "clipeval"
local bench = require "clipeval.core".bench

local SIDE, PICTURES = 224, 32
local model = clip.model(arg.model)
local size = SIDE * SIDE * 3
local pictures, prompts = {}, {}

local file = assert(io.open(arg.model .. "/pictures.rgb", "rb"))
for i = 1, PICTURES do
  pictures[i] = { width = SIDE, height = SIDE, channels = 3, pixels = file:read(size) }
end
file:close()
for line in arg.prompts and io.lines(arg.prompts) or function() end do
  prompts[#prompts + 1] = line
end

local function write(path, embeddings)
  local out <close> = assert(io.open(path, "wb"))
  for i = 1, #embeddings do
    for _, x in ipairs(embeddings[i]) do out:write(string.pack("<f", x)) end
  end
end

local function some(first, n)
  return table.move(prompts, first + 1, first + n, 1, {})
end

local rate -- pictures a second, as far as is known

local function encode(n)
  local list = {}
  for i = 1, n do list[i] = pictures[(i - 1) % PICTURES + 1] end
  local start = bench.now()
  model:encode_image(list)
  rate = n / (bench.now() - start)
  return rate
end

local verbs = {}

function verbs.batch() return "ok" end

function verbs.rate(seconds)
  if not rate then
    encode(8) -- loads the tower
    encode(32)
  end
  return ("%.4f"):format(encode(math.max(16, math.ceil(rate * seconds / 16) * 16)))
end

function verbs.embed(path)
  write(path, model:encode_image(table.move(pictures, 1, 4, 1, {})))
  return "ok"
end

function verbs.texts(first, n)
  local list = some(first, n)
  local start = bench.now()
  model:encode_text(list)
  return ("%.4f"):format(n / (bench.now() - start))
end

verbs["embed-texts"] = function(first, n, path)
  write(path, model:encode_text(some(first, n)))
  return "ok"
end

print("ready")
io.stdout:flush()
for line in io.lines() do
  local words = {}
  for word in line:gmatch("%S+") do words[#words + 1] = math.tointeger(word) or tonumber(word) or word end
  print(verbs[words[1]](table.unpack(words, 2)))
  io.stdout:flush()
end
