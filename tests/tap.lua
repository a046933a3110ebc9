-- The Test Anything Protocol, and running the program: what the scripts in api/ and program/
-- need. They get -o bin=PROGRAM -o source=TREE -o shared=REFERENCE-DATA.
local tap = { count = 0, failed = 0 }

local function show(value)
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

function tap.ok(passed, name, detail)
  tap.count = tap.count + 1
  print(("%s %d - %s"):format(passed and "ok" or "not ok", tap.count, name))
  if passed then return true end
  tap.failed = tap.failed + 1
  local at = debug.getinfo(2, "Sl")
  for level = 3, 4 do
    if at.source:find("tap%.lua$") then at = debug.getinfo(level, "Sl") end
  end
  print(("# %s:%d"):format(at.short_src, at.currentline))
  if detail then print("# " .. detail:gsub("\n", "\n# ")) end
  return false
end

function tap.is(got, want, name)
  return tap.ok(got == want, name, ("got %s, want %s"):format(show(got), show(want)))
end

function tap.near(got, want, tolerance, name)
  return tap.ok(math.abs(got - want) <= tolerance, name, ("got %.9g, want %.9g"):format(got, want))
end

-- `text` holds `part`, word for word.
function tap.has(text, part, name)
  return tap.ok(type(text) == "string" and text:find(part, 1, true) ~= nil, name,
                ("%s holds no %s"):format(show(text), show(part)))
end

-- f(...) raises a message that holds `part`.
function tap.raises(f, part, name)
  local ok, message = pcall(f)
  return tap.ok(not ok and tostring(message):find(part, 1, true) ~= nil, name,
                ok and "nothing was raised" or ("raised %s"):format(show(message)))
end

function tap.skip(name, why)
  tap.count = tap.count + 1
  print(("ok %d - %s # SKIP %s"):format(tap.count, name, why))
end

-- ---- files ----

local scratch

-- A directory of this script's own; it goes at the end.
function tap.directory()
  if not scratch then
    local pipe = assert(io.popen("mktemp -d"))
    scratch = pipe:read("l")
    pipe:close()
  end
  return scratch
end

function tap.quote(word)
  return "'" .. word:gsub("'", [['\'']]) .. "'"
end

function tap.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

function tap.exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- Writes DIRECTORY/NAME, making the directories in NAME; returns its path.
function tap.write(name, text)
  local path = tap.directory() .. "/" .. name
  os.execute("mkdir -p " .. tap.quote(path:match("^(.*)/")))
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

local FORMATS = { F32 = "<f", I64 = "<i8" }

-- A safetensors file: {name = {shape = {...}, at(i) -> number i, counting from 0}}.
function tap.tensors(path)
  local file = tap.read(path)
  local size = string.unpack("<I8", file)
  local header, tensors = file:sub(9, 8 + size), {}
  for name, dtype, shape, first in header:gmatch(
      '"([%w_]+)":{"dtype":"(%w+)","shape":%[([%d,]*)%],"data_offsets":%[(%d+)') do
    local t = { shape = shape, dtype = dtype, base = 9 + size + math.tointeger(first) }
    local width = string.packsize(FORMATS[dtype])
    function t.at(i) return (string.unpack(FORMATS[dtype], file, t.base + i * width)) end
    tensors[name] = t
  end
  return tensors, #file
end

-- ---- the program ----

-- Runs a shell command line in the scratch directory: its exit code, stdout and stderr. What
-- it caches stays there, too.
function tap.shell(line)
  local out, err = tap.directory() .. "/.stdout", tap.directory() .. "/.stderr"
  local _, how, code = os.execute(("cd %s && export XDG_CACHE_HOME=$PWD/.cache && { %s\n} >%s 2>%s")
                                  :format(tap.quote(scratch), line, tap.quote(out),
                                          tap.quote(err)))
  return how == "signal" and 128 + code or code, tap.read(out), tap.read(err)
end

-- Runs clipeval with these words.
function tap.clipeval(...)
  local words = { tap.quote(arg.bin) }
  for i, word in ipairs { ... } do words[i + 1] = tap.quote(word) end
  return tap.shell(table.concat(words, " "))
end

function tap.done()
  if scratch then os.execute("rm -rf " .. tap.quote(scratch)) end
  print("1.." .. tap.count)
  if tap.failed > 0 then
    print(("# %d of %d failed"):format(tap.failed, tap.count))
    os.exit(1)
  end
end

return tap
