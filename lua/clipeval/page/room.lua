-- How much a page may hold. What must be there is there; what may be left out (long tables,
-- pictures) asks for room first, and says so where there is none.
local room = {}
room.__index = room

local LIMIT = 3200000 -- bytes of what asks: with all else a page stays below 4 MB

function room.new() return setmetatable({ left = LIMIT, refused = 0 }, room) end

-- Whether `bytes` more are allowed; they are taken then.
function room:take(bytes)
  if bytes > self.left then
    self.refused = self.refused + 1
    return false
  end
  self.left = self.left - bytes
  return true
end

return room
