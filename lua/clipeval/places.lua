-- Where a named dataset lies below the directory that the user says: that may be the unpacked
-- archive itself, its parent, or a directory that holds many datasets by name. And what is said
-- where it does not.
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

-- ---- what is not there ----

-- Files that users have in place of what is read, by their ending.
local UNREAD = { h5 = "HDF5", hdf5 = "HDF5", mat = "MATLAB's", parquet = "Parquet",
                 arrow = "Arrow's", npz = "NumPy's", pkl = "Python's", pickle = "Python's",
                 lmdb = "LMDB", tfrecord = "TensorFlow's", zip = "an archive", tgz = "an archive",
                 rar = "an archive", ["7z"] = "an archive" }

-- "x.mat is MATLAB's, which is not read", or nil where the name tells no such thing.
function places.unread(name)
  local what = name:lower():find("%.tar%.%l+$") and "an archive" or
               UNREAD[name:lower():match("%.(%w+)$")]
  return what and ("%s is %s, which is not read%s"):format(util.basename(name), what,
                  what == "an archive" and ": unpack it" or "")
end

-- The first such file of these directories.
local function find_unread(directories)
  for _, directory in ipairs(directories) do
    local names, is_directory = core.list(directory)
    for i, name in ipairs(names or {}) do
      if not is_directory[i] and places.unread(name) then return places.unread(name) end
    end
  end
end

-- Raises that something of the dataset is not on disk: what, how the whole should lie, where it
-- is usually had, and what stands there in its stead.
function places.missing(self, format, ...)
  local unread = self.root and find_unread { self.root, self.searched }
  local tell = self.expects and " (expected: " .. self.expects ..
               (self.source and "; from " .. self.source or "") .. ")" or ""
  util.fail("dataset %s: %s%s%s", self.name, format:format(...), tell,
            unread and "; " .. unread or "")
end

return places
