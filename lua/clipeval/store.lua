-- Where embeddings are kept between runs (core/cache.h): which directory, how much, and what
-- is to be told of it.
local core = require "clipeval.core"
local session = require "clipeval.session"
local util = require "clipeval.util"

local store = {}

local BOUND = 20 * 10 ^ 9
local UNITS = { [""] = 1, B = 1, KB = 10 ^ 3, MB = 10 ^ 6, GB = 10 ^ 9, TB = 10 ^ 12,
                KIB = 2 ^ 10, MIB = 2 ^ 20, GIB = 2 ^ 30, TIB = 2 ^ 40,
                K = 10 ^ 3, M = 10 ^ 6, G = 10 ^ 9, T = 10 ^ 12 }

-- "500MB", "1.5 GiB", "20G" -> bytes; or nil.
function store.size(text)
  local number, unit = tostring(text):match("^%s*(%d+%.?%d*)%s*(%a*)%s*$")
  local factor = unit and UNITS[unit:upper()]
  local bytes = factor and tonumber(number) * factor
  return bytes and bytes < 2 ^ 62 and math.floor(bytes) or nil
end

-- The default's own rule (XDG Base Directory Specification): a path that is not absolute
-- counts as none. nil: there is no such place.
function store.default()
  local base = os.getenv("XDG_CACHE_HOME")
  if base and base:sub(1, 1) == "/" then return util.join(base, "clipeval") end
  local home = os.getenv("HOME")
  return home and home:sub(1, 1) == "/" and util.join(home, ".cache/clipeval") or nil
end

-- The directory (nil: there is no place for one) and the bound that the options ask for; or
-- false and what is wrong with them.
function store.place(options)
  local size = options.cache_size
  local bound = size == nil and math.tointeger(BOUND) or store.size(size)
  if not bound then
    return false, ("--cache-size needs a size such as 500MB or 20GB, not '%s'"):format(size)
  end
  return util.path(options.cache, "cache") or store.default(), bound
end

local opened -- a cache; false: there is none

-- The cache of this run; nil where there is none, which is told once.
function store.open()
  if opened ~= nil then return opened or nil end
  local settings = session.settings
  opened = false
  if settings.no_cache then return nil end
  local directory, bound = store.place(settings)
  if directory == false then util.fail("%s", bound) end
  local fault = "no cache: neither XDG_CACHE_HOME nor HOME says where; --cache DIR does"
  if directory then opened, fault = core.cache(directory, bound) end
  if not opened then
    opened = false
    util.warn("%s", fault)
  end
  return opened or nil
end

-- At the end: what went wrong with it, if anything did.
function store.close()
  if not opened then return end
  local trouble, damaged = opened:trouble()
  if damaged > 0 then
    util.warn("cache: %s %s damaged; recomputed", util.count(damaged, "block"),
              damaged == 1 and "was" or "were")
  end
  if trouble then util.warn("%s", trouble) end
  opened:close()
  opened = false
end

return store
