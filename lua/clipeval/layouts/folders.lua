-- One directory a class, pictures below it at any depth.
local classes_of = require "clipeval.classes"
local core = require "clipeval.core"
local places = require "clipeval.places"
local util = require "clipeval.util"

local DEEPEST = 32 -- directories, the root among them

-- What torchvision's ImageFolder takes, and what else we can decode.
local EXTENSIONS = { "png", "jpg", "jpeg", "webp", "gif", "bmp", "ppm", "pgm", "pbm", "pnm",
                     "tga", "tif", "tiff" }

local folders = {
  kind = "classification",
  takes = "DIR",
  part = "its folder",
  fields = { extensions = "strings", exclude = "strings", captions = "string",
             folders = "strings" },
}

function folders.expects()
  return "CLASS/PICTURE: a folder for each class, its pictures below"
end

function folders.fill_in(self)
  local extensions = {}
  for i, extension in ipairs(self.extensions or EXTENSIONS) do
    extensions[i] = extension:lower():gsub("^%.", "")
  end
  self.extensions = util.set(extensions)
  self.captions = self.captions and self.captions:gsub("^%.", "") or nil
  self.exclude = self.exclude or {}
  for _, pattern in ipairs(self.exclude) do
    local ok, fault = pcall(string.find, "", pattern)
    if not ok then util.fail("dataset %s: exclude '%s': %s", self.name, pattern, fault) end
  end
end

local function excludes(self, id)
  for _, pattern in ipairs(self.exclude) do
    if id:find(pattern) then return true end
  end
  return false
end

local function caption_of(path)
  local file = io.open(path, "rb")
  local line = file and file:read("L") or ""
  if file then file:close() end
  return (line:gsub("%s+$", ""))
end

-- Adds the pictures below `directory` to `found`; `id` is its path in the dataset, `above` the
-- identities of the folders that it lies in. A folder that is one of those again goes to
-- `skipped`.
local function walk(self, directory, id, label, found, above, depth, skipped)
  local _, identity = core.kind(directory)
  if above[identity] or depth > DEEPEST then
    skipped[#skipped + 1] = id .. "/"
    return
  end
  local names, is_directory = core.list(directory)
  if not names then util.fail("dataset %s: %s", self.name, is_directory) end
  above[identity] = true
  local present = self.captions and util.set(names)
  for i, name in ipairs(names) do
    local extension = name:match("%.([^.]*)$")
    local item_id = id .. "/" .. name
    if name:sub(1, 1) == "." then -- hidden
    elseif is_directory[i] then
      walk(self, util.join(directory, name), item_id, label, found, above, depth + 1, skipped)
    elseif extension and self.extensions[extension:lower()] and not excludes(self, item_id) then
      local item = { id = item_id, label = label, path = util.join(directory, name) }
      local beside = present and name:sub(1, -#extension - 1) .. self.captions
      if beside and present[beside] then
        item.caption = caption_of(util.join(directory, beside))
      end
      if not beside or item.caption then found[#found + 1] = item end
    end
  end
  above[identity] = nil
end

local function warn_of_skipped(self, skipped)
  if #skipped == 0 then return end
  util.warn("dataset %s: %s is not read: a link that leads back, or too deep%s", self.name,
            skipped[1], #skipped > 1 and (" (and %d more)"):format(#skipped - 1) or "")
end

-- The folders of `root`, which are the classes where the description names none.
local function find_labels(self, root)
  local names, is_directory = core.list(root)
  if not names then util.fail("dataset %s: %s", self.name, is_directory) end
  local labels = {}
  for i, name in ipairs(names) do
    if is_directory[i] and name:sub(1, 1) ~= "." then labels[#labels + 1] = name end
  end
  if #labels == 0 then
    places.missing(self, "no folders in %s", root)
  end
  return labels
end

function folders.load(self, root)
  local classes = classes_of(self, find_labels(self, root), self.folders)
  local items, skipped = {}, {}
  local _, identity = core.kind(root)
  for _, label in ipairs(util.keys(classes.number)) do
    if core.kind(util.join(root, label)) ~= "directory" then
      places.missing(self, "no folder '%s' in %s", label, root)
    end
    walk(self, util.join(root, label), label, classes.number[label], items,
         { [identity] = true }, 2, skipped)
  end
  warn_of_skipped(self, skipped)
  return items, classes.names
end

return folders
