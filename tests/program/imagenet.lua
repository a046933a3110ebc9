-- imagenet.lua on trees of ImageNet's shape, a tiny picture for each of the 1000 classes.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local golden = arg.source .. "/tests/golden/"
local tiny = golden .. "models/tiny-clip-bin"

-- ---- the trees: folders, and flat with the development kit's ground truth ----

local ids, number_of = {}, {} -- WordNet ids as the data has them; ILSVRC2012_ID of each
for id, number in tap.read(arg.source .. "/datasets/shared/imagenet.lua"):gmatch(
    '{ "(n%d+)", ".-", (%d+) }') do
  ids[#ids + 1], number_of[id] = id, number
end
tap.is(#ids, 1000, "1000 WordNet ids")

local pictures = {}
for i, name in ipairs { "jpeg-420", "jpeg-422", "jpeg-grey", "jpeg-progressive" } do
  pictures[i - 1] = tap.read(golden .. "images/" .. name .. ".jpg")
end
local directories, truth = {}, {}
for i = 1, 1000 do directories[i] = "folders/val/" .. ids[i] end
tap.write("directories", table.concat(directories, "\n") .. "\n")
tap.shell("xargs mkdir -p < directories; mkdir -p flat/val")

local function put(name, bytes)
  local file <close> = assert(io.open(tap.directory() .. "/" .. name, "wb"))
  file:write(bytes)
end

for i = 1, 1000 do
  local class = (i * 389) % 1000 + 1 -- 389 and 1000 have no common factor: each class once
  local picture, id = pictures[class % 4], ids[class]
  local name = ("ILSVRC2012_val_%08d.JPEG"):format(i)
  put(("folders/val/%s/%s"):format(id, name), picture)
  put("flat/val/" .. name, picture)
  truth[i] = number_of[id]
end
tap.write("flat/ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
          table.concat(truth, "\n") .. "\n")

-- ---- runs ----

local function rows(out, file)
  return clip.csv(("%s/%s/%s.csv"):format(tap.directory(), out, file))
end

-- Returns report.csv's rows by metric.
local function run(out, n, ...)
  local code, stdout, stderr = tap.clipeval("run", "imagenet.lua", "--quiet", "--out", out, ...)
  tap.is(code, 0, out .. ": exit code 0")
  tap.is(stderr, "clipeval: dataset imagenet1k: 2 classes are named 'missile'\n" ..
                 "clipeval: dataset imagenet1k: 2 classes are named 'sunglasses'\n",
         out .. ": names that two classes share are told, and nothing else")
  tap.has(stdout, "1000 classes", out .. ": says how many classes")
  local report = {}
  for _, row in ipairs(rows(out, "report")) do report[row[10]] = row end
  for _, metric in ipairs { "acc@1", "acc@5", "mean_per_class_recall" } do
    tap.is(report[metric] and report[metric][14], tostring(n), out .. ": " .. metric)
  end
  tap.is(#rows(out, "classes"), 1001, out .. ": a row for each class")
  tap.is(#rows(out, "predictions"), n + 1, out .. ": a row for each picture")
  return report
end

local all = run("all", 1000, "--data", "folders", "--model", tiny)
tap.is(all["acc@1"][8], "imagenet_80", "the 80 templates")
tap.is(all.truncated_texts[14], "80000", "80000 prompts")
tap.is(all.unreadable[11], "0", "every picture can be read")
local hits, predicted, kinds = { 0, 0 }, {}, 0
for i, row in ipairs(rows("all", "predictions")) do
  local rank = tonumber(row[4])
  if i > 1 then
    hits[1] = hits[1] + (rank <= 1 and 1 or 0)
    hits[2] = hits[2] + (rank <= 5 and 1 or 0)
    if not predicted[row[3]] then predicted[row[3]], kinds = true, kinds + 1 end
  end
end
tap.near(tonumber(all["acc@1"][11]), hits[1] / 1000, 1e-9, "acc@1: the pictures of rank 1")
tap.near(tonumber(all["acc@5"][11]), hits[2] / 1000, 1e-9, "acc@5: the pictures of rank 1 to 5")
tap.near(tonumber(all.mean_per_class_recall[11]), hits[1] / 1000, 1e-9,
         "mean_per_class_recall: of classes of one picture each")
tap.ok(kinds <= 4, "four pictures have four predictions at most", tostring(kinds))

local flat = run("flat-val", 1000, "--data", "flat", "--model", tiny, "-o", "split=flat")
tap.is(tap.read(tap.directory() .. "/flat-val/classes.csv"),
       tap.read(tap.directory() .. "/all/classes.csv"),
       "the flat folder with its ground truth: what the folders give, class by class")
tap.is(flat["acc@5"][11], all["acc@5"][11], "the flat folder: acc@5")
tap.is(flat["acc@1"][9], all["acc@1"][9], "the same prompts, the same prompts_sha256")

-- The embedded model, with 7 templates: 80 take it half a minute.
local seven = run("seven", 25, "--data", "folders", "-o", "prompts=imagenet_7", "--limit", "25")
local again = run("again", 25, "--data", "folders", "-o", "prompts=imagenet_7", "--limit", "25",
                  "--model", tiny)
tap.is(#seven["acc@1"][9], 64, "prompts_sha256")
tap.is(again["acc@1"][9], seven["acc@1"][9], "prompts_sha256: whatever the model")
tap.ok(seven["acc@1"][9] ~= all["acc@1"][9], "prompts_sha256: of other prompts another")

-- ---- trees that are not whole ----

local function wrong(data, split, message)
  local code, _, stderr = tap.clipeval("run", "imagenet.lua", "--quiet", "--data", data, "--out",
                                       "wrong", "--model", tiny, "-o", "split=" .. split)
  tap.is(code, 3, message .. ": exit code 3")
  tap.has(stderr, message, message .. ": told")
  tap.is(select(2, stderr:gsub("\n", "")), 1, message .. ": in one line")
end
wrong("flat", "train", "no flat/train (expected: train/n01440764/n01440764_18.JPEG")
wrong("folders", "flat", "from image-net.org")
tap.shell("mv folders/val/n02123045 n02123045")
wrong("folders", "val", "n02123045")
put("flat/ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", "1\n1001\n")
wrong("flat", "flat", "ILSVRC2012_validation_ground_truth.txt:2")
tap.done()
