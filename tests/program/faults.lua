-- Scripts at fault: one line, the script's own, and the exit code.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"

local function fault(script, message, name, lines)
  tap.write("fault.lua", script)
  local code, _, stderr = tap.clipeval("run", "fault.lua", "--quiet")
  tap.is(code, 3, name .. ": exit code 3")
  tap.has(stderr, message, name)
  tap.ok(select(2, stderr:gsub("\n", "")) <= (lines or 1), name .. ": no more lines than it takes",
         stderr)
  tap.is(stderr:find("%[C%]") or stderr:find("0x%x+") or stderr:find("clipeval%.%l+:"), nil,
         name .. ": nothing of our own inside")
  tap.is(tap.exists(tap.directory() .. "/runs"), false, name .. ": no run directory")
end

fault("local x = = 3", "clipeval: fault.lua:1: unexpected symbol near '='", "a syntax error")
fault("\n\27Lua", "fault.lua:2:", "binary rubbish")
fault("\27LuaR", "fault.lua", "a compiled chunk is not loaded")
fault("\nerror('no ' .. 'luck')", "clipeval: fault.lua:2: no luck\n", "a script that raises")
fault("error { code = 1 }", "(a table was raised)", "a table as an error")
fault("error(setmetatable({}, { __tostring = function() return 'odd' end }))", "clipeval: odd",
      "an error that has a text")
fault("error()", "nil", "nil as an error")
fault("error { exit = 0 }", "(a table was raised)", "a table that looks like our own")
fault("error { exit = 0, message = 'x' }", "(a table was raised)", "with a message")
fault("error { exit = 1 / 0, message = {} }", "(a table was raised)", "with odd fields")
fault("error(setmetatable({}, { __index = function() error 'x' end }))", "(a table was raised)",
      "an error whose fields raise")
fault("error(setmetatable({}, { __index = function(t, k) return k == 'exit' and 0 or error {} end }))",
      "(a table was raised)", "or some of them")
fault("error(setmetatable({}, { __tostring = error }))", "(a table was raised)",
      "an error whose text raises itself")
fault("error(setmetatable({}, { __tostring = function() return {} end }))", "(a table was raised)",
      "an error whose text is none")
fault("error(setmetatable({}, { __tostring = function(t) return tostring(t) end }))",
      "(a table was raised)", "an error whose text never ends")
fault("error(setmetatable({}, { __metatable = 1, __name = 'quit' }))", "(a table was raised)",
      "an error with a name")
fault("error(print)", "(a function was raised)", "a function as an error")
fault("error(coroutine.create(print))", "(a thread was raised)", "a coroutine as an error")
fault("error(3.5)", "3.5", "a number as an error")
fault("coroutine.wrap(function() error { exit = 0 } end)()", "(a table was raised)",
      "a table out of a coroutine")
fault("local t = nil\nprint(t.x)", "fault.lua:2: attempt to index a nil value", "a nil is indexed")
fault("local function inner() error 'deep' end\nlocal function outer() inner() end\nouter()",
      "fault.lua:2: in ", "a fault in a function shows its callers", 4)
fault("local clip = require 'clipeval'\nclip.matrix { { 1 } }:topk('x')",
      "fault.lua:2: bad argument #1 to 'topk' (number expected, got string)", "misuse of an object")
fault("local clip = require 'clipeval'\nclip.model 'nope'", "fault.lua:2: no model 'nope'",
      "an unknown model")
fault("local clip = require 'clipeval'\n\nclip.zeroshot { model = clip.model(), " ..
      "dataset = 'nope', prompts = '{}' }",
      "fault.lua:3: no dataset 'nope'", "misuse found in our own Lua points at the script")
fault("require 'nothing_such'", "nothing_such", "a module that is not there", 20)
fault("local function f() return f() + 1 end f()", "stack overflow", "endless recursion", 12)
fault("string.rep('x', 1 << 60)", "fault.lua:1:", "a string that is too large")
tap.write("os.lua", "os.exit(7)")
tap.is(tap.clipeval("run", "os.lua"), 7, "a script may choose its exit code")
for _, value in ipairs { "42", "{}, nil, print", "setmetatable({}, { __index = error })" } do
  tap.write("value.lua", "return " .. value)
  tap.is(tap.clipeval("run", "value.lua"), 0, "a script may return anything: " .. value)
end
tap.is(tap.clipeval("run", "."), 3, "a directory is no script")

-- checkpoints that are wrong
local function bad_model(name, files, message)
  for file, text in pairs(files) do tap.write("bad/" .. name .. "/" .. file, text) end
  local code, _, stderr = tap.clipeval("run", "fashion_mnist.lua", "--model", "bad/" .. name)
  tap.is(code, 3, name .. ": exit code 3")
  tap.has(stderr, message, name .. ": the message names the file")
  tap.is(select(2, stderr:gsub("\n", "")), 1, name .. ": one line")
end
bad_model("json", { ["config.json"] = "{", ["model.safetensors"] = "\2\0\0\0\0\0\0\0{}" },
          "bad/json/config.json")
bad_model("empty", { ["notes.txt"] = "" }, "bad/empty")
local config = tap.read(arg.source .. "/models/pocket/open_clip_config.json")
bad_model("short", { ["open_clip_config.json"] = config,
                     ["open_clip_model.safetensors"] = "\8\0\0" }, "open_clip_model.safetensors")
tap.done()
