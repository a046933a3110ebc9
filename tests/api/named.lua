-- The named datasets, each on a small copy of how it lies on disk.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"

local PGM = "P5 1 1 255\n\0"

local function load(path)
  return assert(loadfile(path, "t"))(function(name)
    return load(path:match("^(.*/)") .. name)
  end)
end

-- Writes { path = bytes }; true stands for a picture. Of a dataset in folders all are there.
local function tree(root, files, name, below)
  local d = name and load(arg.source .. "/datasets/" .. name .. ".lua")
  local list = { d and "mkdir -p" or "true" }
  for i, folder in ipairs(d and (d.folders or d.splits.val.folders) or {}) do
    list[i + 1] = tap.quote(root .. "/" .. below .. "/" .. folder)
  end
  tap.shell(table.concat(list, " "))
  for path, bytes in pairs(files) do
    tap.write(root .. "/" .. path, bytes == true and PGM or bytes)
  end
  return tap.directory() .. "/" .. root
end

local function describe(d, item)
  local what = item.label and d.classes[item.label] or item.captions and item.captions[1] or
               item.question
  if item.labels then
    local list = {}
    for _, class in ipairs(item.labels) do list[#list + 1] = d.classes[class] end
    table.sort(list)
    what = table.concat(list, ",")
  end
  return item.id .. "=" .. tostring(what)
end

local function is(name, root, want, options)
  options = options or {}
  options.root = root
  local ok, d = pcall(clip.dataset, name, options)
  if not ok then return tap.ok(false, name, d) end
  local list = {}
  for i, item in ipairs(d.items) do list[i] = describe(d, item) end
  tap.is(table.concat(list, " "), want, name .. (options.split and ", " .. options.split or ""))
end

is("food101", tree("food", { ["food-101/meta/test.txt"] = "apple_pie/1\ncheese_plate/2\n",
  ["food-101/images/apple_pie/1.jpg"] = true }),
  "apple_pie/1.jpg=apple pie cheese_plate/2.jpg=cheese plate")
is("pets", tree("pets", { ["annotations/test.txt"] = "Abyssinian_2 1 1 1\npug_9 26 2 19\n",
  ["images/pug_9.jpg"] = true }), "Abyssinian_2.jpg=Abyssinian pug_9.jpg=Pug")
is("fgvc_aircraft", tree("air", { ["fgvc-aircraft-2013b/data/images_variant_test.txt"] =
  "0034309 BAE 146-200\n1 F-16A/B\n", ["fgvc-aircraft-2013b/data/images/1.jpg"] = true }),
  "0034309.jpg=BAE 146-200 1.jpg=F-16A/B")
is("dtd", tree("dtd", { ["dtd/dtd/labels/test1.txt"] = "banded/banded_1.jpg\n",
  ["dtd/dtd/images/banded/banded_1.jpg"] = true }), "banded/banded_1.jpg=banded")
is("sun397", tree("sun", { ["SUN397/a/abbey/sun_a.jpg"] = true,
  ["SUN397/a/apartment_building/outdoor/sun_b.jpg"] = true, ["SUN397/README.txt"] = "x" },
  "sun397", "SUN397"),
  "a/abbey/sun_a.jpg=abbey a/apartment_building/outdoor/sun_b.jpg=apartment building outdoor")
is("caltech101", tree("cal", {
  ["caltech101/101_ObjectCategories/BACKGROUND_Google/image_0001.jpg"] = true,
  ["caltech101/101_ObjectCategories/yin_yang/image_0001.jpg"] = true }, "caltech101",
  "caltech101/101_ObjectCategories"),
  "BACKGROUND_Google/image_0001.jpg=background yin_yang/image_0001.jpg=yin and yang symbol")
is("eurosat", tree("euro", { ["eurosat/2750/SeaLake/SeaLake_1.jpg"] = true }, "eurosat",
                   "eurosat/2750"),
   "SeaLake/SeaLake_1.jpg=lake or sea")
is("country211", tree("country", { ["country211/test/XK/1.jpg"] = true }, "country211",
                      "country211/test"), "XK/1.jpg=Kosovo")
is("renderedsst2", tree("sst", { ["rendered-sst2/test/positive/1.png"] = true },
                        "renderedsst2", "rendered-sst2/test"),
   "positive/1.png=positive")
local gtsrb = tree("gtsrb", {
  ["GT-final_test.csv"] = "Filename;Width;Height;ClassId\n00000.ppm;53;54;16\n",
  ["GTSRB/Final_Test/Images/00000.ppm"] = true, ["GTSRB/Training/00014/00001_00002.ppm"] = true,
  ["GTSRB/Training/00014/GT-00014.csv"] = "x" })
for i = 0, 42 do tap.shell(("mkdir -p gtsrb/GTSRB/Training/%05d"):format(i)) end
is("gtsrb", gtsrb, "00000.ppm=red and white circle no truck entry")
is("gtsrb", gtsrb, "00014/00001_00002.ppm=stop", { split = "train" })
local imagenet = tree("imagenet", {
  ["val/n01440764/a.JPEG"] = true, ["val/n15075141/b.JPEG"] = true,
  ["val/ILSVRC2012_val_00000001.JPEG"] = true,
  ["ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"] = "490\n361\n" },
  "imagenet1k", "val")
is("imagenet1k", imagenet, "n01440764/a.JPEG=tench n15075141/b.JPEG=toilet paper")
is("imagenet1k", imagenet, "ILSVRC2012_val_00000001.JPEG=sea snake " ..
   "ILSVRC2012_val_00000002.JPEG=mountain", { split = "flat" })
is("imagenetv2", tree("v2", { ["imagenetv2-matched-frequency-format-val/999/x.jpeg"] = true,
  ["imagenetv2-matched-frequency-format-val/2/x.jpeg"] = true }, "imagenetv2",
  "imagenetv2-matched-frequency-format-val"),
  "2/x.jpeg=great white shark 999/x.jpeg=toilet paper")
is("imagenet_sketch", tree("sk", { ["sketch/n01440764/s.JPEG"] = true }, "imagenet_sketch",
                           "sketch"), "n01440764/s.JPEG=tench")
is("imagenet_a", tree("a", { ["imagenet-a/n01498041/s.jpg"] = true }, "imagenet_a",
                      "imagenet-a"), "n01498041/s.jpg=stingray")
is("imagenet_r", tree("r", { ["imagenet-r/n01443537/s.jpg"] = true }, "imagenet_r",
                      "imagenet-r"), "n01443537/s.jpg=goldfish")
is("objectnet", tree("on", { ["objectnet-1.0/images/t-shirt/s.png"] = true,
  ["objectnet-1.0/images/air_freshener/s.png"] = true }, "objectnet",
  "objectnet-1.0/images"), "t-shirt/s.png=t-shirt")
is("cifar10", tree("c10", { ["cifar-10-batches-bin/test_batch.bin"] = "\3" .. ("\0"):rep(3072) }),
   "test/00000=cat")
is("cifar100", tree("c100", { ["cifar-100-binary/test.bin"] = "\0\1" .. ("\0"):rep(3072) }),
   "test/00000=aquarium_fish")
is("stl10", tree("stl", { ["stl10_binary/test_X.bin"] = ("\0"):rep(96 * 96 * 3),
                          ["stl10_binary/test_y.bin"] = "\4" }), "test/00000=cat")
is("mnist", tree("mnist", {
  ["MNIST/raw/t10k-images-idx3-ubyte"] = "\0\0\8\3\0\0\0\1\0\0\0\1\0\0\0\1\9",
  ["MNIST/raw/t10k-labels-idx1-ubyte"] = "\0\0\8\1\0\0\0\1\7" }), "test/00000=7")
is("voc2007", tree("voc", { ["VOCdevkit/VOC2007/ImageSets/Main/test.txt"] = "000001\n",
  ["VOCdevkit/VOC2007/JPEGImages/000001.jpg"] = true,
  ["VOCdevkit/VOC2007/Annotations/000001.xml"] = "<annotation><object><name>dog</name>" ..
    "<difficult>1</difficult></object><object><name>person</name></object></annotation>" }),
  "000001=dog,person")
for _, name in ipairs { "flickr8k", "flickr30k" } do
  is(name, tree(name .. "_", { [name .. "_test_karpathy.txt"] = "image,caption\n1.jpg,A dog, wet\n",
                               ["1.jpg"] = true }), "1.jpg=A dog, wet")
end
is("mscoco_captions", tree("coco", { ["val2014/c_1.jpg"] = true, ["coco_test_karpathy.json"] =
  '{"images": [{"id": 1, "file_name": "c_1.jpg"}], "annotations": [{"id": 2, "image_id": 1, ' ..
  '"caption": "A cup."}]}' }), "c_1.jpg=A cup.")
local pairs_of = '{"0": {"filename": "1.jpg", "caption": "right", "negative_caption": "wrong"}}'
local crepe = { ["val2017/1.jpg"] = true }
for _, group in ipairs { "add_att", "add_obj", "replace_att", "replace_obj", "replace_rel",
                         "swap_att", "swap_obj" } do crepe[group .. ".json"] = pairs_of end
crepe = tree("crepe", crepe)
is("sugar_crepe", crepe, "swap_obj/0=right", { split = "swap_obj" })
tap.is(#clip.dataset("sugar_crepe", { root = crepe }), 7, "sugar_crepe: all")
is("winoground", tree("wino", { ["data/images/ex_0_img_0.png"] = true,
  ["data/images/ex_0_img_1.png"] = true, ["data/examples.jsonl"] =
  '{"id": 0, "image_0": "ex_0_img_0", "image_1": "ex_0_img_1", "caption_0": "a", ' ..
  '"caption_1": "b"}\n' }), "0=a")
is("vqav2", tree("vqa", { ["val2014/COCO_val2014_000000000042.jpg"] = true,
  ["v2_OpenEnded_mscoco_val2014_questions.json"] =
    '{"questions": [{"image_id": 42, "question": "What?", "question_id": 420}]}',
  ["v2_mscoco_val2014_annotations.json"] =
    '{"annotations": [{"question_id": 420, "image_id": 42, "question_type": "what", ' ..
    '"answer_type": "other", "answers": [{"answer": "a"}]}]}' }),
  "420=What?")

-- ---- as CLIP_benchmark publishes them, and cut into shards ----

local function member(name, bytes)
  local head = name .. ("\0"):rep(100 - #name) .. ("0000644\0" .. ("0000000\0"):rep(2)) ..
               ("%011o\0%011o\0"):format(#bytes, 0)
  local tail = "0" .. ("\0"):rep(100) .. "ustar\00000" .. ("\0"):rep(247)
  local sum = 8 * 32
  for byte in (head .. tail):gmatch(".") do sum = sum + byte:byte() end
  return head .. ("%06o\0 "):format(sum) .. tail .. bytes .. ("\0"):rep(-#bytes % 512)
end
local shard = member("s1.png", PGM) .. member("s1.cls", "1") .. ("\0"):rep(1024)
for name, want in pairs { cars = "Acura RL Sedan 2012", flowers = "hard-leaved pocket orchid",
                          pcam = "lymph node containing metastatic tumor tissue" } do
  local folder = load(arg.source .. "/datasets/" .. name .. ".lua").folder
  local root = tree("shards",
                    { [folder .. "/test/nshards.txt"] = "1", [folder .. "/test/0.tar"] = shard,
                                [folder .. "/train/nshards.txt"] = "1",
                                [folder .. "/train/0.tar"] = shard })
  is(name, root, "test/0/s1=" .. want)
  is(name, root, "train/0/s1=" .. want, { split = "train" })
  is(name, root .. "/" .. folder, "test/0/s1=" .. want)
end

-- ---- a set that is not on disk ----

-- What the message must show besides the source: the files of this set.
local SHOWN = {
  caltech101 = "101_ObjectCategories/accordion/image_0001.jpg", cars = "wds_cars/test/0.tar",
  cifar10 = "data_batch_1.bin, data_batch_2.bin, data_batch_3.bin, data_batch_4.bin, " ..
            "data_batch_5.bin", cifar100 = "cifar-100-binary/test.bin",
  country211 = "country211/test/AD/", dtd = "dtd/labels/test1.txt", eurosat = "2750/AnnualCrop/",
  fashion_mnist = "t10k-images-idx3-ubyte.gz", fgvc_aircraft = "data/images_variant_test.txt",
  flickr30k = "flickr30k_test_karpathy.txt", flickr8k = "flickr8k_test_karpathy.txt",
  flowers = "wds_vtab-flowers/test/0.tar", food101 = "food-101/meta/test.txt",
  gtsrb = "GTSRB/Final_Test/Images/00000.ppm",
  imagenet1k = "val/n01440764/ILSVRC2012_val_00000293.JPEG", imagenet_a = "imagenet-a/n01498041/",
  imagenet_r = "imagenet-r/n01443537/", imagenet_sketch = "sketch/n01440764/",
  imagenetv2 = "imagenetv2-matched-frequency-format-val/0/",
  mnist = "MNIST/raw/t10k-labels-idx1-ubyte.gz", mscoco_captions = "coco_test_karpathy.json",
  objectnet = "objectnet-1.0/images/alarm_clock/", pcam = "wds_vtab-pcam/test/0.tar",
  pets = "oxford-iiit-pet/annotations/test.txt", renderedsst2 = "rendered-sst2/test/negative/",
  stl10 = "stl10_binary/test_X.bin and stl10_binary/test_y.bin",
  sugar_crepe = "add_att.json, add_obj.json, replace_att.json, replace_obj.json, " ..
                "replace_rel.json, swap_att.json, swap_obj.json",
  sun397 = "SUN397/a/abbey/", tuxpaint_stamps = "animals/NAME.png",
  voc2007 = "VOCdevkit/VOC2007/ImageSets/Main/test.txt",
    vqav2 = "v2_mscoco_val2014_annotations.json",
  winoground = "data/examples.jsonl and the pictures data/images/ex_0_img_0.png",
}
tap.shell("mkdir -p empty half/val half/data/images half/images half/val2014 half/val2017")
local here = tap.directory()
local listing = assert(io.popen("ls " .. tap.quote(arg.source .. "/datasets")))
for file in listing:lines() do
  local name = file:match("^(.+)%.lua$")
  local source = name and load(arg.source .. "/datasets/" .. file).source
  for _, place in ipairs(name and { "empty", "nowhere", "half" } or {}) do
    local ok, message = pcall(clip.dataset, name, { root = here .. "/" .. place })
    message = tostring(message)
    tap.ok(not ok and message:find("dataset " .. name .. ": ", 1, true) and
           message:find(here .. "/" .. place, 1, true) and message:find(source, 1, true) and
           message:find(SHOWN[name] or "?", 1, true) and not message:find("\n"),
           name .. ", " .. place .. ": the place, the files and where it is had", message)
  end
end
listing:close()
local function lacks(name, files, message, options)
  local root = tree("lacks", files)
  options = options or {}
  options.root = root
  tap.raises(function() clip.dataset(name, options) end, message, name .. " lacks something")
  tap.raises(function() clip.dataset(name, options) end,
             load(arg.source .. "/datasets/" .. name .. ".lua").source, "and where that is had")
  tap.shell("rm -r lacks")
end
lacks("imagenet1k", { ["val/ILSVRC2012_val_00000001.JPEG"] = true },
      'or split = "flat": val/ILSVRC2012_val_00000001.JPEG, ... and ILSVRC2012_devkit_t12/')
lacks("imagenet1k", { ["train/n01440764/a.JPEG"] = true }, "train/n01440764/n01440764_18.JPEG",
      { split = "train" })
lacks("cifar10", { ["cifar-10-batches-py/data_batch_1"] = "x" }, "that is the Python version")
lacks("mnist", { ["t10k-images-idx3-ubyte"] = "\0\0\8\3\0\0\0\1\0\0\0\1\0\0\0\1\9" },
      "t10k-labels-idx1-ubyte.gz (expected: MNIST/raw/")
lacks("stl10", { ["test_X.bin"] = ("\0"):rep(96 * 96 * 3) }, "no")
lacks("food101", { ["food-101/meta/test.txt"] = "apple_pie/1\n" }, "none of its 1 picture exists")
lacks("food101", { ["food-101.tar.gz"] = "x" },
      "; food-101.tar.gz is an archive, which is not read: " ..
      "unpack it")
lacks("pcam", { ["camelyonpatch_level_2_split_test_x.h5"] = "x" },
      "_test_x.h5 is HDF5, which is not")
lacks("flowers", { ["imagelabels.mat"] = "x" }, "imagelabels.mat is MATLAB's, which is not read")
lacks("gtsrb", { ["GT-final_test.csv"] = "Filename;Width;Height;ClassId\n00000.ppm;53;54;16\n" },
      "none of its 1 picture exists")
lacks("vqav2", { ["v2_OpenEnded_mscoco_val2014_questions.json"] = "{}" },
      "v2_mscoco_val2014_annotations.json (expected: ")
lacks("winoground", { ["data/images/ex_0_img_0.png"] = true }, "data/examples.jsonl (expected: ")
lacks("voc2007", { ["VOCdevkit/VOC2007/ImageSets/Main/trainval.txt"] = "" },
      "Main/test.txt (expected: ")
lacks("tuxpaint_stamps", { ["food/a.png"] = true }, "no folder 'animals' in")
tap.raises(function() clip.dataset("food101") end, "(expected: food-101/meta/test.txt",
           "no place said: the files")
tap.done()
