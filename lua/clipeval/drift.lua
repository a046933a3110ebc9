-- How far a model's embeddings move when its layers compute in another precision: the same
-- pictures and texts in two of them, the cosines between the two.
--
--   local d = drift.compare(m32, m8)     -- {images = {n =, mean =, p1 =, min =}, texts = ...,
--                                              top1 = {n =, counted =, share =}}
local drift = {}

local SIDE = 96

-- A generator of whole numbers from 0 to 255, the same at every call (Numerical Recipes').
local function noise(seed)
  return function()
    seed = (1664525 * seed + 1013904223) % 4294967296
    return seed >> 24
  end
end

-- Picture number i: a ground of two colours that blend, a few discs and bars on it, and grain.
local function picture(i)
  local random = noise(i * 7919)
  local function colour() return { random(), random(), random() } end
  local from, to, slope, grain = colour(), colour(), random() / 255, random() % 48 + 1
  local shapes = {}
  for k = 1, random() % 5 + 2 do
    shapes[k] = { x = random() % SIDE, y = random() % SIDE, size = random() % 28 + 6,
                  bar = random() % 3 == 0, colour = colour() }
  end
  local bytes, pixel = {}, { 0, 0, 0 }
  for y = 0, SIDE - 1 do
    for x = 0, SIDE - 1 do
      local t = (slope * x + (1 - slope) * y) / SIDE
      for c = 1, 3 do pixel[c] = from[c] + (to[c] - from[c]) * t end
      for _, s in ipairs(shapes) do
        local dx, dy = x - s.x, y - s.y
        if s.bar and math.abs(dx + dy) < s.size / 2 or dx * dx + dy * dy < s.size * s.size then
          for c = 1, 3 do pixel[c] = s.colour[c] end
        end
      end
      local g = random() % grain - grain // 2
      for c = 1, 3 do
        bytes[#bytes + 1] = string.char(math.floor(math.max(0, math.min(255, pixel[c] + g))))
      end
    end
  end
  return { width = SIDE, height = SIDE, channels = 3, pixels = table.concat(bytes) }
end

local THINGS = { "cat", "dog", "bridge", "bowl of fruit", "city street at night", "mountain",
                 "violin", "red umbrella", "steam locomotive", "field of tulips", "lighthouse",
                 "handwritten letter", "pair of running shoes", "birthday cake", "tiger",
                 "sailing boat" }
local PHRASES = { "a photo of a %s.", "a blurry photo of a %s", "a drawing of the large %s.",
                  "itap of a %s", "%s", "two people stand beside a %s in the rain",
                  "a close-up of one %s, seen from above", "art of the %s." }

-- Lists of n built-in pictures and texts, the first of them the same for every n.
function drift.pictures(n)
  local list = {}
  for i = 1, n do list[i] = picture(i) end
  return list
end

function drift.texts(n)
  local list = {}
  for i = 1, n do
    local k = i - 1
    list[i] = PHRASES[(k + k // #THINGS) % #PHRASES + 1]:format(THINGS[k % #THINGS + 1])
  end
  return list
end

-- {n =, mean =, p1 =, p5 =, median =, min =} of the cosines between rows i of two matrices;
-- at least p in a hundred do not exceed the p-th percentile.
function drift.cosines(a, b)
  a, b = a:normalize(), b:normalize()
  local list, sum = {}, 0
  for i = 1, #a do
    local x, y, cosine = a[i], b[i], 0
    for k = 1, #x do cosine = cosine + x[k] * y[k] end
    list[i] = cosine
    sum = sum + cosine
  end
  table.sort(list, function(x, y) return x < y or (x ~= x and y == y) end) -- NaN first
  local function percentile(p) return list[math.max(1, math.ceil(#list * p / 100))] end
  return { n = #list, mean = sum / #list, p1 = percentile(1), p5 = percentile(5),
           median = percentile(50), min = list[1] }
end

drift.TIE = 0.001 -- the lead, in cosine, below which the best text is as good as the next

-- Whether the best text of each picture stays the best: {n = pictures, counted = those whose best
-- text leads by drift.TIE or more in `a`, share = of these with the same in `b`}. NaN of none.
function drift.top1(a, b)
  local function best(made)
    return made.images:normalize():similarity(made.texts:normalize()):topk(2)
  end
  local before, values = best(a)
  local after, counted, kept = best(b), 0, 0
  for i, top in ipairs(before) do
    if not values[i][2] or values[i][1] - values[i][2] >= drift.TIE then
      counted = counted + 1
      kept = kept + (after[i][1] == top[1] and 1 or 0)
    end
  end
  return { n = #before, counted = counted, share = kept / counted }
end

local LEAST = 0.1 -- seconds of measurement: a shorter one is noise

-- What a model makes of them: {images =, texts =, seconds = of processor time, the least of
-- some rounds}. The towers are loaded before the clock runs.
function drift.embed(model, pictures, texts)
  model:encode_image({ pictures[1] })
  model:encode_text({ texts[1] })
  local made, spent = { seconds = math.huge }, 0
  repeat
    local start = os.clock()
    made.images, made.texts = model:encode_image(pictures), model:encode_text(texts)
    local seconds = os.clock() - start
    made.seconds, spent = math.min(made.seconds, seconds), spent + seconds
  until spent >= LEAST
  return made
end

-- The drift between two open models; `pictures` and `texts` may be given, nil: built-in ones.
function drift.compare(base, other, pictures, texts)
  pictures, texts = pictures or drift.pictures(200), texts or drift.texts(200)
  local a, b = drift.embed(base, pictures, texts), drift.embed(other, pictures, texts)
  return { images = drift.cosines(a.images, b.images), texts = drift.cosines(a.texts, b.texts),
           top1 = drift.top1(a, b) }
end

return drift
