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
tap.raises(function() clip.dataset("food101", { root = tap.directory() .. "/mnist" }) end,
           "data.vision.ee.ethz.ch", "what is not there: where it is had")
tap.done()
