-- clip.model: the embedded model, and a reference model whose embeddings are known.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local golden = arg.source .. "/tests/golden/"

local pocket = clip.model()
tap.is(pocket.name, "pocket", "the default is pocket")
tap.has(tostring(pocket), "model pocket", "tostring shows the name")
tap.is(pocket.embed_dim, pocket.info.embed_dim, "fields of info can be read from the model")
tap.is(pocket.image_size[1], pocket.info.image_width, "image_size is width and height")
tap.is(#pocket.info.preprocess.mean, 3, "the recipe has a mean for each channel")
tap.is(pocket.nonsense, nil, "an unknown field is nil")
tap.is(pocket:sha256():find("^%x+$") and #pocket:sha256(), 64, "sha256 is 64 hexadecimal digits")

tap.is(pocket.sigmoid, false, "pocket's pairs go through a softmax")
tap.is(pocket.logit_bias, 0.0, "without a bias")
for _, key in ipairs { "weights_format", "architecture_source", "activation_source",
                       "preprocess_source", "vision_activation", "vision_pool" } do
  tap.is(type(pocket.info[key]), "string", "info has " .. key)
end
local siglip = clip.model(golden .. "models/tiny-siglip")
tap.is(siglip.sigmoid, true, "SigLIP's through a sigmoid")
tap.ok(siglip.logit_bias ~= 0, "with a bias")
tap.is(#siglip.notes, 0, "a model about which nothing misleads has no notes")

local ids, count, truncated = pocket:tokenize("a photo of a cat")
tap.is(#ids, count, "tokenize gives as many ids as it says")
tap.is(truncated, false, "a short text is not cut")
local _, full, cut = pocket:tokenize(("cat "):rep(300))
tap.is(full, pocket.context, "a long text fills the context")
tap.is(cut, true, "and is cut")

-- embeddings of a reference model
local directory = golden .. "models/clip-hf-gelu-legacy/"
local reference = clip.model(directory)
local texts = clip.json(tap.read(directory .. "cases.json")).texts
local expected = tap.tensors(directory .. "expected.safetensors").text_embeds
local embeds, problems, flags = reference:encode_text(texts)
tap.is(problems, nil, "no problems is nil")
tap.is(#flags, #texts, "a flag for each text tells whether it was cut")
tap.is(expected.shape, ("%d,%d"):format(#embeds, embeds.cols), "a row for each text")
local worst = 0
for i = 1, #embeds do
  for j, x in ipairs(embeds[i]) do
    worst = math.max(worst, math.abs(x - expected.at((i - 1) * embeds.cols + j - 1)))
  end
end
tap.ok(worst < 2e-5, "encode_text gives the library's embeddings", "worst " .. worst)

tap.ok(reference:encode_text("cat") == reference:encode_text { "cat" },
       "one text, or a list of one")
tap.ok(reference:encode_text { "cat", "dog" }:slice(2, 2) == reference:encode_text "dog",
       "a row does not depend on its neighbours")
tap.is(#reference:encode_text {}, 0, "no texts give no rows")
local _, bad = reference:encode_text { "fine", "\xff" }
tap.has(bad and bad[2], "UTF-8", "a text that is not UTF-8 is a problem of its own")
tap.is(bad and bad[1], nil, "and of no other")

-- an activation that no file states
local function copy_without(pattern)
  for _, file in ipairs { "config.json", "preprocessor_config.json", "vocab.json", "merges.txt",
                          "model.safetensors" } do
    tap.write("silent/" .. file, (tap.read(directory .. file):gsub(
              file == "config.json" and pattern or "^$", "")))
  end
  return tap.directory() .. "/silent"
end
local silent = copy_without('%s*"hidden_act": "gelu",')
tap.raises(function() clip.model(silent) end, "--activation", "an activation that is not stated")
tap.ok(clip.model(silent, { activation = "gelu" }):encode_text(texts) == embeds,
       "is what the script says")
tap.ok(clip.model(silent, { activation = "quick_gelu" }):encode_text(texts) ~= embeds,
       "and makes the figures")
tap.is(clip.model(silent, { activation = "gelu" }).name, "silent (gelu)", "reports tell it")
tap.raises(function() clip.model(silent, { activation = "swish" }) end, "no activation",
           "an activation that there is not")
tap.raises(function() clip.model(directory, { activation = "quick_gelu" }) end, "contradicts",
           "one that contradicts the file")

local path = golden .. "images/rgb-33x32.png"
local image = clip.image(path)
local raw = { width = image.width, height = image.height, channels = 3, pixels = image:bytes() }
local three = pocket:encode_image { path, image, raw }
tap.ok(three:slice(1, 1) == three:slice(2, 2) and three:slice(2, 2) == three:slice(3, 3),
       "a path, an image and raw pixels give the same embedding")
tap.ok(pocket:encode_image(path) == three:slice(1, 1), "one picture, or a list")
tap.ok(pocket:encode_image(raw) == three:slice(1, 1), "one table of raw pixels")
tap.ok(pocket:encode_image({ path, image, raw }, { threads = 1 }) ==
       pocket:encode_image({ path, image, raw }, { threads = 3 }), "threads change nothing")
local broken, faults = pocket:encode_image { path, golden .. "images/broken/empty.png" }
tap.is(broken[2][1] ~= broken[2][1], true, "a broken picture is a row of NaN")
tap.has(faults and faults[2], "empty.png", "and its problem names the file")
local _, _, pixels = pocket:encode_image(path, { pixels = true })
tap.is(pixels.cols, 3 * pocket.image_size[1] * pocket.image_size[2],
       "pixels are what the tower saw")

tap.raises(function() clip.model("no-such-model") end, "pocket",
           "an unknown name lists those embedded")
tap.raises(function() clip.model("/nowhere/at/all") end, "/nowhere/at/all",
           "a missing directory is named")
tap.raises(function() clip.model(golden .. "images") end, "golden/images",
           "a directory without a checkpoint is named")
tap.raises(function() clip.model(42) end, "must be a string", "a number is no model")
tap.raises(function() clip.model("pocket", { arc = "RN50" }) end, "unknown field 'arc'",
           "a misspelt option of clip.model raises")
tap.raises(function() clip.model("pocket", { arch = 50 }) end, "arch must be a string",
           "an architecture is a name")
tap.raises(function() clip.model("pocket", "RN50") end, "must be a table", "options are a table")
tap.raises(function() pocket:encode_text { 1 } end, "text 1", "a number is no text")
tap.raises(function() pocket:encode_image { {} } end, "width", "an empty table is no picture")
tap.raises(function() pocket:encode_image { true } end, "picture 1", "a boolean is no picture")
tap.raises(function() pocket:encode_image({}, { threads = "two" }) end, "threads",
           "threads must be a number")
tap.raises(function() pocket:tokenize(nil) end, "string expected", "tokenize needs a text")

-- what a script does meanwhile
local function closing(model)
  return setmetatable({}, { __index = function() model:close() end })
end
local victim = clip.model(directory)
tap.is(#victim:encode_text("cat", closing(victim)), 1, "options are read without metamethods")
local raw = { width = 1, height = 1 }
setmetatable(raw, { __index = function() victim:close() return ("x"):rep(3) end })
tap.raises(function() victim:encode_image { raw } end, "pixels", "pictures as well")
raw.pixels = "xyz"
tap.is(#victim:encode_image(raw, closing(victim)), 1, "a raw picture's own fields count")
tap.is(victim:encode_image({ raw, setmetatable({ width = 4, height = 2, pixels = ("x"):rep(24) },
                                               { __index = closing(victim) }) }).rows, 2,
       "in a list as well")

-- finalizers run in the midst of calls
local armed = true
local function arm(list, image)
  setmetatable({}, { __gc = function()
    victim:close()
    image:close()
    for i in pairs(list) do list[i] = nil end
    if armed then arm(list, image) end
  end })
end
local calls = 0
for round = 1, 20 do
  local image = clip.image { width = 64, height = 64, pixels = ("x"):rep(3 * 64 * 64) }
  local list = { image,
                 { width = 40, height = 40, pixels = ("y"):rep(4800 - round) .. ("z"):rep(round) } }
  for i = 3, 200 do list[i] = { width = 4, height = 4, pixels = ("%48d"):format(i * round) } end
  arm(list, image)
  local ok, fault = pcall(victim.encode_image, victim, list, { pixels = true })
  calls = calls + ((ok or fault:find("^picture")) and 1 or 0)
  pcall(victim.encode_text, victim, { "a" .. round, "b" .. round }, { ids = true })
  calls = calls + (victim.info.name and victim:tokenize("a cat") and 1 or 0)
end
armed = false
tap.is(calls, 40, "a finalizer cannot close what is in use")

tap.raises(function() reference:encode_image({}, { alfa = "white" }) end, "no option 'alfa'",
           "a misspelt option of encode_image raises")
tap.raises(function() reference:encode_text("cat", { thread = 4 }) end, "no option 'thread'",
           "a misspelt option of encode_text raises")

reference:close()
tap.raises(function() reference:encode_text "cat" end, "closed", "a closed model cannot be used")
tap.is(tostring(reference), "model (closed)", "a closed model says so")
tap.done()
