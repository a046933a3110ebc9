-- What a script hands over and what it forgets: results, options, misspelt names.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local golden = arg.source .. "/tests/golden/"
local tree = golden .. "zeroshot/folders"
local HEAD = [[local clip = require "clipeval"
local m, d = clip.model(), clip.dataset("folders:" .. arg.data)
local function Z(p) return clip.zeroshot { model = m, dataset = d, prompts = p, limit = 6 } end
]]

local function run(script, ...)
  tap.write("s.lua", script)
  tap.shell("rm -rf out")
  return tap.clipeval("run", "--quiet", "s.lua", "--data", tree, "--out", "out", ...)
end

-- The templates of the evaluations in run.json, and stderr.
local function written(script, ...)
  local code, _, stderr = run(HEAD .. script, ...)
  if code ~= 0 then return "exit code " .. code .. ": " .. stderr end
  local list = {}
  for i, e in ipairs(clip.json(tap.read(tap.directory() .. "/out/run.json")).evaluations) do
    list[i] = table.concat(e.prompts.templates, "+")
  end
  return table.concat(list, " "), stderr
end

-- which results are written
tap.is(written 'return Z "{}"', "{}", "a result")
tap.is(written 'Z "1{}" Z "2{}"', "1{} 2{}", "none returned: all that was evaluated")
tap.is(written 'return Z "1{}", Z "2{}"', "1{} 2{}", "several values")
tap.is(written 'return { b = Z "1{}", a = Z "2{}", Z "3{}" }', "3{} 2{} 1{}", "a map, by its keys")
tap.is(written 'return { { Z "1{}" }, nil, { x = { Z "2{}" } } }', "1{} 2{}", "at any depth")
tap.is(written 'local z = Z "{}" local t = { z, z } t[3] = t return t', "{}", "each once")
local which, stderr = written 'Z "1{}" return Z "2{}"'
tap.is(which, "2{}", "some returned: those")
tap.has(stderr, "1 evaluation not returned by the script and not written",
        "and the others are told")

-- what can no longer go wrong while it is written
tap.has(written [[local n = 0
return Z { function(c) n = n + 1 return n > 6 and error "again" or c end } ]],
        "function: checker board -> checker board", "a template function is not called again")
tap.is(written 'local z = Z "{}" m:close() d.name = {} return z', "{}", "a model that was closed")
tap.is(written 'arg = nil return Z "{}"', "{}", "no arg any more")
tap.is(written 'arg = { out = 5 } return Z "{}"', "{}", "another arg")
tap.has(written 'arg.out = 5 return Z "{}"', "s.lua:4: arg.out must be a string, not 5",
        "arg.out is checked when it is set")
tap.has(written 'arg.out = "/" return Z "{}"', "s.lua:4: arg.out: '/': not a name for", "at once")
for field, value in pairs { name = "{}", version = "print" } do
  tap.has(written(("clip.prompts { %s = %s, templates = { '{}' } }"):format(field, value)),
          "s.lua:4: prompts: " .. field .. " must be a string or a number, not a ",
          field .. " of prompts")
  tap.has(written(("clip.dataset { %s = %s, layout = 'csv', root = '' }"):format(field, value)),
          "s.lua:4: dataset: " .. field .. " must be a string or a number, not a ",
          field .. " of a dataset")
end

-- runs at the same time
tap.write("s.lua", HEAD .. 'return Z "{}"')
tap.shell(("for i in 1 2 3 4 5 6; do %s run --quiet s.lua --data %s & done; wait"):format(
  tap.quote(arg.bin), tap.quote(tree)))
tap.is(select(2, tap.shell("ls runs | tr -dc '0-9\\n' | tr '\\n' ' '")), "1 2 3 4 5 6 ",
       "six runs at once, six directories")

-- options that nobody reads
_, stderr = written('return Z(arg.prompt or "{}")', "-o", "promt=a {}", "--model", "pocket")
tap.is(stderr, "clipeval: s.lua does not read --model, -o promt\n", "an option that is not read")
_, stderr = written('for key in pairs(arg) do end return Z "{}"', "-o", "promt=a {}")
tap.is(stderr, "", "pairs reads them all")
tap.is(written('arg.limit = 3 arg.x = arg.x .. "{}" return Z(arg.x)', "-o", "x=1"), "1{}",
       "arg can be changed")

-- pictures that cannot be read
_, stderr = written [[
local items = {}
for i = 1, 100 do items[i] = { path = d.items[i % 60 + 1].path, label = "x", id = tostring(i) } end
items[7].path = "/nowhere.png"
Z = function() return clip.zeroshot { model = m, prompts = "{}", dataset = { items = items } } end
return Z() ]]
tap.is(stderr, "", "one picture of a hundred is a row")
_, stderr = written([[
return clip.zeroshot { model = m, prompts = "{}", dataset = { name = "none", items = {
  { path = "/a.png", label = "x" }, { path = "/b.png", label = "x" } } } }]])
tap.has(stderr, "clipeval: dataset none: 2 of 2 pictures cannot be read (/a.png: ",
        "all of them are a line on stderr")
tap.is(select(2, stderr:gsub("\n", "")), 1, "one line")

-- messages begin with the script
local function says(script, message, name)
  local code, _, text = run('local clip = require "clipeval"\n' .. script)
  tap.is(code, 3, name .. ": exit code 3")
  tap.is(text:sub(1, #message + 10), "clipeval: " .. message, name)
end
says("return clip.zeroshot {}", "s.lua: zeroshot: model is missing", "a tail call")
says("local z = clip.zeroshot {}", "s.lua:2: zeroshot: model is missing", "a call")
says("clip.dataset('folders:' .. arg.data):picture(1)",
     "s.lua:2: dataset:picture needs an item of the dataset, not 1", "no item")
says("clip.prompts('{}'):texts({})", "s.lua:2: prompts:texts needs a class name, not a table",
     "no class")
says("clip.dataset 'a\\0b'", "s.lua:2: datasets: the name holds a NUL byte", "NUL in a dataset")
says("clip.prompts 'a\\0b'", "s.lua:2: prompts: the name holds a NUL byte", "NUL in prompts")
says("clip.model 'a\\0b'", "s.lua:2: model: a path or a name holds a NUL byte",
     "NUL in a model")
says("clip.dataset('folders', { root = 'a\\0b' })", "s.lua:2: dataset: root holds a NUL byte",
     "NUL in a root")
tap.done()
