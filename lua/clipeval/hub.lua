-- The local cache of the Hugging Face hub, found and read as huggingface_hub does without a
-- network (its constants.py and file_download.py): models--ORG--NAME/ holds refs/REVISION (a
-- file with a commit) and snapshots/COMMIT/ (links into blobs/). Nothing is downloaded.
local core = require "clipeval.core"
local util = require "clipeval.util"

local hub = {}

local FAMILIES = { clip = "CLIP", chinese_clip = "Chinese-CLIP", siglip = "SigLIP" }
local SMALL = 1 << 20 -- bytes of a configuration
local DEPTH = 6 -- of folders below refs/: a link may lead in circles
local MANY = 200 -- refs that are looked at

-- An empty variable is none: to the library it would be the current directory.
local function environment(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

-- As Python's expanduser and expandvars do.
local function expand(path)
  if path:find("^~/") or path == "~" then path = (environment "HOME" or "") .. path:sub(2) end
  local function value(name) return os.getenv(name) end
  return (path:gsub("%${([^}]*)}", value):gsub("%$([%w_]+)", value))
end

-- Where the cache lies, whether or not it is there.
function hub.directory()
  local path = environment "HF_HUB_CACHE" or environment "HUGGINGFACE_HUB_CACHE"
  if path then return expand(path) end
  local home = environment "HF_HOME" or
               (environment "XDG_CACHE_HOME" or "~/.cache") .. "/huggingface"
  return expand(home) .. "/hub"
end

-- ---- names ----

local function is_part(part)
  return part:find("^[%w_][%w_.-]*$") and part:find("[%w_]$") and #part <= 96
end

-- huggingface_hub's validate_repo_id: "name" or "org/name".
local function is_id(id)
  local org, name = id:match("^([^/]+)/([^/]+)$")
  return is_part(name or id) and (not org or is_part(org)) and not id:find("--", 1, true) and
         not id:find("..", 1, true) and not id:find("%.git$") and true
end

-- A revision becomes a path below refs/: no part of it may lead elsewhere.
local function is_revision(revision)
  for part in (revision .. "/"):gmatch("([^/]*)/") do
    if part == "" or part == "." or part == ".." or part:find("[%c\\]") then return false end
  end
  return true
end

-- The id and the revision (nil: none is said) in "org/name@revision", or nil.
function hub.parse(name)
  local id, revision = name:match("^([^@]*)@(.+)$")
  if not is_id(id or name) or revision and not is_revision(revision) then return nil end
  return id or name, revision
end

local function folder_of(id)
  return ("%s/models--%s"):format(hub.directory(), (id:gsub("/", "--")))
end

-- A word as a shell takes it.
local function word(text)
  return text:find("^[%w._/-]+$") and text or "'" .. text:gsub("'", [['\'']]) .. "'"
end

local function command(id, revision)
  return "hf download " .. id .. (revision and " --revision " .. word(revision) or "")
end

-- What gets a model, for a message.
function hub.advice(id, revision)
  return ("nothing is downloaded here; this gets it: %s"):format(command(id, revision))
end

-- ---- look-up ----

-- A small file's text, or nil.
local function read(path, limit)
  local kind, _, size = core.kind(path)
  if kind ~= "file" or size == 0 or size > limit then return nil end
  local file = io.open(path, "rb")
  local text = file and file:read(limit)
  if file then file:close() end
  return text
end

-- {[commit] = true} of the snapshots that are there, and the commits sorted.
local function snapshots(folder)
  local names, is_directory = core.list(folder .. "/snapshots")
  local set, list = {}, {}
  for i, name in ipairs(names or {}) do
    if is_directory[i] then set[name], list[#list + 1] = true, name end
  end
  return set, list
end

-- The names below refs/, each with its commit.
local function read_refs(folder, below, refs, depth)
  local names, is_directory = core.list(folder .. "/refs" .. below)
  for i, name in ipairs(names or {}) do
    refs[0] = (refs[0] or 0) + 1
    if refs[0] > MANY then return refs end
    if not is_directory[i] then
      local text = read(("%s/refs%s/%s"):format(folder, below, name), 256)
      if text then refs[(below .. "/" .. name):sub(2)] = text:match("^%s*(.-)%s*$") end
    elseif depth < DEPTH then
      read_refs(folder, below .. "/" .. name, refs, depth + 1)
    end
  end
  return refs
end

local function refs_of(folder)
  local refs = read_refs(folder, "", {}, 1)
  refs[0] = nil
  return refs
end

-- The only snapshot whose commit begins so, or nil.
local function by_prefix(prefix, commits)
  local found
  for _, commit in ipairs(#prefix >= 7 and prefix:find("^%x+$") and commits or {}) do
    if commit:sub(1, #prefix) == prefix then
      if found then return nil end
      found = commit
    end
  end
  return found
end

local function no_revision(id, revision, folder, commits)
  local there = util.keys(refs_of(folder))
  for i, name in ipairs(there) do there[i] = name:gsub("%c", "?") end
  for _, commit in ipairs(commits) do there[#there + 1] = commit:sub(1, 12) end
  return ("%s: no revision '%s' in %s (there are %s); %s"):format(id, revision, folder,
         #there > 0 and table.concat(there, ", ") or "none", hub.advice(id, revision))
end

-- Where a model lies: {id =, revision =, commit =, folder =, path =}, or nil and a message;
-- nil alone where the cache does not know it at all. What a ref says counts only where a
-- snapshot has that name, so it cannot lead out of the cache.
function hub.find(id, revision)
  local folder = folder_of(id)
  if core.kind(folder) ~= "directory" then return nil end
  local wanted = revision or "main"
  local there, commits = snapshots(folder)
  local commit = read(folder .. "/refs/" .. wanted, 256)
  commit = commit and commit:match("^%s*(.-)%s*$")
  if #wanted == 40 and there[wanted] then commit = wanted end
  if commit and not there[commit] then
    return nil, ("%s: an interrupted download: in %s, refs/%s names %s, of which there is no " ..
                 "snapshot; %s"):format(id, folder, wanted, commit:find("^%x+$") and
                 "commit " .. commit:sub(1, 12) or "no commit", hub.advice(id, revision))
  end
  commit = commit or there[wanted] and wanted or by_prefix(wanted, commits)
  if not commit then return nil, no_revision(id, wanted, folder, commits) end
  return { id = id, revision = revision, commit = commit, folder = folder,
           path = ("%s/snapshots/%s"):format(folder, commit) }
end

-- ---- what a snapshot holds ----

local function is_weights(name)
  return (name:find("^model") or name:find("^pytorch_model") or name:find("^open_clip_")) and
         (name:find("%.safetensors$") or name:find("%.bin$")) or name:find("%.pt$")
end

-- Bytes of the files of a snapshot, and whether weights are among them.
local function measure(path)
  local total, weights = 0, false
  for _, name in ipairs(core.list(path) or {}) do
    local kind, _, size = core.kind(path .. "/" .. name)
    if kind == "file" then
      total = total + size
      weights = weights or is_weights(name)
    end
  end
  return total, weights and true
end

-- ---- interrupted downloads ----

-- A file that `fault` names and the repository has (huggingface_hub notes the listing), but
-- the snapshot lacks. One that no fault names may have been left out on purpose.
local function left_out(found, fault)
  local text = read(("%s/trees/%s.json"):format(found.folder, found.commit), SMALL)
  local listing = text and core.json_decode(text)
  local files = type(listing) == "table" and listing.files
  for _, name in ipairs(type(files) == "table" and util.keys(files) or {}) do
    if fault:find(name, 1, true) and is_revision(name) and
       not core.kind(found.path .. "/" .. name) then
      return name
    end
  end
end

-- What tells that a download was interrupted, in words, or nil: only where something is
-- missing, since another file's download may have been broken off for good.
local function unfinished(found, fault)
  local _, has_weights = measure(found.path)
  for _, name in ipairs(core.list(found.path) or {}) do
    if not core.kind(found.path .. "/" .. name) and
       (not has_weights or fault:find(name, 1, true)) then
      return ("%s is a link that leads nowhere"):format(name)
    end
  end
  local name = left_out(found, fault)
  if name then return ("the repository's %s is not there"):format(name) end
  local is_missing = not has_weights or fault:find("No such file", 1, true)
  for _, blob in ipairs(is_missing and core.list(found.folder .. "/blobs") or {}) do
    if blob:find("%.incomplete$") then return ("blobs/%s is there"):format(blob) end
  end
end

-- What to tell of a model in the cache that does not open.
function hub.explain(found, fault)
  local why = unfinished(found, fault)
  if not why then return fault end
  return ("%s: an interrupted download (%s): %s; %s"):format(found.id, why, fault,
         hub.advice(found.id, found.revision))
end

-- The id that the cache holds where `id` is only written otherwise, or without its org.
function hub.near(id)
  local function plain(s) return s:lower():gsub("^.*/", "") end
  for _, name in ipairs(core.list(hub.directory()) or {}) do
    local other = name:match("^models%-%-(.+)$")
    other = other and other:gsub("%-%-", "/")
    if other and is_id(other) and plain(other) == plain(id) then return other end
  end
end

-- The id and commit of a path that is a snapshot, or nil.
function hub.of_path(path)
  local name, commit = path:match("/models%-%-([^/]+)/snapshots/(%x+)/*$")
  if not name then name, commit = path:match("^models%-%-([^/]+)/snapshots/(%x+)/*$") end
  local id = name and name:gsub("%-%-", "/")
  if id and is_id(id) then return id, commit end
end

-- ---- listing ----

-- What kind of model a snapshot is, told by its configuration alone; nil: none of ours.
local function recognise(path)
  if core.kind(path .. "/open_clip_config.json") == "file" then return "open_clip" end
  local text = read(path .. "/config.json", SMALL)
  local config = text and core.json_decode(text)
  return type(config) == "table" and FAMILIES[config.model_type] or nil
end

local function names_of(commit, refs)
  local names = {}
  for _, ref in ipairs(util.keys(refs)) do
    if refs[ref] == commit then names[#names + 1] = (ref:gsub("%c", "?")) end
  end
  return #names > 0 and table.concat(names, ", ") or commit:sub(1, 12)
end

-- The models of the cache that we may open, one entry a snapshot: {id =, kind =, revisions =,
-- bytes =, unfinished =}; and how many other repositories there are.
function hub.models()
  local found, others = {}, 0
  for _, name in ipairs(core.list(hub.directory()) or {}) do
    local id = name:match("^models%-%-(.+)$")
    id = id and id:gsub("%-%-", "/")
    local folder, ours = hub.directory() .. "/" .. name, false
    local _, commits = snapshots(folder)
    local refs = #commits > 0 and refs_of(folder) or {}
    for _, commit in ipairs(id and is_id(id) and commits or {}) do
      local path = ("%s/snapshots/%s"):format(folder, commit)
      local kind = recognise(path)
      if kind then
        local bytes, weights = measure(path)
        ours = true
        found[#found + 1] = { id = id, kind = kind, revisions = names_of(commit, refs),
                              bytes = bytes, unfinished = not weights }
      end
    end
    if id and not ours then others = others + 1 end
  end
  return found, others
end

return hub
