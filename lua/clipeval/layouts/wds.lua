-- Layout "wds": a WebDataset directory as CLIP_benchmark publishes them, read without unpacking
-- (clip_benchmark 1.6.2, datasets/builder.py, build_wds_dataset; webdataset's grouping of
-- members into samples). dataset_type.txt says what its items are; the set's own templates become
-- dataset.templates.
local core = require "clipeval.core"
local places = require "clipeval.places"
local util = require "clipeval.util"

local wds = {
  takes = "DIR",
  part = "its folder of shards",
  part_field = "shards",
  fields = { shards = "path" },
  own_splits = true, -- they are what lies in the directory: load settles dataset.split
}

local TYPE, CLASSES = "dataset_type.txt", "classnames.txt"
local TEMPLATES = "zeroshot_classification_templates.txt"
local LARGEST = 1 << 20  -- bytes of a label, of captions, of targets
local LONGEST = 16 << 20 -- bytes of a text file beside the shards
local PICTURES = util.set { "webp", "png", "jpg", "jpeg" } -- CLIP_benchmark's

-- One line, whatever the names in an archive hold.
local function fail(format, ...)
  util.fail("%s", (format:format(...):gsub("%c", "?")))
end

function wds.expects()
  return "SPLIT/nshards.txt, SPLIT/0.tar, SPLIT/1.tar, ..., " .. CLASSES .. ", " .. TEMPLATES
end

-- ---- texts ----

-- Lines as Python's str.splitlines cuts them.
local function split_lines(text)
  text = text:gsub("\r\n", "\n"):gsub("[\r\v\f\x1c-\x1e]", "\n")
             :gsub("\u{85}", "\n"):gsub("\u{2028}", "\n"):gsub("\u{2029}", "\n")
  local lines = {}
  for line in text:gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
  local rest = text:match("[^\n]*$")
  if rest ~= "" then lines[#lines + 1] = rest end
  return lines
end

local function strip(text) return text:match("^%s*(.-)%s*$") end

-- The whole text of a file, or nil where there is none.
local function read_file(path)
  local kind, _, size = core.kind(path)
  if not kind then return nil end
  if kind ~= "file" or size == 0 then fail("%s: empty, or no file", path) end
  if size > LONGEST then fail("%s: too large: %d bytes", path, size) end
  local file, fault = io.open(path, "rb")
  if not file then fail("%s", fault) end
  local text = file:read(size) or ""
  file:close()
  return text
end

-- A file with one name or template a line, stripped, or nil; empty lines may follow the last.
local function read_list(path)
  local text = read_file(path)
  if not text then return nil end
  local lines = split_lines(text)
  while lines[1] and strip(lines[#lines]) == "" do lines[#lines] = nil end
  for i, line in ipairs(lines) do
    lines[i] = strip(line)
    if lines[i] == "" then fail("%s:%d: an empty line", path, i) end
    if not utf8.len(lines[i]) then fail("%s:%d: not UTF-8", path, i) end
  end
  if #lines == 0 then fail("%s: empty", path) end
  return lines
end

-- ---- members ----

-- webdataset's base_plus_ext: the key ends at the first dot of the file's name. nil: no part of
-- a sample (no dot, or hidden).
local function split_name(name)
  local directory, base = name:match("^(.*/)([^/]*)$")
  if not directory then directory, base = "", name end
  local stem, extension = base:match("^([^.]+)%.(.*)$")
  if not stem then return nil end
  return directory .. stem, extension:lower()
end

local function read_member(shard, member)
  if member.size > LARGEST then
    fail("%s: %s: %d bytes, where %d are allowed", shard.path, member.name, member.size,
              LARGEST)
  end
  local text = shard.file:seek("set", member.offset) and shard.file:read(member.size)
  if not text or #text ~= member.size then
    fail("%s: %s: truncated", shard.path, member.name)
  end
  return text
end

-- ---- kinds: KEY.EXTENSION is what is known of a picture ----

local classification = { extension = "cls", has_classes = true }

function classification.read(self, item, text, what)
  local number = text:match("^%s*%+?(%d+)%s*$")
  number = number and math.tointeger(tonumber(number))
  if not number then
    fail("%s: the label %s is no number", what, util.show(text:sub(1, 40)))
  end
  if number >= #self.classes then
    fail("%s: the label %d is no class (there are %d, from 0)", what, number, #self.classes)
  end
  item.label = number + 1
end

local retrieval = { extension = "txt" }

function retrieval.read(_, item, text, what)
  if not utf8.len(text) then fail("%s: not UTF-8", what) end
  item.captions = split_lines(text)
  if #item.captions == 0 then fail("%s: no captions", what) end
  for i, caption in ipairs(item.captions) do
    if not caption:find("%S") then fail("%s:%d: an empty caption", what, i) end
  end
end

local multilabel = { extension = "npy", has_classes = true }

local NUMBERS = { b1 = "B", i1 = "b", u1 = "B", i2 = "i2", u2 = "I2", i4 = "i4", u4 = "I4",
                  i8 = "i8", u8 = "I8", f4 = "f", f8 = "d" }

-- The numbers of a one-dimensional array in NumPy's format (numpy.lib.format, 1.0 to 3.0).
local function read_npy(text, what)
  if text:sub(1, 6) ~= "\x93NUMPY" or #text < 12 then fail("%s: not an npy file", what) end
  local ok, header, from = pcall(string.unpack, text:byte(7) == 1 and "<s2" or "<s4", text, 9)
  if not ok then fail("%s: truncated in its header", what) end
  local order, kind = header:match("'descr':%s*'([<>|=])(%a%d)'")
  local count = math.tointeger(tonumber(header:match("'shape':%s*%((%d+),%s*%)")))
  if not NUMBERS[kind] or not count then
    fail("%s: not a one-dimensional array of numbers", what)
  end
  local format = (order == ">" and ">" or "<") .. NUMBERS[kind]
  local size = format:packsize()
  local there = (#text - from + 1) / size
  if there ~= count then
    fail("%s: %d numbers are promised, and %g are there", what, count, there)
  end
  local numbers = {}
  for i = 1, count do numbers[i] = format:unpack(text, from + (i - 1) * size) end
  return numbers
end

function multilabel.read(self, item, text, what)
  local targets = read_npy(text, what)
  if #targets ~= #self.classes then
    fail("%s: %d targets for %d classes", what, #targets, #self.classes)
  end
  item.labels = {}
  for class, target in ipairs(targets) do
    if target ~= 0 and target ~= 1 then
      fail("%s: the target of class %d is %s, neither 0 nor 1", what, class - 1, target)
    end
    if target == 1 then item.labels[#item.labels + 1] = class end
  end
end

local KINDS = { classification = classification, retrieval = retrieval, multilabel = multilabel }

-- ---- shards ----

-- The samples of an archive in the order of their first members: { key =, picture =, label = }.
-- Members of other extensions are left alone.
local function group(shard, members, kind)
  local samples, by_key = {}, {}
  for _, member in ipairs(members) do
    local key, extension = split_name(member.name)
    local part = extension == kind.extension and "label" or
                 PICTURES[extension] and "picture" or nil
    if key and part then
      local sample = by_key[key]
      if not sample then
        sample = { key = key }
        by_key[key], samples[#samples + 1] = sample, sample
      end
      if sample[part] then
        fail("%s: two members for one %s: %s and %s", shard.path, part, sample[part].name,
                  member.name)
      end
      sample[part] = member
    end
  end
  return samples
end

-- Whether the keys sort as the samples stand; else their numbers must say the order.
local function is_sorted(samples)
  for i = 2, #samples do
    if not (samples[i - 1].key < samples[i].key) then return false end
  end
  return true
end

-- Where a sample lacks something: what it has in its stead that is never read, or would be by
-- another kind.
local function unread_beside(members, wanted)
  for _, member in ipairs(members) do
    local unread = split_name(member.name) == wanted and places.unread(member.name)
    if unread then return ": " .. unread end
  end
  return ""
end

local function other_kind(members, wanted, kind)
  for _, member in ipairs(members) do
    local key, extension = split_name(member.name)
    for name, other in pairs(KINDS) do
      if key == wanted and other ~= kind and extension == other.extension then
        return (", but a .%s: %s beside %s, with the line '%s', makes that what is read")
               :format(extension, TYPE, CLASSES, name)
      end
    end
  end
  return unread_beside(members, wanted)
end

local function add_items(self, items, shard, members, kind)
  local samples = group(shard, members, kind)
  local sorted, digits = is_sorted(samples), #tostring(#samples)
  for i, sample in ipairs(samples) do
    local what = ("%s: %s"):format(shard.path, sample.key)
    if not sample.picture then
      fail("%s has no picture (%s)%s", what, table.concat(util.keys(PICTURES), ", "),
           unread_beside(members, sample.key))
    end
    if not sample.label then
      fail("%s has no .%s%s", what, kind.extension, other_kind(members, sample.key, kind))
    end
    local key = sorted and sample.key or ("%0" .. digits .. "d-%s"):format(i, sample.key)
    local item = { id = shard.id .. key, path = shard.path, offset = sample.picture.offset,
                   size = sample.picture.size }
    kind.read(self, item, read_member(shard, sample.label),
              ("%s: %s"):format(shard.path, sample.label.name))
    items[#items + 1] = item
  end
end

local function load_shard(self, items, shard, kind)
  local members, fault = core.tar(shard.path)
  if not members then fail("%s", fault) end
  local file <close> = io.open(shard.path, "rb") or fail("%s: not readable", shard.path)
  shard.file = file
  add_items(self, items, shard, members, kind)
end

local function count_shards(directory)
  local path = util.join(directory, "nshards.txt")
  local count = math.tointeger(tonumber((strip(read_file(path)):match("^%d+$"))))
  if not count or count < 1 then fail("%s: not a number of shards", path) end
  return count, path
end

local function load_shards(self, directory, kind)
  local count, said = count_shards(directory)
  local digits, items = #tostring(count - 1), {}
  for i = 0, count - 1 do
    local path = util.join(directory, i .. ".tar")
    if not core.kind(path) then
      fail("%s: says %s, and there is no %s", said, util.count(count, "shard"), path)
    end
    local id = ("%s/%0" .. digits .. "d/"):format(self.split, i)
    load_shard(self, items, { path = path, id = id }, kind)
  end
  if core.kind(util.join(directory, count .. ".tar")) then
    util.warn("dataset %s: %s: says %s; %d.tar is not read", self.name, said,
              util.count(count, "shard"), count)
  end
  return items
end

-- ---- the directory ----

local function find_splits(self, root)
  local names, is_directory = core.list(root)
  if not names then fail("dataset %s: %s", self.name, is_directory) end
  local splits = {}
  for i, name in ipairs(names) do
    if is_directory[i] and core.kind(util.join(util.join(root, name), "nshards.txt")) then
      splits[#splits + 1] = name
    end
  end
  if #splits == 0 then places.missing(self, "no SPLIT/nshards.txt in %s", root) end
  return splits
end

-- What the script says, else CLIP_benchmark's own choice, "test", else the only one.
local function choose_split(self, root)
  local splits = find_splits(self, root)
  local there = util.set(splits)
  local split = self.shards or self.split or there.test and "test" or
                not splits[2] and splits[1]
  if not split or not there[split] then
    fail("dataset %s: %s (there are %s)", self.name,
              split and "no split '" .. split .. "'" or "say which split",
              table.concat(splits, ", "))
  end
  return split
end

local function find_kind(root)
  local path = util.join(root, TYPE)
  local name = strip(read_file(path) or "classification"):lower()
  if not KINDS[name] then
    fail("%s: %s is no type known here (there are %s)", path, util.show(name),
              table.concat(util.keys(KINDS), ", "))
  end
  return name
end

-- The classes that the script says, else the directory's.
local function find_classes(self, root)
  local classes = self.classes or read_list(util.join(root, CLASSES)) or
                  places.missing(self, "no %s in %s (or say classes =; of a set with captions, %s "
                                 .. "says so: 'retrieval')", CLASSES, root, TYPE)
  local what = ("dataset %s: classes: class"):format(self.name)
  for i = 1, util.length(classes, what) do
    if type(classes[i]) ~= "string" or classes[i] == "" then
      fail("%s %d is no text", what, i)
    end
  end
  return classes
end

function wds.load(self, root)
  local shards = choose_split(self, root)
  self.split = self.split or shards
  local name = find_kind(root)
  local kind = KINDS[name]
  self.classes = kind.has_classes and find_classes(self, root) or nil
  self.templates = self.templates or read_list(util.join(root, TEMPLATES))
  return load_shards(self, util.join(root, shards), kind), self.classes, name
end

return wds
