-- WebDataset directories: read as CLIP_benchmark reads them, without unpacking; and each way in
-- which one can be wrong.
package.path = arg.source .. "/tests/?.lua;" .. arg.source .. "/lua/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local core = require "clipeval.core"
local wds = require "clipeval.layouts.wds"
local golden = arg.source .. "/tests/golden/zeroshot/"

-- ---- a writer of tars ----

local function pad(text) return text .. ("\0"):rep(-#text % 512) end

local function member(name, data, kind)
  local header = ("%s\0%s\0%s\0%s\0%011o\0%011o\0"):format(name .. ("\0"):rep(99 - #name),
    "0000644", "0000000", "0000000", #data, 0)
  local rest = pad((kind or "0") .. ("\0"):rep(100) .. "ustar\00000"):sub(1, 512 - 156)
  local sum = 8 * 32
  for byte in (header .. rest):gmatch(".") do sum = sum + byte:byte() end
  return header .. ("%06o\0 "):format(sum) .. rest .. pad(data)
end

local function tar(members)
  local text = {}
  for i, m in ipairs(members) do text[i] = member(m[1], m[2], m[3]) end
  return table.concat(text) .. ("\0"):rep(1024)
end

-- A directory of its own: files by name, shards as lists of members.
local serial = 0
local function directory(files)
  serial = serial + 1
  local root = "wds" .. serial
  for name, content in pairs(files) do
    tap.write(root .. "/" .. name, type(content) == "table" and tar(content) or content)
  end
  return tap.directory() .. "/" .. root
end

local function load(root, fields)
  local self = { name = "set", root = root, expects = wds.expects() }
  for key, value in pairs(fields or {}) do self[key] = value end
  local items, classes
  items, classes, self.kind = wds.load(self, root)
  table.sort(items, function(a, b) return a.id < b.id end) -- as clip.dataset does
  return items, classes, self
end

local function join(items, key)
  local list = {}
  for i, item in ipairs(items) do
    list[i] = type(item[key]) == "table" and table.concat(item[key], "+") or tostring(item[key])
  end
  return table.concat(list, " ")
end

local function part(item) return { path = item.path, offset = item.offset, size = item.size } end

-- ---- classification: the reference set, in shards of our own ----

local expected = clip.json(tap.read(golden .. "expected.json"))
local function reference(per_shard)
  local templates = table.concat(expected.templates, "\n")
  local files = { ["classnames.txt"] = table.concat(expected.classes, "\n") .. "\n",
                  ["zeroshot_classification_templates.txt"] = templates,
                  ["test/nshards.txt"] = math.ceil(#expected.predictions / per_shard) .. "\n" }
  for i, p in ipairs(expected.predictions) do
    local name = ("test/%d.tar"):format((i - 1) // per_shard)
    local shard = files[name] or {}
    files[name] = shard
    shard[#shard + 1] = { p.key .. ".cls", tostring(p.label) }
    shard[#shard + 1] = { p.key .. "." .. p.path:match("%w+$"), tap.read(golden .. p.path) }
  end
  return directory(files)
end

local root = reference(5)
local items, classes, self = load(root)
local same_labels, same_pixels = true, true
local parts, paths = {}, {}
for i, p in ipairs(expected.predictions) do
  local item = items[i]
  parts[i], paths[i] = part(item), golden .. p.path
  same_labels = same_labels and item.label == p.label + 1 and item.id:match("[^/]+$") == p.key
  same_pixels = same_pixels and clip.image(parts[i]):bytes() == clip.image(paths[i]):bytes()
end
tap.is(#items, 60, "all shards are read")
tap.ok(same_labels, "in the order of the shards, though there are more than ten, with their labels")
tap.ok(same_pixels, "pictures are decoded where they lie")
tap.is(items[1].id .. " " .. items[60].id, "test/00/s0000000 test/11/s0000059",
       "ids are split, shard and key")
tap.is(table.concat(classes, ","), table.concat(expected.classes, ","), "classes of classnames.txt")
tap.is(table.concat(self.templates, "|"), table.concat(expected.templates, "|"),
       "the set's own templates are offered")
tap.is(self.kind .. " " .. self.split, "classification test", "kind and split as CLIP_benchmark's")

local model = clip.model(arg.source .. "/models/pocket")
local one = model:encode_image(parts)
local two, problems = model:encode_image(paths)
local same = problems == nil
for i = 1, one.rows do
  local a, b = one:slice(i, i):totable()[1], two:slice(i, i):totable()[1]
  for k = 1, #a do same = same and a[k] == b[k] end
end
tap.ok(same, "a part of a file is embedded as the file would be")
tap.is(model:encode_image(parts[3]).rows, 1, "one part alone is a picture")

local shared = arg.shared .. "/zeroshot/wds"
if core.kind(shared) then
  local theirs = load(shared)
  local equal = #theirs == #items
  for i, item in ipairs(theirs) do
    equal = equal and item.label == items[i].label and
            clip.image(part(item)):bytes() == clip.image(parts[i]):bytes()
  end
  tap.ok(equal, "CLIP_benchmark's own shard holds the same")
else
  tap.skip("CLIP_benchmark's own shard holds the same", "no reference data")
end

-- ---- a part that cannot be read ----

local shard0 = root .. "/test/0.tar"
local function image_fault(picture, text, name)
  local image, fault = clip.image(picture)
  tap.ok(not image and fault:find(text, 1, true), name, tostring(fault))
  local embeds, found = model:encode_image({ picture })
  tap.ok(embeds.rows == 1 and found and found[1] == fault, name .. ", in a list too",
         found and found[1])
end
local bytes = tap.read(shard0)
image_fault({ path = shard0, offset = items[1].offset, size = 100 },
            ("0.tar (100 bytes at %d): truncated PNG"):format(items[1].offset), "half a picture")
image_fault({ path = shard0, offset = 0, size = 512 }, "0.tar (512 bytes at 0): not a picture",
            "no picture")
image_fault({ path = shard0, offset = 512, size = 0 }, "0.tar (0 bytes at 512): empty file",
            "an empty member")
image_fault({ path = shard0, offset = #bytes - 1, size = 2 },
            ("(2 bytes at %d): the file ends at %d"):format(#bytes - 1, #bytes), "beyond the end")
image_fault({ path = shard0, offset = math.maxinteger, size = math.maxinteger }, "the file ends at",
            "far beyond")
image_fault({ path = root .. "/none.tar", offset = 0, size = 1 }, "none.tar: No such file",
            "no file")
image_fault({ path = root, offset = 0, size = 1 }, "is a directory", "a directory")
local function misuse(picture, text, name)
  tap.raises(function() clip.image(picture) end, text, name)
  tap.raises(function() model:encode_image({ picture }) end, text, name .. ", in a list too")
end
misuse({ path = shard0, offset = -1, size = 1 }, "offset must be an integer from 0",
       "a negative offset")
misuse({ path = shard0, offset = 0, size = 1.5 }, "size must be an integer from 0", "half a byte")
misuse({ path = shard0, offset = 0 }, "belong together", "an offset without a size")
misuse({ path = "a\0b", offset = 0, size = 1 }, "NUL", "a path with a NUL byte")
misuse({ path = 5, offset = 0, size = 1 }, "path must be a string", "a number for a path")
tap.raises(function() clip.image { path = shard0, ofset = 1 } end, "unknown field 'ofset'",
           "a misspelt field")
tap.is(clip.image({ path = paths[1] }):bytes(), clip.image(paths[1]):bytes(),
       "without offset and size it is the file")

-- ---- what else a directory may hold ----

local png = tap.read(paths[1])
local function simple(fields)
  local files = { ["classnames.txt"] = "cat\ndog\n", ["test/nshards.txt"] = "1\n",
                  ["test/0.tar"] = { { "a.png", png }, { "a.cls", "1" } } }
  for name, content in pairs(fields or {}) do files[name] = content or nil end
  return directory(files)
end

items = load(simple { ["test/0.tar"] = {
  { "./d/", "", "5" }, { "./d/b.jpg", png }, { "./d/b.CLS", " 0\n" }, { "./d/b.json", "{}" },
  { "./d/b.seg.png", png }, { "./d/._b.jpg", png }, { "README", "words" }, { "c.cls", "+1" },
{ "only.json", "{}" }, { "x/c.webp", png }, { "c.WEBP", png },
  { "x/c.cls", "0" } } })
tap.is(join(items, "id"), "test/0/1-d/b test/0/2-c test/0/3-x/c",
       "keys that do not sort are numbered; what belongs to no sample is left alone")
tap.is(join(items, "label"), "1 2 1", "labels count from 0, blanks around them")
items, _, self = load(simple { ["train/nshards.txt"] = "1", ["train/0.tar"] = {
  { "k.png", png }, { "k.cls", "0" } } }, { split = "train" })
tap.is(self.split .. " " .. join(items, "id"), "train train/0/k", "another split, on demand")
tap.is(self.templates, nil, "templates are optional")
items, classes, self = load(simple { ["test/nshards.txt"] = false, ["val/nshards.txt"] = "1\r\n",
  ["classnames.txt"] = " cat \r\ndog\r\n\r\n", ["val/0.tar"] =
  { { "k.png", "" }, { "k.cls", "1" } } })
tap.is(self.split .. " " .. table.concat(classes, "|"), "val cat|dog",
       "the only split; carriage returns and empty lines at the end")
tap.is(items[1].size, 0, "an empty picture is an item: it is a problem when it is read")
_, classes = load(simple { ["classnames.txt"] = false }, { classes = { "Katze", "Hund" } })
tap.is(classes[2], "Hund", "classes of the script's own")
_, classes = load(simple { ["classnames.txt"] = "cat\ncat\n" })
tap.is(#classes, 2, "classes of one name are two")
tap.is(#load(simple { ["test/0.tar"] = {} }), 0, "an empty shard")

-- ---- retrieval and multilabel ----

items, classes, self = load(simple { ["dataset_type.txt"] = "Retrieval\n",
  ["classnames.txt"] = false, ["test/0.tar"] = {
  { "a.jpg", png }, { "a.txt", "one cat\r\ntwo {c}\u{2028}drei Bär\n" },
  { "b.jpg", png }, { "b.txt", "x\\ny" } } })
tap.is(self.kind .. " " .. join(items, "captions"), "retrieval one cat+two {c}+drei Bär x\\ny",
       "captions, cut as Python cuts them")
tap.is(classes, nil, "retrieval has no classes")

local function npy(descr, format, ...)
  local header = "{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }"
  header = header:format(descr, select("#", ...))
  header = header .. (" "):rep(-(#header + 11) % 64) .. "\n"
  local text = "\x93NUMPY\1\0" .. ("<s2"):pack(header)
  for _, value in ipairs { ... } do text = text .. format:pack(value) end
  return text
end
local MULTI = { ["dataset_type.txt"] = "multilabel", ["classnames.txt"] = "a\nb\nc\n" }
local function multilabel(data)
  MULTI["test/0.tar"] = { { "k.png", png }, { "k.npy", data } }
  return load(simple(MULTI))
end
for _, case in ipairs { { "<f4", "<f" }, { "<i8", "<i8" }, { ">i2", ">i2" }, { "|b1", "B" },
                        { "<f8", "<d" }, { "|u1", "B" } } do
  tap.is(join(multilabel(npy(case[1], case[2], 1, 0, 1)), "labels"), "1+3",
         "targets of " .. case[1])
end
tap.is(#multilabel(npy("<f4", "<f", 0, 0, 0))[1].labels, 0, "a picture without classes")

-- ---- what is wrong with it, in one line ----

local function fault(fields, text, name, options)
  local place = simple(fields)
  local ok, message = pcall(load, place, options)
  tap.ok(not ok and message:find(text, 1, true) and not message:find("\n"), name, message)
end
local function shard(...) return { ["test/0.tar"] = { ... } } end
local A, B = { "a.png", png }, { "a.cls", "1" }
fault({}, "no split 'val' (there are test)", "a split that is not there", { split = "val" })
fault({ ["test/nshards.txt"] = false, ["u/nshards.txt"] = "1", ["v/nshards.txt"] = "1" },
      "say which split (there are u, v)", "no split chosen")
fault({ ["test/nshards.txt"] = false }, "(expected: SPLIT/nshards.txt", "no split at all")
fault({ ["test/nshards.txt"] = "2" }, "says 2 shards, and there is no", "a missing shard")
fault({ ["test/nshards.txt"] = "0" }, "nshards.txt: not a number of shards", "no shards")
fault({ ["test/nshards.txt"] = "many" }, "nshards.txt: not a number of shards", "shards in words")
fault({ ["test/nshards.txt"] = "" }, "nshards.txt: empty", "an empty nshards.txt")
fault({ ["dataset_type.txt"] = "vqa" }, "'vqa' is no type known here (there are classification",
      "another type")
fault({ ["classnames.txt"] = false }, "no classnames.txt in", "no class names")
fault({ ["classnames.txt"] = false },
      "of a set with captions, dataset_type.txt says so: 'retrieval'",
      "no class names: it may have captions")
fault({ ["test/nshards.txt"] = false, ["x.h5"] = "" }, "; x.h5 is HDF5, which is not read",
      "HDF5 where shards are expected")
fault({}, "class 2 is no text", "a class that is a number", { classes = { "cat", 2 } })
fault({}, "'dog' has no place in a list", "classes as a map", { classes = { dog = "Hund" } })
fault({ ["classnames.txt"] = "cat\n\ndog\n" }, "classnames.txt:2: an empty line", "an empty class")
fault({ ["classnames.txt"] = "cat\nd\xffg\n" }, "classnames.txt:2: not UTF-8", "a class in bytes")
fault({ ["classnames.txt"] = "\n" }, "classnames.txt: empty", "no class")
fault(shard(A), "0.tar: a has no .cls", "a picture without a label")
fault(shard(A, { "a.txt", "words" }), "a has no .cls, but a .txt: dataset_type.txt beside " ..
      "classnames.txt, with the line 'retrieval', makes", "captions without dataset_type.txt")
fault(shard(A, { "a.npy", "" }), "with the line 'multilabel'", "targets without dataset_type.txt")
fault(shard(A, { "a.mat", "" }), "a has no .cls: a.mat is MATLAB's, which is not read", "MATLAB's")
fault(shard({ "a.h5", "" }, B), "a has no picture (jpeg, jpg, png, webp): a.h5 is HDF5, which is",
      "HDF5 for a picture")
fault(shard(B), "0.tar: a has no picture (jpeg, jpg, png, webp)", "a label without a picture")
fault(shard(A, B, { "a.jpg", png }), "two members for one picture: a.png and a.jpg", "two pictures")
fault(shard({ "a\nb.png", png }), "0.tar: a?b has no .cls", "a name of two lines")
fault(shard(A, B, B), "two members for one label: a.cls and a.cls", "a key that comes twice")
fault(shard(A, { "a.cls", "2" }), "0.tar: a.cls: the label 2 is no class (there are 2, from 0)",
      "a label outside the classes")
fault(shard(A, { "a.cls", "-1" }), "a.cls: the label '-1' is no number", "a negative label")
fault(shard(A, { "a.cls", "" }), "a.cls: the label '' is no number", "an empty label")
fault(shard(A, { "a.cls", "99999999999999999999" }), "is no number", "a label beyond integers")
fault(shard(A, { "a.cls", (" "):rep((1 << 20) + 1) }), "a.cls: 1048577 bytes, where 1048576",
      "a huge label")
fault(shard(A, B, { "../b.png", png }), "member '../b.png': a name with '..'",
      "a name that leads out")
fault(shard(A, B, { "b.png", "", "2" }), "member 'b.png' is a symbolic link", "a link")
fault({ ["test/0.tar"] = tar({ A, B }):sub(1, -1025) }, "truncated: no end of the archive",
      "a shard that ends early")
fault({ ["test/0.tar"] = ("<html>"):rep(200) }, "0.tar: not a tar file", "a page that says 404")
fault({ ["test/0.tar"] = "version https://git-lfs.github.com/spec/v1\n" }, "0.tar: not a tar file",
      "a pointer of git-lfs")
local function captions(text)
  return { ["dataset_type.txt"] = "retrieval", ["test/0.tar"] = { A, { "a.txt", text } } }
end
fault(captions(""), "a.txt: no captions", "no captions")
fault(captions("x\n \ny"), "a.txt:2: an empty caption", "an empty caption")
fault(captions("\xff"), "a.txt: not UTF-8", "captions in bytes")
local function targets(text, what, name)
  MULTI["test/0.tar"] = { A, { "a.npy", text } }
  fault(MULTI, what, name)
end
targets("nothing", "a.npy: not an npy file", "no npy")
targets(npy("<f4", "<f", 1, 0), "a.npy: 2 targets for 3 classes", "too few targets")
targets(npy("<f4", "<f", 1, 0, 2), "the target of class 2 is 2.0, neither 0 nor 1",
        "another target")
targets(npy("<f4", "<f", 1, 0, 1):sub(1, -2), "a.npy: 3 numbers are promised, and 2.75 are there",
        "a short npy")
targets(npy("<U4", "<f", 1, 0, 1), "not a one-dimensional array", "an npy of texts")
targets("\x93NUMPY\1\0\xff\xff{}", "truncated in its header", "an npy's header that lies")
targets("\x93NUMPY\1\0" .. ("<s2"):pack("{'descr': '<f8', 'shape': (9223372036854775807,)}"),
        "9223372036854775807 numbers are promised, and 0 are there", "an npy's shape that lies")

-- ---- as a dataset ----

local data = clip.dataset("wds:" .. root)
tap.is(tostring(data), ("dataset %s, split test (60 pictures, 6 classes)"):format(
       root:match("[^/]+$")), "wds:DIR is a dataset of its own")
local result = clip.zeroshot { model = model, dataset = data, prompts = data.templates }
tap.is(#result.problems, 0, "whose pictures are read where they lie")
tap.raises(function() clip.dataset("wds:" .. root, { split = "val" }) end,
           "no split 'val' (there are test)", "and whose splits are known")
tap.raises(function() clip.dataset("wds:" .. tap.directory() .. "/none") end,
           "expected: SPLIT/nshards.txt", "or whose files are shown")

tap.done()
os.exit(true, true) -- or the evaluation would be written
