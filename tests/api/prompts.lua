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
for told, gives in pairs { ["gave 1 for 'cat'"] = 1, ["gave an empty text for 'cat'"] = "",
                           ["gave an empty text for"] = { "x", "" }, ["gave nil for 'cat'"] = false,
                           ["gave true for 'cat'"] = true } do
  local function given() return gives or nil end
  tap.raises(function() clip.prompts { "{}", given }:texts "cat" end,
             "prompts custom: template 2 (a function) " .. told, "a function that " .. told)
end
tap.is(texts(clip.prompts { "{}", function() return {} end }, "cat"), "cat",
       "a function may leave a class out: an empty list")
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

-- ---- files ----

local lines = tap.write("p/lines.txt", "\xef\xbb\xbfa {}\r\n\n  the {c}! \n")
tap.is(texts(clip.prompts(lines), "cat"), "a cat|the cat!", ".txt: a template a line")
tap.is(clip.prompts(lines).name, "lines", "named after the file")
tap.raises(function() clip.prompts(tap.write("p/bad.txt", "a {}\nno place\n")) end, "bad.txt:2:",
           ".txt: the line is named")
tap.raises(function() clip.prompts(tap.write("p/empty.txt", "\n\n")) end, "holds no template",
           ".txt: empty")
tap.raises(function() clip.prompts "/nowhere/p.txt" end, "/nowhere/p.txt", ".txt: none")
tap.is(texts(clip.prompts(tap.write("p/list.json", '["a {c}", "b {}"]')), "x"), "a x|b x",
       ".json: a list of templates")
local cupl = tap.write("p/cupl.json",
                       '{"great white shark": ["A big {} fish.", "Teeth."], "tench": "A carp."}')
tap.is(texts(clip.prompts(cupl), "great white shark"), "A big {} fish.|Teeth.",
       ".json: descriptions are put as they are")
tap.is(texts(clip.prompts(cupl), "tench"), "A carp.", "one text is a list of one")
tap.is(texts(clip.prompts(tap.write("p/nested.json", '{"imagenet1k": {"tench": ["A carp."]}}')),
             "tench"), "A carp.", "below the dataset's name, as CLIP_benchmark has it")
tap.raises(function() clip.prompts(cupl):texts "white shark" end, "like it: great white shark",
           "a class without descriptions: similar ones are named")
tap.raises(function() clip.prompts(cupl):texts "Tensch" end, "like it: tench", "also misspelt")
tap.raises(function() clip.prompts(cupl):texts "aeroplane" end, "2 other classes", "or none")
tap.raises(function() clip.prompts(tap.write("p/a.json", '{"a": {"b": "c"}, "d": ["e"]}')) end,
           "'a' holds an object", ".json of another shape")
for json, part in pairs { ["[1]"] = "a string or a function", ["{}"] = "needs a list of templates",
                          ['{"a": [1]}'] = "descriptions of 'a': 1 is no text",
                          ['{"a": []}'] = "descriptions of 'a'", ["7"] = "needs a list",
                          ["{"] = "wrong.json", ["null"] = "wrong.json",
                          ['{"a": 7, "b": 7}'] = "needs a text",
                          ['["no place"]'] = "holds no {}" } do
  tap.raises(function() clip.prompts(tap.write("p/wrong.json", json)) end, part, ".json: " .. json)
end
tap.is(texts(clip.prompts(cupl) + "a {}", "tench"), "A carp.|a tench", "descriptions add up")
tap.is(texts(clip.prompts { name = "both", templates = { "a {}" },
                            descriptions = { cat = { "It purrs." } } }, "cat"),
       "a cat|It purrs.", "and stand beside templates")
tap.write("q/one.lua", 'return { templates = { "one {}" } }')
local two = tap.write("q/two.lua",
                      'local beside = ...\nreturn { templates = beside "one.lua".templates }')
tap.is(texts(clip.prompts(two), "x"), "one x", "a file may load another beside it")

-- ---- descriptions of other classes ----

tap.write("cupl.lua", ([[
local clip = require "clipeval"
local data = { name = "two", classes = { "disc", "ring" }, items = {
  { id = "a", label = "disc", path = %q } } }
return clip[arg.task] { model = clip.model(), dataset = data, prompts = "cupl.json" }
]]):format(arg.source .. "/tests/golden/images/grey.png"))
local function described(json, task)
  tap.write("cupl.json", json)
  return tap.clipeval("run", "cupl.lua", "--quiet", "-o", "task=" .. (task or "zeroshot"))
end
local code, _, told = described '{"disc": ["round"], "ring": ["a hole"]}'
tap.is(code .. told, "0", "a description for each class: nothing to tell")
code, _, told = described '{"disc": ["x"], "ring": ["y"], "zebra": ["z"], "Disk": ["z"]}'
tap.is(code .. told, "0clipeval: prompts cupl: 2 classes are described and not evaluated: " ..
       "'Disk', ...\n", "of what is no class: how many, and the first")
code, _, told = described '{"disc": ["x"], "rings": ["y"]}'
tap.is(code, 3, "a class without: exit code 3")
tap.has(told, "prompts cupl: no description of the class 'ring' (like it: rings)",
        "a class without")

-- ---- weights ----

local function rendered(p, classes)
  local list, first, about, weights = clip.prompts(p):render(classes or { "cat", "dog" })
  return table.concat(list, "|"), about.sha256, weights and table.concat(weights, " "), first
end
local _, plain, none = rendered { "a {}", "b {}" }
tap.is(none, nil, "no weights where all are alike")
tap.is(plain, clip.sha256 "a cat\nb cat\na dog\nb dog", "the hash is that of the texts")
local _, heavy, weights = rendered { { "a {}", weight = 2 }, "b {}" }
tap.is(weights, "2 1 2 1", "an element may have a weight")
tap.ok(heavy ~= plain, "which the hash covers")
local _, same, again = rendered { templates = { "a {}", "b {}" }, weights = { 2, 1 } }
tap.is(again .. same, "2 1 2 1" .. heavy, "or all be listed")
tap.is(select(2, rendered { { "a {}", weight = 3 }, { "b {}", weight = 3 } }), plain,
       "equal weights are none")
tap.is(select(3, rendered(clip.prompts "a {}" * 2 + "b {}")), "2 1 2 1", "prompts * 2")
tap.is(select(3, rendered(3 * clip.prompts { "a {}", { "b {}", weight = 2 } })), "3 6 3 6",
       "3 * prompts")
tap.is(select(3, rendered { { function(c) return { c, c } end, weight = 0.5 }, "b {}" }),
       "0.5 0.5 1 0.5 0.5 1", "a text has the weight of its template")
tap.ok(select(2, rendered { function(c) return c == "cat" and { "x", "y" } or "z" end }) ~=
       select(2, rendered { function(c) return c == "cat" and "x" or { "y", "z" } end }),
       "the hash covers which class a text is of")
for what, p in pairs {
  ["must be a number above 0"] = { { "a {}", weight = 0 } },
  ["not a table"] = { { "a {}", weight = {} } },
  ["not 'x'"] = { { "a {}", weight = "x" } },
  ["unknown field 'wait'"] = { { "a {}", wait = 2 } },
  ["a list of 1 numbers"] = { templates = { "a {}" }, weights = { 1, 2 } },
  ["not inf"] = { templates = { "a {}" }, weights = { math.huge } },
  ["class 1 is no text"] = { templates = { "a {}" }, classes = { 1 } },
  ["must be a list of names"] = { templates = { "a {}" }, classes = {} },
} do tap.raises(function() clip.prompts(p) end, what, what) end
local rows = clip.matrix { { 1, 0 }, { 0, 1 } }
tap.is(rows:mean { 3, 1 }[1][1], 0.75, "a weighted mean")
tap.ok(rows:mean { 2, 2 } == rows:mean(), "equal weights are none")
tap.raises(function() rows:mean { 1 } end, "as many weights as rows", "one weight a row")
tap.raises(function() rows:mean { 1, -1 } end, "above 0", "no negative weight")

-- ---- classes ----

local zh = clip.prompts { templates = { "{}的照片" }, classes = { "猫", "狗" } }
tap.is((zh + "一张{}").classes[2], "狗", "class names of its own last in a sum")
tap.raises(function() return zh + { templates = { "{}" }, classes = { "鸟", "狗" } } end,
           "which differ", "two lists of names do not add up")
tap.is(#clip.prompts "imagenet_zh".classes, 1000, "imagenet_zh has its class names")

-- ---- a or an ----

for _, phrase in ipairs { "an hour", "a unicorn", "a cat", "an apple", "an umbrella", "a European",
    "an SUV", "a UFO", "a CD player", "an X-ray", "a T-shirt", "an 8-track", "an 18", "a 1800",
    "an F-16A/B", "a DC-10", "an honest man", "an heirloom", "a house", "a one-way street",
    "an onion", "an onerous task", "a ukulele", "an usher", "a used car", "an urn", "a urinal",
    "an unidentified thing", "a university", "a uniform", "an uncle", "a yak", "an LCD screen",
    "an Old English Sheepdog", "a eucalyptus", "an ewok", "a ewe", "a once", "an MP3 player",
    "an iPod", "an Airbus", "a 7", "a " } do
  local noun = phrase:match("^%a+ (.*)$")
  tap.is(clip.a_or_an(noun), phrase, phrase)
end
tap.raises(function() clip.a_or_an() end, "needs a noun", "a_or_an of nothing")
tap.done()
