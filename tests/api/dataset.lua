-- clip.dataset: each layout, and each way in which one can be wrong.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local zeroshot = arg.source .. "/tests/golden/zeroshot/"
local CLASSES = { "disc", "square", "triangle", "ring", "stripes", "checker board" }

local function ids(data)
  local list = {}
  for i, item in ipairs(data.items) do list[i] = item.id end
  return table.concat(list, " ")
end

local function labels(data)
  local list = {}
  for i, item in ipairs(data.items) do list[i] = data.classes[item.label] end
  return table.concat(list, " ")
end

-- folders
local folders = clip.dataset("folders:" .. zeroshot .. "folders")
tap.is(tostring(folders), "dataset folders, split all (60 pictures, 6 classes)",
       "a tree of folders")
tap.is(folders.classes[1], "checker board", "classes are the folders, sorted")
tap.is(folders.items[1].id, "checker board/checker_board_00.png", "ids are paths in the tree")
tap.is(folders.items[1].label, 1, "with the number of their class")
local ordered = clip.dataset("folders", { root = zeroshot .. "folders", classes = CLASSES })
tap.is(ordered.classes[6], "checker board", "a list of classes gives their order")
tap.is(ids(ordered), ids(folders), "the items stay in the order of their ids")
tap.is(labels(ordered), labels(folders), "and in their classes")
local named = clip.dataset("folders", { root = zeroshot .. "folders", name = "shapes",
                                        classes = { disc = "round thing", ring = "hole" } })
tap.is(#named.items .. " " .. table.concat(named.classes, ", "), "20 round thing, hole",
       "a map chooses folders and names their classes")

local tree = tap.directory() .. "/tree"
for _, name in ipairs { "b/2.png", "b/1.PNG", "b/deep/er/3.jpg", "b/notes.txt", "b/.hidden.png",
                        "a-c/1.webp", "a/1.bmp", "top.png", ".git/x.png" } do
  tap.write("tree/" .. name, "")
end
tap.is(ids(clip.dataset("folders:" .. tree)), "a-c/1.webp a/1.bmp b/1.PNG b/2.png b/deep/er/3.jpg",
       "pictures at any depth, sorted by id; no hidden files, no texts")
tap.is(ids(clip.dataset("folders", { root = tree, exclude = { "^b/%d" } })),
       "a-c/1.webp a/1.bmp b/deep/er/3.jpg", "exclude leaves out ids by pattern")
tap.is(ids(clip.dataset("folders", { root = tree, extensions = { "png" } })), "b/1.PNG b/2.png",
       "extensions choose files")
tap.write("tree/b/2.txt", "the second\nand more\n")
local captioned = clip.dataset("folders", { root = tree, captions = "txt" })
tap.is(ids(captioned), "b/2.png", "with captions, only captioned pictures")
tap.is(captioned.items[1].caption, "the second", "a caption is the first line")
tap.is(ids(clip.dataset("folders", { root = tap.directory(), split = "tree",
                                     splits = { tree = "tree", other = "x" } })),
       "a-c/1.webp a/1.bmp b/1.PNG b/2.png b/deep/er/3.jpg", "a split is a folder below the root")
tap.write("bytes/a/\xff.png", "")
tap.is(clip.dataset("folders:" .. tap.directory() .. "/bytes").items[1].id, "a/\\xff.png",
       "a name that is not UTF-8 gets an id that is")

-- csv
local manifest = clip.dataset("csv:" .. zeroshot .. "manifest.csv")
tap.is(#manifest, 60, "a manifest")
tap.is(manifest.name, "manifest", "named after its file")
tap.is(manifest.items[1].id, "folders/checker board/checker_board_00.png", "sorted by id")
tap.is(tostring(manifest:picture(manifest.items[1])), zeroshot .. manifest.items[1].id,
       "paths are relative to the manifest")
for _, name in ipairs { "a.png", "a" } do tap.write("m/" .. name, "") end
local semicolon = tap.write("m/semi.csv", "file;kind\n\"b;1.png\";1\na.png;0\nc.png;disc\n")
local odd = clip.dataset("csv", { root = semicolon, delimiter = ";", path_column = "file",
                                  label_column = "kind", classes = CLASSES })
tap.is(ids(odd), "a.png b;1.png c.png", "delimiter and columns by name")
tap.is(labels(odd), "disc square disc", "labels as numbers from 0, or as names")
local numbers = clip.dataset("csv:" .. tap.write("m/num.csv", "path,label\na,10\nb,9\nc,10\n"))
tap.is(table.concat(numbers.classes, " "), "9 10", "numbers without classes are sorted as numbers")

local function bad_manifest(text, options, message, name)
  local path = tap.write("m/bad.csv", text)
  tap.raises(function() clip.dataset("csv:" .. path, options) end, "bad.csv:" .. message, name)
end
bad_manifest("path,class\na,b\n", nil, "1: no column 'label' (there are path, class)",
             "a missing column")
bad_manifest("path,label\na,b\nc,\"d\n", nil, "3", "a quote that does not end")
bad_manifest("path,label\na,b,c\n", nil, "2: 3 fields", "a row of another length")
bad_manifest("path,label\na,disc\nb,cube\n", { classes = CLASSES }, "3: the label 'cube'",
             "a label that is no class")
bad_manifest("path,label\na,6\n", { classes = CLASSES }, "2: the label '6'",
             "a number that is no class")
bad_manifest("path,label\na,-1\n", { classes = CLASSES }, "2: the label '-1'", "a negative number")
bad_manifest("path,label\na,\n", nil, "2: the label ''", "an empty label")
bad_manifest("path,label\n,x\n", nil, "2: an empty path", "an empty path")
bad_manifest("path,label\na,x\nb,y\na,y\n", nil, "4: 'a' stands in line 2", "a path twice")
bad_manifest("", nil, "", "an empty file")
tap.raises(function() clip.dataset("csv:" .. tap.write("m/head.csv", "path,label\n")) end,
           "no pictures", "a header and nothing else")

-- idx
local function int(n) return string.pack(">I4", n) end
tap.write("idx/x.images", int(0x803) .. int(2) .. int(2) .. int(3) .. "abcdefABCDEF")
tap.write("idx/x.labels", int(0x801) .. int(2) .. "\1\0")
local table_of = { name = "tiny", root = tap.directory() .. "/idx", layout = "idx",
                   splits = { test = { images = "x.images.gz", labels = "x.labels" } },
                   classes = { "lower", "upper" } }
local idx = clip.dataset(table_of)
tap.is(ids(idx), "test/00000 test/00001", "idx: ids are split and number")
tap.is(labels(idx), "upper lower", "labels count from 0 in the file")
local second = idx:picture(idx.items[2])
tap.is(second.width .. "x" .. second.height .. " " .. second.pixels, "3x2 ABCDEF",
       "the right pixels")
tap.is(idx.split, "test", "the only split is the default")
tap.write("idx/short.labels", int(0x801) .. int(1) .. "\1")
tap.write("idx/high.labels", int(0x801) .. int(2) .. "\1\2")
local function bad_idx(labels_file, message, name)
  tap.raises(function()
    clip.dataset(table_of, { splits = { test = { images = "x.images", labels = labels_file } } })
  end, message, name)
end
tap.write("idx/flat.images", int(0x803) .. int(2) .. int(0) .. int(3))
tap.raises(function()
  clip.dataset(table_of, { splits = { test = { images = "flat.images", labels = "x.labels" } } })
end, "flat.images: pictures of 3 x 0 pixels", "idx: pictures without pixels")
bad_idx("short.labels", "1 labels for 2 pictures", "idx: too few labels")
bad_idx("high.labels", "item 1: the label 2 is no class", "idx: a label that is no class")
bad_idx("x.images", "3 dimensions, not 1", "idx: pictures for labels")
bad_idx("none.labels", "none.labels", "idx: a missing file is named")

-- items of one's own
local own = clip.dataset { name = "own", items = { { path = "/b.png", label = "y" },
                                                   { path = "/a.png", label = "x" } } }
tap.is(ids(own) .. " " .. table.concat(own.classes), "/a.png /b.png xy", "a list of items")
local made = clip.dataset { name = "made", root = tree, items = function(root)
  return { { path = "a/1.bmp", label = 1, id = "first" } }
end, classes = { "only" } }
tap.is(made:picture(made.items[1]), tree .. "/a/1.bmp", "a function that gives items")
tap.raises(function()
  clip.dataset { items = { { path = "a", label = "z" } }, classes = { "x" } }
end,
           "the label 'z' is no class", "an item of no class")
tap.raises(function() clip.dataset { items = { { path = "a", label = "z", id = "1" },
                                               { path = "b", label = "z", id = "1" } } } end,
           "the id '1' stands for two items", "an id twice")

-- maps of classes, and labels that are numbers
local numbered = tap.write("m/numbered.csv", "path,label\na,0\nb,1\nc,1\n")
local function labels_with(path, classes)
  return labels(clip.dataset("csv:" .. path, { classes = classes }))
end
tap.is(labels_with(numbered, { "cat", "dog" }), "cat dog dog", "numbers in a list count from 0")
tap.is(labels_with(numbered, { [0] = "cat", [1] = "dog" }), "cat dog dog",
       "a map with numbers has labels as the data has them")
tap.is(labels_with(numbered, { ["0"] = "cat", ["1"] = "dog" }), "cat dog dog",
       "so has one of texts")
local far = tap.write("m/far.csv", "path,label\na,7\nb,3\nc,07\n")
tap.is(labels_with(far, { [3] = "cat", [7] = "dog" }), "dog cat dog", "wherever they begin")
tap.raises(function() labels_with(far, { [3] = "cat", [8] = "dog" }) end,
           "the label '7' is no class", "a number that is not in the map")
tap.raises(function() labels_with(numbered, { a = "cat", b = "dog" }) end,
           "the label '0' is no class", "a number is no place in a map")
tap.raises(function() labels_with(numbered, { "cat", nil, "dog" }) end, "classes: class 2 is nil",
           "a hole in the classes")
tap.raises(function() labels_with(numbered, { "cat", b = "dog" }) end, "'b' has no place in a list",
           "half a list")
tap.raises(function() labels_with(numbered, { [0] = "cat", b = "dog" }) end, "a map whose keys",
           "numbers and texts in one map")
tap.raises(function() labels_with(numbered, { [0] = "cat", [1] = {} }) end, "class 1 is no text",
           "a class without a name")
local merged = clip.dataset("folders", { root = zeroshot .. "folders", classes = {
  disc = "round", ring = "round", square = "angular" } })
tap.is(table.concat(merged.classes, " ") .. " " .. #merged, "round angular 30",
       "labels of one name are one class")
tap.is(clip.dataset(table_of, { classes = { [0] = "lower", [1] = "upper" } }).classes[2], "upper",
       "idx: a map with numbers")
tap.is(labels(clip.dataset { items = { { path = "/a", label = 0 }, { path = "/b", label = 5 } },
                             classes = { [0] = "none", [5] = "five" } }), "none five",
       "items: labels as in the map")
tap.raises(function() clip.dataset { items = { { path = "/a", label = 1 } } } end, "needs classes",
           "a number without classes")

-- links that lead back
tap.shell("mkdir -p ring/a/b ring/c && touch ring/a/1.png ring/a/b/2.png ring/c/3.png && " ..
          "ln -s .. ring/a/up && ln -s . ring/a/b/here && ln -s ../../c ring/a/b/c")
tap.is(ids(clip.dataset("folders:" .. tap.directory() .. "/ring")),
       "a/1.png a/b/2.png a/b/c/3.png c/3.png", "a link that leads back is not followed")
tap.shell("mkdir -p nest/x/x/x/x/x/x && touch nest/x/x/x/x/x/x/1.png")
tap.is(ids(clip.dataset("folders:" .. tap.directory() .. "/nest")), "x/x/x/x/x/x/1.png",
       "folders of one name inside each other are no link")

-- names, files, and what goes wrong
local file = tap.write("sets/birds.lua", 'return { layout = "folders", version = 3 }')
local birds = clip.dataset(file, { root = zeroshot .. "folders", alpha = "white" })
tap.is(birds.name .. birds.version .. birds.alpha, "birds3white", "a file, with options over it")
tap.is(clip.dataset(birds), birds, "a dataset stays what it is")
tap.raises(function() clip.dataset "no_such" end, "fashion_mnist",
           "an unknown name lists those there are")
tap.raises(function() clip.dataset("fashion_mnist", { root = "/nowhere" }) end,
           "no /nowhere (expected: t10k-images-idx3-ubyte.gz and",
           "a missing root tells the layout")
tap.raises(function() clip.dataset("fashion_mnist", { root = "/nowhere" }) end,
           "dataset-fashion-mnist", "and where the dataset is had")
tap.raises(function() clip.dataset("fashion_mnist", { split = "val" }) end,
           "no split 'val' (there are test, train)",
           "a split that is not there lists those that are")
tap.raises(function() clip.dataset("folders") end, "--data", "a layout without a root asks for it")
tap.raises(function() clip.dataset("folders:" .. tap.directory() .. "/m") end, "no folders",
           "a tree without folders")
tap.raises(function() clip.dataset("folders", { root = tree, classes = { "z" } }) end,
           "no folder 'z'", "a class without its folder")
tap.raises(function() clip.dataset("folders", { root = tree, clases = {} }) end, "clases",
           "a misspelt option")
tap.raises(function() clip.dataset("folders", { root = tree, alpha = "black" }) end, "alpha",
           "an unknown alpha")
tap.raises(function() clip.dataset("folders", { root = tree, split = "x" }) end, "no splits",
           "a split of none")
tap.raises(function() clip.dataset { layout = "tar", root = "/" } end, "layout must be",
           "an unknown layout")
local function no(fields, message, name)
  local spec = { layout = "folders", root = tree }
  for key, value in pairs(fields) do spec[key] = value or nil end
  tap.raises(function() clip.dataset(spec) end, message, name or message)
end
no({ layout = false }, 'dataset: needs layout = "folders"')
no({ root = 5 }, "dataset: root must be a string, not 5")
no({ classes = "x" }, "classes must be a table, not 'x'")
no({ exclude = 5 }, "exclude must be a list, not 5")
no({ exclude = { "%" } }, "exclude '%': malformed pattern")
no({ extensions = { "png", nil, "jpg" } }, "extensions 2 is nil")
no({ captions = 1 }, "captions must be a string, not 1")
no({ layout = "csv", delimiter = ";;" }, "delimiter must be one character")
no({ delimiter = 1 }, "delimiter must be a string, not 1")
no({ version = {} }, "version must be a string or a number, not a table")
no({ items = {} }, "it has both a layout and items")
no({ splits = { test = 1 } }, "splits: 'test' must be a name and its folder")
no({ layout = "idx", classes = { "x" }, splits = { test = { images = "x" } } },
   "splits: 'test' must be { images = FILE, labels = FILE }")
no({ layout = "idx", classes = { "x" }, splits = { test = "x" } }, "splits: 'test' must be {")
no({ layout = "own" }, "layout must be")
no({ layout = "csv", exclude = "x" }, "exclude is for the layouts folders, imagenet only")
no({ delimiter = ";" }, "delimiter is for the layout csv only")
no({ layout = false, items = { { path = 5, label = "x" } } },
   "item 1: path must be a string, not 5")
no({ layout = false, items = { { path = "a", label = "x", id = {} } } },
   "item 1: id must be a string or a number, not a table")
no({ layout = false, items = { { path = "a", label = {} } } }, "an integer, not a table")
for _, image in ipairs { 7, "a.png", {}, { width = 1, height = 1, pixels = "ab" } } do
  no({ layout = false, items = { { image = image, label = "x" } } }, "item 1: image is neither")
end
no({ layout = false, items = { { path = "a", label = "x" }, nil, { path = "b", label = "x" } } },
   "item 2 is nil")
no({ [print] = 1 }, "unknown field a function")
tap.is(ids(clip.dataset("folders", { root = tree, extensions = ".PNG", exclude = "2" })), "b/1.PNG",
       "one string for a list of one")
bad_manifest("path,label,label\na,b,c\n", nil, "1: two columns 'label'", "a column twice")
tap.raises(function() clip.dataset(birds, {}) end, "options come too late",
           "options for an open dataset")
tap.raises(function() birds:picture(1) end, "needs an item", "picture needs an item")
tap.raises(function() clip.dataset(file, {}) end, "--data", "a file without a root asks for it")
tap.raises(function() clip.dataset(tap.write("sets/bad.lua", "return {")) end, "bad.lua:1",
           "a file with a syntax error")
tap.raises(function() clip.dataset(tap.write("sets/none.lua", "")) end, "does not return a table",
           "a file that gives nothing")
tap.done()
