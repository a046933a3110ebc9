-- What the items of a dataset are, by its kind: the checks that all layouts share, and the
-- reading of items that a script or a manifest gives as tables.
local classes_of = require "clipeval.classes"
local util = require "clipeval.util"

local items = {}

items.KINDS = { "classification", "multilabel", "retrieval", "vqa", "pairs", "match" }
items.has_classes = { classification = true, multilabel = true }

-- What an item of each kind may say, besides what all have. A caption of a classified picture is
-- for the script's own use; so is any field that begins with an underscore.
local FIELDS = {
  classification = { "label", "caption" },
  multilabel = { "labels", "ignored", "caption" },
  retrieval = { "captions", "caption" },
  vqa = { "question", "answers", "answer", "choices", "question_type", "answer_type",
          "multiple_choice_answer" },
  pairs = { "captions", "caption", "negative_caption", "pictures", "group" },
  match = { "text", "match" },
}

-- ---- checks: nil, or what is wrong with an item ----

local function text_fault(text, what)
  if type(text) ~= "string" then return ("%s is no text, but %s"):format(what, util.show(text)) end
  if not text:find("%S") then return what .. " is empty" end
  if not utf8.len(text) then return what .. " is not UTF-8" end
end

local function texts_fault(list, what)
  if type(list) ~= "table" then return ("no %ss"):format(what) end
  for i, text in ipairs(list) do
    local fault = text_fault(text, #list == 1 and "the " .. what or ("%s %d"):format(what, i))
    if fault then return fault end
  end
  return #list == 0 and ("no %ss"):format(what) or nil
end

local function class_fault(number, names)
  if math.type(number) ~= "integer" or not names[number] then
    return ("the label %s is no class (there are %s)"):format(util.show(number),
                                                  util.count(#names, "class", "classes"))
  end
end

local FAULTS = {}

function FAULTS.classification(item, names) return class_fault(item.label, names) end

function FAULTS.multilabel(item, names)
  if type(item.labels) ~= "table" then return "no labels" end
  for _, number in ipairs(item.labels) do
    local fault = class_fault(number, names)
    if fault then return fault end
  end
  for _, number in ipairs(item.ignored or {}) do
    local fault = class_fault(number, names)
    if fault then return fault end
  end
end

function FAULTS.retrieval(item) return texts_fault(item.captions, "caption") end

-- The official measure is defined for ten answers; of one, equal is right.
function FAULTS.vqa(item)
  local fault = text_fault(item.question, "the question") or texts_fault(item.answers, "answer") or
                item.choices and texts_fault(item.choices, "choice")
  if not fault and #item.answers ~= 1 and #item.answers ~= 10 then
    return ("%d answers, where there must be 1 or 10"):format(#item.answers)
  end
  for _, key in ipairs { "question_type", "answer_type" } do
    fault = fault or item[key] ~= nil and text_fault(item[key], key) or nil
  end
  return fault
end

function FAULTS.pairs(item)
  local fault = texts_fault(item.captions, "caption")
  if not fault and #item.captions ~= 2 then
    return ("%s, where there must be 2"):format(util.count(#item.captions, "caption"))
  end
  if not fault and item.pictures and #item.pictures ~= 2 then
    return ("%s, where there must be 2"):format(util.count(#item.pictures, "picture"))
  end
  return fault or item.group and text_fault(item.group, "the group")
end

function FAULTS.match(item)
  return text_fault(item.text, "the text") or
         type(item.match) ~= "boolean" and "match is neither true nor false" or nil
end

function items.fault(kind, item, names) return FAULTS[kind](item, names) end

-- ---- items given as tables ----

-- A field that no item of this kind has is a misspelt one, or the item is of another kind.
local function check_known(item, kind, where, known)
  for _, key in ipairs(util.keys(item)) do
    if not known[key] and key:sub(1, 1) ~= "_" then
      util.fail("%s: unknown field %s in an item of kind %s (there are %s, and what begins with _)",
                where, util.show(key), kind, table.concat(util.keys(known), ", "))
    end
  end
end

-- The kind of which an item's keys speak.
local function kind_of(item)
  return item.label ~= nil and "classification" or item.labels ~= nil and "multilabel" or
         item.question ~= nil and "vqa" or item.match ~= nil and "match" or
         (item.pictures or item.negative_caption ~= nil) and "pairs" or
         (item.captions or item.caption) ~= nil and "retrieval" or "classification"
end

local function check_label(label, where)
  if not label then util.fail("%s: no label", where) end
  local kind = math.type(label) or type(label)
  if kind ~= "integer" and kind ~= "string" then
    util.fail("%s: the label must be a class name or an integer, not %s", where, util.show(label))
  end
end

-- All labels of an item: its label, or its labels and those to be ignored.
local function labels_of(item, kind, where)
  if kind == "classification" then return { item.label ~= nil and item.label or false } end
  local all = {}
  for _, key in ipairs { "labels", "ignored" } do
    local list = item[key]
    if type(list) ~= "table" and (list ~= nil or key == "labels") then
      util.fail("%s: %s must be a list, not %s", where, key, util.show(list))
    end
    for i = 1, list and util.length(list, where .. ": " .. key) or 0 do all[#all + 1] = list[i] end
  end
  return all
end

local function resolve(list, find)
  if not list then return nil end
  local numbers, seen = {}, {}
  for _, label in ipairs(list) do
    local number = find(label)
    if not seen[number] then numbers[#numbers + 1] = number end
    seen[number] = true
  end
  return numbers
end

-- Puts class numbers into the places of labels. find(classes, label) -> number.
local function resolve_labels(self, list, kind, where, find)
  local found, seen = {}, {}
  for i, item in ipairs(list) do
    for _, label in ipairs(labels_of(item, kind, where(i))) do
      check_label(label, where(i))
      label = find.to_text(label)
      if label and not seen[label] then
        seen[label] = true
        found[#found + 1] = label
      end
    end
  end
  local classes = classes_of(self, found, type(self.labels) == "table" and self.labels or nil)
  for i, item in ipairs(list) do
    local function number(label)
      return find.class(classes, label) or
             util.fail("%s: the label %s is no class%s", where(i), util.show(label),
                       find.hint and not self.classes and find.hint or
                       (" (there are %s)"):format(util.count(#classes.names, "class", "classes")))
    end
    if kind == "classification" then
      item.label = number(item.label)
    else
      item.labels, item.ignored = resolve(item.labels, number), resolve(item.ignored, number)
    end
  end
  return classes.names
end

-- One text for a list of one; other words for the captions.
local function spell_out(item)
  if item.captions == nil and item.caption ~= nil then
    item.captions = { item.caption, item.negative_caption }
  end
  if item.answers == nil and item.answer ~= nil then item.answers = { item.answer } end
  for _, key in ipairs { "captions", "answers" } do
    if type(item[key]) == "string" then item[key] = { item[key] } end
  end
end

-- Labels as a file writes them, and as a script does: there a number is a place in Lua's own
-- list, from 1 on.
items.from_file = {
  fields = { "id", "path" },
  to_text = tostring,
  class = function(classes, label)
    label = tostring(label)
    return label ~= "" and classes:find(label)
  end,
}
items.from_script = {
  fields = { "id", "path", "image", "offset", "size" },
  to_text = function(label) return type(label) == "string" and label end,
  class = function(classes, label, given)
    if math.type(label) == "integer" and classes.listed then
      return classes.names[label] and label
    end
    return classes.number[tostring(label)]
  end,
  hint = " (a number needs classes)",
}

-- Checks the copies `list` of what was given: class names (nil where there are none) and the
-- kind. where(i) is what stands in front of a message about item i.
function items.read(self, list, where, find)
  local kind = self.task or list[1] and kind_of(list[1]) or "classification"
  local names
  local known = util.copy(util.set(find.fields), util.set(FIELDS[kind]))
  for i, item in ipairs(list) do check_known(item, kind, where(i), known) end
  if items.has_classes[kind] then
    names = resolve_labels(self, list, kind, where, find)
  else
    for i, item in ipairs(list) do
      spell_out(item)
      local fault = items.fault(kind, item)
      if fault then util.fail("%s: %s", where(i), fault) end
    end
  end
  return names, kind
end

return items
