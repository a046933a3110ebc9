-- Class names and templates are those of the references, character by character: each list is
-- told by its length and the SHA-256 of its lines, taken from the reference itself
-- (CLIP_benchmark 1.6.2, open_clip 3.3.0, TensorFlow Datasets 4.9.10, OpenAI's prompts.md).
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"

local LISTS = {
  { "datasets/caltech101.lua", "classes", 102,
    "e0ecbf33d0f07158b1f91fdb05bce8278b9361da0dab3713921eb065636b7121" },
  { "datasets/caltech101.lua", "folders", 102,
    "29b4fa6960e0d21c7843006bb5410638c9ec4c0031ab1980cd0fe9cc74156c76" },
  { "datasets/cars.lua", "classes", 196,
    "93d089469409bbd00725ce041797cad929e156fba50c3e19a0f49ef65efcb990" },
  { "datasets/cifar10.lua", "classes", 10,
    "bb3914949cecedee6d1257f7f5fdb8f43fa3b2c8095fd1763161caf1b873fe59" },
  { "datasets/cifar100.lua", "classes", 100,
    "fbe8ad23bbaf24969898a386833b49c3aaf6ad1119d43f7b41cdea1b3416d578" },
  { "datasets/country211.lua", "classes", 211,
    "027b30d283f3a15306e903a533f20d65bbc6fc977970113980b45f517b0e1b28" },
  { "datasets/country211.lua", "folders", 211,
    "c54b54774502ea02794d2be0db942ccf5b0ac076736899ab214e91b509b604f5" },
  { "datasets/dtd.lua", "classes", 47,
    "681d23b9cd3c2edec8ff7ea1fd6f5dd92f3b8d1dfb5a43fd0faee72a116c1130" },
  { "datasets/eurosat.lua", "classes", 10,
    "ee2e41b9973e7206862cbcded186c61be7b413418248f678e1bf80179da28d9c" },
  { "datasets/fgvc_aircraft.lua", "classes", 100,
    "e1c9e72060e63d526dce032008262a95f573b02e802be7be42f0cb6ccd5b4217" },
  { "datasets/flowers.lua", "classes", 102,
    "5429e1ef6e0e5aa3db2258257b28da08919bf32046a6854cf5f044ff1e8b79fd" },
  { "datasets/food101.lua", "classes", 101,
    "9c0eeb5a368baacb40650cccd4b8cbc4a735bfad22fddc8ba521a99d8892f690" },
  { "datasets/food101.lua", "labels", 101,
    "efe7060c0e6aa88c98d3ad9532240013747f6b2179d45e1f750527890437c59d" },
  { "datasets/gtsrb.lua", "classes", 43,
    "953036bc5aedbe6ba1f4f38a3d09da17e8e062ca3e4bfed6a8074e9f03f884c6" },
  { "datasets/imagenet1k.lua", "classes", 1000,
    "571ae1c583b4be7da87519494c52bf405a46af05d5815627c7a0dee997068b60" },
  { "datasets/imagenet_a.lua", "classes", 200,
    "4b36c17b1b1bba6c18f01853a5cec90f5a342594ef1e9cfd7b64f374db61ccfc" },
  { "datasets/imagenet_a.lua", "folders", 200,
    "f6aa4b23244554d9b864fd715ae20048f6a9686388911b2dfbf1ada01bf0f520" },
  { "datasets/imagenet_r.lua", "classes", 200,
    "79cac199a91468418c879d1cc78ed06512c6ad13ed7e2cda4d550decccd6f7a1" },
  { "datasets/imagenet_r.lua", "folders", 200,
    "e19a59d84e3746fafd34d2ccf6ae604a44e9a0500a596f343c878a89e30ce624" },
  { "datasets/imagenet_sketch.lua", "classes", 1000,
    "571ae1c583b4be7da87519494c52bf405a46af05d5815627c7a0dee997068b60" },
  { "datasets/imagenetv2.lua", "classes", 1000,
    "571ae1c583b4be7da87519494c52bf405a46af05d5815627c7a0dee997068b60" },
  { "datasets/mnist.lua", "classes", 10,
    "29dd21f55e4611d4c787c2148e39b4e341d4c10701dd03eed360aa55035bdb34" },
  { "datasets/objectnet.lua", "classes", 113,
    "6f31c7eebfd7cd1d19bf0640ec17f649e2b6bce48f13a142224bc0fa327e659e" },
  { "datasets/objectnet.lua", "folders", 113,
    "8931130a1d0560e39b87730b75c3ea8819075942aa9949d39cfede79887279b0" },
  { "datasets/pcam.lua", "classes", 2,
    "27352df7ede1fd87a26ed6ec3eb45afcf7d9d043f60737c04a34121a22f75fd6" },
  { "datasets/pets.lua", "classes", 37,
    "50be1443390f8a02e835fed1dbc90ef03af4f27253569f3f55aede2cb62915be" },
  { "datasets/renderedsst2.lua", "classes", 2,
    "2e61aa7558046c2c06828d16b5294b88705d251fb7fefe5532c237882e9eb91c" },
  { "datasets/shared/imagenet.lua", "ids", 1000,
    "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd" },
  { "datasets/shared/imagenet.lua", "ilsvrc", 1000,
    "3fd08c97c07a3b973bf476741682767ba9cd39cc8429570df2ad70fc626b25ec" },
  { "datasets/stl10.lua", "classes", 10,
    "08b234ce7b11dbd3e77d1dacf32b2dac8fcd36efa7d7719ad1def4d8f1153bf4" },
  { "datasets/sun397.lua", "classes", 397,
    "f3658762309b631003a76005130a6e6e964a07f5bde5de6095c04af894a3f11f" },
  { "datasets/sun397.lua", "folders", 397,
    "d53006b1a7cf033c0c498eddac6ada1c9e078b74d2a16ccd56db57955417b5a3" },
  { "datasets/voc2007.lua", "classes", 20,
    "7d877f185c807bc51b4cfb4f4202fc0b4e1c6724b782ba245fe36f8d254f0ad7" },
  { "prompts/caltech101.lua", "templates", 34,
    "90561580b7ea5dbaf0161ef4dd5b47ae922b3a209da4fd5d3ddf7585bcc23157" },
  { "prompts/cars.lua", "templates", 8,
    "255ecc632c41182cfacee31d66ce749bae084f8d3dbedd942d33806a841c8516" },
  { "prompts/cifar10.lua", "templates", 18,
    "9bbf912e1144ca4c7de308d478b5ced7ea3df9e61ce5d100ef184831bb5dc715" },
  { "prompts/cifar100.lua", "templates", 18,
    "9bbf912e1144ca4c7de308d478b5ced7ea3df9e61ce5d100ef184831bb5dc715" },
  { "prompts/cifar100_openai.lua", "classes", 100,
    "60ae3a3ac1355fcfec19c0ea3cb5fde15203ecf3b537cabcf6d5d54688ee9a4d" },
  { "prompts/cifar100_openai.lua", "templates", 18,
    "9bbf912e1144ca4c7de308d478b5ced7ea3df9e61ce5d100ef184831bb5dc715" },
  { "prompts/cifar10_zh.lua", "templates", 11,
    "5c7d85fc3c77b66c66101e7efa83fd7c7f079ba134d5f422a87cd2aec809bbed" },
  { "prompts/country211.lua", "templates", 5,
    "038d0d5e084b6ee18ca31484c8cfc6374885b3182d6909c33641e09c5b5a1b06" },
  { "prompts/dtd.lua", "templates", 8,
    "1f6888d2130f62a4430711bd4d66af9622fba635594f64f7e51c07248cec899e" },
  { "prompts/eurosat.lua", "templates", 3,
    "9bc85d9f1798d03b9991ddfa721493693040d8c222e2f8d8bbf5a0c3ca2507e8" },
  { "prompts/fer2013.lua", "templates", 6,
    "ae805dccc6d01c6a10ba82c985de86ba5d94c9721e89f9e0d0607be9baa8c806" },
  { "prompts/fgvc_aircraft.lua", "templates", 2,
    "91522de75ad4471161537f83b8a0652763a74efa59123fb88a77efc46a5baa3e" },
  { "prompts/flowers.lua", "templates", 1,
    "bfcd4bbb214d501571cbd68b67ec7b6c86645edc476df3fe0f65c9249d3c50c7" },
  { "prompts/food101.lua", "templates", 1,
    "77a79bac7d9cf25b704d8c51158c1f16659cafee6035c8d63e27172ffaec2340" },
  { "prompts/gtsrb.lua", "templates", 3,
    "a6794061485dcfa26692dc3cbe96aca5a7430e77f2b4b5d4c84d92b90b917348" },
  { "prompts/imagenet_7.lua", "templates", 7,
    "6ef3883987d224b7949da69fe0b615af152e1560eaac4c5c38555e50c882d415" },
  { "prompts/imagenet_80.lua", "templates", 80,
    "4f976686fb651bb5803d4689dcd849f75efe0ef19a3c801355bc9a6f03c8a5af" },
  { "prompts/imagenet_zh.lua", "classes", 1000,
    "e995c9fbc60a69e41dfd59573ea637a4deecc01e04d6cb5b6964a682d0f61ffd" },
  { "prompts/imagenet_zh.lua", "templates", 80,
    "aca0c24e842acc1ddaaf821f3cfd84feb269cd58a7cc31f50869418263682a29" },
  { "prompts/mnist.lua", "templates", 1,
    "c0341e0a1fdfd8fb441a865f926ed68cb9e470397caae1351be2ed752cccaa7e" },
  { "prompts/pcam.lua", "templates", 2,
    "f15b46876205c9dbc1592d2c7f5e1df870b5843ed68d8243401fce50f3ba0c3a" },
  { "prompts/pets.lua", "templates", 1,
    "16a0790f0e45e97e33950cca7bb403ace4980897f60a295992f2e7aeb85507a1" },
  { "prompts/renderedsst2.lua", "templates", 1,
    "9034019e8a14384cbf990f70d104fd852ac7ddbc1616f6f38973851731cdb9e7" },
  { "prompts/resisc45.lua", "templates", 4,
    "5a87542b5e4d426cb35f40adae30d63be16cff87b03524abdc371b55479966cf" },
  { "prompts/stl10.lua", "templates", 2,
    "c97a3d1ad58198007966a354d239e288f2f79fa2479aaf7ce6c11f7a6b876efb" },
  { "prompts/sun397.lua", "templates", 2,
    "c97a3d1ad58198007966a354d239e288f2f79fa2479aaf7ce6c11f7a6b876efb" },
  { "prompts/svhn.lua", "templates", 6,
    "89f08e8bbeaa6bd57222d0f3d88904591bdf98429cda49086da2a12fec4a5e45" },
  { "prompts/voc2007.lua", "templates", 1,
    "e8e367e769f86c27d7507382b76c671667da9fa8ae030159a57681a812b0fa33" },
}

local function load(path)
  return assert(loadfile(path, "t"))(function(name)
    return load(path:match("^(.*/)") .. name)
  end)
end

local function file(name) return load(arg.source .. "/" .. name) end

local function names(kind)
  local list = {}
  local pipe = assert(io.popen(("ls %s"):format(tap.quote(arg.source .. "/" .. kind))))
  for name in pipe:lines() do list[#list + 1] = name:match("^(.+)%.lua$") end
  pipe:close()
  return list
end

for _, row in ipairs(LISTS) do
  local path, key, count, sha256 = table.unpack(row)
  local list = file(path)[key]
  tap.ok(#list == count and clip.sha256(table.concat(list, "\n")) == sha256,
         ("%s: %s are the reference's %d"):format(path, key, count))
end

-- ---- every file ----

local KINDS = { classification = true, multilabel = true, retrieval = true, vqa = true,
                pairs = true, match = true }

for _, name in ipairs(names "prompts") do
  local p, path = clip.prompts(name), arg.source .. "/prompts/" .. name .. ".lua"
  tap.ok(p.name == name and p.version ~= "" and file("prompts/" .. name .. ".lua").about,
         path:match("[^/]+/[^/]+$") .. ": has its file's name, a version and a remark")
end

local function check_dataset(name)
  local d = file("datasets/" .. name .. ".lua")
  local n = d.classes and #d.classes
  for _, part in pairs(d.splits or {}) do
    if type(part) == "table" then
      if part.folders and #part.folders ~= n then return "folders of a split" end
      if part.labels and type(part.labels) == "table" and #part.labels ~= n then
        return "labels of a split"
      end
    end
  end
  if d.name ~= name or not d.version or not d.about or not d.source then return "about" end
  if d.folders and #d.folders ~= n or d.labels and #d.labels ~= n then return "folders" end
  if d.split and not d.splits[d.split] then return "split" end
  if d.task and not KINDS[d.task] then return "task" end
  if d.templates and clip.prompts(d.templates).name ~= d.templates then return "templates" end
end

for _, name in ipairs(names "datasets") do
  tap.is(check_dataset(name), nil, "datasets/" .. name .. ".lua agrees with itself")
end

-- ---- samples, by hand ----

local imagenet = file "datasets/shared/imagenet.lua"
local function at(id)
  for i, other in ipairs(imagenet.ids) do
    if other == id then return imagenet.names[i] .. " " .. imagenet.ilsvrc[i] .. " " .. i end
  end
end
tap.is(at "n01440764", "tench 449 1", "tench")
tap.is(at "n02119789", "kit fox 1 279", "the challenge's first class")
tap.is(at "n01751748", "sea snake 490 66", "that of ILSVRC2012_val_00000001.JPEG")
tap.is(at "n03126707", "construction crane 545 518", "OpenAI's corrected names")
tap.is(at "n15075141", "toilet paper 889 1000", "the last")
local count, twice = {}, {}
for _, name in ipairs(imagenet.names) do
  count[name] = (count[name] or 0) + 1
  if count[name] == 2 then twice[#twice + 1] = name end
end
table.sort(twice)
tap.is(table.concat(twice, ", "), "missile, sunglasses", "two names stand for two classes each")

local texts, _, about = clip.prompts "imagenet_80":render(imagenet.names)
tap.is(#texts .. " " .. about.sha256,
       "80000 be94544a2f499aee64302761ea48c5b08bc5fd29b9481e35db4c3af2f49b7224",
       "all of ImageNet's texts are those that open_clip makes")

local objectnet = file "datasets/objectnet.lua"
tap.is(objectnet.folders[11] .. ": " .. objectnet.classes[11], "bread_loaf: bread loaf",
       "ObjectNet")
tap.is(file "datasets/sun397.lua".classes[9], "apartment building outdoor", "SUN397")
tap.is(file "datasets/food101.lua".classes[17], "cheese plate", "Food-101 sorts by folder")
tap.is(file "datasets/caltech101.lua".classes[31], "head of a  crocodile",
       "two blanks, as published")
tap.is(file "prompts/imagenet_80.lua".templates[1], "a bad photo of a {}.", "ImageNet's templates")
tap.is(file "prompts/imagenet_zh.lua".classes[1], "丁鲷", "ImageNet in Chinese")
tap.is(file "prompts/cifar10_zh.lua".classes[4], "猫", "CIFAR-10 in Chinese")
tap.is(#file "prompts/cifar10_zh.lua".classes, #file "datasets/cifar10.lua".classes,
       "as many as CIFAR-10 has")
tap.done()
