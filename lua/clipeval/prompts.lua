-- clip.prompts: templates become texts. A template is
--   a text with {} or {c} where the class name stands,
--   a function that makes a text, or a list of texts, of a class name, or
--   descriptions: a map from class name to texts that are put as they are (CuPL's).
-- Each has a weight, which is that of each of its texts; a class's embedding is the weighted
-- mean of its texts' normalised embeddings, normalised again.
local core = require "clipeval.core"
local util = require "clipeval.util"

local Prompts = {}
Prompts.__index = Prompts
Prompts.__name = "prompts"

local FIELDS = util.set { "name", "version", "about", "templates", "descriptions", "weights",
                          "classes" }
local PLACE = "{c?}"
local LONGEST = 100 -- bytes of names that are compared letter by letter

-- ---- what is said ----

local function check_weight(weight, what)
  if type(weight) ~= "number" or not (weight > 0 and weight < math.huge) then
    util.fail("%s: the weight must be a number above 0, not %s", what, util.show(weight))
  end
  return weight
end

-- A template, or { template, weight = }: the template and its weight, or nil.
local function check_template(template, what)
  local weight
  if type(template) == "table" and template[1] ~= nil then
    util.check_fields(template, { true, weight = true }, what)
    template, weight = template[1], template.weight
  end
  local kind = type(template)
  if kind ~= "string" and kind ~= "function" then
    util.fail("%s: a template is a string or a function, not a %s", what, kind)
  end
  if kind == "string" and not template:find(PLACE) then
    util.fail("%s: the template '%s' holds no {}", what, template)
  end
  return template, weight and check_weight(weight, what)
end

-- { class = text or list of texts }, as lists.
local function check_descriptions(given, what)
  local lists = {}
  if type(given) ~= "table" then
    util.fail("%s: descriptions must be a table, not %s", what, util.show(given))
  end
  for class, texts in pairs(given) do
    if type(class) ~= "string" then
      util.fail("%s: descriptions: the class %s is no text", what, util.show(class))
    end
    local whose = ("%s: descriptions of '%s'"):format(what, class)
    if type(texts) == "string" then texts = { texts } end
    if type(texts) ~= "table" or util.length(texts, whose) == 0 then
      util.fail("%s: needs a text or a list of texts", whose)
    end
    for i, text in ipairs(texts) do
      if type(text) ~= "string" or text == "" then util.fail("%s: %d is no text", whose, i) end
    end
    lists[class] = texts
  end
  if not next(lists) then util.fail("%s: descriptions are empty", what) end
  return lists
end

local function check_classes(classes, what)
  if classes == nil then return nil end
  if type(classes) ~= "table" or util.length(classes, what .. ": class") == 0 then
    util.fail("%s: classes must be a list of names", what)
  end
  for i, name in ipairs(classes) do
    if type(name) ~= "string" or name == "" then util.fail("%s: class %d is no text", what, i) end
  end
  return classes
end

local function add_templates(self, templates, known, what)
  for i = 1, util.length(templates, what .. ": template", known) do
    self.templates[i], self.weights[i] = check_template(templates[i], what)
    self.weights[i] = self.weights[i] or 1
  end
end

-- weights = { ... }: one for each template, in their order.
local function set_weights(self, weights, what)
  if weights == nil then return end
  if type(weights) ~= "table" or
     util.length(weights, what .. ": weight") ~= #self.templates then
    util.fail("%s: weights must be a list of %d numbers, one a template", what, #self.templates)
  end
  for i, weight in ipairs(weights) do self.weights[i] = check_weight(weight, what) end
end

-- `path` is the file that said so.
local function new(t, path)
  local is_list = t.templates == nil and t.descriptions == nil
  if not is_list then util.check_fields(t, FIELDS, "prompts") end
  local self = { name = util.text(t.name, "prompts: name") or
                        path and util.stem(path) or "custom",
                 version = util.text(t.version, "prompts: version") or "", about = t.about,
                 templates = {}, weights = {} }
  local what = path or "prompts " .. self.name
  local templates = is_list and t or t.templates or {}
  if type(templates) ~= "table" then util.fail("%s: needs a list of templates", what) end
  add_templates(self, templates, is_list and FIELDS or nil, what)
  if t.descriptions ~= nil then
    self.templates[#self.templates + 1] = check_descriptions(t.descriptions, what)
    self.weights[#self.templates] = 1
  end
  if #self.templates == 0 then util.fail("%s: needs a list of templates", what) end
  set_weights(self, t.weights, what)
  self.classes = check_classes(t.classes, what)
  return setmetatable(self, Prompts)
end

-- ---- files ----

-- A template a line, as CLIP_benchmark's zeroshot_classification_templates.txt.
local function read_text(path, bytes)
  local templates, number = {}, 0
  for line in (bytes:gsub("^\xef\xbb\xbf", "") .. "\n"):gmatch("(.-)\r?\n") do
    number, line = number + 1, line:match("^%s*(.-)%s*$")
    if line ~= "" then
      if not line:find(PLACE) then
        util.fail("%s:%d: the template '%s' holds no {}", path, number, line)
      end
      templates[#templates + 1] = line
    end
  end
  if #templates == 0 then util.fail("%s: holds no template", path) end
  return { templates = templates }
end

-- A list of templates, or { class: description or list of them }; that may stand, as
-- CLIP_benchmark's cupl_prompts.json has it, below the name of the dataset.
local function read_json(path, bytes)
  local value, fault = core.json_decode(bytes)
  if value == nil then util.fail("%s: %s", path, fault or "holds null") end
  if type(value) ~= "table" or next(value) == nil then
    util.fail("%s: needs a list of templates, or {class: [description, ...]}", path)
  end
  if value[1] ~= nil then return { templates = value } end
  local keys = util.keys(value)
  for _, key in ipairs(keys) do
    local inner = value[key]
    if type(inner) == "table" and inner[1] == nil and next(inner) ~= nil then
      if #keys == 1 then return { descriptions = inner } end
      util.fail("%s: needs {class: [description, ...]}, and '%s' holds an object", path, key)
    end
  end
  return { descriptions = value }
end

local READERS = { txt = read_text, json = read_json }

local function load_file(path)
  local read = READERS[(path:match("%.(%w+)$") or ""):lower()]
  if not read then return util.load_table(path) end
  local file, fault = io.open(path, "rb")
  local bytes
  if file then
    bytes, fault = file:read("a")
    file:close()
  end
  if not bytes then
    util.fail("%s", fault:find(path, 1, true) and fault or path .. ": " .. fault)
  end
  return read(path, bytes)
end

-- clip.prompts(name | file | template | {templates} | {name =, version =, templates =, ...})
local function prompts(what)
  if getmetatable(what) == Prompts then return what end
  if type(what) == "table" then return new(what) end
  if type(what) == "function" then return new { what } end
  if type(what) ~= "string" then
    util.fail("prompts: needs a name, a file or a list of templates, not a %s", type(what))
  end
  if what:find(PLACE) then return new { what } end
  local path, there = util.find("prompts", what)
  if not path then util.fail("no prompts '%s' (there are %s)", what, there) end
  return new(load_file(path), path)
end

-- ---- arithmetic ----

local function join(a, b)
  return table.move(b, 1, #b, #a + 1, table.move(a, 1, #a, 1, {}))
end

local function same_list(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if a[i] ~= b[i] then return false end
  end
  return true
end

-- a + b: the templates of both, with their weights
function Prompts.__add(a, b)
  a, b = prompts(a), prompts(b)
  if a.classes and b.classes and not same_list(a.classes, b.classes) then
    util.fail("prompts: %s and %s have classes of their own, which differ", a.name, b.name)
  end
  return setmetatable({
    name = a.name .. "+" .. b.name,
    version = a.version ~= b.version and a.version .. "+" .. b.version or a.version,
    templates = join(a.templates, b.templates), weights = join(a.weights, b.weights),
    classes = a.classes or b.classes,
  }, Prompts)
end

-- prompts * 2, 2 * prompts: every weight twice, which tells beside others
function Prompts.__mul(a, b)
  if type(a) == "number" then a, b = b, a end
  local factor = check_weight(b, "prompts " .. a.name)
  local weights = {}
  for i, weight in ipairs(a.weights) do weights[i] = weight * factor end
  return setmetatable(util.copy(a, { weights = weights }), Prompts)
end

function Prompts:__len() return #self.templates end

function Prompts:__tostring()
  return ("prompts %s (%s)"):format(self.name, util.count(#self.templates, "template"))
end

-- ---- texts ----

-- How many letters must change to make `b` of `a` (Levenshtein).
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local corner = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      corner, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, corner + cost)
    end
  end
  return row[#b]
end

-- Up to three keys of `t` that are written much like `name`, or hold it, or it them.
local function similar(t, name)
  local wanted, found = name:lower():gsub("[_%-]", " "), {}
  for _, key in ipairs(util.keys(t)) do
    local plain = key:lower():gsub("[_%-]", " ")
    local far = math.max(#wanted, #plain) <= LONGEST and distance(wanted, plain) or math.huge
    if plain:find(wanted, 1, true) or wanted:find(plain, 1, true) then far = math.min(far, 2) end
    if far <= math.max(2, #wanted // 3) then found[#found + 1] = { key = key, far = far } end
  end
  table.sort(found, function(a, b) return a.far < b.far or a.far == b.far and a.key < b.key end)
  local list = {}
  for i = 1, math.min(3, #found) do list[i] = found[i].key end
  return list
end

local function describe_class(self, descriptions, class)
  local texts = descriptions[class]
  if texts then return texts end
  local like = similar(descriptions, class)
  util.fail("prompts %s: no description of the class '%s' (%s)", self.name, class,
            #like > 0 and "like it: " .. table.concat(like, ", ") or
            util.count(#util.keys(descriptions), "other class", "other classes"))
end

-- The texts that template `number` makes of a class; a function may give one text or a list.
local function fill(self, number, class)
  local template = self.templates[number]
  if type(template) == "string" then
    return { (template:gsub(PLACE, function() return class end)) }
  end
  if type(template) == "table" then return describe_class(self, template, class) end
  local made = template(class)
  local list = type(made) == "table" and made or { made or false }
  local count = util.length(list, ("prompts %s: of what template %d (a function) gave for '%s', " ..
                                   "text"):format(self.name, number, class))
  for i = 1, count do
    if type(list[i]) ~= "string" or list[i] == "" then
      util.fail("prompts %s: template %d (a function) gave %s for '%s'", self.name, number,
                list[i] == "" and "an empty text" or util.show(made and list[i]), class)
    end
  end
  return list
end

-- The texts for one class, template by template; and lists of them, one a template.
function Prompts:texts(class)
  if getmetatable(self) ~= Prompts or type(class) ~= "string" then
    util.fail("prompts:texts needs a class name, not %s", util.show(class))
  end
  local texts, parts = {}, {}
  for i = 1, #self.templates do
    parts[i] = fill(self, i, class)
    table.move(parts[i], 1, #parts[i], #texts + 1, texts)
  end
  if #texts == 0 then util.fail("prompts %s: no text for '%s'", self.name, class) end
  return texts, parts
end

-- Templates as run.json shows them: a function, or descriptions, by what became of a class.
local function show(self, class, parts)
  local list = {}
  for i, template in ipairs(self.templates) do
    local kind = type(template) == "table" and "descriptions" or "function"
    list[i] = type(template) == "string" and template or
              ("%s: %s -> %s"):format(kind, class, parts[i][1] or "nothing")
  end
  return list
end

-- Descriptions of what is none of the classes: most likely names that are written otherwise.
local function warn_of_strangers(self, classes)
  local known = util.set(classes)
  for _, template in ipairs(self.templates) do
    local strange = {}
    for _, class in ipairs(type(template) == "table" and util.keys(template) or {}) do
      if not known[class] then strange[#strange + 1] = class end
    end
    if #strange > 0 then
      util.warn("prompts %s: %s not evaluated: '%s'%s", self.name,
                util.count(#strange, "class is described and", "classes are described and"),
                strange[1], #strange > 1 and ", ..." or "")
    end
  end
end

local function weighs_alike(self)
  for _, weight in ipairs(self.weights) do
    if weight ~= self.weights[1] then return false end
  end
  return true
end

-- Of the texts, of where the classes' begin where they have not all as many, and of the
-- weights where they differ.
local function hash(texts, first, weights)
  local parts = { table.concat(texts, "\n") }
  for i = 2, #first - 1 do
    if first[i + 1] - first[i] ~= first[2] - first[1] then
      parts[2] = "first " .. table.concat(first, " ")
      break
    end
  end
  if weights then
    local shown = {}
    for i, weight in ipairs(weights) do shown[i] = ("%.17g"):format(weight) end
    parts[#parts + 1] = "weights " .. table.concat(shown, " ")
  end
  return core.sha256(table.concat(parts, "\0"))
end

-- All texts of a list of classes; where each class's begin; what defines them, for run.json
-- (a function need not give the same text twice); the texts' weights, or nil where they are
-- all alike; and how many texts of class i are template k's: counts[i][k].
function Prompts:render(classes)
  local texts, first, weights, shown = {}, {}, not weighs_alike(self) and {} or nil, nil
  local counts = {}
  for i, class in ipairs(classes) do
    local own, parts = self:texts(class)
    shown = shown or show(self, class, parts)
    first[i] = #texts + 1
    table.move(own, 1, #own, #texts + 1, texts)
    counts[i] = {}
    for k, part in ipairs(parts) do
      counts[i][k] = #part
      for _ = 1, weights and #part or 0 do weights[#weights + 1] = self.weights[k] end
    end
  end
  first[#classes + 1] = #texts + 1
  warn_of_strangers(self, classes)
  return texts, first, { name = self.name, version = self.version, templates = shown,
                         weights = weights and self.weights or nil, texts = #texts,
                         sha256 = hash(texts, first, weights) }, weights, counts
end

return prompts
