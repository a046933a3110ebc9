-- Other precisions than float32: named in reports, near to float32, and the same bits whatever
-- the batch and the threads.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local drift = require "clipeval.drift"

tap.raises(function() clip.model(nil, { precision = "int4" }) end,
           "no precision 'int4' (there are fp32, int8, bf16 and auto)", "a precision that there is not")
tap.raises(function() clip.model(nil, { precision = 8 }) end, "no precision 8", "a number")

local pictures, texts = drift.pictures(12), drift.texts(24)
local base = clip.model()
tap.is(base.info.precision, "fp32", "nothing said is float32")

local same = drift.compare(base, clip.model(), pictures, texts)
tap.is(same.top1.n, 12, "each picture has a best text")
tap.is(same.top1.share, 1.0, "which stays the best in float32")
tap.ok(same.images.min > 1 - 1e-6 and same.texts.min > 1 - 1e-6, "float32 does not drift from itself")

-- Whether the rows of two matrices hold the same bits.
local function equal(a, b, first)
  for i = 1, #b do
    local x, y = a[first + i - 1], b[i]
    for k = 1, #y do if x[k] ~= y[k] then return false end end
  end
  return true
end

for name, least in pairs { int8 = 0.999, bf16 = 0.9999 } do
  local model = clip.model(nil, { precision = name })
  tap.is(model.info.precision, name, name .. " is what was asked for")
  local d = drift.compare(base, model, pictures, texts)
  tap.ok(d.images.min >= least and d.texts.min >= least, name .. " is near float32",
         ("%.6f, %.6f"):format(d.images.min, d.texts.min))
  tap.ok(d.images.min < 1 - 1e-9, name .. " is another arithmetic")
  tap.ok(d.images.n == 12 and d.texts.n == 24 and d.texts.min <= d.texts.p1 and
         d.texts.p1 <= d.texts.median and d.texts.mean <= 1 + 1e-6, name .. ": percentiles in order")
  local images, words = model:encode_image(pictures), model:encode_text(texts)
  for threads = 1, 3 do
    tap.ok(equal(images, model:encode_image(pictures, { threads = threads }), 1) and
           equal(words, model:encode_text(texts, { threads = threads }), 1),
           ("%s: the same bits with %d threads"):format(name, threads))
  end
  tap.ok(equal(images, model:encode_image({ pictures[5], pictures[6] }), 5) and
         equal(words, model:encode_text({ texts[7] }), 7), name .. ": the same bits alone")
end

-- Towers with attention over whole sequences, causal and not; each text and picture alone, and
-- all of them on some threads.
local TOWERS = { "clip-hf-gelu-legacy", "tiny-chinese-clip", "tiny-siglip", "tiny-openclip-rn" }
for _, name in ipairs(TOWERS) do
  for _, precision in ipairs { "fp32", "int8", "bf16" } do
    local model = clip.model(arg.source .. "/tests/golden/models/" .. name, { precision = precision })
    local images, words = model:encode_image(pictures), model:encode_text(texts)
    local same_bits = true
    local function check(all, some, first) same_bits = same_bits and equal(all, some, first) end
    for threads = 1, 3 do
      check(images, model:encode_image(pictures, { threads = threads }), 1)
      check(words, model:encode_text(texts, { threads = threads }), 1)
    end
    for i = 1, #pictures, 5 do check(images, model:encode_image({ pictures[i] }), i) end
    for i = 1, #texts, 7 do check(words, model:encode_text({ texts[i] }), i) end
    tap.ok(same_bits, ("%s, %s: the same bits for any batch and threads"):format(name, precision))
  end
end

-- ---- reports ----

local script = tap.write("s.lua", [[
local clip = require "clipeval"
local function square(v) return { width = 2, height = 2, channels = 1, pixels = string.char(v):rep(4) } end
return clip.zeroshot {
  model = clip.model(arg.model),
  dataset = { name = "greys", version = "1", classes = { "black", "white" },
              items = { { id = "a", image = square(0), label = 1 },
                        { id = "b", image = square(255), label = 2 } } },
  prompts = { name = "p", version = 1, templates = { "{}" } },
}
]])
for _, name in ipairs { "fp32", "int8", "bf16", "auto" } do
  local code, stdout, stderr = tap.clipeval("run", script, "--quiet", "--precision", name, "--out", name)
  tap.is(code, 0, name .. " runs: " .. stderr)
  local report = tap.read(tap.directory() .. "/" .. name .. "/report.csv") or ""
  local taken = report:match("\npocket,%x+,(%w+),greys,")
  local run = clip.json(tap.read(tap.directory() .. "/" .. name .. "/run.json") or "{}")
  local model = run.evaluations and run.evaluations[1].model or {}
  tap.is(model.precision, taken, "report.csv and run.json name one precision")
  if name ~= "auto" then
    tap.is(taken, name, "which is " .. name)
    tap.is(model.precision_reason, nil, "and need not say why")
  else
    tap.ok(taken == "fp32" or taken == "int8" or taken == "bf16", "auto took one of them")
    tap.has(stderr, "precision auto: pocket: took " .. tostring(taken), "and says so")
    tap.has(model.precision_reason, "took " .. tostring(taken), "also in run.json")
  end
end

-- ---- one cache ----

-- Runs with these options; the bytes of what it reports, and what run.json says of the cache.
local runs = 0
local function bytes(...)
  runs = runs + 1
  local out = ("cached%d"):format(runs)
  local code, _, stderr = tap.clipeval("run", script, "--quiet", "--out", out, ...)
  tap.is(code, 0, "runs: " .. stderr)
  local function read(name) return tap.read(tap.directory() .. "/" .. out .. "/" .. name) end
  return read "report.csv" .. read "predictions.csv", clip.json(read "run.json").evaluations[1].cache
end

for _, name in ipairs { "fp32", "int8", "bf16" } do
  local plain = bytes("--precision", name, "--no-cache")
  local first, computed = bytes("--precision", name, "--cache", "kept")
  local again, found = bytes("--precision", name, "--cache", "kept")
  tap.is(first, plain, name .. ": the bytes of a run without the cache")
  tap.is(computed.pictures_found + computed.texts_found, 0, "no row of another precision is taken")
  tap.is(again, plain, name .. ": and of one that finds all in it")
  tap.is(found.pictures_computed + found.texts_computed, 0, "its own rows are")
end

-- ---- encode ----

local list = tap.write("texts", "a cat\n")
local code = tap.clipeval("encode", "--texts", list, "--precision", "int8", "-o", "t.st")
tap.is(code, 0, "encode takes a precision")
local row = clip.model(nil, { precision = "int8" }):encode_text("a cat")[1]
tap.is(tap.tensors(tap.directory() .. "/t.st").text_embeds.at(3), row[4], "and computes in it")

tap.done()
