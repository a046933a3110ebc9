-- HTML that is XML as well, put together from tables:
--
--     h.p { class = "remark", "5 < 6, says ", h.b "Lua" }
--
-- Strings are text and are escaped; what h made stands as it is; a list is its members, false
-- is nothing. In an attribute's name _ stands for -.
local util = require "clipeval.util"

local Markup = {}
Markup.__index = Markup
Markup.__name = "markup"
function Markup:__tostring() return self.text end

local h = {}

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
                  ["'"] = "&#39;" }
local VOID = util.set { "br", "col", "hr", "img", "meta", "wbr", "circle", "line", "path",
                        "polyline", "rect" }

-- Text as XML may hold it. U+FFFD stands for what it may not: controls, and the two
-- noncharacters at the end of the plane.
function h.escape(text)
  text = util.utf8(tostring(text)):gsub("[&<>\"']", ESCAPES)
  text = text:gsub("[%z\1-\8\11\12\14-\31\127]", "\u{FFFD}")
  return (text:gsub("\u{FFFE}", "\u{FFFD}"):gsub("\u{FFFF}", "\u{FFFD}"))
end

-- What is markup already, and ours.
function h.raw(text)
  return setmetatable({ text = text }, Markup)
end

local function append(out, child)
  if getmetatable(child) == Markup then
    out[#out + 1] = child.text
  elseif type(child) == "table" then
    local last = 0
    for i in pairs(child) do
      if math.type(i) == "integer" and i > last then last = i end
    end
    for i = 1, last do append(out, child[i]) end
  elseif child then
    out[#out + 1] = h.escape(child)
  end
end

-- Several pieces as one.
function h.all(...)
  local out = {}
  append(out, { ... })
  return h.raw(table.concat(out))
end

local function element(name, content)
  if type(content) ~= "table" or getmetatable(content) == Markup then content = { content } end
  local out = { "<", name }
  local keys = {}
  for key in pairs(content) do
    if type(key) == "string" then keys[#keys + 1] = key end
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local value = content[key]
    if value then
      local attribute = key:gsub("_", "-")
      table.move({ " ", attribute, '="', h.escape(value == true and attribute or value), '"' },
                 1, 5, #out + 1, out)
    end
  end
  if VOID[name] then
    out[#out + 1] = " />"
  else
    out[#out + 1] = ">"
    append(out, content)
    out[#out + 1] = "</" .. name .. ">"
  end
  return h.raw(table.concat(out))
end

return setmetatable(h, {
  __index = function(self, name)
    local function make(content) return element(name, content) end
    rawset(self, name, make)
    return make
  end,
})
