-- What a dataset asks, as one hash: every item's id and the answer that counts as right, in
-- the order of the ids. Two runs with the same hash were asked the same; which pictures lie
-- behind the ids it does not tell.
local core = require "clipeval.core"

local known = setmetatable({}, { __mode = "k" })

-- Each value with its length, so that no two lists are written alike.
local function add(parts, value)
  if type(value) == "table" then
    parts[#parts + 1] = ("[%d"):format(#value)
    for _, one in ipairs(value) do add(parts, one) end
  else
    local text = tostring(value)
    parts[#parts + 1] = ("%d:%s"):format(#text, text)
  end
end

local function truth(item)
  local id = item.id
  if item.label and not item.question and not item.text and not item.ignored then
    return ("%d:%s,%d"):format(#id, id, item.label) -- what most items are
  end
  local parts = {}
  add(parts, id)
  add(parts, item.label or item.labels or item.captions or item.answers or item.match)
  add(parts, item.question or item.text)
  add(parts, item.ignored or {})
  return table.concat(parts, ",")
end

local function sort(lines)
  for i = 2, #lines do
    if lines[i] < lines[i - 1] then return table.sort(lines) end
  end
end

-- The SHA-256 of all items of a dataset, not only of those that a limit leaves.
return function(data)
  if not known[data] then
    local lines, parts = {}, {}
    for i, item in ipairs(data.items) do lines[i] = truth(item) end
    sort(lines)
    add(parts, data.classes or {})
    known[data] = core.sha256(table.concat(parts, ",") .. "\n" .. table.concat(lines, "\n"))
  end
  return known[data]
end
