-- clip.prompts: lists of templates, and what texts they give for a class.
local core = require "clipeval.core"
local util = require "clipeval.util"

local Prompts = {}
Prompts.__index = Prompts
Prompts.__name = "prompts"

local FIELDS = util.set { "name", "version", "about", "templates" }

local function check_template(template, name)
  local kind = type(template)
  if kind ~= "string" and kind ~= "function" then
    util.fail("prompts %s: a template is a string or a function, not a %s", name, kind)
  end
  if kind == "string" and not template:find("{c?}") then
    util.fail("prompts %s: the template '%s' holds no {}", name, template)
  end
end

local function new(t, fallback_name)
  local templates = t.templates or t
  if t.templates then util.check_fields(t, FIELDS, "prompts") end
  local self = { name = t.name or fallback_name or "custom", about = t.about,
                 version = tostring(t.version or ""), templates = {} }
  if type(templates) ~= "table" or #templates == 0 then
    util.fail("prompts %s: needs a list of templates", self.name)
  end
  for i, template in ipairs(templates) do
    check_template(template, self.name)
    self.templates[i] = template
  end
  return setmetatable(self, Prompts)
end

-- clip.prompts(name | file | template | {templates} | {name =, version =, templates =})
local function prompts(what)
  if getmetatable(what) == Prompts then return what end
  if type(what) == "table" then return new(what) end
  if type(what) == "function" then return new { what } end
  if type(what) ~= "string" then
    util.fail("prompts: needs a name, a file or a list of templates, not a %s", type(what))
  end
  if what:find("{c?}") then return new { what } end
  local path, there = util.find("prompts", what)
  if not path then util.fail("no prompts '%s' (there are %s)", what, there) end
  return new(util.load_table(path), util.stem(path))
end

-- a + b: the templates of both
function Prompts.__add(a, b)
  a, b = prompts(a), prompts(b)
  local templates = table.move(b.templates, 1, #b.templates, #a.templates + 1,
                               table.move(a.templates, 1, #a.templates, 1, {}))
  local versions = a.version ~= b.version and a.version .. "+" .. b.version or a.version
  return new { name = a.name .. "+" .. b.name, version = versions, templates = templates }
end

function Prompts:__len() return #self.templates end

function Prompts:__tostring()
  return ("prompts %s (%s)"):format(self.name, util.count(#self.templates, "template"))
end

-- The texts for one class, template by template; a function may give one text or a list.
function Prompts:texts(class)
  local texts = {}
  for _, template in ipairs(self.templates) do
    if type(template) == "string" then
      texts[#texts + 1] = template:gsub("{c?}", function() return class end)
    else
      local made = template(class)
      for _, text in ipairs(type(made) == "table" and made or { made }) do
        if type(text) ~= "string" then
          util.fail("prompts %s: a function gave a %s for '%s'", self.name, type(text), class)
        end
        texts[#texts + 1] = text
      end
    end
  end
  if #texts == 0 then util.fail("prompts %s: no text for '%s'", self.name, class) end
  return texts
end

-- All texts of a list of classes, where each class's begin, and the hash of them all.
function Prompts:render(classes)
  local texts, first = {}, {}
  for i, class in ipairs(classes) do
    first[i] = #texts + 1
    for _, text in ipairs(self:texts(class)) do texts[#texts + 1] = text end
  end
  first[#classes + 1] = #texts + 1
  return texts, first, core.sha256(table.concat(texts, "\n"))
end

-- Templates as run.json shows them: a function by what it makes of a class.
function Prompts:describe(class)
  local list = {}
  for i, template in ipairs(self.templates) do
    local made = type(template) == "function" and template(class)
    if type(made) == "table" then made = made[1] end
    list[i] = made and ("function: %s -> %s"):format(class, tostring(made)) or template
  end
  return list
end

return prompts
