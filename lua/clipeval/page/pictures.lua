-- The pictures of a run, small, as data: URIs. A run directory holds none; they are looked for
-- where run.json says that the dataset lies (or where the user says that it lies now), first as
-- files below it whose path is the item's id, then by loading the dataset once more. What is
-- not found is told on the page.
local clip_image = require "clipeval.core".image
local core = require "clipeval.core"
local dataset = require "clipeval.dataset"
local util = require "clipeval.util"

local Pictures = {}
Pictures.__index = Pictures

local SIDE, QUALITY = 176, 78 -- pixels: shown at 110 to 140, so sharp on a fine screen too
local TINY = 64               -- a picture below that is shown larger, with square pixels

-- ---- base64 (RFC 4648, 4) ----

local DIGITS = {}
for c in ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):gmatch "." do
  DIGITS[DIGITS[0] and #DIGITS + 1 or 0] = c
end

local function base64(bytes)
  local out = {}
  for i = 1, #bytes - 2, 3 do
    local a, b, c = bytes:byte(i, i + 2)
    out[#out + 1] = DIGITS[a >> 2] .. DIGITS[(a & 3) << 4 | b >> 4] ..
                    DIGITS[(b & 15) << 2 | c >> 6] .. DIGITS[c & 63]
  end
  local a, b = bytes:byte(#bytes - (#bytes - 1) % 3, #bytes)
  if #bytes % 3 == 1 then
    out[#out + 1] = DIGITS[a >> 2] .. DIGITS[(a & 3) << 4] .. "=="
  elseif #bytes % 3 == 2 then
    out[#out + 1] = DIGITS[a >> 2] .. DIGITS[(a & 3) << 4 | b >> 4] .. DIGITS[(b & 15) << 2] .. "="
  end
  return table.concat(out)
end

-- ---- where ----

-- An id that is a path below a directory, and stays there.
local function is_inside(id)
  return id ~= "" and id:sub(1, 1) ~= "/" and not ("/" .. id .. "/"):find("/%.%.?/") and
         not id:find("\0", 1, true)
end

-- The directories below which an item's id may be a path.
local function directories(facts, data)
  local list = {}
  for _, directory in ipairs { data or false, data and util.join(data, facts.name or "") or false,
                               facts.pictures or false, facts.root or false } do
    if type(directory) == "string" and directory ~= "" then list[#list + 1] = directory end
  end
  return list
end

-- The dataset itself, loaded again. A report may come from elsewhere, so only what our own
-- tables and layouts say is run: never a Lua file that a run.json names.
local function reload(facts, data)
  local root = data or facts.root ~= "" and facts.root or nil
  local what = {}
  if (facts.name or ""):find("^[%w_-]+$") and util.find("datasets", facts.name) then
    what[1] = facts.name
  end
  if root and type(facts.layout) == "string" and facts.layout ~= "own" then
    what[#what + 1] = { layout = facts.layout }
  end
  for _, one in ipairs(what) do
    for _, split in ipairs { facts.split or false, false } do -- "all" is said where there is none
      local ok, loaded = pcall(dataset, one, { root = root, split = split or nil })
      if ok then return loaded end
    end
  end
end

-- ---- one run's ----

-- For an evaluation of clipeval.runs; data: where the user says that the dataset lies.
local function open(evaluation, data)
  local facts = evaluation.dataset or {}
  return setmetatable({ facts = facts, data = data, places = directories(facts, data),
                        alpha = facts.alpha == "white" and "white" or nil, found = 0,
                        missing = 0 }, Pictures)
end

-- What clip.image takes for each picture of an item.
local function sources(self, id)
  if is_inside(id) then
    for _, directory in ipairs(self.places) do
      local path = util.join(directory, id)
      if core.kind(path) == "file" then return { path } end
    end
  end
  if self.items == nil then
    local loaded = reload(self.facts, self.data)
    self.loaded, self.items = loaded, loaded and {}
    for _, item in ipairs(loaded and loaded.items or {}) do self.items[item.id] = item end
    self.items = self.items or false
  end
  local item = self.items and self.items[id]
  if not item then return {} end
  local list = {}
  for i, picture in ipairs(item.pictures or { item }) do list[i] = self.loaded:picture(picture) end
  return list
end

local function thumbnail(self, source)
  local image = clip_image(source, { alpha = self.alpha })
  if not image then return nil end
  local jpeg = image:thumbnail(SIDE, QUALITY)
  local small = { uri = "data:image/jpeg;base64," .. base64(jpeg), width = image.width,
                  height = image.height,
                  tiny = math.max(image.width, image.height) <= TINY }
  image:close()
  return small
end

-- List of {uri =, width =, height =, tiny =}, empty where there is no picture to show.
function Pictures:of(id)
  local list = {}
  local ok, from = pcall(sources, self, id)
  for _, source in ipairs(ok and from or {}) do list[#list + 1] = thumbnail(self, source) end
  if #list > 0 then self.found = self.found + 1 else self.missing = self.missing + 1 end
  return list
end

-- Why there are none, for the page.
function Pictures:where()
  local name = self.facts.name or "the dataset"
  if #self.places == 0 and not self.items then
    return ("run.json does not say where %s lies; clipeval report --data DIR does."):format(name)
  end
  return ("they are not in %s, where %s lay; clipeval report --data DIR says where it lies now.")
         :format(self.places[1] or "the place", name)
end

return open
