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
  local templates = t
  if t.templates ~= nil then
    util.check_fields(t, FIELDS, "prompts")
    templates = t.templates
  end
  local self = { name = util.text(t.name, "prompts: name") or fallback_name or "custom",
                 version = util.text(t.version, "prompts: version") or "", about = t.about,
                 templates = {} }
  local count = type(templates) == "table" and
                util.length(templates, ("prompts %s: template"):format(self.name),
                            templates == t and FIELDS)
  if not count or count == 0 then
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

-- The texts that one template makes of a class; a function may give one text or a list.
local function fill(self, template, class)
  if type(template) == "string" then
    return { (template:gsub("{c?}", function() return class end)) }
  end
  local made = template(class)
  if type(made) ~= "table" then made = { made } end
  local count = util.length(made, ("prompts %s: of what a function gave for '%s', text"):format(
                            self.name, class))
  for i = 1, count do
    if type(made[i]) ~= "string" then
      util.fail("prompts %s: a function gave a %s for '%s'", self.name, type(made[i]), class)
    end
  end
  return made
end

-- The texts for one class, template by template; and lists of them, one a template.
function Prompts:texts(class)
  if getmetatable(self) ~= Prompts or type(class) ~= "string" then
    util.fail("prompts:texts needs a class name, not %s", util.show(class))
  end
  local texts, parts = {}, {}
  for i, template in ipairs(self.templates) do
    parts[i] = fill(self, template, class)
    table.move(parts[i], 1, #parts[i], #texts + 1, texts)
  end
  if #texts == 0 then util.fail("prompts %s: no text for '%s'", self.name, class) end
  return texts, parts
end

-- Templates as run.json shows them: a function by what it made of a class.
local function describe(self, class, parts)
  local list = {}
  for i, template in ipairs(self.templates) do
    list[i] = type(template) == "string" and template or
              ("function: %s -> %s"):format(class, parts[i][1] or "nothing")
  end
  return list
end

-- All texts of a list of classes, where each class's begin, and what defines them: for
-- run.json, since a function need not give the same text twice.
function Prompts:render(classes)
  local texts, first, shown = {}, {}, nil
  for i, class in ipairs(classes) do
    local own, parts = self:texts(class)
    shown = shown or describe(self, class, parts)
    first[i] = #texts + 1
    table.move(own, 1, #own, #texts + 1, texts)
  end
  first[#classes + 1] = #texts + 1
  return texts, first, { name = self.name, version = self.version, templates = shown,
                         texts = #texts, sha256 = core.sha256(table.concat(texts, "\n")) }
end

return prompts
