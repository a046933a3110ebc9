-- A run that is killed at any moment and started again finishes, and writes byte for byte the
-- report of an undisturbed one. So do runs at once on one cache, on a full disk, and on a
-- cache in which bits flipped. -o kills=N: how often (200).
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"

local KILLS = math.tointeger(tonumber(arg.kills or 200))
local FLIPS = math.tointeger(tonumber(arg.flips or 300))
local CSVS = { "report.csv", "classes.csv", "predictions.csv", "problems.csv" }
local bin = tap.quote(arg.bin)
math.randomseed(20)

-- Pictures of noise, a few of them twice under other names, one broken.
tap.write("data/.keep", "")
local names = { "cat", "dog", "boat" }
for i = 1, 120 do
  local seed = i % 60 == 0 and 7 or i
  local bytes = {}
  for k = 1, 3 * 40 * 40 do bytes[k] = string.char((k * seed * 7919 + k // 40 * seed) % 251) end
  tap.write(("data/%s/%03d.ppm"):format(names[i % 3 + 1], i),
            "P6 40 40 255\n" .. table.concat(bytes))
end
tap.write("data/cat/broken.png", "\x89PNG\r\n\x1a\nbroken")
tap.write("eval.lua", [[
local clip = require "clipeval"
local model = clip.model()
return { clip.zeroshot { model = model, dataset = "folders:" .. arg.data,
                         prompts = { "a photo of a {}.", "a {}.", "many {}s" } },
         clip.zeroshot { model = model, dataset = "folders:" .. arg.data, prompts = "{}",
                         limit = 50 } }]])

local function read_all(out)
  local texts = {}
  for _, name in ipairs(CSVS) do
    texts[name] = tap.read(tap.directory() .. "/" .. out .. "/" .. name)
  end
  return texts
end

local function run(out, ...)
  local words = { bin, "run --quiet eval.lua --data data --out", out, ... }
  return tap.shell(table.concat(words, " "))
end

local clock = os.time()
local code, _, stderr = run("plain", "--no-cache")
tap.is(code, 0, "an undisturbed run without a cache")
local plain = read_all("plain")

local function is_plain(out)
  for name, text in pairs(read_all(out)) do
    if text ~= plain[name] then return false, out .. "/" .. name .. " differs" end
  end
  return true
end

tap.is(run("cold", "--cache c0"), 0, "a run that fills a cache")
tap.ok(is_plain("cold"), "it reports the same bytes")
local _
code, _, stderr = run("warm", "--cache c0")
tap.ok(is_plain("warm"), "so does one that finds all in it")
local json = clip.json(tap.read(tap.directory() .. "/warm/run.json")).evaluations[1].cache
tap.is(json.pictures_found, 120, "run.json says how many pictures were found")
tap.is(json.pictures_computed, 1, "a broken picture is tried again each time")
tap.is(json.texts_computed, 0, "no text was computed")
tap.ok(not stderr:find("cache", 1, true), "nothing to tell", stderr)

-- ---- killed ----

-- How long one takes, in microseconds.
local function microseconds(line)
  local _, out = tap.shell(([[s=$(date +%%s%%N); %s >/dev/null 2>&1; e=$(date +%%s%%N)
    echo $(((e - s) / 1000))]]):format(line))
  return math.tointeger(tonumber(out))
end
local whole = microseconds("rm -rf c1 t; " .. bin ..
                           " run --quiet eval.lua --data data --out t --cache c1")
local killed, done, wrong = 0, 0, nil
tap.shell("rm -rf c2")
local start = os.time()
for i = 1, KILLS do
  -- every tenth from nothing; the others go on where the last one was killed
  local fresh = i % 10 == 1
  local wait = math.random() * whole * (fresh and 1.05 or 0.9)
  local how = tap.shell(([[%s rm -rf k
    %s run --quiet eval.lua --data data --out k --cache c2 >/dev/null 2>err & pid=$!
    sleep %.6f; kill -KILL $pid 2>/dev/null; wait $pid 2>/dev/null; test -d k]]):format(
    fresh and "rm -rf c2;" or "", bin, wait / 1e6))
  if how == 0 then
    done, whole = done + 1, whole * 0.95 -- neighbours make a run now slower and now faster
    local same, what = is_plain("k")
    wrong = wrong or not same and what
  else
    killed, whole = killed + 1, whole * 1.01
  end
  if i % 10 == 0 then
    how = tap.shell("rm -rf k; " .. bin ..
                    " run --quiet eval.lua --data data --out k --cache c2 2>err")
    local same, what = is_plain("k")
    wrong = wrong or how ~= 0 and "exit code " .. how or not same and what
    local told = tap.read(tap.directory() .. "/err")
    wrong = wrong or told:find("cache", 1, true) and told
  end
end
tap.ok(not wrong, ("killed %d times at random moments (%d others had finished) in %d s: the " ..
       "report is byte for byte that of an undisturbed run"):format(killed, done,
       os.time() - start), tostring(wrong))
tap.ok(killed >= KILLS // 4, "and many were killed indeed", killed .. " of " .. KILLS)
tap.is(tap.shell(bin .. " cache verify --cache c2"), 0, "the cache is sound after that")
tap.is(select(2, tap.shell("ls -d k.tmp-* 2>/dev/null | wc -l; rm -rf k.tmp-*")) ~= nil, true,
       "what a killed run leaves of its report does not hinder the next")

-- ---- at once ----

code = tap.shell(([[rm -rf c3; for i in 1 2 3; do
  %s run --quiet eval.lua --data data --out at$i --cache c3 2>err$i & done; wait
  cat err1 err2 err3 >&2]]):format(bin))
tap.ok(is_plain("at1") and is_plain("at2") and is_plain("at3"), "three runs at once on one cache")
tap.is(tap.shell(bin .. " cache verify --cache c3"), 0, "which is sound")

-- ---- trouble ----

-- A run with the cache `c`: the same report, exit code 0, and what it says.
local count = 0
local function still_runs(c, say, name, options)
  count = count + 1
  local out = "trouble" .. count
  code, _, stderr = run(out, options or "--cache " .. c)
  local same = code == 0 and is_plain(out)
  tap.ok(same, name .. ": the same report", stderr)
  if say then tap.has(stderr, say, name .. ": says so") end
  local _, lines = stderr:gsub("cache", "")
  tap.ok(not say or select(2, stderr:gsub("\n", "")) == 1, name .. ": in one line", stderr)
end

tap.write("file", "text")
still_runs("file/below", "goes on without it", "a file where the directory should be")
tap.write("foreign/embeddings-1.sqlite", "this is no database\n" .. ("x"):rep(5000))
still_runs("foreign", "none of clipeval's", "a text file in place of the database")
tap.is(#tap.read(tap.directory() .. "/foreign/embeddings-1.sqlite"), 5020, "which is left alone")
tap.shell("mkdir link; ln -s ../file link/embeddings-1.sqlite")
still_runs("link", "none of clipeval's", "a symbolic link in place of the database")
tap.is(tap.read(tap.directory() .. "/file"), "text", "which is not followed")
tap.shell("cp -r c0 empty; : >empty/embeddings-1.sqlite")
still_runs("empty", nil, "an empty file in place of the database")
still_runs(nil, "neither XDG_CACHE_HOME nor HOME", "no home",
           "2>&1 >/dev/null; unset HOME XDG_CACHE_HOME; rm -rf trouble" .. (count + 1) .. "; " ..
           bin ..
           " run --quiet eval.lua --data data --out trouble" .. count + 1)

local function is_root() return select(2, tap.shell("id -u")) == "0\n" end
if is_root() and tap.shell("mkdir tmp && mount -t tmpfs -o size=256k none tmp") == 0 then
  still_runs("tmp/c", "no space left", "a full disk")
  still_runs("tmp/c", "no space left", "a full disk again")
  tap.shell("umount tmp; mount -t tmpfs none tmp; mount -o remount,ro tmp")
  still_runs("tmp/c", "ead-only", "a file system that is read-only")
  tap.shell("umount tmp")
else
  tap.skip("a full disk, one that is read-only", "needs root, and a tmpfs")
end
tap.shell("cp -r c0 locked")
local database = tap.directory() .. "/locked/embeddings-1.sqlite"
if tap.shell("command -v python3") == 0 then
  tap.write("lock.py", [[
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA locking_mode = EXCLUSIVE")
db.execute("BEGIN EXCLUSIVE")
db.execute("DELETE FROM file")
print("ready", flush=True)
time.sleep(60)]])
  tap.shell("mkfifo ready; python3 lock.py " .. tap.quote(database) ..
            " >ready 2>&1 & echo $! >pid; read line <ready")
  local began = os.time()
  still_runs("locked", "locked", "a cache that another process has locked")
  tap.ok(os.time() - began < 10, "which does not hold it up for long")
  tap.shell("kill -KILL $(cat pid)")
else
  tap.skip("a cache that another process has locked", "needs python3")
end

-- ---- damage ----

-- Flips one bit of each file there, or cuts it, or both; in a copy.
local function damage(copy, flips)
  tap.shell(("rm -rf %s; cp -r c0 %s"):format(copy, copy))
  local path = tap.directory() .. "/" .. copy .. "/embeddings-1.sqlite"
  local text = tap.read(path)
  local file = assert(io.open(path, "r+b"))
  for _ = 1, flips do
    local at = math.random(#text) - 1
    file:seek("set", at)
    file:write(string.char(text:byte(at + 1) ~ 1 << math.random(0, 7)))
  end
  file:close()
  return path, text
end

local told, strange = 0, nil
for i = 1, FLIPS // 10 do
  damage("c4", 10)
  local out = "flip"
  tap.shell("rm -rf flip")
  code, _, stderr = run(out, "--cache c4")
  local same, what = code == 0 and is_plain(out)
  strange = strange or not same and
    (("%d: exit code %d %s %s"):format(i, code, tostring(what), stderr))
  told = told + (stderr:find("cache", 1, true) and 1 or 0)
  if i % 10 == 0 then
    tap.shell(bin .. " cache verify --cache c4")
    code = tap.shell(bin .. " cache verify --cache c4")
    strange = strange or code ~= 0 and stderr == "" and "verify does not heal"
  end
end
tap.ok(not strange, FLIPS .. " bits flipped at random places: the same report", strange)
tap.ok(told > 0, "and what was found damaged was told", told .. " times")
for _, share in ipairs { 0.999, 0.5, 0.1, 0.001 } do
  local path, text = damage("c5", 0)
  local file = assert(io.open(path, "wb"))
  file:write(text:sub(1, math.floor(#text * share)))
  file:close()
  still_runs("c5", nil, ("the database cut to %g of its size"):format(share))
end
tap.done()
