-- How much a page may hold. Long tables and pictures ask for room first; larger blocks are built
-- while there is some left, and counted afterwards. What is left out is told in its place.
local h = require "clipeval.page.markup"

local room = {}
room.__index = room

local LIMIT = 3200000 -- bytes; with the template and the last block a page stays below 4 MB

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

-- What make() gives, or a line that says that `what` is left out.
function room:block(what, make)
  if self.left <= 0 then
    self.refused = self.refused + 1
    return h.p { class = "more", what .. ": left out, to keep this page small." }
  end
  local before = self.left
  local made = make()
  local counted = before - self.left
  self.left = self.left - (#made.text - counted)
  return made
end

return room
