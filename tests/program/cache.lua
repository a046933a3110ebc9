-- clipeval cache stats|gc|verify, and what --cache and --cache-size do: entries are counted
-- beside what the runs were given.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"

local bin = tap.quote(arg.bin)
local PICTURES = 24

local function write_picture(i, seed)
  local bytes = {}
  for k = 1, 3 * 32 * 32 do bytes[k] = string.char((k * seed * 7919 + k // 32 * seed) % 251) end
  tap.write(("data/%s/%02d.ppm"):format(i % 2 == 0 and "cat" or "dog", i),
            "P6 32 32 255\n" .. table.concat(bytes))
end
for i = 1, PICTURES do write_picture(i, i) end
tap.shell("sleep 4") -- a file that has just changed is not remembered by its time
tap.write("eval.lua", [[
local clip = require "clipeval"
return clip.zeroshot { model = clip.model(arg.model), dataset = "folders:" .. arg.data,
                       prompts = { "a {}", "many {}s", "no {}" } }]])

local function run(out, options)
  return tap.shell(("%s run --quiet eval.lua --data %s --out %s %s"):format(
    bin, options:find("moved", 1, true) and "moved" or "data", out, options))
end

local function found_in(out)
  local json = clip.json(tap.read(tap.directory() .. "/" .. out .. "/run.json"))
  return json.evaluations[1].cache
end

local function cache(verb, options)
  local code, out, err = tap.shell(("%s cache %s %s"):format(bin, verb, options))
  return code, out, err
end

local function stats(place)
  local code, out = cache("stats", "--json --cache " .. place)
  tap.is(code, 0, "stats of " .. place)
  return clip.json(out)
end

-- ---- stats ----

local code, out, err = cache("stats", "--cache c")
tap.is(code, 0, "a cache that is not there is no fault")
tap.is(out, "c: no cache\n", "and is said")
tap.is(clip.json(select(2, cache("stats", "--json --cache c"))).exists, false, "in JSON too")
tap.is(tap.shell("test -e c"), 1, "asking makes none")

tap.is((run("one", "--cache c")), 0, "a run that fills it")
local s = stats("c")
tap.is(s.rows, PICTURES + 2 * 3, "an embedding for each picture and each text")
tap.is(s.files, PICTURES, "every file is known")
tap.is(s.bound, 20 * 10 ^ 9, "the default bound is 20 GB")
tap.is(#s.models, 1, "of one model")
tap.is(s.models[1].rows, s.rows, "which has all of them")
tap.is(s.models[1].sha256, select(2, tap.shell("cut -d, -f2 one/report.csv | sed -n 2p")):sub(1, -2),
       "named as in the report")
code, out = cache("stats", "--cache c")
tap.has(out, ("%d embeddings in"):format(PICTURES + 6), "the text says the same")
tap.has(out, "of 20.00 GB", "with the bound")

-- ---- what is found ----

run("two", "--cache c")
local f = found_in("two")
tap.is(f.pictures_found, PICTURES, "a second run finds all pictures")
tap.is(f.texts_found, 6, "and all texts")
tap.shell("cp -r data moved")
run("three", "--cache c # moved")
f = found_in("three")
tap.is(f.pictures_found, PICTURES, "pictures are found wherever they lie")
write_picture(1, 99) -- of the same size, at the same place
run("four", "--cache c")
f = found_in("four")
tap.is(f.pictures_found, PICTURES - 1, "a picture that changed is none that is known")
tap.is(f.pictures_computed, 1, "and is computed")
run("plain", "--no-cache")
tap.is(tap.read(tap.directory() .. "/four/predictions.csv"),
       tap.read(tap.directory() .. "/plain/predictions.csv"), "as without a cache, byte for byte")
tap.is(stats("c").rows, PICTURES + 6 + 1, "one embedding more")

-- Other weights in a file of the same size: nothing of the former is found.
tap.shell("cp -r " .. tap.quote(arg.source .. "/models/pocket") .. " model")
run("five", "--cache c --model model")
tap.is(found_in("five").pictures_found, PICTURES, "a copy of the weights is the same model")
local weights = tap.directory() .. "/model/open_clip_model.safetensors"
local file = assert(io.open(weights, "r+b"))
file:seek("end", -4)
local last = file:read(1)
file:seek("end", -4)
file:write(string.char(last:byte() ~ 1))
file:close()
tap.is((run("six", "--cache c --model model")), 0, "with one bit of the weights changed it runs")
f = found_in("six")
tap.is(f.pictures_found + f.texts_found, 0, "and finds nothing of the former model's")
tap.is(#stats("c").models, 2, "there are two models now")

-- ---- verify ----

code, out = cache("verify", "--json --cache c")
local v = clip.json(out)
tap.is(code, 0, "a sound cache")
tap.is(v.bad, 0, "has no bad block")
tap.is(v.checked, stats("c").blocks, "all blocks are looked at")
tap.has(select(2, cache("verify", "--cache c")), "all are sound", "in words")

-- Every row of the content is a float or part of a key: wherever a bit of it flips, the block
-- is found. What marks a block in the file are bytes of an embedding, asked from the model.
local path = tap.directory() .. "/c/embeddings-1.sqlite"
tap.shell("cp -r c flipped")
path = tap.directory() .. "/flipped/embeddings-1.sqlite"
local embeds = clip.model():encode_text { "many cats" }
local needle = {}
for k = 1, 8 do needle[k] = ("<f"):pack(embeds[1][k]) end
local at = tap.read(path):find(table.concat(needle), 1, true)
tap.ok(at, "an embedding lies in the file as it was computed")
file = assert(io.open(path, "r+b"))
file:seek("set", at + 3)
local byte = file:read(1)
file:seek("set", at + 3)
file:write(string.char(byte:byte() ~ 64))
file:close()
code, _, err = run("seven", "--cache flipped")
tap.is(code, 0, "a run on a flipped bit")
tap.has(err, "1 block was damaged; recomputed", "which it tells")
tap.is(tap.read(tap.directory() .. "/seven/predictions.csv"),
       tap.read(tap.directory() .. "/plain/predictions.csv"), "reports the same bytes")
tap.is((cache("verify", "--cache flipped")), 0, "and heals the cache")
tap.shell("rm -rf flipped; cp -r c flipped")
file = assert(io.open(path, "r+b"))
file:seek("set", at + 3)
file:write(string.char(byte:byte() ~ 64))
file:close()
code, out = cache("verify", "--json --cache flipped")
v = clip.json(out)
tap.is(code, 1, "verify finds it: exit code 1")
tap.is(v.bad, 1, "one block")
tap.is((cache("verify", "--cache flipped")), 0, "which is dropped")

-- ---- files beside the database ----

-- A run that is killed leaves embeddings-1.sqlite-wal; bits of it and of -shm flip, or it is cut.
local db = "embeddings-1.sqlite"
tap.shell(([[rm -rf w; %s run --quiet eval.lua --data data --out w0 --cache w
  cp -r w w1; python3 -c '
import sqlite3, os, sys
db = sqlite3.connect("w1/%s", isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA wal_autocheckpoint = 0")
db.execute("UPDATE block SET used = used + 1")
os._exit(0)' 2>/dev/null]]):format(bin, db))
if tap.shell("test -s w1/" .. db .. "-wal") == 0 then
  local wrong
  for i, suffix in ipairs { "-wal", "-shm", "-wal", "-shm" } do
    tap.shell("rm -rf w2; cp -r w1 w2")
    local name = tap.directory() .. "/w2/" .. db .. suffix
    local text = tap.read(name)
    for at_byte = 7, #text, #text // 9 do
      local middle = i < 3 and string.char(text:byte(at_byte) ~ 16) .. text:sub(at_byte + 1) or ""
      local io_file = assert(io.open(name, "wb"))
      io_file:write(text:sub(1, at_byte - 1), middle)
      io_file:close()
      tap.shell("rm -rf e")
      code, _, err = run("e", "--cache w2")
      local same = code == 0 and tap.read(tap.directory() .. "/e/predictions.csv") ==
                   tap.read(tap.directory() .. "/plain/predictions.csv")
      wrong = wrong or not same and ("%s at %d: %d %s"):format(suffix, at_byte, code, err)
      tap.shell("rm -rf w2; cp -r w1 w2")
    end
  end
  tap.ok(not wrong, "flipped bits and cuts in -wal and -shm: the report is the same", wrong)
else
  tap.skip("flipped bits in -wal and -shm", "needs python3")
end

-- ---- the bound ----

-- A bound below what is there: the least recently used goes first.
local before = stats("c")
code, out = cache("gc", "--json --cache c --cache-size 1KB")
local g = clip.json(out)
tap.is(code, 0, "gc")
tap.is(g.dropped, before.blocks, "drops all where nothing fits")
tap.is(stats("c").rows, 0, "and nothing is left")
code, out = cache("gc", "--json --cache c")
tap.is(clip.json(out).dropped, 0, "nothing to drop")
for size, fault in pairs { ["12 apples"] = "not '12 apples'", ["-1"] = "not '-1'",
                           [""] = "a value that is not empty" } do
  code, _, err = cache("gc", "--cache c --cache-size=" .. tap.quote(size))
  tap.is(code, 2, "a size that is none: " .. size)
  tap.has(err, fault, "is told")
end
code, _, err = cache("nothing", "--cache c")
tap.is(code, 2, "an unknown verb")
tap.has(err, "gc, stats, verify", "is told the verbs")

tap.shell("rm -rf c")
run("eight", "--cache c")
local whole = stats("c").bytes
tap.shell("sleep 2") -- what was used in this very second would stay
run("nine", ("--cache c --cache-size %dB --model model"):format(whole))
s = stats("c")
tap.ok(s.bytes <= whole, "the bound holds", ("%d bytes, bound %d"):format(s.bytes, whole))
local rows = {}
for _, m in ipairs(s.models) do rows[m.sha256] = m.rows end
local function sha_of(out_directory)
  return clip.json(tap.read(tap.directory() .. "/" .. out_directory .. "/run.json"))
         .evaluations[1].model.sha256
end
tap.is(rows[sha_of("nine")], PICTURES + 6, "what this run used stays")
tap.is(rows[sha_of("eight")], nil, "what was used before goes")
run("ten", "--cache c --model model")
tap.is(found_in("ten").pictures_found, PICTURES, "the next run finds it")

-- ---- no home ----

code, out, err = tap.shell("unset HOME XDG_CACHE_HOME; " .. bin .. " cache stats")
tap.is(code, 2, "no place for a cache")
tap.has(err, "neither XDG_CACHE_HOME nor HOME", "is told")
code = tap.shell("XDG_CACHE_HOME=$PWD/xdg " .. bin .. " run --quiet eval.lua --data data --out eleven")
tap.is(code, 0, "XDG_CACHE_HOME is the place")
tap.is(stats("xdg/clipeval").rows, PICTURES + 6, "where it is kept")

tap.done()
