-- The embeddings that an evaluation asks for, each computed once in a run (but see `in_parts`):
-- texts and pictures become normalised rows, found in memory, in the cache, or computed now.
local core = require "clipeval.core"
local session = require "clipeval.session"
local store = require "clipeval.store"
local util = require "clipeval.util"

local embeddings = {}

-- What was embedded in this run, by model: normalised rows under keys of ours.
local memory = setmetatable({}, { __mode = "k" })

local function memo_of(model, kind)
  memory[model] = memory[model] or {}
  local memo = memory[model][kind] or { row = {}, n = 0, note = {} }
  memory[model][kind] = memo
  return memo
end

-- Adds the rows of new keys, which are normalised in place; notes[i] is what is to be known of
-- the i-th. In this order, so that wherever Ctrl-C falls what is known of a row is there.
local function remember(memo, keys, embeds, notes)
  local before = memo.n
  core.normalize(embeds)
  memo.embeds = memo.embeds and core.stack { memo.embeds, embeds } or embeds
  for i, key in ipairs(keys) do
    memo.note[before + i] = notes and notes[i] or nil
    memo.row[key] = before + i
  end
  memo.n = before + #keys
end

-- The memo of an evaluation's pictures, and its name. What goes in parts has one of its own, see
-- `in_parts`.
local function memo_of_pictures(self)
  local name = "pictures " .. self.dataset.alpha .. (self.first and ", in parts" or "")
  return memo_of(self.model, name), name
end

local function gather(memo, rows)
  local whole_memo = #rows == memo.n
  for i = 1, whole_memo and #rows or 0 do
    if rows[i] ~= i then
      whole_memo = false
      break
    end
  end
  return whole_memo and memo.embeds or memo.embeds:select(rows)
end

-- For run.json: how many of `n` pictures or texts were in the cache.
local function count_found(self, kind, n, found)
  local cache = self.cache
  cache[kind .. "_found"] = cache[kind .. "_found"] + found
  cache[kind .. "_computed"] = cache[kind .. "_computed"] + n - found
end

local MOST_TEXTS = 1 << 17 -- that are remembered: millions are asked about in VQA

-- Normalised embeddings [#texts, d]; a text that is not UTF-8 raises.
function embeddings.texts(self, texts)
  local memo, new, seen = memo_of(self.model, "texts"), {}, {}
  if memo.n > MOST_TEXTS then
    memory[self.model].texts = nil
    memo = memo_of(self.model, "texts")
  end
  for _, text in ipairs(texts) do
    if not memo.row[text] and not seen[text] then
      seen[text], new[#new + 1] = true, text
    end
  end
  if #new > 0 then
    local embeds, problems, truncated, _, found = self.model:encode_text(new, {
      progress = "texts", cache = store.open() })
    count_found(self, "texts", #new, found)
    for i, fault in pairs(problems or {}) do
      util.fail("%s: the text '%s': %s", self.name, util.utf8(new[i]), fault)
    end
    remember(memo, new, embeds, truncated)
  end
  local rows = {}
  for i, text in ipairs(texts) do
    rows[i] = memo.row[text]
    if memo.note[rows[i]] then self.truncated_texts = self.truncated_texts + 1 end
  end
  self.texts = self.texts + #texts
  return gather(memo, rows)
end

local tokens, last_token = setmetatable({}, { __mode = "k" }), 0 -- a number is never given twice

-- What tells the pictures of a dataset apart that are no files: a script's own belong to the
-- dataset's table, others to their place.
local function origin_of(data, is_own)
  if not is_own and data.place then return ("%s\0%s\0"):format(data.place, data.split) end
  if not tokens[data] then
    last_token = last_token + 1
    tokens[data] = last_token
  end
  return ("\0%d\0%s\0"):format(tokens[data], data.split)
end

-- What tells a picture apart in this run: where it lies, or whose it is. The k-th of an item
-- that has several, else k is nil.
local function key_of(origin, item, picture, k)
  if picture.path then
    return picture.offset and picture.path .. "\0" .. picture.offset or picture.path
  end
  local id = (picture.image and origin.own or origin.place) .. item.id
  return k and id .. "\0" .. k or id
end

-- The message without the place where the dataset lies, which differs between machines.
local function tell_problem(item, picture, fault)
  local path = picture.path and picture.path:gsub("%c", "?") -- as core writes it
  if path and fault:sub(1, #path) == path then fault = item.id .. fault:sub(#path + 1) end
  return util.utf8(fault)
end

-- More than one in a hundred: a wrong path rather than a broken file.
local function warn_of_problems(self)
  local bad = #self.problems
  if bad * 100 <= #self.items then return end
  util.warn("dataset %s: %d of %s cannot be read (%s)", self.about.dataset.name, bad,
            util.count(#self.items, "picture"), self.problems[1].problem)
end

local function encode_new(self, memo, keys, pictures)
  local embeds, problems, _, done, found = self.model:encode_image(pictures, {
    alpha = self.dataset.alpha, progress = "pictures", partial = true, cache = store.open(),
    progress_base = self.first and self.first - 1, progress_total = self.first and self.n })
  count_found(self, "pictures", #keys, found)
  remember(memo, keys, embeds, problems)
  if not done then return end
  if self.partial then -- interrupted: what is done is kept, see program.salvage
    for i, key in ipairs(keys) do
      if not done[i] then memo.row[key] = nil end
    end
    session.current = self
  end
  core.interrupt()
end

-- The rows of what is wanted among what is remembered, see `pictures`.
local function collect(self, memo)
  local rows, place_of, row_of = {}, {}, {}

  -- The row of one picture; false where it cannot be read or was not reached.
  local function place(i, key, item, picture)
    local row = memo.row[key]
    local fault = row and memo.note[row]
    if fault and not self.faults[i] then
      self.faults[i] = tell_problem(item, picture, fault)
      self.problems[#self.problems + 1] = { id = item.id, problem = self.faults[i] }
    end
    if row and not place_of[row] then
      rows[#rows + 1] = row
      place_of[row] = #rows
    end
    return row and not fault and place_of[row]
  end

  for i = self.first or 1, self.last or #self.items do
    local item, keys = self.items[i], self.wanted[i]
    if not item.pictures then
      row_of[i] = place(i, keys, item, item)
    else
      local own = {}
      for k, key in ipairs(keys) do
        own[k] = place(i, key, item, item.pictures[k])
        if not own[k] then own = false break end
      end
      row_of[i] = own
    end
  end
  if not self.first then self.wanted = nil end
  if not self.interrupted and (self.last or self.n) == self.n then warn_of_problems(self) end
  return memo.embeds and gather(memo, rows), row_of
end

-- Normalised embeddings of the distinct pictures, and for each item its row (a list of rows
-- where an item has several pictures); false for an item that cannot be read or, after an
-- interruption, was not reached: self.faults[i] tells the first. In a part, of its items.
function embeddings.pictures(self)
  local data = self.dataset
  local memo = memo_of_pictures(self)
  local keys, pictures, wanted, is_new = {}, {}, {}, {}
  local origin = { own = origin_of(data, true), place = origin_of(data, false) }

  local function want(key, picture)
    if not memo.row[key] and not is_new[key] then
      keys[#keys + 1], pictures[#keys + 1] = key, data:picture(picture)
      is_new[key] = true
    end
    return key
  end

  for i = self.first or 1, self.last or #self.items do
    local item = self.items[i]
    if not item.pictures then
      wanted[i] = want(key_of(origin, item, item), item)
    else
      wanted[i] = {}
      for k, picture in ipairs(item.pictures) do
        wanted[i][k] = want(key_of(origin, item, picture, k), picture)
      end
    end
  end
  self.wanted = wanted
  if #keys > 0 and not self.interrupted then encode_new(self, memo, keys, pictures) end
  return collect(self, memo)
end

-- Of so many items the embeddings are not kept in memory where the cache has them.
embeddings.MANY, embeddings.PART = 1 << 17, 1 << 16

-- A matrix is closed by hand: Lua does not know how large it is. Where the cache keeps nothing
-- more (it is full, or broken) memory must.
local function let_go(self, embeds)
  local memo, name = memo_of_pictures(self)
  local kept = not store.open():trouble()
  if embeds and embeds ~= memo.embeds then embeds:close() end
  if not kept or not memo.embeds then return end
  memory[self.model][name] = nil
  memo.embeds:close()
end

-- For a task that looks at each item once: judge(first, last, embeds, row_of) for one part of
-- the items after another, where embeds and row_of are those of `pictures`. Of many items, and
-- with a cache, from which another evaluation has them again, a part's embeddings are let go of
-- behind it; else all are one part. After an interruption it goes on with the part in hand.
function embeddings.in_parts(self, judge)
  if not self.first and (self.n <= embeddings.MANY or not store.open()) then
    local embeds, row_of = embeddings.pictures(self)
    return judge(1, self.n, embeds, row_of)
  end
  self.first = self.first or 1
  while self.first <= self.n do
    self.last = math.min(self.first + embeddings.PART - 1, self.n)
    local embeds, row_of = embeddings.pictures(self)
    session.current = self -- what is there is kept, wherever an interruption falls
    judge(self.first, self.last, embeds, row_of)
    self.first, self.wanted = self.last + 1, nil
    let_go(self, embeds)
  end
end

-- Of the items with these numbers (all unless said) those that can be read: their rows, their
-- numbers, and the place in both of each number.
function embeddings.readable(self, row_of, numbers)
  local rows, read, place_of = {}, {}, {}
  for k = 1, numbers and #numbers or self.n do
    local i = numbers and numbers[k] or k
    if row_of[i] then
      rows[#rows + 1], read[#read + 1] = row_of[i], i
      place_of[i] = #rows
    end
  end
  return rows, read, place_of
end

-- Of each item the id of the first that shows the same picture: where several do, they are
-- not independent. One that cannot be read is its own.
function embeddings.first_with_picture(self, row_of)
  local first, of_row = {}, {}
  for i, item in ipairs(self.items) do
    local row = row_of[i]
    if row then of_row[row] = of_row[row] or item.id end
    first[i] = row and of_row[row] or item.id
  end
  return first
end

-- The numbers of the items whose pictures are there, or that were judged with an earlier part.
function embeddings.done(self)
  local memo, numbers = memo_of_pictures(self), {}
  for i = 1, #self.items do
    local wanted = self.wanted and self.wanted[i]
    local done = not self.first or i < self.first or wanted ~= nil
    if type(wanted) == "string" then wanted = { wanted } end
    for _, key in ipairs(wanted or {}) do done = done and memo.row[key] end
    if done then numbers[#numbers + 1] = i end
  end
  return numbers
end

return embeddings
