-- The classes of a dataset: their names, and the number of each label as the data writes it.
--
--     local classes = classes_of(dataset, { "cat", "dog" })      -- labels that were found
--     classes.names[classes:find "cat"]
--     local number = classes:of("7", "list.txt:12")              -- or raises: no class
local util = require "clipeval.util"

local Classes = {}
Classes.__index = Classes

local function sort_labels(labels)
  local all_numbers = true
  for _, label in ipairs(labels) do all_numbers = all_numbers and label:find("^%-?%d+$") end
  table.sort(labels, all_numbers and function(a, b)
    return tonumber(a) < tonumber(b) or tonumber(a) == tonumber(b) and a < b
  end or nil)
  return labels
end

-- Whether `classes` is a list; else it is a map, whose keys are labels as the data has them.
local function is_list(self, classes)
  if classes[1] ~= nil and classes[0] == nil then
    util.length(classes, ("dataset %s: classes: class"):format(self.name))
    return true
  end
  local kind
  for key in pairs(classes) do
    local own = math.type(key) or type(key)
    if own ~= "integer" and own ~= "string" or kind and own ~= kind then
      util.fail("dataset %s: classes must be a list, or a map whose keys are all labels, or "
                .. "all integers", self.name)
    end
    kind = own
  end
  return false
end

local function check_name(self, name, label)
  if type(name) ~= "string" or name == "" then
    util.fail("dataset %s: the name of class %s is no text", self.name, tostring(label))
  end
  return name
end

-- labels[i] is how the data writes class i: equal names stay two classes.
local function from_labels(self, labels, given)
  local names, number = {}, {}
  if given and (not is_list(self, given) or #given ~= #labels) then
    util.fail("dataset %s: classes must be a list as long as that of the labels (%d)", self.name,
              #labels)
  end
  for i, label in ipairs(labels) do
    names[i] = given and check_name(self, given[i], i) or util.utf8(label)
    if number[label] then
      util.fail("dataset %s: the label '%s' is that of class %d and of class %d", self.name, label,
                number[label], i)
    end
    number[label] = i
  end
  return names, number, false
end

local function from_list(self, given)
  local names, number = {}, {}
  for i, name in ipairs(given) do
    names[i] = check_name(self, name, i)
    number[name] = number[name] or i
  end
  return names, number, true
end

-- Of a map from label to class name, in which labels of one name are one class; without it the
-- labels found are the classes.
local function from_map(self, given, found)
  local names, number, by_label, by_name = {}, {}, {}, {}
  for key, name in pairs(given or {}) do by_label[tostring(key)] = check_name(self, name, key) end
  for _, label in ipairs(sort_labels(given and util.keys(given) or found)) do
    local name = by_label[label] or util.utf8(label)
    if not (given and by_name[name]) then
      names[#names + 1] = name
      by_name[name] = #names
    end
    number[label] = given and by_name[name] or #names
  end
  return names, number, false
end

-- What the description says of classes, or else the labels `found`. `listed`: numbers in the
-- data count places in the list, from self.label_base (0) on.
local function classes_of(self, found, labels)
  local given, names, number, listed = self.classes, nil, nil, nil
  if labels then
    names, number, listed = from_labels(self, labels, given)
  elseif given and is_list(self, given) then
    names, number, listed = from_list(self, given)
  else
    names, number, listed = from_map(self, given, found)
  end
  return setmetatable({ names = names, number = number, listed = listed,
                        base = self.label_base or 0 }, Classes)
end

-- The class of a label as a file has it: its name or key, or its number; or nil.
function Classes:find(label)
  if self.number[label] then return self.number[label] end
  local integer = label:find("^%d+$") and math.tointeger(tonumber(label))
  if not integer then return nil end
  if not self.listed then return self.number[tostring(integer)] end
  integer = integer - self.base + 1
  return self.names[integer] and integer
end

function Classes:of(label, where)
  return label ~= "" and self:find(label) or
         util.fail("%s: the label '%s' is no class (there are %s)", where, label,
                   util.count(#self.names, "class", "classes"))
end

return classes_of
