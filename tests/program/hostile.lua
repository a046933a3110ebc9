-- A corpus of hostile and broken checkpoints, made here: pickles, zips, indices, tokenizers.
-- Each must be an error of one line that names the file and the fault, and soon.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local base = arg.source .. "/tests/golden/models/clip-hf-gelu-legacy/"

local number = 0

-- Opens a copy of the base model, its weights replaced by `files`, and expects `message`.
local function refused(name, files, message)
  number = number + 1
  local directory = ("hostile/%d"):format(number)
  for _, file in ipairs { "config.json", "preprocessor_config.json", "vocab.json", "merges.txt" } do
    if files[file] == nil then tap.write(directory .. "/" .. file, tap.read(base .. file)) end
  end
  for file, text in pairs(files) do
    if text then tap.write(directory .. "/" .. file, text) end
  end
  directory = tap.directory() .. "/" .. directory
  local start = os.clock()
  local ok, fault = pcall(clip.model, directory)
  fault = tostring(fault)
  tap.ok(not ok and fault:find(message, 1, true) and fault:find(directory, 1, true) and
         not fault:find("\n"), name, ok and "it opened" or fault)
  tap.ok(os.clock() - start < 5, name .. ": soon", fault)
  return fault
end

-- ---- pickles ----

local PROTO, MARK, STOP = "\128\2", "(", "."
local function global(module, name) return "c" .. module .. "\n" .. name .. "\n" end
local function text(s) return "X" .. string.pack("<s4", s) end
local function int(n) return "J" .. string.pack("<i4", n) end
local function long(n) return "\138\8" .. string.pack("<i8", n) end
local function tuple(...) return MARK .. table.concat { ... } .. "t" end
local function dict(...) return "}" .. MARK .. table.concat { ... } .. "u" end

-- A tensor as torch.save writes it; every number may lie.
local function tensor(t)
  t = setmetatable(t or {}, { __index = { type = "FloatStorage", key = "0", numel = 4, offset = 0,
                                          shape = { 2, 2 }, stride = { 2, 1 } } })
  local function tuple_of(list)
    local parts = {}
    for i, n in ipairs(list) do parts[i] = long(n) end
    return tuple(table.unpack(parts))
  end
  local storage = tuple(text "storage", global("torch", t.type), text(t.key), text "cpu",
                        long(t.numel)) .. "Q"
  return global("torch._utils", "_rebuild_tensor_v2") ..
         tuple(storage, long(t.offset), tuple_of(t.shape), tuple_of(t.stride), "\137",
               global("collections", "OrderedDict") .. ")R") .. "R"
end

-- ---- zips ----

local function crc32(s)
  local crc = 0xffffffff
  for i = 1, #s do
    crc = crc ~ s:byte(i)
    for _ = 1, 8 do crc = (crc >> 1) ~ (0xedb88320 & -(crc & 1)) end
  end
  return crc ~ 0xffffffff
end

-- A zip of stored members {name, bytes}; `lie(field, i, value)` may change any number in it.
local function zip(members, lie)
  lie = lie or function(_, _, value) return value end
  local out, central, offset = {}, {}, 0
  for i, m in ipairs(members) do
    local name, bytes = m[1], m[2]
    local size, crc = #bytes, crc32(bytes)
    local localheader = string.pack("<c4I2I2I2I2I2I4I4I4I2I2", "PK\3\4", 20, 0,
      lie("local method", i, 0), 0, 0, crc, lie("local size", i, size), lie("local size", i, size),
      lie("local name size", i, #name), lie("local extra size", i, 0))
    central[i] = string.pack("<c4I2I2I2I2I2I2I4I4I4I2I2I2I2I2I4I4", "PK\1\2", 20, 20, 0,
      lie("method", i, 0), 0, 0, crc, lie("size", i, size), lie("size", i, size),
      lie("name size", i, #name), 0, 0, 0, 0, 0, lie("offset", i, offset)) ..
      lie("name", i, name)
    out[i] = localheader .. lie("local name", i, name) .. bytes
    offset = offset + #out[i]
  end
  local directory = table.concat(central)
  return table.concat(out) .. directory ..
         string.pack("<c4I2I2I2I2I4I4I2", "PK\5\6", 0, 0, lie("count", 0, #members),
                     lie("count", 0, #members), lie("directory size", 0, #directory),
                     lie("directory offset", 0, offset), 0)
end

local FLOATS = ("\0\0\128\63"):rep(4)
local function archive(pickle, lie, more)
  local members = { { "archive/data.pkl", pickle }, { "archive/version", "3\n" },
                    { "archive/data/0", FLOATS } }
  for _, m in ipairs(more or {}) do members[#members + 1] = m end
  return zip(members, lie)
end
local function state(...) return PROTO .. dict(...) .. STOP end
local GOOD = state(text "a", tensor())

local function pickle(name, bytes, message)
  refused("pickle: " .. name, { ["pytorch_model.bin"] = archive(bytes) }, message)
end

refused("the corpus's own form is right: only tensors are missing",
        { ["pytorch_model.bin"] = archive(GOOD) }, "no tensor ")
pickle("a forbidden global", PROTO .. global("os", "system") .. tuple(text "id") .. "R.",
       "os.system")
pickle("what a wrapper put before every name is dropped",
       state(text "model.a", tensor(), text "model.logit_scale", tensor()),
       "tensor logit_scale is 2 x 2")
pickle("one with another spelling", "\128\4\140\5posix\140\6system\147\140\2id\133R.",
       "posix.system")
pickle("builtins", PROTO .. global("builtins", "eval") .. tuple(text "1") .. "R.", "builtins.eval")
pickle("old Python's builtins", PROTO .. global("__builtin__", "exec") .. tuple(text "1") .. "R.",
       "__builtin__.exec")
pickle("a global hidden in a value",
       state(text "a", tensor(), text "b", global("subprocess", "Popen")),
       "subprocess.Popen")
pickle("a global of torch that computes",
       PROTO .. global("torch", "load") .. tuple(text "x") .. "R.",
       "torch.load")
pickle("an object that is called", PROTO .. text "x" .. tuple() .. "R.", "its pickle")
pickle("an instance of an unknown class", PROTO .. MARK .. "ios\nsystem\n.", "its pickle")
pickle("nothing", "", "its pickle")
pickle("no protocol", "garbage", "its pickle")
pickle("an unknown opcode", PROTO .. "\255.", "its pickle")
pickle("no end", PROTO .. "}", "its pickle")
pickle("an empty stack", PROTO .. STOP, "its pickle")
pickle("a stack that runs dry", PROTO .. "ttt.", "its pickle")
pickle("a memo that was never set", PROTO .. "h\7.", "its pickle")
pickle("a memo far away", PROTO .. "}r\255\255\255\255.", "")
pickle("a string of 4 GB", PROTO .. "X\255\255\255\255x.", "its pickle")
pickle("a string of 2^63 bytes", "\128\4\141" .. string.pack("<I8", 1 << 63) .. "x.", "its pickle")
pickle("a number of 2 GB", PROTO .. "\139\255\255\255\127x.", "its pickle")
pickle("a deep list", PROTO .. ("]"):rep(300000) .. ("a"):rep(299999) .. ".", "")
pickle("a deep tuple", PROTO .. ")" .. ("\133"):rep(300000) .. ".", "")
pickle("a memo bomb", PROTO .. ")" .. ("q\0h\0h\0\134"):rep(60) .. ".", "")
pickle("a bomb in a state dict", state(text "a", ")" .. ("q\0h\0h\0\134"):rep(60)), "")
pickle("a list that holds itself", PROTO .. "]q\0h\0a.", "")
pickle("a dict that holds itself", PROTO .. "}q\0X\10\0\0\0state_dicth\0s.", "")
pickle("a number at the top", PROTO .. int(7) .. STOP, "")
pickle("a list at the top", PROTO .. "]" .. tensor() .. "a" .. STOP, "")
pickle("a dict without tensors", state(text "epoch", int(3)), "")
pickle("a tensor without a name", state(int(3), tensor()), "")
pickle("two tensors with one name", PROTO .. "}" .. MARK .. text "a" .. tensor() .. text "a" ..
       tensor() .. "u.", "tensor a is there twice")
pickle("a storage that is too small", state(text "a", tensor { shape = { 3, 2 } }), "a")
pickle("an offset behind the end", state(text "a", tensor { offset = 1 }), "a")
pickle("an offset before the start", state(text "a", tensor { offset = -1 }), "a")
pickle("an offset that overflows", state(text "a", tensor { offset = math.maxinteger }), "a")
pickle("a shape that overflows", state(text "a", tensor { shape = { 1 << 32, 1 << 32 } }), "a")
pickle("a negative size", state(text "a", tensor { shape = { -2, -2 } }), "a")
pickle("a negative stride", state(text "a", tensor { stride = { -2, 1 } }), "a")
pickle("a stride that overflows", state(text "a", tensor { stride = { math.maxinteger, 1 } }), "a")
pickle("strides of another rank", state(text "a", tensor { stride = { 1 } }), "a")
pickle("a rank of 1000", state(text "a", tensor { shape = table.move({}, 1, 0, 1, (function()
  local t = {} for i = 1, 1000 do t[i] = 1 end return t end)()), stride = { 1 } }), "a")
pickle("a huge broadcast",
       state(text "a", tensor { shape = { 1 << 20, 1 << 20 }, stride = { 0, 0 } }), "a")
pickle("a storage that lies about its size", state(text "a", tensor { numel = 1 << 40 }), "a")
pickle("a storage that is not there", state(text "a", tensor { key = "9" }), "9")
pickle("a storage outside the archive", state(text "a", tensor { key = "../../0" }), "a")
pickle("a storage of another type than its bytes",
       state(text "a", tensor { type = "QUInt8Storage" }),
       "data/0")
pickle("an unknown storage type", state(text "a", tensor { type = "OddStorage" }),
       "torch.OddStorage")

refused("a zip: truncated", { ["pytorch_model.bin"] = archive(GOOD):sub(1, -30) },
        "pytorch_model.bin")
refused("a zip: without a pickle", { ["pytorch_model.bin"] = zip { { "a/b", "c" } } },
        "pytorch_model.bin")
refused("a zip: empty", { ["pytorch_model.bin"] = zip {} }, "pytorch_model.bin")
refused("a zip: big-endian", { ["pytorch_model.bin"] =
  archive(GOOD, nil, { { "archive/byteorder", "big" } }) }, "byte order")
refused("a zip: a name twice", { ["pytorch_model.bin"] =
  archive(GOOD, nil, { { "archive/data/0", FLOATS } }) }, "archive/data/0")
local function lying(name, field, member, value, message)
  refused("a zip that lies: " .. name, { ["pytorch_model.bin"] = archive(GOOD, function(f, i, was)
    return f == field and i == member and value or was
  end) }, message or "pytorch_model.bin")
end
lying("compressed", "method", 1, 8)
lying("compressed, says the member", "local method", 3, 8)
lying("a size too large", "size", 3, 1 << 30)
lying("a size of the member", "local size", 3, 17)
lying("a size too small", "size", 3, 12)
lying("an offset behind the end", "offset", 3, 0xfffffff0)
lying("an offset into another member", "offset", 3, 7)
lying("two members in one place", "offset", 3, 0)
lying("another name", "local name", 3, "archive/data/1")
lying("a name that is too long", "name size", 3, 0xffff)
lying("an extra field that is too long", "local extra size", 3, 0xffff)
lying("more members than there are", "count", 0, 0xfffe)
lying("fewer members", "count", 0, 1)
lying("a directory that is too large", "directory size", 0, 0x7fffffff)
lying("a directory behind the end", "directory offset", 0, 0x7fffffff)
lying("ZIP64 without its record", "directory offset", 0, 0xffffffff)

-- ---- the form before PyTorch 1.6 ----

local function old(p, keys, storages)
  return PROTO .. "\138\10\108\252\156\70\249\32\106\168\80\25." .. PROTO .. "M\233\3." .. PROTO ..
         dict(text "protocol_version", "M\233\3", text "little_endian", "\136", text "type_sizes",
              "}") .. STOP .. p .. PROTO .. keys .. STOP .. storages
end
local function old_tensor(numel)
  local storage = tuple(text "storage", global("torch", "FloatStorage"), text "0", text "cpu",
                        long(numel or 4), "N") .. "Q"
  return global("torch._utils", "_rebuild_tensor_v2") ..
         tuple(storage, long(0), tuple(long(2), long(2)), tuple(long(2), long(1)), "\137",
               global("collections", "OrderedDict") .. ")R") .. "R"
end
local KEYS, OLD = "]" .. text "0" .. "a", string.pack("<i8", 4) .. FLOATS
local function before(name, bytes, message)
  refused("before 1.6: " .. name, { ["pytorch_model.bin"] = bytes }, message or "pytorch_model.bin")
end
before("the form is right", old(state(text "a", old_tensor()), KEYS, OLD), "no tensor ")
before("cut off", old(state(text "a", old_tensor()), KEYS, OLD:sub(1, -2)))
before("no storages", old(state(text "a", old_tensor()), KEYS, ""))
before("a storage that is not listed", old(state(text "a", old_tensor()), "]", ""))
before("another size than it says", old(state(text "a", old_tensor()), KEYS,
                                        string.pack("<i8", 3) .. FLOATS))
before("a negative size",
       old(state(text "a", old_tensor()), KEYS, string.pack("<i8", -4) .. FLOATS))
before("a huge size", old(state(text "a", old_tensor(1 << 60)), KEYS,
                          string.pack("<i8", 1 << 60) .. FLOATS))
before("a forbidden global", old(PROTO .. global("os", "system") .. STOP, KEYS, OLD), "os.system")
before("behind the end", old(state(text "a", old_tensor()), KEYS, OLD .. "x"))

-- ---- shards ----

local function safetensors(name)
  local header = ('{"%s":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'):format(name)
  return string.pack("<s8", header) .. "\0\0\128\63"
end
local function index(name, map, files, message)
  files = files or {}
  files["model.safetensors.index.json"] = map
  refused("an index: " .. name, files, message)
end
local A = "model-00001-of-00002.safetensors"
index("a shard that is not there", '{"weight_map":{"a":"gone.safetensors"}}', nil,
      "gone.safetensors")
index("a path upwards", '{"weight_map":{"a":"../x.safetensors"}}', nil, "../x.safetensors")
index("an absolute path", '{"weight_map":{"a":"/etc/passwd"}}', nil, "/etc/passwd")
index("itself", '{"weight_map":{"a":"model.safetensors.index.json"}}', nil, "index.json")
index("the directory", '{"weight_map":{"a":"."}}', nil, "")
index("a foreign file", '{"weight_map":{"a":"vocab.json"}}', nil, "vocab.json")
index("a tensor that its shard lacks", ('{"weight_map":{"b":"%s"}}'):format(A),
      { [A] = safetensors "a" }, "b")
index("no map", "{}", nil, "weight_map")
index("a map that is a list", '{"weight_map":["a"]}', nil, "weight_map")
index("a map of numbers", '{"weight_map":{"a":3}}', nil, "a")
index("no JSON", "{", nil, "index.json")
index("an empty map", '{"weight_map":{}}', nil, "")

-- ---- what is no checkpoint at all ----

local function thing(name, bytes)
  refused("no weights: " .. name, { ["model.safetensors"] = bytes }, "model.safetensors")
end
thing("an empty file", "")
thing("a web page", "<!DOCTYPE html><html><head><title>404</title></head></html>")
thing("a pointer of git-lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:" ..
      ("0"):rep(64) .. "\nsize 12345\n")
thing("gzip", "\31\139\8\0\0\0\0\0\0\3" .. ("x"):rep(100))
thing("a picture", tap.read(arg.source .. "/tests/golden/images/rgb-33x32.png"))
thing("zeros", ("\0"):rep(4096))
thing("ones", ("\255"):rep(4096))

-- ---- tokenizers that are another model's ----

local weights = tap.read(base .. "model.safetensors")
local function tokenizer(name, files, message)
  files["model.safetensors"] = weights
  refused("a tokenizer: " .. name, files, message)
end
local vocab, merges = tap.read(base .. "vocab.json"), tap.read(base .. "merges.txt")
tokenizer("CLIP's full one, larger than the table",
          { ["vocab.json"] = false, ["merges.txt"] = false },
          "49408")
tokenizer("a vocabulary without merges", { ["merges.txt"] = false }, "merges.txt")
tokenizer("an id twice", { ["vocab.json"] = (vocab:gsub('(:%s*)1([,}])', "%10%2", 1)) },
          "vocab.json")
tokenizer("no JSON", { ["vocab.json"] = vocab:sub(1, -2) }, "vocab.json")
tokenizer("a merge of unknown tokens", { ["merges.txt"] = merges .. "\nqqqq zzzz\n" }, "merges.txt")
tokenizer("another kind", { ["tokenizer.json"] =
  '{"model":{"type":"WordPiece","vocab":{"[UNK]":0},"unk_token":"[UNK]"}}' }, "tokenizer.json")
do -- as many tokens fewer as are never merged into others: the last merge goes
  local last = merges:match("([^\n]+)\n*$")
  local word = last:gsub(" ", "")
  local fewer = vocab:gsub(('"%s": *%%d+, *'):format((word:gsub("%p", "%%%0"))), "")
  tokenizer("an id that is missing", { ["vocab.json"] = fewer,
            ["merges.txt"] = merges:sub(1, #merges - #merges:match("([^\n]+\n*)$")) }, "vocab.json")
end
local config = tap.read(base .. "config.json")
for _, size in ipairs { 1000, 4000 } do
  tokenizer(("a configuration that says %d tokens"):format(size),
            { ["config.json"] = (config:gsub('("vocab_size": *)%d+', "%1" .. size)) }, "")
end

-- ---- files of which the right one cannot be told ----

local function directory_of(name, files)
  for file, bytes in pairs(files) do tap.write(name .. "/" .. file, bytes) end
  return tap.directory() .. "/" .. name
end
local whole = tap.read(arg.source .. "/tests/golden/models/tiny-openai-vit/tiny-openai-vit.pt")
local two = directory_of("two", { ["a.pt"] = whole:sub(1, -100), ["b.pt"] = whole })
tap.raises(function() clip.model(two) end, "two/a.pt", "a broken file beside a whole one is told")
two = directory_of("training", { ["model.pt"] = whole, ["training_args.bin"] = "x" })
tap.raises(function() clip.model(two) end, "49408", -- and not which of the two
           "what a trainer leaves beside the weights is no candidate")
two = directory_of("link", { ["config.json"] = config, ["pytorch_model.bin"] = archive(GOOD) })
os.execute("ln -s nowhere " .. tap.quote(two .. "/model.safetensors"))
tap.raises(function() clip.model(two) end, "model.safetensors: a link that leads nowhere",
           "a link that leads nowhere is not passed over")

-- the program itself: exit code and one line
local code, _, stderr = tap.clipeval("encode", "--model", tap.directory() .. "/hostile/2",
                                     "--texts",
                                     tap.write("texts", "a\n"), "-o", "out.st")
tap.is(code, 3, "exit code 3")
tap.is(select(2, stderr:gsub("\n", "")), 1, "one line")
tap.has(stderr, "os.system", "which names the global")
tap.done()
