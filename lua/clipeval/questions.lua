-- clip.questions: rules that turn a question and a candidate answer into the text that is
-- compared with the picture. The shipped ones are in question_rules.lua.
--
--   local mine = clip.questions { { pattern = "^what fruit (is|are) (.+)$",
--                                   template = "a picture of {an}, a fruit" } }
--   clip.vqa { ..., prompt = mine + clip.questions() }     -- mine first
local a_or_an = require "clipeval.article"
local answers = require "clipeval.answers"
local core = require "clipeval.core"
local util = require "clipeval.util"

local Questions = {}
Questions.__index = Questions
Questions.__name = "questions"

local FIELDS = util.set { "name", "version", "about", "rules" }
local RULE_FIELDS = util.set { "name", "pattern", "template", "answers", "yes", "no" }
local KINDS = util.set { "yes/no", "number", "other" }
local MOST_PATTERNS = 1000 -- that one rule may stand for

-- ---- answers as words ----

local NUMBERS = { [0] = "no", "one", "two", "three", "four", "five", "six", "seven", "eight",
                  "nine", "ten", "eleven", "twelve" }
local DETERMINED = util.set { "a", "an", "the", "this", "that", "these", "those", "his", "her",
  "its", "their", "my", "your", "our", "no", "one", "two", "three", "four", "five", "six",
  "seven", "eight", "nine", "ten", "many", "several", "both", "all", "another", "each", "every" }
local UNCOUNTED = util.set { "people", "men", "women", "children", "geese", "mice", "feet", "teeth",
  "police", "water", "grass", "snow", "sand", "dirt", "mud", "food", "fruit", "bread", "rice", "meat",
  "cheese", "broccoli", "lettuce", "milk", "coffee", "tea", "beer", "wine", "juice", "butter",
  "chocolate", "metal", "wood", "plastic", "concrete", "brick", "cotton", "leather", "paper",
  "fur", "hair", "clothing", "furniture", "luggage", "jewelry", "tennis", "soccer", "football",
  "baseball", "basketball", "golf", "hockey", "nothing", "something", "someone", "nobody" }
local SINGULAR_S = util.set { "gas", "lens", "canvas", "christmas", "atlas", "pancreas" }

local PLACED = util.set { "in", "on", "at", "under", "near", "behind", "beside", "above", "below",
  "inside", "outside", "outdoors", "indoors", "next", "by", "between", "over", "around", "here",
  "there", "upstairs", "downstairs", "everywhere", "nowhere" }

local function is_plural(word)
  return word:find("[^sui]s$") ~= nil and not SINGULAR_S[word]
end

-- "dog" -> "a dog", "any dog" -> "a dog"; as it is where no article belongs: "dogs", "water",
-- "the dog", "2 dogs", "on the left".
local function with_article(text)
  text = text:gsub("^any ", ""):gsub("^some ", "")
  local lower = text:lower()
  local first, head = lower:match("^[%a']+"), lower
  for _, word in ipairs { "of", "in", "on", "with", "and", "at", "for" } do
    head = head:gsub(" " .. word .. " .*", "") -- "dogs on a leash" are dogs
  end
  local last = head:match("(%a+)%A*$") or ""
  if not first or DETERMINED[first] or PLACED[first] or UNCOUNTED[last] or is_plural(last) then
    return text
  end
  return a_or_an(text)
end

local SIDES = util.set { "left", "right", "top", "bottom", "side", "ground", "floor", "table",
                         "wall", "street", "road", "roof", "beach", "grass" }

-- "kitchen" -> "in the kitchen", "left" -> "on the left", "on table" stays.
local function as_place(text)
  local first = text:lower():match("^%a+")
  if PLACED[first] then return text end
  local before = SIDES[text:lower()] and "on " or "in "
  return before .. ((DETERMINED[first] or text:find("^%u")) and "" or "the ") .. text
end

local function as_number(text)
  return NUMBERS[math.tointeger(tonumber(answers.normalise(text)))] or text
end

local FORMS = { a = tostring, [""] = tostring, an = with_article, ["in"] = as_place,
                number = as_number }

-- ---- rules ----

-- The Lua patterns that one with alternatives stands for: "(is|are) (.+)" is two. A word of
-- a group of alternatives is a capture, too.
local function expand(pattern, what)
  local before, group, after = pattern:match("^(.-)%(([^()|]*|[^()]*)%)(.*)$")
  if not before then return { pattern } end
  local list, rest = {}, expand(after, what)
  for word in (group .. "|"):gmatch("(.-)|") do
    for _, tail in ipairs(rest) do list[#list + 1] = ("%s(%s)%s"):format(before, word, tail) end
    if #list > MOST_PATTERNS then
      util.fail("%s: pattern '%s' has too many alternatives", what, pattern)
    end
  end
  return list
end

local function read_patterns(given, what)
  if type(given) == "string" then given = { given } end
  local count = type(given) == "table" and util.length(given, what .. ": pattern") or 0
  if count == 0 then util.fail("%s: needs a pattern", what) end
  local list = {}
  for i = 1, count do
    if type(given[i]) ~= "string" then util.fail("%s: a pattern is a string", what) end
    for _, pattern in ipairs(expand(given[i], what)) do
      local ok, fault = pcall(string.find, "", pattern)
      if not ok then util.fail("%s: pattern '%s': %s", what, given[i], fault) end
      list[#list + 1] = pattern
    end
  end
  return list
end

-- A template is a function, or a text whose places are known and hold what `must` says.
local function check_template(template, what, must)
  if type(template) == "function" and must then return end
  if type(template) ~= "string" then
    util.fail("%s: a template is a string%s, not %s", what, must and " or a function" or "",
              util.show(template))
  end
  local holds
  for place in template:gmatch("{([^{}]*)}") do
    holds = holds or FORMS[place]
    local known = FORMS[place] and must or place == "q" or place:find("^%d$") or
                  place:find("^an %d$")
    if not known then
      util.fail("%s: the template '%s' has the unknown place {%s} (there are %s{q}, {1}, {an 1})",
                what, template, place, must and "{a}, {an}, {in}, {number}, " or "")
    end
  end
  if must and not holds then
    util.fail("%s: the template '%s' has no place for the answer: {a}", what, template)
  end
end

local function read_templates(given, what, must)
  if type(given) ~= "table" then given = { given } end
  if util.length(given, what .. ": template") == 0 then
    util.fail("%s: needs a template, or yes and no", what)
  end
  for _, template in ipairs(given) do check_template(template, what, must) end
  return given
end

local function read_kinds(given, what)
  if given == nil then return KINDS end
  if type(given) == "string" then given = { given } end
  if type(given) ~= "table" then util.fail("%s: answers must be a list of kinds", what) end
  for i = 1, util.length(given, what .. ": answers") do
    if not KINDS[given[i]] then
      util.fail("%s: no answers %s (there are yes/no, number, other)", what, util.show(given[i]))
    end
  end
  return util.set(given)
end

local function read_rule(rule, number, name)
  local what = ("questions %s: rule %d"):format(name, number)
  util.check_fields(rule, RULE_FIELDS, what)
  local own = { name = util.text(rule.name, what .. ": name") or ("%s %d"):format(name, number),
                patterns = read_patterns(rule.pattern, what) }
  if rule.yes ~= nil or rule.no ~= nil then
    if rule.template ~= nil or rule.answers ~= nil or rule.yes == nil or rule.no == nil then
      util.fail("%s: has either yes and no, or a template", what)
    end
    own.yes, own.no = read_templates(rule.yes, what), read_templates(rule.no, what)
    own.kinds = util.set { "yes/no" }
  else
    own.templates = read_templates(rule.template, what, true)
    own.kinds = read_kinds(rule.answers, what)
  end
  return own
end

-- ---- construction ----

local function new(t, fallback_name)
  local rules = t
  if t.rules ~= nil then
    util.check_fields(t, FIELDS, "questions")
    rules = t.rules
  end
  local self = { name = util.text(t.name, "questions: name") or fallback_name or "custom",
                 version = util.text(t.version, "questions: version") or "", about = t.about,
                 rules = {} }
  local count = type(rules) == "table" and
                util.length(rules, ("questions %s: rule"):format(self.name),
                            rules == t and FIELDS)
  if not count or count == 0 then util.fail("questions %s: needs a list of rules", self.name) end
  for i = 1, count do self.rules[i] = read_rule(rules[i], i, self.name) end
  return setmetatable(self, Questions)
end

-- function(question, answer) as the one rule there is.
local function from_function(f, name)
  local function template(answer, question) return f(question, answer) end
  return new({ { name = name, pattern = "", template = template } }, name)
end

-- clip.questions([rules | template | function | prompts])
local function questions(what)
  if getmetatable(what) == Questions then return what end
  if what == nil then return new(require "clipeval.question_rules") end
  if type(what) == "function" then return from_function(what, "function") end
  if type(what) == "string" then
    return new({ { name = what, pattern = "", template = what } }, what)
  end
  if type(what) ~= "table" then
    util.fail("questions: needs a list of rules, a template or a function, not %s",
              util.show(what))
  end
  if (getmetatable(what) or {}).__name == "prompts" then -- each answer is a class
    local self = from_function(function(_, answer) return (what:texts(answer)) end, what.name)
    self.version = what.version
    return self
  end
  return new(what)
end

-- a + b: the rules of a go first
function Questions.__add(a, b)
  a, b = questions(a), questions(b)
  local self = { name = a.name .. "+" .. b.name, rules = {},
                 version = a.version ~= b.version and a.version .. "+" .. b.version or a.version }
  table.move(a.rules, 1, #a.rules, 1, self.rules)
  table.move(b.rules, 1, #b.rules, #a.rules + 1, self.rules)
  return setmetatable(self, Questions)
end

function Questions:__len() return #self.rules end

function Questions:__tostring()
  return ("questions %s (%s)"):format(self.name, util.count(#self.rules, "rule"))
end

-- ---- texts ----

local SHORT = { ["what's"] = "what is", ["who's"] = "who is", ["where's"] = "where is",
                ["there's"] = "there is", ["it's"] = "it is", whats = "what is" }

-- A question as patterns see it: lower case, single spaces, no mark at the end.
local function plain(question)
  local text = core.lower(question):gsub("%s+", " "):gsub("^ ", ""):gsub("[%s?!.]+$", "")
  return (text:gsub("^%S+", SHORT))
end

-- As VQA's annotations call them.
local function kind_of(answer)
  local form = answers.normalise(answer)
  if form == "yes" or form == "no" then return "yes/no" end
  return form:find("^%d[%d.,:]*$") and "number" or "other"
end

local function match(rule, text)
  for _, pattern in ipairs(rule.patterns) do
    local captures = { pcall(string.match, text, pattern) }
    if not table.remove(captures, 1) then
      util.fail("questions: the pattern '%s': %s", pattern, captures[1])
    end
    if captures[1] ~= nil then
      for i, capture in ipairs(captures) do
        if type(capture) ~= "string" then captures[i] = "" end -- the position of ()
      end
      return captures
    end
  end
end

local function fill(template, answer, question, captures)
  local text = template:gsub("{([^{}]*)}", function(place)
    if FORMS[place] then return FORMS[place](answer) end
    if place == "q" then return question end
    local article, number = place:match("^(a?n?) ?(%d)$")
    local capture = captures[math.tointeger(tonumber(number))] or ""
    return article == "an" and with_article(capture) or capture
  end)
  return text
end

-- Adds what a template makes of an answer to the list `texts`.
local function add(texts, template, answer, question, captures, rule)
  if type(template) == "string" then
    texts[#texts + 1] = fill(template, answer, question, captures)
    return
  end
  local made = template(answer, question, table.unpack(captures))
  if made == nil or made == false then return end
  if type(made) ~= "table" then made = { made } end
  for i = 1, util.length(made, ("questions: of what '%s' gave, text"):format(rule.name)) do
    if type(made[i]) ~= "string" or made[i] == "" then
      util.fail("questions: '%s' gave %s for '%s' and '%s'", rule.name,
                made[i] == "" and "an empty text" or util.show(made[i]), question, answer)
    end
    texts[#texts + 1] = made[i]
  end
end

local function texts_of(rule, answer, question, captures)
  local templates, texts = rule.templates, {}
  if not templates then templates = rule[answers.normalise(answer)] end
  for _, template in ipairs(templates) do
    add(texts, template, answer, question, captures, rule)
  end
  return #texts > 0 and texts
end

-- What the rule makes of the candidates that it takes, false for others; nil: it takes none.
local function apply(rule, question, candidates, kinds, captures)
  local list, some = {}, nil
  for i, answer in ipairs(candidates) do
    list[i] = rule.kinds[kinds[i]] and texts_of(rule, answer, question, captures) or false
    some = some or list[i]
  end
  return some and list
end

-- For each candidate its texts (a list; false: it is no answer to such a question), and the
-- name of the rule that made them.
function Questions:texts(question, candidates)
  if getmetatable(self) ~= Questions or type(question) ~= "string" or
     type(candidates) ~= "table" then
    util.fail("questions:texts needs a question and a list of candidates, not %s and %s",
              util.show(question), util.show(candidates))
  end
  local text, kinds = plain(question), {}
  for i = 1, util.length(candidates, "questions:texts: candidate") do
    if type(candidates[i]) ~= "string" then
      util.fail("questions:texts: candidate %d is no text", i)
    end
    kinds[i] = kind_of(candidates[i])
  end
  for _, rule in ipairs(self.rules) do
    local captures = match(rule, text)
    local list = captures and apply(rule, question, candidates, kinds, captures)
    if list then return list, rule.name end
  end
  util.fail("questions %s: no rule for '%s' and these candidates", self.name, question)
end

-- Rules as run.json shows them.
function Questions:describe()
  local list = {}
  for i, rule in ipairs(self.rules) do
    local shown = {}
    for j, template in ipairs(rule.templates or { rule.yes[1], rule.no[1] }) do
      shown[j] = type(template) == "string" and template or "function"
    end
    list[i] = ("%s: %s"):format(rule.name, table.concat(shown, " | "))
  end
  return list
end

return questions
