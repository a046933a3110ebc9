-- lua/library/clipeval.lua, which editors read, tells of every function and method that scripts
-- can call, and of no other.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"

local told = {}
local library = "\n" .. tap.read(arg.source .. "/lua/library/clipeval.lua")
for name in library:gmatch "\nfunction ([%w_.:]+)%(" do
  tap.ok(not told[name], name .. ": told once")
  told[name] = true
end

local function check(name)
  tap.ok(told[name], name .. ": told")
  told[name] = nil
end

for name, value in pairs(clip) do
  for key in pairs(name == "answers" and value or {}) do check(("clip.%s.%s"):format(name, key)) end
  if type(value) == "function" then check("clip." .. name) end
end

local INTERNAL = { survey = true } -- what clipeval doctor asks
for file, class in pairs { image = "Image", matrix = "Matrix", model = "Model" } do
  local source = tap.read(("%s/lua/bind_%s.c"):format(arg.source, file))
  for name in source:match "METHODS%[%] = (%b{})":gmatch '{"([%w_]+)"' do
    if not INTERNAL[name] then check(class .. ":" .. name) end
  end
  check(class .. ":close")
end
for name in pairs(told) do
  tap.ok(name:find "^Dataset:" or name:find "^Prompts:" or name:find "^Questions:",
         name .. ": is there")
end
tap.done()
