-- The reference evaluation end to end: every prediction and every figure of CLIP_benchmark.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local model = arg.shared .. "/models/openclip-vit-quickgelu"
local zeroshot = arg.source .. "/tests/golden/zeroshot"
local expected = clip.json(tap.read(zeroshot .. "/expected.json"))

if not tap.exists(model .. "/open_clip_config.json") then
  tap.skip("the reference evaluation", "no " .. model)
  return tap.done()
end

tap.write("eval.lua", [[
local clip = require "clipeval"
return clip.zeroshot {
  model   = clip.model(arg.model),
  dataset = clip.dataset(arg.layout, { root = arg.data, name = "shapes", classes = {
              "disc", "square", "triangle", "ring", "stripes", "checker board" } }),
  prompts = { "a photo of a {c}.", "a drawing of the {c}", "{c}", "an image of many {c}s!" },
}]])

-- id_of(prediction) -> the picture's id in this layout.
local function evaluate(layout, data, id_of, script)
  local words = { "run", script or "eval.lua", "--quiet", "--model", model, "--data", data,
                  "--out", layout }
  if not script then table.move({ "-o", "layout=" .. layout }, 1, 2, #words + 1, words) end
  local code, stdout, stderr = tap.clipeval(table.unpack(words))
  tap.is(code, 0, layout .. ": done")
  tap.is(stderr, "", layout .. ": nothing on stderr")
  tap.has(stdout, "written to " .. layout, layout .. ": says where it wrote")
  local predicted = {}
  for i, row in ipairs(clip.csv(tap.directory() .. "/" .. layout .. "/predictions.csv")) do
    if i > 1 then predicted[row[1]] = row end
  end
  local right = 0
  for _, p in ipairs(expected.predictions) do
    local row = predicted[id_of(p)]
    right = right + (row and row[2] == expected.classes[p.label + 1] and
                     row[3] == expected.classes[p.predicted + 1] and 1 or 0)
  end
  tap.is(right, 60, layout .. ": every target and prediction")
  local value = {}
  for _, row in ipairs(clip.csv(tap.directory() .. "/" .. layout .. "/report.csv")) do
    value[row[10]] = row[11]
  end
  tap.near(tonumber(value["acc@1"]), expected.acc1, 1e-9, layout .. ": acc@1")
  tap.near(tonumber(value["acc@5"]), expected.acc5, 1e-9, layout .. ": acc@5")
  tap.near(tonumber(value.mean_per_class_recall), expected.mean_per_class_recall, 1e-9,
           layout .. ": mean_per_class_recall")
end

evaluate("folders", zeroshot .. "/folders", function(p)
  return (p.path:gsub("^folders/", ""))
end)
evaluate("csv", zeroshot .. "/manifest.csv", function(p) return p.path end)
local function key_of(p) return "test/0/" .. p.key end
evaluate("wds", zeroshot .. "/wds", key_of)
evaluate("wds with its own templates", zeroshot .. "/wds", key_of, "webdataset.lua")

-- scores, against the reference's logits (100 * cosine, in the order of its tar)
local logits_file = arg.shared .. "/zeroshot/expected.safetensors"
if tap.exists(logits_file) then
  local logits, worst = tap.tensors(logits_file).logits, 0
  local score = {}
  for _, row in ipairs(clip.csv(tap.directory() .. "/csv/predictions.csv")) do
    score[row[1]] = tonumber(row[5])
  end
  for i, p in ipairs(expected.predictions) do
    if p.path:find("png$") then -- a JPEG decoder's version may move the last digits
      worst = math.max(worst, math.abs(score[p.path] * 100 - logits.at((i - 1) * 6 + p.predicted)))
    end
  end
  tap.ok(worst < 1e-3, "scores are the reference's", "worst " .. worst)
end
tap.done()
