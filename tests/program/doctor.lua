-- clipeval doctor: quiet about sound models, and each fault in a broken copy is found.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local golden = arg.source .. "/tests/golden/models/"

-- ---- sound models ----

local function list(directory)
  local names = {}
  for name in select(2, tap.shell("ls " .. tap.quote(directory))):gmatch("[^\n]+") do
    names[#names + 1] = name
  end
  return names
end
tap.directory()

local function sound(model, ...)
  local code, stdout, stderr = tap.clipeval("doctor", model, ...)
  tap.is(code, 0, model .. ": nothing is wrong")
  tap.is(stderr, "", model .. ": nothing on stderr")
  tap.has(stdout, "nothing looks wrong", model .. ": and it says so")
  local lines, longest = 0, 0
  for line in stdout:gmatch("([^\n]*)\n") do
    lines = lines + 1
    if not line:find("lies in") then longest = math.max(longest, utf8.len(line)) end
  end
  tap.ok(lines <= 40 and longest <= 80, model .. ": one screen",
         ("%d lines, %d columns"):format(lines, longest))
  return stdout
end

local pocket = sound("pocket")
for _, part in ipairs { "(embedded)", "open_clip_model.safetensors: safetensors", "sha256 ",
                        "image tower    ModifiedResNet", "text tower     causal transformer",
                        "activation     ", "pooled at    largest id (end of text)",
                        "preprocessing  long side to 64",
                        "mean, std    0.5 0.5 0.5", "vocab.json + merges.txt",
                        "logit scale    25.5",
                        "engine         fp32, ", "6 texts: norms ", "5 pictures: norms " } do
  tap.has(pocket, part, "the screen shows " .. part)
end

if tap.exists(arg.shared .. "/README.md") then
  local models = arg.shared .. "/models"
  for _, name in ipairs(list(models)) do sound(models .. "/" .. name) end
else
  tap.skip("the reference models", "no " .. arg.shared)
end

for _, name in ipairs { "int8", "bf16" } do
  tap.has(sound("pocket", "--precision", name), "engine         " .. name .. ", ",
          "the screen shows the precision that was asked for")
end
tap.has(sound("pocket", "--precision", "auto"), "took ", "auto says what it took")

-- ---- as JSON ----

local function diagnose(model, ...)
  local code, stdout, stderr = tap.clipeval("doctor", "--json", model, ...)
  local report, fault = clip.json(stdout)
  tap.ok(report and stderr == "", model .. ": one JSON object", fault or stderr)
  local codes = {}
  for i, finding in ipairs(report and report.findings or {}) do codes[i] = finding.code end
  return code, table.concat(codes, " "), report
end

local code, _, report = diagnose("pocket")
tap.is(code, 0, "exit code 0")
tap.is(report.wrong, false, "nothing is wrong")
local model = clip.model()
tap.is(report.weights.sha256, model:sha256(), "the hash")
tap.is(report.weights.tensors, 237, "the tensors")
tap.is(report.weights.values, report.weights.types.F16 + report.weights.types.I64, "their values")
tap.is(report.text.pool, "largest id", "the end-of-text rule")
tap.is(report.preprocess.mean[1], 0.5, "the recipe")
tap.near(report.logits.scale * report.logits.temperature, 1, 1e-12, "temperature is 1 / scale")
local unit = model:encode_text { "a photo of a cat", "" }
local norms = report.selftest.texts.norms
for i = 1, 2 do
  local sum = 0
  for _, x in ipairs(unit[i]) do sum = sum + x * x end
  tap.ok(norms.min <= sum ^ 0.5 + 1e-9 and sum ^ 0.5 <= norms.max + 1e-9, "norms span a text's own")
end

-- ---- broken copies ----

-- Bits of a half-precision number that is no subnormal.
local function half(x)
  if x ~= x then return "\0\x7e" end
  if x == 0 then return "\0\0" end
  local exponent = math.floor(math.log(math.abs(x), 2))
  local mantissa = math.floor((math.abs(x) / 2.0 ^ exponent - 1) * 1024 + 0.5)
  return string.pack("<I2", (x < 0 and 0x8000 or 0) + ((exponent + 15) << 10) + mantissa)
end

-- A safetensors file whose tensor `name` holds `value` everywhere, or in its first place.
local function patch(bytes, name, value, only_first)
  local size = string.unpack("<I8", bytes)
  local dtype, first, last = bytes:sub(9, 8 + size):match(
    '"' .. name:gsub("%p", "%%%0") .. '":{"dtype":"(%w+)","shape":%[[%d,]*%],' ..
    '"data_offsets":%[(%d+),(%d+)%]')
  assert(dtype, name)
  local number = dtype == "F16" and half(value) or string.pack("<f", value)
  local count = only_first and 1 or (last - first) // #number
  local at = 9 + size + math.tointeger(first)
  return bytes:sub(1, at - 1) .. number:rep(count) .. bytes:sub(at + #number * count)
end

local copies = 0

-- A copy of the model `base` with files replaced: a function makes new text of the old.
local function copy(base, changes)
  copies = copies + 1
  local name = ("broken/%d"):format(copies)
  for _, file in ipairs(list(base)) do
    local text = file ~= "expected.safetensors" and tap.read(base .. "/" .. file)
    local change = changes[file]
    if change and text then text = change(text) end
    if text then tap.write(name .. "/" .. file, text) end
  end
  return tap.directory() .. "/" .. name
end

local clip_model, siglip = golden .. "clip-hf-gelu-legacy", golden .. "tiny-siglip"

local function broken(name, base, changes, want, exit_code)
  local got, found, r = diagnose(copy(base, changes))
  tap.is(got, exit_code or 1, name .. ": exit code")
  tap.has(" " .. found .. " ", " " .. want .. " ", name)
  return r, found
end

local function tensor(name, value, only_first)
  return function(bytes) return patch(bytes, name, value, only_first) end
end

local PROJECTION = "text_projection.weight"
broken("NaN in a tensor", clip_model,
       { ["model.safetensors"] = tensor(PROJECTION, 0 / 0, true) }, "not-finite")
tap.is(tap.clipeval("doctor", tap.directory() .. "/broken/" .. copies, "--precision", "auto"), 1,
       "--precision auto gets by with broken weights")
broken("a tensor of zeros", clip_model,
       { ["model.safetensors"] = tensor(PROJECTION, 0.0) }, "all-zero")
local r = broken("texts that are all alike", clip_model,
                 { ["model.safetensors"] = tensor("text_model.final_layer_norm.weight", 1e-4) },
                 "texts-alike")
tap.is(r.selftest.texts.collapsed, true, "their cosines say so")
tap.is(r.selftest.pictures.collapsed, false, "and pictures are told apart")
broken("pictures that are all alike", clip_model,
       { ["model.safetensors"] = tensor("vision_model.post_layernorm.weight", 1e-4) },
       "pictures-alike")
local _, only = broken("an untrained logit scale", clip_model,
       { ["model.safetensors"] = tensor("logit_scale", math.log(1 / 0.07)) },
       "logit-scale-untrained")
tap.is(only, "logit-scale-untrained", "and nothing else")
broken("a logit scale at its ceiling is a remark", clip_model,
       { ["model.safetensors"] = tensor("logit_scale", math.log(100)) }, "logit-scale-ceiling", 0)
broken("a factor where its logarithm belongs", clip_model,
       { ["model.safetensors"] = tensor("logit_scale", 100.0) }, "logit-scale-odd")
broken("an untrained SigLIP", siglip,
       { ["model.safetensors"] = function(bytes)
           return patch(patch(bytes, "logit_scale", math.log(10)), "logit_bias", -10.0)
         end }, "logit-scale-untrained")
local function json(from, to)
  return function(text)
    local new, n = text:gsub(from, to)
    assert(n > 0, from)
    return new
  end
end
broken("an activation that is not stated", clip_model,
       { ["config.json"] = json('%s*"hidden_act": "gelu",', "") }, "activation-not-stated")
broken("activations that differ", clip_model,
       { ["config.json"] = function(text)
           return (text:gsub('"hidden_act": "gelu"', '"hidden_act": "quick_gelu"', 1))
         end }, "activations-differ")
broken("OpenAI's name under gelu", clip_model,
       { ["config.json"] = json("{", '{"_name_or_path": "openai/clip-vit-base-patch32",') },
       "openai-names-gelu")
r = broken("fewer layers than the file holds", clip_model,
           { ["config.json"] = json('"num_hidden_layers": %d+', '"num_hidden_layers": 1') },
           "unused-tensors")
tap.ok(r.selftest.texts.norms, "which the self-test runs through all the same")
local function has_advice(found)
  for _, finding in ipairs(found.findings) do
    if not finding.advice then return false end
  end
  return true
end
tap.ok(has_advice(r), "and the finding says what to do")

-- what does not open is shown as far as it can be resolved
for name, change in pairs {
  ["config.json"] = function() return "{" end,
  ["model.safetensors"] = function(bytes) return bytes:sub(1, 100000) end,
  ["vocab.json"] = function() return "{" end } do
  r = broken("a broken " .. name, clip_model, { [name] = change }, "does-not-open")
  tap.has(r.findings[1].text, name, name .. " is named")
  tap.is(r.format, "hugging-face", name .. ": the format is known all the same")
end
local path = copy(clip_model, { ["config.json"] = function() return "{" end })
local exit_code, stdout = tap.clipeval("doctor", path)
tap.is(exit_code, 1, "the same as a screen: exit code 1")
tap.has(stdout, "\nfault    config.json", "the fault")
tap.has(stdout, "\n1 fault\n", "the count")
tap.is(diagnose(tap.directory()), 1, "a directory without a model: exit code 1")
tap.is(tap.clipeval("doctor", "/nowhere"), 3, "no model: exit code 3")
path = copy(clip_model, { ["config.json"] = json('%s*"hidden_act": "gelu",', "") })
os.rename(path, tap.directory() .. "/odd \255\27[31m\nname")
exit_code, stdout = tap.clipeval("doctor", "odd \255\27[31m\nname")
tap.is(exit_code, 1, "an odd name: exit code 1")
tap.ok(utf8.len(stdout) and not stdout:find("\27") and
       stdout:find("odd \\xff?[31m?name", 1, true), "an odd name is shown so that it does no harm",
       stdout)
_, stdout = tap.clipeval("doctor", "--json", "odd \255\27[31m\nname")
tap.is(clip.json(stdout).path, "odd \\xff\27[31m\nname", "and as JSON")

-- a run tells what misleads, once, and keeps it
path = copy(clip_model, { ["config.json"] = json("{",
  '{"_name_or_path": "openai/clip-vit-base-patch32",') })
tap.write("twice.lua", [[local clip = require "clipeval"
local m = clip.model(arg.model)
clip.model(arg.model)
print(#m.notes, m.notes[1].code, m.notes[1].severity)
local dot = { width = 1, height = 1, pixels = "abc" }
return clip.zeroshot { model = m, prompts = "{}", metrics = { "acc@1" },
  dataset = { name = "dot", classes = { "a", "b" },
              items = { { id = "x", image = dot, label = 1 } } } }]])
local exit, out, err = tap.clipeval("run", "--quiet", "twice.lua", "--model", path, "--out",
                                    "noted")
tap.is(exit, 0, "a model that misleads runs")
tap.has(out, "1\topenai-names-gelu\twarning\n", "model.notes holds what misleads")
tap.has(err, "quick_gelu", "stderr tells it, whatever --quiet says")
tap.is(select(2, err:gsub("\n", "")), 1, "once")
local run = clip.json(tap.read(tap.directory() .. "/noted/run.json"))
tap.is(run.evaluations[1].model.notes[1].code, "openai-names-gelu", "run.json keeps it")

-- a file that does not say what it is, and --arch
local home = arg.source .. "/models/pocket/"
for _, file in ipairs { "open_clip_model.safetensors", "vocab.json", "merges.txt" } do
  tap.write("bare/" .. file, tap.read(home .. file))
end
local file = tap.directory() .. "/bare/open_clip_model.safetensors"
local arch = tap.directory() .. "/recipe.json"
tap.write("recipe.json", tap.read(home .. "open_clip_config.json"))
tap.raises(function() clip.model(file) end, "--arch", "without an architecture: the fault names it")
tap.is(diagnose(file), 1, "doctor: exit code 1")
local bare = clip.model(file, { arch = arch })
tap.is(bare.info.arch, arch, "info tells it")
tap.ok(bare:encode_text "a cat" == model:encode_text "a cat", "with it the model is the same")
sound(file, "--arch", arch)
tap.write("bare.lua", [[local clip = require "clipeval"
local dot = { width = 1, height = 1, pixels = "abc" }
return clip.zeroshot { model = clip.model(arg.model), prompts = "{}", metrics = { "acc@1" },
  dataset = { name = "dot", classes = { "a", "b" },
              items = { { id = "x", image = dot, label = 1 } } } }]])
exit, out, err = tap.clipeval("run", "--quiet", "bare.lua", "--model", file, "--arch", arch,
                              "--out", "arch")
tap.is(exit .. err, "0", "run --arch, which is read without the script's doing")
run = clip.json(tap.read(tap.directory() .. "/arch/run.json"))
tap.is(run.evaluations[1].model.arch, arch, "run.json tells it")
tap.write("words", "a cat\n")
tap.is(tap.clipeval("encode", "--model", file, "--arch", arch, "--texts", "words", "-o", "w.st"), 0,
       "encode --arch")
tap.done()
