-- clip.prompts: templates become texts.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"

local function texts(prompts, class) return table.concat(prompts:texts(class), "|") end

tap.is(texts(clip.prompts { "a {}", "the {c}!" }, "cat"), "a cat|the cat!",
       "{} and {c} are the class")
tap.is(texts(clip.prompts "a {} and a {}", "cat"), "a cat and a cat",
       "one template, twice the class")
tap.is(texts(clip.prompts "a {}", "50% %1"), "a 50% %1", "a class name is taken as it is")
tap.is(texts(clip.prompts { function(c) return c:upper() end }, "cat"), "CAT", "a function")
tap.is(texts(clip.prompts { function(c) return { c, c .. "s" } end, "x {}" }, "cat"),
       "cat|cats|x cat",
       "a function may give a list")

local five = clip.prompts "five_plain"
tap.is(#five, 5, "a name of the share directory")
tap.is(five.name .. " " .. five.version, "five_plain 1", "with name and version")
tap.is(tostring(five), "prompts five_plain (5 templates)", "tostring shows both")
tap.is(clip.prompts(five), five, "prompts stay as they are")
local sum = clip.prompts { name = "mine", version = 2, templates = { "my {}" } } + five
tap.is(sum.name .. " " .. #sum, "mine+five_plain 6", "a + b has the templates of both")
tap.is(sum.templates[1], "my {}", "in order")
tap.is(#five, 5, "and leaves both alone")
tap.is(#(five + { "again {}" }), 6, "a list can be added")
local file = tap.write("prompts/own.lua", 'return { templates = { "own {}" } }')
tap.is(clip.prompts(file).name, "own", "a file, named after itself")

tap.raises(function() clip.prompts "no_such" end, "five_plain",
           "an unknown name lists those there are")
tap.raises(function() clip.prompts { "no place" } end, "no place",
           "a template without a place for the class")
tap.raises(function() clip.prompts {} end, "needs a list", "no templates")
tap.raises(function() clip.prompts { 1 } end, "a string or a function", "a number is no template")
tap.raises(function() clip.prompts { templates = { "{}" }, nmae = "x" } end, "nmae",
           "a misspelt field")
tap.raises(function() clip.prompts { function() return 1 end }:texts "cat" end, "number",
           "a function that gives no text")
tap.raises(function() clip.prompts { "a {}", nil, "b {}" } end, "prompts custom: template 2 is nil",
           "a hole is a misspelt name")
tap.raises(function() clip.prompts { name = "my", templates = { nil, "b {}" } } end,
           "prompts my: template 1 is nil", "a hole at the start")
tap.raises(function() clip.prompts { function(c) return { c, nil, c } end }:texts "cat" end,
           "text 2 is nil", "a hole in what a function gives")
tap.is(texts(clip.prompts { function(c) return c:gsub("_", " ") end }, "a_b"), "a b",
       "only the first value of a function counts")
tap.is(clip.prompts({ name = "mine", "{}" }).name, "mine", "a list may have a name")
tap.raises(function() clip.prompts { "{}", mame = "x" } end, "'mame' has no place in a list",
           "and nothing else")
tap.raises(function() clip.prompts "{}".texts("cat") end, "needs a class name",
           "texts without self")
tap.raises(function() clip.prompts "/nowhere/p.lua" end, "/nowhere/p.lua",
           "a missing file is named")
tap.raises(function() clip.prompts(nil) end, "nil", "nil is no list")
tap.done()
