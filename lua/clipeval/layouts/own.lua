-- Items of the user's own: a list, or a function that gives one.
local items = require "clipeval.items"
local util = require "clipeval.util"

local own = { takes = "DIR", fields = {}, part = "its folder" }

function own.expects() return "what its items say" end

-- An image of clip.image, or raw pixels.
local function is_picture(image)
  if type(image) ~= "table" then return tostring(image):find("^image ") ~= nil end
  local width, height, channels = image.width, image.height, image.channels or 3
  return math.type(width) == "integer" and math.type(height) == "integer" and
         (channels == 1 or channels == 3) and type(image.pixels) == "string" and
         #image.pixels == width * height * channels and #image.pixels > 0
end

-- Of an item, or of one of its two pictures.
local function check_picture(picture, what)
  if type(picture) ~= "table" then
    util.fail("%s is no table, but %s", what, util.show(picture))
  elseif picture.path == nil and picture.image == nil then
    util.fail("%s has neither path nor image", what)
  end
  util.path(picture.path, what .. ": path")
  if picture.image ~= nil and not is_picture(picture.image) then
    util.fail("%s: image is neither an image nor width * height * channels pixels", what)
  end
  if (picture.offset == nil) ~= (picture.size == nil) or picture.offset and
     (math.type(picture.offset) ~= "integer" or math.type(picture.size) ~= "integer" or
      picture.offset < 0 or picture.size < 1) then
    util.fail("%s: offset and size must be whole numbers of bytes", what)
  end
end

-- A copy of an item in which each of several pictures is a table: a text is its path.
local function spell_out(item)
  if type(item) ~= "table" or type(item.pictures) ~= "table" then return item end
  local pictures = {}
  for i, picture in pairs(item.pictures) do
    pictures[i] = type(picture) == "string" and { path = picture } or picture
  end
  return util.copy(item, { pictures = pictures })
end

local function check(item, what)
  if type(item) == "table" and item.pictures ~= nil then
    if type(item.pictures) ~= "table" then
      util.fail("%s: pictures must be a list, not %s", what, util.show(item.pictures))
    end
    for i = 1, util.length(item.pictures, what .. ": picture") do
      check_picture(item.pictures[i], ("%s: picture %d"):format(what, i))
    end
  else
    check_picture(item, what)
  end
  util.text(item.id, what .. ": id")
end

local function joined(picture, root)
  return util.copy(picture, { path = picture.path and util.join(root, picture.path) })
end

function own.load(self, root)
  local given = self.items
  if type(given) == "function" then given = given(root, self.split) end
  if type(given) ~= "table" then util.fail("dataset %s: items is no list", self.name) end
  local function where(i) return ("dataset %s: item %d"):format(self.name, i) end
  local list = {}
  for i = 1, util.length(given, ("dataset %s: item"):format(self.name)) do
    local item = spell_out(given[i])
    check(item, where(i))
    list[i] = joined(item, root)
    list[i].id = util.text(item.id) or item.path or tostring(i)
    if item.pictures then
      list[i].pictures = {}
      for k, picture in ipairs(item.pictures) do list[i].pictures[k] = joined(picture, root) end
    end
  end
  return list, items.read(self, list, where, items.from_script)
end

return own
