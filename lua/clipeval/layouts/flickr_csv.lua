-- Flickr8k's and Flickr30k's captions, in any of the forms in which they are had:
--
--     image,caption                         captions.txt, and Karpathy's splits of CLIP_benchmark
--     image_name| comment_number| comment   results.csv
--     1000268201.jpg#0<TAB>A child ...      Flickr8k.token.txt, results_20130124.token
--
-- None is CSV: a caption that holds commas may or may not be quoted, so a line is cut behind the
-- name of the picture, as CLIP_benchmark does.
local annotations = require "clipeval.annotations"
local core = require "clipeval.core"
local util = require "clipeval.util"

local FOLDERS = { "Images", "images", "flickr30k_images", "flickr30k-images", "Flicker8k_Dataset",
                  "flickr8k_images" }

local flickr = {
  kind = "retrieval",
  takes = "FILE",
  part = "its file of captions",
  present = true,
  fields = annotations.fields(),
}

function flickr.expects()
  return 'captions.txt ("image,caption"), results.csv ("image_name| comment_number| comment") ' ..
         "or NAME.token.txt, and the pictures beside it or below prefix"
end

-- A caption in quotes: the quotes, and doubled ones in it, are CSV's.
local function unquote(caption)
  local inner = caption:match('^"(.*)"$')
  if not inner or inner:gsub('""', ""):find('"', 1, true) then return caption end
  return (inner:gsub('""', '"'))
end

-- Each: line -> picture, caption; nil: it is of another form.
local function by_comma(line)
  local name, caption = line:match("^(.-%.[jJ][pP][eE]?[gG]),(.*)$")
  return name, name and caption
end

-- "4 A dog runs across the grass ." is results.csv's one line without its second bar.
local function by_bar(line)
  local name, _, caption = line:match("^([^|]+)|%s*(%d+)%s*|(.*)$")
  if not name then name, caption = line:match("^([^|]+)|%s*%d+%s+([^|]*)$") end
  return name and name:match("^%s*(.-)%s*$"), caption
end

local function by_number(line)
  return line:match("^(.-)#%d+[^\t]*\t(.*)$")
end

local function form_of(file, line)
  if line:find("^[^,]*\t") then return by_number, false end
  if line:find("^[^,]*|") then return by_bar, line:find("^image_name") end
  local is_row = by_comma(line)
  if not is_row and not line:find("^[%w_]+%s*,") then
    util.fail("%s:1: neither \"image,caption\" nor Flickr's own form (expected: %s)", file,
              flickr.expects())
  end
  return by_comma, not is_row
end

local function find_folder(self, first)
  local base = annotations.base(self)
  if self.prefix or core.kind(util.join(base, first)) then return base end
  for _, name in ipairs(FOLDERS) do
    local folder = util.join(base, name)
    if core.kind(util.join(folder, first)) then return folder end
  end
  return base
end

function flickr.load(self, place)
  local file = annotations.files(self, place, "^captions%.txt$")[1]
  local items, by_id, form, header, folder = {}, {}, nil, nil, nil
  for line, number in annotations.lines(file) do
    local skip = false
    if not form then
      form, header = form_of(file, line)
      skip = header
    end
    if not skip then
      local where = ("%s:%d"):format(file, number)
      local name, caption = form(line)
      if not name then util.fail("%s: no picture and caption in it", where) end
      caption = unquote(caption:match("^%s*(.-)%s*$"))
      folder = folder or find_folder(self, name)
      annotations.caption(items, by_id, name, util.join(folder, name), caption, where)
    end
  end
  return items
end

return flickr
