-- Models by their Hugging Face id, in a cache laid out as huggingface_hub does.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local base = arg.source .. "/tests/golden/models/clip-hf-gelu-legacy/"
local FILES = { "config.json", "model.safetensors", "preprocessor_config.json",
                "tokenizer_config.json", "vocab.json", "merges.txt" }
local A = "0123456789abcdef0123456789abcdef01234567"
local B = "0123456f89abcdef0123456789abcdef01234567"
local cache = tap.directory() .. "/cache"

-- ---- a cache ----

local function put(path, text) return tap.write("cache/" .. path, text) end

-- A snapshot of links into blobs/, without the files in `left_out`.
local function snapshot(folder, commit, left_out)
  for i, file in ipairs(FILES) do
    local blob = ("%s/blobs/%040x"):format(folder, i)
    if not (left_out and left_out[file]) then put(blob, tap.read(base .. file)) end
    tap.shell(("mkdir -p cache/%s/snapshots/%s && ln -s ../../blobs/%040x cache/%s/snapshots/%s/%s")
              :format(folder, commit, i, folder, commit, file))
  end
end

local CLIP = "models--openai--clip-tiny"
snapshot(CLIP, A)
snapshot(CLIP, B)
put(CLIP .. "/refs/main", A)
put(CLIP .. "/refs/refs/pr/1", B)
put(CLIP .. "/refs/gone", ("f"):rep(40))

local function with(environment, ...)
  local words = { "env", "-u", "HF_HUB_CACHE", "-u", "HUGGINGFACE_HUB_CACHE", "-u", "HF_HOME",
                  "-u", "XDG_CACHE_HOME" }
  for _, setting in ipairs(environment) do words[#words + 1] = tap.quote(setting) end
  words[#words + 1] = tap.quote(arg.bin)
  for _, word in ipairs { ... } do words[#words + 1] = tap.quote(word) end
  return tap.shell(table.concat(words, " "))
end

tap.write("name.lua", [[local m = require "clipeval".model(arg.model)
print(m.name, m.path, m.info.arch)]])
local function open(name, ...)
  local code, stdout, stderr = with({ "HF_HUB_CACHE=" .. cache }, "run", "name.lua", "--model",
                                    name, ...)
  return code == 0 and stdout or stderr, code
end

-- `name` opens, is called `called`, and is the snapshot `commit`.
local function opens(name, called, commit, what)
  local out, code = open(name)
  tap.is(code, 0, what)
  tap.is(out, ("%s\t%s/%s/snapshots/%s\tnil\n"):format(called, cache, CLIP, commit),
         what .. ": which")
end

local function refuses(name, message, what)
  local out, code = open(name)
  tap.is(code, 3, what .. ": exit code 3")
  tap.has(out, message, what)
  tap.is(select(2, out:gsub("\n", "")), 1, what .. ": one line")
  return out
end

-- ---- what a name means ----

opens("openai/clip-tiny", "openai/clip-tiny", A, "an id is its main revision")
opens("hf-hub:openai/clip-tiny", "openai/clip-tiny", A, "with open_clip's prefix")
opens("openai/clip-tiny@main", "openai/clip-tiny@main", A, "a revision by name")
opens("openai/clip-tiny@refs/pr/1", "openai/clip-tiny@refs/pr/1", B, "a revision with slashes")
opens("openai/clip-tiny@" .. B, "openai/clip-tiny@" .. B, B, "a commit")
opens("openai/clip-tiny@0123456f", "openai/clip-tiny@0123456f", B, "the start of a commit")
local path = ("%s/%s/snapshots/%s"):format(cache, CLIP, A)
opens(path, "openai/clip-tiny@" .. A:sub(1, 12), A, "a snapshot's path has its id as a name")
tap.shell("ln -s models--openai--clip-tiny cache/models--tiny")
tap.has(open("tiny"), "tiny\t", "an id without an organisation")
tap.shell("cp -r " .. tap.quote(base) .. " local-model && mkdir -p openai && " ..
          "cp -r local-model openai/clip-tiny")
tap.is(open("openai/clip-tiny"), "clip-tiny\topenai/clip-tiny\tnil\n",
       "a path that exists goes first")
tap.shell("rm -r openai")

-- ---- what is not there ----

local out = refuses("openai/clip-large", "not in the Hugging Face cache " .. cache, "an unknown id")
tap.has(out, "hf download openai/clip-large\n", "an unknown id: how to get it")
refuses("clip-tiny", "the cache holds openai/clip-tiny", "an id without its organisation")
refuses("OpenAI/CLIP-tiny", "the cache holds openai/clip-tiny", "an id in other letters")
out = refuses("openai/clip-tiny@v2", "no revision 'v2'", "an unknown revision")
tap.has(out, "there are gone, main, refs/pr/1", "an unknown revision: those there are")
tap.has(out, "hf download openai/clip-tiny --revision v2\n", "an unknown revision: how to get it")
refuses("openai/clip-tiny@0123456", "no revision '0123456'", "a start of two commits is none")
refuses("openai/clip-tiny@0123", "no revision '0123'", "a short start of a commit is none")
refuses("openai/clip-tiny@gone", "interrupted download: in " .. cache, "a ref without its snapshot")
refuses("hf-hub:pocket", "not in the Hugging Face cache", "the prefix means the cache alone")
refuses("hf-hub:", "no Hugging Face id", "a prefix alone")

-- ---- interrupted downloads ----

snapshot("models--org--dangling", A, { ["model.safetensors"] = true })
put("models--org--dangling/refs/main", A)
refuses("org/dangling", "an interrupted download (model.safetensors is a link that leads nowhere)",
        "a link whose blob is missing")
snapshot("models--org--partial", A)
put("models--org--partial/refs/main", A)
tap.shell("cd cache/models--org--partial && rm snapshots/*/model.safetensors && " ..
          "mv blobs/*2 blobs/abc.1234.incomplete")
refuses("org/partial", "an interrupted download (blobs/abc.1234.incomplete is there)",
        "a download under way")
tap.write("cache/models--org--partial/snapshots/" .. A .. "/model.safetensors", "xyz")
tap.is(refuses("org/partial", "model.safetensors", "a download that is not needed"):find(
       "interrupted"), nil, "is not told")
snapshot("models--org--listed", A)
put("models--org--listed/refs/main", A)
put("models--org--listed/trees/" .. A .. ".json",
    [[{"format_version": 1, "files": {"model.safetensors": {"size": 1}, "flax.msgpack": {}}}]])
tap.is(select(2, open("org/listed")), 0, "files may be left out on purpose")
tap.shell("rm cache/models--org--listed/snapshots/*/model.safetensors")
refuses("org/listed", "an interrupted download (the repository's model.safetensors is not there)",
        "but not those that are needed")
put("models--org--broken/refs/main", A)
put("models--org--broken/snapshots/" .. A .. "/config.json", "{")
tap.is(refuses("org/broken", "config.json", "a broken file is"):find("interrupted"), nil,
       "no interrupted download")

-- ---- names and refs that would lead elsewhere ----

local secret = tap.write("secret", "the text of a secret\n")
tap.shell("cp -r local-model outside")
put("models--org--evil/refs/up", "../../../../outside")
put("models--org--evil/refs/absolute", tap.directory() .. "/outside")
put("models--org--evil/refs/dot", "..")
put("models--org--evil/refs/empty", "")
put("models--org--evil/refs/control", "\27[31m" .. A)
put("models--org--evil/refs/long", A:rep(1000))
put("models--org--evil/snapshots/" .. B .. "/config.json", "{")
tap.shell(("cd cache/models--org--evil/refs && ln -s %s link; ln -s . loop; mkfifo pipe"):format(
          tap.quote(secret)))
for _, ref in ipairs { "up", "absolute", "dot", "control", "link", "empty", "long", "pipe" } do
  out = refuses("org/evil@" .. ref, "org/evil", "a hostile ref: " .. ref)
  tap.is(out:find "secret\n" or out:find "\27" or out:find "outside", nil,
         "a hostile ref: " .. ref .. ": what it holds is not shown")
end
for _, name in ipairs { "../outside", "org/../outside", "org/evil@../../x", "org/evil@/etc",
                        "org/evil@a//b", "org/evil@./x", "..", "org/evil@" .. "../snapshots/" .. B,
                        "a--b", "-a/b", "org/name.git", "a/b/c", "org/" .. ("x"):rep(97) } do
  refuses("hf-hub:" .. name, "no Hugging Face id", "a name that is none: " .. name)
end

-- ---- where the cache is ----

tap.shell("for d in home/.cache/huggingface xdg/huggingface hfhome; do " ..
          "mkdir -p $d && ln -s $PWD/cache $d/hub; done")
local root = tap.directory()
local function found(environment, hub, what)
  local code, stdout, stderr = with(environment, "run", "name.lua", "--model", "openai/clip-tiny")
  tap.is(code, 0, what)
  tap.has(stdout .. stderr, hub .. "/models--openai", what .. ": which")
end
local none = "HF_HUB_CACHE="
found({ none, "HUGGINGFACE_HUB_CACHE=" .. cache, "HF_HOME=/x" }, cache, "HUGGINGFACE_HUB_CACHE")
found({ none, "HF_HOME=" .. root .. "/hfhome", "XDG_CACHE_HOME=/x" }, root .. "/hfhome/hub",
      "HF_HOME")
found({ none, "XDG_CACHE_HOME=" .. root .. "/xdg", "HOME=/x" }, root .. "/xdg/huggingface/hub",
      "XDG_CACHE_HOME")
found({ none, "HOME=" .. root .. "/home" }, root .. "/home/.cache/huggingface/hub",
      "the usual place")
found({ "HF_HUB_CACHE=~/../cache", "HOME=" .. root .. "/home" }, root .. "/home/../cache",
      "~ is HOME")
found({ "HF_HUB_CACHE=$PLACE/cache", "PLACE=" .. root }, cache, "variables in variables")
found({ "HF_HUB_CACHE=${PLACE}/cache", "PLACE=" .. root }, cache, "also in braces")

-- ---- reports, --arch, list ----

put("data/a/x.png", tap.read(arg.source .. "/tests/golden/images/rgb-33x32.png"))
put("data/b/y.png", tap.read(arg.source .. "/tests/golden/images/rgba.png"))
local code = with({ "HF_HUB_CACHE=" .. cache }, "run", "--quiet", "folders.lua", "--data",
                  "cache/data", "--model", "openai/clip-tiny@refs/pr/1")
tap.is(code, 0, "a run of a model by its id")
local report = tap.read(root .. "/runs/folders-openai--clip-tiny@refs--pr--1-1/report.csv")
tap.has(report, "\nopenai/clip-tiny@refs/pr/1,", "report.csv has the id, not the commit")

out = open("openai/clip-tiny", "--arch", "no-such-arch")
tap.has(out, "no-such-arch", "--arch is about the model that --model names")
tap.write("other.lua", "print(arg.model, require 'clipeval'.model('openai/clip-tiny').name)")
local _, stdout, stderr = with({ "HF_HUB_CACHE=" .. cache }, "run", "other.lua", "--model", "x",
                               "--arch", "no-such-arch")
tap.is(stdout, "x\topenai/clip-tiny\n", "and about no other")
tap.has(stderr, "does not read --arch", "where it is about none, that is told")

put("models--org--llm/refs/main", A)
put("models--org--llm/snapshots/" .. A .. "/config.json", '{"model_type": "llama"}')
put("models--org--open/refs/main", A)
put("models--org--open/snapshots/" .. A .. "/open_clip_config.json", "{}")
put("datasets--org--data/refs/main", A)
code, stdout, stderr = with({ "HF_HUB_CACHE=" .. cache }, "list", "models")
tap.is(code .. stderr, "0", "list models")
tap.has(stdout, "pocket ", "lists the embedded model")
tap.has(stdout, "openai/clip-tiny     CLIP, 1.1 MB, main\n", "a model, its size and revision")
tap.has(stdout, "openai/clip-tiny     CLIP, 1.1 MB, refs/pr/1\n", "each snapshot")
tap.has(stdout, "org/open             open_clip, 0.0 MB, main (without weights)\n",
        "one without weights says so")
tap.is(stdout:find("llm", 1, true) or stdout:find("org/data", 1, true), nil, "nothing else")
tap.has(stdout, cache .. "; ", "where that is")
tap.done()
