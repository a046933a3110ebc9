-- eval/: each script runs on a small tree of its format, and says what it misses.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local golden = arg.source .. "/tests/golden/"
local tiny = golden .. "models/tiny-clip-bin"
local STAMPS, CLOTHES = "/usr/share/tuxpaint/stamps", "/usr/share/datasets/fashion-mnist"

-- ---- trees ----

local PICTURES = {}
for i, name in ipairs { "disc", "ring", "square", "stripes" } do
  PICTURES[i] = tap.read(("%szeroshot/folders/%s/%s_00.png"):format(golden, name, name))
end
local made = 0

local function pictures(pattern, first, last)
  for i = first, last do
    made = made + 1
    tap.write(pattern:format(i), PICTURES[made % #PICTURES + 1])
  end
end

-- `size` bytes that differ from record to record.
local function bytes(size, seed)
  return string.char(seed % 256, seed * 37 % 256):rep(size // 2)
end

local function records(count, label)
  local list = {}
  for i = 1, count do list[i] = label(i) .. bytes(3072, i) end
  return table.concat(list)
end

local function label10(i) return string.char((i - 1) % 10) end
tap.write("cifar/cifar-10-batches-bin/test_batch.bin", records(20, label10))
for i = 1, 5 do
  tap.write(("cifar/cifar-10-batches-bin/data_batch_%d.bin"):format(i), records(20, label10))
end
tap.write("cifar/cifar-100-binary/test.bin",
          records(20, function(i) return string.char(0, i - 1) end))

for set, count in pairs { train = 60, t10k = 20 } do
  local images, labels = {}, {}
  for i = 1, count do images[i], labels[i] = bytes(28 * 28, i), label10(i) end
  tap.write(("clothes/%s-images-idx3-ubyte"):format(set),
            (">I4I4I4I4"):pack(0x803, count, 28, 28) .. table.concat(images))
  tap.write(("clothes/%s-labels-idx1-ubyte"):format(set),
            (">I4I4"):pack(0x801, count) .. table.concat(labels))
end

tap.write("flickr/flickr30k_test_karpathy.txt",
          "image,caption\n1.jpg,A disc , or two .\n1.jpg,round\n2.jpg,A ring\n3.jpg,\"A, b\"\n")
pictures("flickr/%d.jpg", 1, 3)

tap.write("coco/coco_test_karpathy.json", [[{
  "images": [{"id": 1, "file_name": "COCO_val2014_000000000001.jpg"},
             {"id": 2, "file_name": "COCO_val2014_000000000002.jpg"}],
  "annotations": [{"image_id": 1, "caption": "A disc."}, {"image_id": 2, "caption": "A ring."},
                  {"image_id": 1, "caption": "Round."}]}]])
tap.write("coco/v2_OpenEnded_mscoco_val2014_questions.json", [[{ "questions": [
  {"image_id": 1, "question": "Is it round?", "question_id": 10},
  {"image_id": 2, "question": "What color is it?", "question_id": 20},
  {"image_id": 2, "question": "What sport is this?", "question_id": 21}]}]])
local function answers(id, kind, word)
  local list = {}
  for i = 1, 10 do
    list[i] = ('{"answer": "%s", "answer_id": %d}'):format(i > 8 and "no" or word, i)
  end
  return ('{"question_id": %d, "answer_type": "%s", "question_type": "is it", ' ..
          '"multiple_choice_answer": "%s", "image_id": %d, "answers": [%s]}'):format(
          id, kind, word, id // 10, table.concat(list, ","))
end
tap.write("coco/v2_mscoco_val2014_annotations.json", ('{ "annotations": [%s] }'):format(
  table.concat({ answers(10, "yes/no", "yes"), answers(20, "other", "red"),
                 answers(21, "other", "tennis") }, ",")))
pictures("coco/val2014/COCO_val2014_%012d.jpg", 1, 2)

local VOC = "voc/VOCdevkit/VOC2007/"
tap.write(VOC .. "ImageSets/Main/test.txt", "000001\n000002\n000003\n")
for i, names in ipairs { { "dog", "person" }, { "car" }, { "dog" } } do
  local objects = {}
  for k, name in ipairs(names) do
    objects[k] = ("<object><name>%s</name><difficult>0</difficult></object>"):format(name)
  end
  tap.write((VOC .. "Annotations/%06d.xml"):format(i),
            "<annotation>" .. table.concat(objects) .. "</annotation>")
end
pictures(VOC .. "JPEGImages/%06d.jpg", 1, 3)

local lines = {}
for i = 0, 3 do
  lines[i + 1] = ('{"id": %d, "image_0": "ex_%d_img_0", "image_1": "ex_%d_img_1", ' ..
                  '"caption_0": "a disc on ring %d", "caption_1": "a ring on disc %d", ' ..
                  '"collapsed_tag": "Object"}\n'):format(i, i, i, i, i)
end
tap.write("winoground/data/examples.jsonl", table.concat(lines))
for i = 0, 3 do pictures(("winoground/data/images/ex_%d_img_%%d.png"):format(i), 0, 1) end

for _, group in ipairs { "add_att", "add_obj", "replace_att", "replace_obj", "replace_rel",
                         "swap_att", "swap_obj" } do
  tap.write(("sugar/%s.json"):format(group), [[{
    "0": {"filename": "000000000001.jpg", "caption": "a disc", "negative_caption": "a ring"},
    "1": {"filename": "000000000002.jpg", "caption": "a box", "negative_caption": "a bag"}}]])
end
pictures("sugar/val2017/%012d.jpg", 1, 2)

pictures("pairs/%d.jpg", 1, 3)
tap.write("pairs.jsonl", [[{"path": "pairs/1.jpg", "text": "a disc", "match": true}
{"path": "pairs/2.jpg", "text": "a ring", "match": false}
{"path": "pairs/3.jpg", "text": "a box", "match": true}
]])

local captions = { animals = { "A red kangaroo.", "The penguin!" },
                   food = { "An apple", "Bread" }, plants = { "A rose", "A tree" },
                   vehicles = { "A bus", "A boat" } }
for _, kind in ipairs { "animals", "clothes", "food", "hobbies", "household", "medical",
                        "military", "naturalforces", "people", "plants", "seasonal", "space",
                        "sports",
                        "symbols", "town", "vehicles" } do
  for i, text in ipairs(captions[kind] or { "Something of " .. kind }) do
    pictures(("stamps/%s/%%d.png"):format(kind), i, i)
    tap.write(("stamps/%s/%d.txt"):format(kind, i), text .. "\nde.utf8=Etwas\n")
  end
end

-- ---- each evaluation: its tree, the pictures or questions that count, its figures ----

local CLASSIFIED = { "acc@1", "mean_per_class_recall" }
local FOUND = { "image_retrieval_recall@1", "image_retrieval_recall@10",
                "text_retrieval_recall@1", "text_retrieval_recall@10" }
local EVALS = {
  { "ablation", "clothes", n = 20, { "acc@1" }, source = "dataset-fashion-mnist" },
  { "cifar", "cifar", n = 20, CLASSIFIED, source = "cs.toronto.edu" },
  { "cifar", "cifar", n = 20, CLASSIFIED, option = "dataset=cifar100",
    source = "cs.toronto.edu" },
  { "compositional", "winoground", n = 4, { "text_score", "image_score", "group_score" },
    source = "huggingface.co/datasets/facebook/winoground" },
  { "compositional", "sugar", n = 14, { "accuracy" }, option = "dataset=sugar_crepe",
    source = "RAIVNLab/sugar-crepe" },
  { "custom_ensemble", "clothes", n = 20, { "acc@1", "acc@3", "mean_per_class_recall" },
    source = "dataset-fashion-mnist" },
  { "fashion_mnist", "clothes", n = 20, CLASSIFIED, source = "dataset-fashion-mnist" },
  { "folders", golden .. "zeroshot/folders", n = 60, CLASSIFIED },
  { "linear_probe", "clothes", n = 20, CLASSIFIED, source = "dataset-fashion-mnist" },
  { "linear_probe", "cifar", n = 20, CLASSIFIED, option = "dataset=cifar10",
    source = "cs.toronto.edu", note = "stopped after 1000 iterations" },
  { "manifest", golden .. "zeroshot/manifest.csv", n = 60, CLASSIFIED },
  { "match", "pairs.jsonl", n = 3, { "roc_auc", "best_accuracy", "accuracy" },
    option = "threshold=0.2" },
  { "multilabel", "voc", n = 3, { "mean_average_precision" }, source = "host.robots.ox.ac.uk" },
  { "multilabel", "voc/VOCdevkit/VOC2007", n = 3, { "mean_average_precision" },
    source = "host.robots.ox.ac.uk" },
  { "retrieval", "flickr", n = 3, captions = 4, FOUND, source = "retrieval_annotations" },
  { "retrieval", "coco", n = 2, captions = 3, FOUND, option = "dataset=mscoco_captions",
    source = "cocodataset.org" },
  { "retrieval_stamps", "stamps", n = 20, FOUND, source = "tuxpaint-stamps-default" },
  { "retrieval_stamps", STAMPS, n = 12, FOUND, source = "tuxpaint-stamps-default" },
  { "tuxpaint_stamps", "stamps", n = 20, CLASSIFIED, source = "tuxpaint-stamps-default" },
  { "vqa", "coco", n = 3, { "vqa_accuracy" }, source = "visualqa.org" },
  { "vqa_stamps", "stamps", n = 2, { "vqa_accuracy" }, source = "tuxpaint-stamps-default" },
  { "vqa_stamps", STAMPS, n = 12, { "vqa_accuracy" }, source = "tuxpaint-stamps-default" },
  { "webdataset", golden .. "zeroshot/wds", n = 60, CLASSIFIED },
}

local function words_of(e, data, out)
  local words = { "run", e[1] .. ".lua", "--quiet", "--model", tiny, "--data", data,
                  "--out", out }
  if e.option then table.move({ "-o", e.option }, 1, 2, #words + 1, words) end
  if data == STAMPS then table.move({ "--limit", "12" }, 1, 2, #words + 1, words) end
  return table.unpack(words)
end

-- Figures of finding pictures are of so many captions.
local function has_figures(out, name, metrics, n, captions)
  local report = {}
  for _, row in ipairs(clip.csv(("%s/%s/report.csv"):format(tap.directory(), out))) do
    report[row[10]] = row
  end
  for _, metric in ipairs(metrics) do
    local row = report[metric]
    tap.ok(row and tonumber(row[11]) and tonumber(row[11]) >= 0 and tonumber(row[11]) <= 1,
           name .. metric .. ": a share", row and table.concat(row, ",") or "no such row")
    local count = metric:find("^image_retrieval") and captions or n
    tap.is(row and row[14], tostring(count), name .. metric .. ": of how many")
  end
  tap.is(report.unreadable and report.unreadable[11], "0", name .. "every picture can be read")
end

local function runs(e, number)
  local name = ("%s %s: "):format(e[1], e.option or e[2]:match("[^/]*$"))
  if e[2] == STAMPS and not tap.exists(STAMPS .. "/animals") then
    return tap.skip(name .. "exit code 0", "no " .. STAMPS)
  end
  local out = ("out%d"):format(number)
  local code, stdout, stderr = tap.clipeval(words_of(e, e[2], out))
  tap.is(code, 0, name .. "exit code 0")
  if not (e.note and stderr:find(e.note, 1, true)) then
    tap.is(stderr, "", name .. "nothing on stderr")
  end
  tap.has(stdout, "written to " .. out, name .. "says where it wrote")
  has_figures(out, name, e[3], e.n, e.captions)
  -- The items give the figures of the report, else compare refuses; and a run is like itself.
  code, stdout, stderr = tap.clipeval("compare", out, out, "--max-drop", "0", "--alpha", "0.5",
                                      "--resamples", "100")
  tap.is(code .. stderr, "0", name .. "compared with itself: exit code 0")
  tap.is(stdout:find("regression:", 1, true), nil, name .. "compared with itself: no regression")
end

-- The data is not there: one line that shows what is expected, and where it is had.
local function misses(e)
  local name = ("%s %s: "):format(e[1], e.option or "")
  local code, _, stderr = tap.clipeval(words_of(e, "nowhere", "missed"))
  tap.is(code, 3, name .. "without its data: exit code 3")
  tap.is(select(2, stderr:gsub("\n", "")), 1, name .. "without its data: one line")
  tap.has(stderr, "no nowhere (expected: ", name .. "shows what is expected")
  if e.source then
    local from = stderr:match("; from (.*)")
    tap.has(from, e.source, name .. "where it is had")
  end
  code, _, stderr = tap.clipeval(words_of(e, "empty", "missed"))
  tap.is(code, 3, name .. "in an empty directory: exit code 3")
  tap.is(select(2, stderr:gsub("\n", "")), 1, name .. "in an empty directory: one line")
  tap.has(stderr, "empty", name .. "in an empty directory: told which")
  tap.ok(not tap.exists(tap.directory() .. "/missed/run.json"), name .. "nothing is written")
end

tap.shell("mkdir empty")
local tried = { suite = true, regression = true,
                imagenet = true } -- imagenet: has a test of its own
for i, e in ipairs(EVALS) do
  runs(e, i)
  if e[2] ~= STAMPS then misses(e) end
  tried[e[1]] = true
end

if tap.exists(STAMPS .. "/animals") and tap.exists(CLOTHES .. "/t10k-labels-idx1-ubyte.gz") then
  local code, stdout, stderr = tap.clipeval("run", "suite.lua", "--quiet", "--model", tiny,
                                            "--limit", "10", "--out", "suite")
  tap.is(code, 0, "suite: exit code 0")
  tap.is(stderr, "", "suite: nothing on stderr")
  tap.is(select(2, stdout:gsub("10 pictures", "")), 3, "suite: three evaluations")
  has_figures("suite", "suite: ", CLASSIFIED, 10)
  local baseline = arg.source .. "/eval/baselines/regression.csv"
  code, stdout, stderr = tap.clipeval("run", "regression.lua", "--quiet", "--model", tiny,
                                      "--limit", "10", "--out", "regression", "--baseline",
                                      baseline, "--max-drop", "100pp")
  tap.is(stderr, "", "regression: nothing on stderr")
  tap.is(select(2, stdout:gsub("10 pictures", "")), 6, "regression: six evaluations")
  tap.is(code, stdout:find("regression: zeroshot", 1, true) and 1 or 0,
         "regression: the exit code says what the table says")
  tap.ok(tap.exists(tap.directory() .. "/regression/junit.xml"), "regression: writes junit.xml")
  has_figures("regression", "regression: ", CLASSIFIED, 10)
else
  tap.skip("suite: exit code 0", "no " .. STAMPS .. " or no " .. CLOTHES)
end

-- ---- how they open ----

local _, listing = tap.shell("ls " .. tap.quote(arg.source .. "/eval") ..
                             " | grep 'lua$'")
for file in listing:gmatch("([^\n]+)\n") do
  local name = file:match("^(.*)%.lua$")
  tap.ok(tried[name], file .. ": is run by this test")
  local text = tap.read(arg.source .. "/eval/" .. file)
  local shows, how, next_line = text:match("^([^\n]*)\n([^\n]*)\n([^\n]*)")
  local more, begins = text:match("^[^\n]*\n[^\n]*\n(%-%-   [^\n]*)\n([^\n]*)") -- a third line
  if more then how, next_line = how .. more:gsub("^%-%-  ", ""), begins end
  tap.ok(shows:find("^%-%- %u.*[.?]$"), file .. ": opens with what it shows", shows)
  tap.ok(how:find("-- clipeval run " .. file, 1, true) == 1, file .. ": then how to run it", how)
  tap.is(next_line, 'local clip = require "clipeval"', file .. ": and begins")
  for option in how:gmatch("%-o (%w+)=") do
    tap.has(text, "arg." .. option, ("%s: -o %s is read"):format(file, option))
  end
  for option in text:gmatch("%f[%w]arg%.(%w+)") do
    local named = option == "model" or option == "data"
    named = named and "--" .. option or "-o " .. option .. "="
    tap.has(how, named, ("%s: %s is named"):format(file, named))
  end
  if how:find("--data", 1, true) then tap.has(text, "arg.data", file .. ": --data is read") end
end
tap.done()
