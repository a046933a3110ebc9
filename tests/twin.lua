-- Arithmetic on lists of numbers, in double precision: what tests compare clipeval with.
local twin = {}

function twin.normalize(v)
  local sum, out = 0, {}
  for _, x in ipairs(v) do sum = sum + x * x end
  for i, x in ipairs(v) do out[i] = x / math.sqrt(sum) end
  return out
end

function twin.dot(a, b)
  local sum = 0
  for i, x in ipairs(a) do sum = sum + x * b[i] end
  return sum
end

return twin
