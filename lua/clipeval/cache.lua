-- clipeval cache stats|gc|verify: the embeddings that runs have kept.
local core = require "clipeval.core"
local store = require "clipeval.store"
local util = require "clipeval.util"

local function check(value, fault)
  if value == nil then util.quit(3, "%s", (fault:gsub("; the run goes on without it$", ""))) end
  return value
end

local function megabytes(bytes)
  return bytes < 1e9 and ("%.1f MB"):format(bytes / 1e6) or ("%.2f GB"):format(bytes / 1e9)
end

local function day(seconds)
  return seconds and seconds > 0 and os.date("!%Y-%m-%d %H:%M", seconds) .. " UTC" or "-"
end

local verbs = {}

function verbs.stats(cache, directory)
  local s = check(cache:stats())
  s.place = directory
  local lines = {
    ("%s: %s of %s, %s in %s, %s known"):format(directory, megabytes(s.bytes),
      megabytes(s.bound), util.count(s.rows, "embedding"), util.count(s.blocks, "block"),
      util.count(s.files, "file")),
    ("last used: from %s to %s"):format(day(s.oldest), day(s.newest)),
  }
  for _, m in ipairs(s.models) do
    lines[#lines + 1] = ("  model %s  %9d embeddings  %10s  %s"):format(m.sha256:sub(1, 12),
                        m.rows, megabytes(m.bytes), day(m.used))
  end
  return s, lines, 0
end

function verbs.gc(cache, directory)
  local dropped = check(cache:gc())
  local s = check(cache:stats())
  local result = { place = directory, dropped = dropped, bytes = s.bytes, bound = s.bound }
  return result, { ("%s: dropped %s; %s of %s are left"):format(directory,
                   util.count(dropped, "block"), megabytes(s.bytes), megabytes(s.bound)) }, 0
end

function verbs.verify(cache, directory)
  local checked, bad = cache:verify()
  check(checked, bad)
  return { place = directory, checked = checked, bad = bad },
         { ("%s: checked %s: %s"):format(directory, util.count(checked, "block"),
           bad == 0 and "all are sound" or
           ("%d damaged, and dropped: they are computed again"):format(bad)) }, bad > 0 and 1 or 0
end

return function(options)
  local verb = verbs[options[0]]
  if not verb then
    util.quit(2, "cache: '%s' is nothing to do (there are %s)", options[0],
              table.concat(util.keys(verbs), ", "))
  end
  local directory, bound = store.place(options)
  if directory == false then util.quit(2, "cache: %s", bound) end
  if not directory then
    util.quit(2, "cache: neither XDG_CACHE_HOME nor HOME says where it is; --cache DIR does")
  end
  if not core.cache_exists(directory) then
    print(options.json and util.json { place = directory, exists = false } or
          directory .. ": no cache")
    return 0
  end
  local cache = check(core.cache(directory, bound))
  local result, lines, code = verb(cache, directory)
  print(options.json and util.json(result) or table.concat(lines, "\n"))
  cache:close()
  return code
end
