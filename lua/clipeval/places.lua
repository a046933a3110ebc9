-- Where a named dataset lies below the directory that the user says: that may be the unpacked
-- archive itself, its parent, or a directory that holds many datasets by name.
local core = require "clipeval.core"
local util = require "clipeval.util"

local places = {}

-- The description with the fields of one split over it.
local function with_split(d, split)
  local part = d.splits and d.splits[split or d.split]
  return util.copy(d, type(part) == "string" and { place = part } or part)
end

-- A file or folder that must be there, as far as the fields tell: below the root, or below
-- the place.
local function landmark(d)
  local first = d.files or d.annotations or d.questions or d.images or d.folders
  if type(first) == "table" then first = first[1] end
  return first and util.join(d.place or "", first) or d.place
end

-- The directory that holds `d`, or nil: of root/FOLDER, root/NAME/FOLDER (FOLDER is the one
-- that the archive makes), the root and root/NAME the first where something of the split
-- stands; else the first folder of that name.
function places.find(d, root, split)
  if core.kind(root) ~= "directory" then return nil end
  local mark = landmark(with_split(d, split))
  local named = d.name and util.join(root, d.name) or root
  local folders = d.folder and { util.join(root, d.folder), util.join(named, d.folder) } or {}
  for _, candidate in ipairs { folders[1] or root, folders[2] or root, root, named } do
    if mark and core.kind(util.join(candidate, mark)) then return candidate end
  end
  for _, candidate in ipairs(folders) do
    if core.kind(candidate) == "directory" then return candidate end
  end
  return nil
end

return places
