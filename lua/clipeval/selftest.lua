-- What a model makes of a few built-in texts and pictures: a broken one shows at once, since
-- all its embeddings are alike, or no numbers at all.
local util = require "clipeval.util"

local SIDE = 64
local LIMIT = 0.999 -- of the smallest cosine: above it nothing is told apart

local TEXTS = { "a photo of a cat", "two people carry a red umbrella in the rain",
                "кошка спит на диване", "一只狗在草地上奔跑",
                ("a very long description of nothing in particular, "):rep(20), "" }

-- Pictures made of what pixel (x, y) is, in red, green and blue.
local function picture(pixel)
  local bytes = {}
  for y = 0, SIDE - 1 do
    for x = 0, SIDE - 1 do bytes[#bytes + 1] = string.char(pixel(x, y)) end
  end
  return { width = SIDE, height = SIDE, channels = 3, pixels = table.concat(bytes) }
end

local function pictures()
  local seed = 1
  local function noise() -- of Numerical Recipes
    seed = (1664525 * seed + 1013904223) % 4294967296
    return seed >> 24
  end
  return { picture(function() return 0, 0, 0 end),
           picture(function() return 255, 255, 255 end),
           picture(function(x, y) return x * 4, y * 4, 128 end),
           picture(function(x) local v = x // 4 % 2 * 255 return v, v, v end),
           picture(function() return noise(), noise(), noise() end) }
end

local function is_finite(x) return x == x and math.abs(x) < math.huge end

-- The smallest, the mean and the largest of a list of numbers.
local function spread(numbers)
  local low, high, sum = math.huge, -math.huge, 0
  for _, x in ipairs(numbers) do low, high, sum = math.min(low, x), math.max(high, x), sum + x end
  return { min = low, mean = sum / #numbers, max = high }
end

local function norms(embeds)
  local list = {}
  for i = 1, #embeds do
    local sum = 0
    for _, x in ipairs(embeds[i]) do sum = sum + x * x end
    list[i] = math.sqrt(sum)
  end
  return list
end

-- Of every pair of rows.
local function cosines(embeds)
  local unit = embeds:normalize()
  local all, list = unit:similarity(unit), {}
  for i = 1, #embeds do
    for j = i + 1, #embeds do list[#list + 1] = all[i][j] end
  end
  return list
end

-- The largest difference between a row and the same row computed alone, relative to the norm.
local function batch_error(embeds, alone)
  local worst, all, one = 0, embeds[#embeds], alone[1]
  for j, x in ipairs(one) do worst = math.max(worst, math.abs(x - all[j])) end
  return worst == 0 and 0.0 or worst / norms(alone)[1]
end

-- {n =, norms =, cosines =, batch_error =}, with `fault` where no figures can be had.
local function test(encode, model, items, options)
  local ok, embeds, problems = pcall(encode, model, items, options)
  if not ok then return { n = #items, fault = (embeds:gsub("^clipeval[%w.]*:%d+: ", "")) } end
  local _, problem = next(problems or {})
  local lengths = norms(embeds)
  for _, length in ipairs(lengths) do
    if not is_finite(length) then problem = problem or "an embedding holds NaN" end
    if length == 0 then problem = problem or "an embedding is all zero" end
  end
  if problem then return { n = #items, fault = util.utf8(problem) } end
  local alone = encode(model, { items[#items] }, options)
  local angles = spread(cosines(embeds))
  return { n = #items, norms = spread(lengths), cosines = angles,
           collapsed = angles.min > LIMIT, batch_error = batch_error(embeds, alone) }
end

return function(model)
  return { texts = test(model.encode_text, model, TEXTS, {}),
           pictures = test(model.encode_image, model, pictures(), {}) }
end
