-- Layouts whose items have a class: what each reads, and each way in which one can be wrong.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local PICTURE = tap.read(arg.source .. "/tests/golden/zeroshot/folders/disc/disc_00.png")
local root = tap.directory()

local function show(data)
  local list = {}
  for i, item in ipairs(data.items) do
    list[i] = item.id .. "=" .. (item.label and data.classes[item.label] or
                                 table.concat(item.labels, "+"))
  end
  return table.concat(list, " ")
end

local function pictures(...)
  for _, name in ipairs { ... } do tap.write(name, PICTURE) end
end

local function no(spec, message, name)
  return tap.raises(function() clip.dataset(spec) end, message, name or message)
end

-- ---- cifar ----

local function planes(first) -- pixel p of channel c is first + 64 c + p % 64
  local bytes = {}
  for c = 0, 2 do
    for p = 0, 1023 do bytes[#bytes + 1] = string.char(first + 64 * c + p % 64) end
  end
  return table.concat(bytes)
end
local TEN = "airplane\nautomobile\nbird\n\n"
tap.write("c10/test_batch.bin", "\2" .. planes(0) .. "\0" .. planes(9))
for i = 1, 5 do tap.write(("c10/data_batch_%d.bin"):format(i), "\1" .. planes(i)) end
tap.write("c10/batches.meta.txt", TEN)
local ten = clip.dataset("cifar:" .. root .. "/c10")
tap.is(show(ten), "test/00000=bird test/00001=airplane", "cifar: one label byte; names beside")
tap.is(ten.kind .. ten.split .. #ten.classes, "classificationtest3", "kind, split, classes")
local function bytes_at(data, i, x, y)
  local p = data:picture(data.items[i])
  tap.is(p.channels * p.width * p.height, #p.pixels, "as many bytes as the picture says")
  local at = (y * p.width + x) * 3
  return table.concat({ p.pixels:byte(at + 1, at + 3) }, " ")
end
tap.is(bytes_at(ten, 1, 3, 0), "3 67 131", "planes become pixels")
tap.is(bytes_at(ten, 2, 5, 1), "46 110 174", "row by row, of the right record")
tap.is(tostring(clip.image(ten:picture(ten.items[1])):pixel(3, 0)), "3", "they are a picture")
tap.is(#clip.dataset("cifar:" .. root .. "/c10", { split = "train" }), 5, "five batches")
tap.write("c100/cifar-100-binary/test.bin", "\7\1" .. planes(0))
tap.write("c100/cifar-100-binary/fine_label_names.txt", "apple\nfish\n")
local hundred = clip.dataset("cifar:" .. root .. "/c100")
tap.is(show(hundred), "test/00000=fish", "cifar-100: the fine label, in the archive's folder")
tap.is(bytes_at(hundred, 1, 0, 0), "0 64 128", "two label bytes are skipped")
tap.is(show(clip.dataset { layout = "cifar", root = root .. "/c10", label_bytes = 1,
                           classes = { "a", "b", "c" }, split = "one",
                           splits = { one = { files = { "data_batch_2.bin" } } } }),
       "one/00000=b", "files of a split, classes of a description")
tap.write("cut/test_batch.bin", ("\2" .. planes(0)):sub(1, 3000))
tap.write("cut/batches.meta.txt", TEN)
no("cifar:" .. root .. "/cut", "test_batch.bin: 3000 bytes are not a number of records of 3073")
tap.write("high/test_batch.bin", "\3" .. planes(0))
tap.write("high/batches.meta.txt", TEN)
no("cifar:" .. root .. "/high", "test_batch.bin: record 0: the label '3' is no class")
tap.write("bare/test_batch.bin", "\3" .. planes(0))
no("cifar:" .. root .. "/bare", "neither classes nor batches.meta.txt")
no("cifar:" .. root .. "/m", "no " .. root .. "/m (expected: test_batch.bin")
tap.raises(function() clip.dataset("cifar:" .. root .. "/c10", { split = "x" }) end,
           "no split 'x' (there are test, train)", "cifar: an unknown split")

tap.write("folder/batches.meta.txt", TEN)
tap.shell("mkdir -p folder/test_batch.bin")
no("cifar:" .. root .. "/folder", "test_batch.bin: no file")
tap.write("sparse/batches.meta.txt", TEN)
tap.shell("truncate -s 51556384768 sparse/test_batch.bin")
no("cifar:" .. root .. "/sparse", "test_batch.bin: too large: more than 4 GiB")

-- ---- stl10 ----

local column = {}
for c = 0, 2 do
  for x = 0, 95 do
    for y = 0, 95 do column[#column + 1] = string.char((x + 2 * y + 5 * c) % 256) end
  end
end
column = table.concat(column)
tap.write("stl/stl10_binary/test_X.bin", column .. ("\9"):rep(#column))
tap.write("stl/stl10_binary/test_y.bin", "\2\1")
tap.write("stl/stl10_binary/class_names.txt", "airplane\nbird\n")
local stl = clip.dataset("stl10:" .. root .. "/stl")
tap.is(show(stl), "test/00000=bird test/00001=airplane", "stl10: labels count from 1")
tap.is(bytes_at(stl, 1, 7, 20), "47 52 57", "stl10: column by column")
tap.is(bytes_at(stl, 2, 95, 95), "9 9 9", "stl10: the second picture")
tap.write("stl2/test_X.bin", column)
tap.write("stl2/test_y.bin", "\2\1")
tap.write("stl2/class_names.txt", "a\nb\n")
no("stl10:" .. root .. "/stl2", "test_y.bin: 2 labels for 1 pictures")
tap.write("stl2/test_y.bin", "\0")
no("stl10:" .. root .. "/stl2", "item 0: the label '0' is no class")
tap.write("stl2/test_X.bin", column:sub(2))
no("stl10:" .. root .. "/stl2", "truncated?")

-- ---- list ----

pictures("l/a.png", "l/images/x.png", "l/images/y.png", "l/images/in/z.png", "l/t/k/w.png")
local function list(text, options)
  local spec = { layout = "list", root = root .. "/l", place = "list.txt" }
  tap.write("l/list.txt", text)
  for key, value in pairs(options or {}) do spec[key] = value end
  return spec
end
tap.is(show(clip.dataset(list "a.png cat\nb.png\tdog\r\n\n")), "a.png=cat b.png=dog",
       "list: words between blanks and tabs")
local pets = clip.dataset(list("#Image CLASS-ID SPECIES\nx 2 1 1\ny 1 2 1\n", {
  columns = { "path", "label", "species", "breed" }, label_base = 1, prefix = "images",
  suffix = ".png", classes = { "Abyssinian", "beagle" }, comment = "#" }))
tap.is(show(pets), "x.png=beagle y.png=Abyssinian", "list: the pets'")
tap.is(pets:picture(pets.items[1]), root .. "/l/images/x.png", "below the root's folder")
tap.is(show(clip.dataset(list("x Boeing 707-320\ny Saab 340\n", { prefix = "images/",
                                                                 suffix = ".png" }))),
       "x.png=Boeing 707-320 y.png=Saab 340", "list: the last word takes the rest")
tap.is(show(clip.dataset(list("/t/k/w.png\n/images/x.png", { columns = { "path" },
                                                             prefix = "." }))),
       "/images/x.png=images /t/k/w.png=t/k", "list: the folder is the label")
tap.is(show(clip.dataset(list("2,x.png\n1,y.png", { columns = { "label", "path" }, label_base = 1,
                                                    separator = ",", prefix = "images",
                                                    classes = { "one", "two" } }))),
       "x.png=two y.png=one", "list: a separator, another order")
tap.is(show(clip.dataset(list("apple_pie/x\nhot_dog/y", {
  columns = { "path" }, labels = { "hot_dog", "apple_pie" }, classes = { "hot dog", "pie" },
  prefix = "images", suffix = ".png", root = root .. "/l" }, pictures("l/images/hot_dog/y.png")))),
       "apple_pie/x.png=pie hot_dog/y.png=hot dog", "list: labels beside the names of classes")
tap.is(show(clip.dataset(list("1\n0\n", { columns = { "label" }, numbered = "%08d.png",
                                          classes = { "a", "b" } },
                              pictures("l/00000001.png")))),
       "00000001.png=b 00000002.png=a", "list: numbered pictures")
no(list("a.png\n"), "list.txt:1: no label (a line is: path label)")
no(list("a.png x\nb.png y\na.png x\n"), "list.txt:3: 'a.png' stands at")
no(list("a.png 2\n", { classes = { "a", "b" } }), "list.txt:1: the label '2' is no class")
no(list("a.png 0\n", { classes = { "a", "b" }, label_base = 1 }), "the label '0' is no class")
no(list("q.png a\nr.png b\n"), "none of its 2 pictures exists (the first would be " .. root ..
   "/l/q.png)")
no(list("a.png x\n", { columns = { "label" } }), "columns has no path")
no(list("a.png x\n", { numbered = "%s" }), "numbered must be a pattern")
no(list("a.png x\n", { label = "file" }), 'label must be "folder"')
no(list("a.png \xff\n"), "list.txt:1: not UTF-8")
no(list("a.png\0 x\n"), "list.txt:1: a NUL byte")
no(list("a.png x\n", { place = "none.txt" }), "/l/none.txt (expected: a text file, each line:")
no(list("a.png\n", { columns = { "path" } }), "list.txt:1: 'a.png' lies in no folder")

-- ---- imagenet ----

local WNIDS = { "n01440764", "n02012849", "n03126707" }
pictures("in/val/n01440764/1.JPEG", "in/val/n02012849/2.JPEG", "in/val/n03126707/3.JPEG")
local folders = clip.dataset { layout = "imagenet", root = root .. "/in/val", wnids = WNIDS,
                               classes = { "tench", "crane", "crane" } }
tap.is(show(folders), "n01440764/1.JPEG=tench n02012849/2.JPEG=crane n03126707/3.JPEG=crane",
       "imagenet: folders by WordNet id")
tap.is(folders.items[3].label .. #folders.classes, "33", "classes of one name stay two")
pictures("flat/val/ILSVRC2012_val_00000001.JPEG", "flat/val/ILSVRC2012_val_00000002.JPEG")
local function flat(name, text, also)
  tap.shell("rm -f flat/*.txt flat/*.csv")
  tap.write("flat/" .. name, text)
  for file, content in pairs(also or {}) do tap.write("flat/" .. file, content) end
  return { layout = "imagenet", root = root .. "/flat", wnids = WNIDS,
           classes = { "tench", "crane", "Crane" } }
end
local RIGHT = "ILSVRC2012_val_00000001.JPEG=Crane ILSVRC2012_val_00000002.JPEG=tench"
local DEVKIT = "ILSVRC2012_validation_ground_truth.txt"
tap.is(show(clip.dataset(flat("val.txt", "ILSVRC2012_val_00000002.JPEG n01440764\n" ..
                                         "ILSVRC2012_val_00000001.JPEG n03126707\n"))), RIGHT,
       "imagenet: pictures and WordNet ids")
tap.is(show(clip.dataset(flat("val.txt", "ILSVRC2012_val_00000001.JPEG 2\n" ..
                                         "ILSVRC2012_val_00000002.JPEG 0\n"))), RIGHT,
       "imagenet: pictures and numbers in the order of the ids")
tap.is(show(clip.dataset(flat("synset_labels.txt", "n03126707\nn01440764\n"))), RIGHT,
       "imagenet: one WordNet id a line")
tap.is(show(clip.dataset(flat("LOC_val_solution.csv", "ImageId,PredictionString\n" ..
       "ILSVRC2012_val_00000001,n03126707 85 131 499 341 \n" ..
       "ILSVRC2012_val_00000002,n01440764 1 1 4 3 n01440764 9 9 9 9 \n"))), RIGHT,
       "imagenet: Kaggle's file")
tap.is(show(clip.dataset(flat(DEVKIT, "7\n490\n", {
  ["map_clsloc.txt"] = "n03126707 7 crane\nn01440764 490 tench\n" }))), RIGHT,
       "imagenet: the devkit's numbers with their map")
no(flat(DEVKIT, "7\n490\n"), "map_clsloc.txt beside it must say which WordNet id each is")
no(flat(DEVKIT, "7\n491\n", { ["map_clsloc.txt"] = "n03126707 7 crane\nn01440764 490 x\n" }),
   DEVKIT .. ":2: the number 491 is not in the map")
no(flat("val.txt", "n03126707\n"), "val.txt: 1 labels for 2 pictures")
no(flat("val.txt", "ILSVRC2012_val_00000001.JPEG n03126707\n"),
   "no label for 'ILSVRC2012_val_00000002'")
no(flat("val.txt", "n03126707\nn99999999\n"), "val.txt:2: the label 'n99999999' is no class")
no(flat("other.txt", "x"), "no val.txt")

-- ---- voc ----

local function xml(name, ...)
  local parts = { "<annotation><folder>VOC2007</folder><size><width>9</width></size>" }
  for _, object in ipairs { ... } do
    local class, difficult = object:match("^(%a+)(!?)")
    parts[#parts + 1] = ("<object><name>%s</name><part><name>head</name></part>" ..
                         "<difficult>%d</difficult></object>\n"):format(class, #difficult)
  end
  tap.write("voc/VOCdevkit/VOC2007/Annotations/" .. name .. ".xml",
            table.concat(parts) .. "</annotation>")
end
local SET = "voc/VOCdevkit/VOC2007/ImageSets/Main/test.txt"
pictures("voc/VOCdevkit/VOC2007/JPEGImages/000001.jpg")
tap.write(SET, "000001\n000002  1\n000003 -1\n")
xml("000001", "dog", "person", "person", "car!")
xml("000002", "car!", "car")
xml("000003", "chair!")
local voc = clip.dataset("voc:" .. root .. "/voc")
tap.is(show(voc), "000001=12+15 000002=7 000003=", "voc: each class once")
tap.is(voc.kind .. " " .. voc.classes[12] .. " " .. voc.items[1].ignored[1] .. " " ..
       tostring(voc.items[2].ignored) .. " " .. voc.items[3].ignored[1], "multilabel dog 7 nil 9",
       "voc: what is difficult only is to be ignored")
tap.is(show(clip.dataset("voc", { root = root .. "/voc", difficult = "count" })),
       "000001=7+12+15 000002=7 000003=9", "voc: or counts")
no({ layout = "voc", root = root .. "/voc", classes = { "dog", "person" } },
   "000001.xml:4: the label 'car' is no class (there are 2 classes)")
tap.raises(function() clip.dataset("voc:" .. root .. "/voc", { split = "val" }) end,
           "ImageSets/Main/val.txt", "voc: a split that is not on disk")
local function bad_xml(text, message)
  tap.write("voc/VOCdevkit/VOC2007/Annotations/000003.xml", text)
  no("voc:" .. root .. "/voc", message)
end
bad_xml("<annotation><object>", "000003.xml:1: no element found")
bad_xml("<a>\n<b></a>", "000003.xml:2: mismatched tag")
bad_xml('<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><a>&z;</a>', "declares entities")
bad_xml(("<a>"):rep(100), "nested too deeply")
bad_xml("<a><object><pose/></object></a>", "000003.xml:1: an object without a name")
bad_xml("", "000003.xml")
tap.shell("rm voc/VOCdevkit/VOC2007/Annotations/000003.xml")
no("voc:" .. root .. "/voc", "000003.xml")
no("voc:" .. root .. "/c10", "no ImageSets in")

-- ---- fields of folders, csv, and of splits ----

pictures("g/Final_Test/Images/00000.png", "g/Training/00000/a.png", "g/Training/00001/b.png")
tap.write("g/GT-final_test.csv", "Filename;Width;ClassId\n00000.png;5;1\n")
local gtsrb = { name = "gtsrb", root = root .. "/g", classes = { "twenty", "twenty" },
                task = "classification", splits = {
  test = { layout = "csv", place = "GT-final_test.csv", delimiter = ";", path_column = "Filename",
           label_column = "ClassId", prefix = "Final_Test/Images" },
  train = { layout = "folders", place = "Training", folders = { "00000", "00001" } } } }
local test = clip.dataset(gtsrb, { split = "test" })
tap.is(show(test) .. test.items[1].label .. test:picture(test.items[1]),
       "00000.png=twenty2" .. root .. "/g/Final_Test/Images/00000.png", "a split of fields")
local train = clip.dataset(gtsrb, { split = "train" })
tap.is(show(train) .. #train.classes, "00000/a.png=twenty 00001/b.png=twenty2",
       "each with its layout; folders beside classes of one name")
no({ layout = "folders", root = root .. "/g/Training", folders = { "00000" },
     classes = { "a", "b" } },
   "classes must be a list as long as that of the labels (1)")
no({ layout = "folders", root = root .. "/g/Training", folders = { "00000", "00000" },
     classes = { "a", "b" } }, "the label '00000' is that of class 1 and of class 2")
no({ layout = "folders", root = root .. "/g/Training", task = "vqa" },
   "its task is vqa, but layout folders gives classification")
no({ layout = "folders", root = root, task = "segmentation" }, "task must be one of")
no({ layout = "folders", root = root, splits = { a = { name = "x" } } }, "unknown field 'name'")
no({ splits = { a = { place = "g" } }, root = root }, "layout must be one of")
tap.done()
