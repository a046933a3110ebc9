-- The run directory: what is in it, that nothing but the data decides it, and that it is
-- there whole or not at all.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local golden = arg.source .. "/tests/golden/"
local CSVS = { "report.csv", "classes.csv", "predictions.csv", "problems.csv" }

local function read_run(name)
  local texts = {}
  for i, file in ipairs(CSVS) do
    texts[i] = tap.read(("%s/%s/%s"):format(tap.directory(), name, file))
  end
  return table.concat(texts, "\n---\n"), texts
end

-- stderr without the line that counts broken pictures.
local function others(stderr)
  return (stderr:gsub("clipeval: dataset [^\n]* cannot be read [^\n]*\n", ""))
end

local function run(name, ...)
  local code, stdout, stderr = tap.clipeval("run", "--quiet", "--out", name, ...)
  tap.is(code, 0, name .. ": exit code 0")
  tap.is(others(stderr), "", name .. ": nothing on stderr")
  return read_run(name)
end

-- a tree with two pictures that are broken
local tree = tap.directory() .. "/tree"
tap.shell(("cp -r %s tree && cp %s tree/disc/empty.png && cp %s tree/ring/text.jpg"):format(
  tap.quote(golden .. "zeroshot/folders"), tap.quote(golden .. "images/broken/empty.png"),
  tap.quote(golden .. "images/broken/text.jpg")))

local one, files = run("one", "folders.lua", "--data", tree, "--threads", "1")
tap.is(run("three", "folders.lua", "--data", tree, "--threads", "3"), one,
       "the same bytes with more threads")
tap.shell([[mkdir else && cd tree && ls -r | while read d; do cp -r "$d" ../else/; done]])
local moved = run("moved", "folders.lua", "--data", tap.directory() .. "/else")
tap.is(moved:gsub(",else,", ",tree,"),
       one, "the same bytes wherever the data lies, in whatever order on the disk")

-- the files
local function rows(name,
                    i) return clip.csv(("%s/%s/%s"):format(tap.directory(), name, CSVS[i])) end
tap.is(files[1]:match("^[^\n]*"),
       "model,model_sha256,precision,dataset,dataset_version,split,task,prompts," ..
       "prompts_sha256,metric,value,ci_low,ci_high,n", "report.csv: columns")
local report = {}
for _, row in ipairs(rows("one", 1)) do report[row[10]] = row end
tap.is(table.concat(report["acc@1"], ",", 3, 8), "fp32,tree,,all,zeroshot,a_photo",
       "report.csv: what was evaluated")
tap.is(report["acc@1"][14], "62", "report.csv: n counts pictures that cannot be read")
tap.is(report.unreadable[11] .. "," .. report.unreadable[12] .. "," .. report.unreadable[14],
       "2,,62",
       "report.csv: and their count is a row")
tap.is(report.ties[11] .. report.truncated_texts[11] .. " " .. report.truncated_texts[14], "00 6",
       "report.csv: ties and texts that were cut")
tap.is(#report["acc@1"][2] .. " " .. #report["acc@1"][9], "64 64", "report.csv: hashes")
local problems = rows("one", 4)
tap.is(#problems, 3, "problems.csv: a row for each")
tap.is(problems[2][1] .. " " .. problems[3][1], "disc/empty.png ring/text.jpg",
       "problems.csv: by id")
tap.is(files[4]:find(tap.directory(), 1, true), nil, "problems.csv: no place of this machine")
local hits = 0
for i, row in ipairs(rows("one", 3)) do
  if row[1] == "disc/empty.png" then
    tap.is(table.concat(row, ","), "disc/empty.png,disc,,,,,,,2",
           "predictions.csv: nothing for a broken picture but its class")
  end
  hits = hits + (row[4] == "1" and 1 or 0)
end
tap.near(tonumber(report["acc@1"][11]), hits / 62, 1e-9, "predictions.csv: rank 1 is a hit")
local by_class, n = 0, 0
for i, row in ipairs(rows("one", 2)) do
  if i > 1 then by_class, n = by_class + tonumber(row[3]), n + tonumber(row[2]) end
end
tap.is(by_class .. " " .. n, hits .. " 62", "classes.csv: adds up")
local json = clip.json(tap.read(tap.directory() .. "/one/run.json"))
tap.is(json.evaluations[1].model.sha256, report["acc@1"][2], "run.json: the model's hash")
tap.is(json.evaluations[1].prompts.templates[1], "a photo of a {}.", "run.json: the templates")
tap.is(json.interrupted, false, "run.json: not interrupted")
tap.is(json.options.threads, 1, "run.json: the options")
tap.is(json.build.blas and json.build.engine and json.build.decoders and true, true,
       "run.json: the build")

-- samples
local sample = run("sample", "folders.lua", "--data", tree, "--limit", "20", "--seed", "3")
tap.is(run("again", "folders.lua", "--data", tree, "--limit", "20", "--seed", "3"), sample,
       "a sample can be had again")
local all = {}
for _, row in ipairs(rows("one", 3)) do all[table.concat(row, ",")] = true end
local found = 0
for _, row in ipairs(rows("sample", 3)) do
  found = found + (all[table.concat(row, ",")] and 1 or 0)
end
tap.is(found, 21, "each row of a sample is a row of the whole")

-- alpha over white
tap.write("white.lua", [[local clip = require "clipeval"
return clip.zeroshot { model = clip.model(), prompts = "{}",
  dataset = clip.dataset("folders", { root = arg.data, version = 2, alpha = "white" }) }]])
run("white", "white.lua", "--data", tree)
tap.is(rows("white", 1)[2][5], "2 alpha=white", "report.csv: the version tells of alpha over white")

-- several results
tap.write("suite.lua", [[local clip = require "clipeval"
local m, d = clip.model(), clip.dataset("folders:" .. arg.data)
return { clip.zeroshot { model = m, dataset = d, prompts = "{}" },
         clip.zeroshot { model = m, dataset = d, prompts = "five_plain" } }]])
run("suite", "suite.lua", "--data", tree)
tap.is(#rows("suite", 1), 17, "a suite: the rows of both in one report")
tap.is(rows("suite", 3)[1][1] .. rows("suite", 3)[2][1] .. rows("suite", 3)[125][1], "evaluation12",
       "a suite: other files begin with the number of the evaluation")

-- where it goes
tap.clipeval("run", "--quiet", "folders.lua", "--data", tree, "--limit", "5")
tap.clipeval("run", "--quiet", "folders.lua", "--data", tree, "--limit", "5")
tap.ok(tap.exists(tap.directory() .. "/runs/folders-pocket-2/report.csv"),
       "runs/SCRIPT-MODEL-N unless said")
local code, stdout, stderr = tap.clipeval("run", "folders.lua", "--data", "/nowhere", "--out",
                                          "one")
tap.is(code, 2, "an output directory that exists: exit code 2, before anything is looked at")
tap.has(stderr, "one: already exists", "and one line")
tap.is(read_run("one"), one, "and it stays what it was")
tap.shell("mkdir empty")
run("empty", "folders.lua", "--data", tree, "--limit", "5")
tap.write("raises.lua", [[local clip = require "clipeval"
clip.zeroshot { model = clip.model(), dataset = "folders:" .. arg.data, prompts = "{}" }
error "later"]])
code, stdout, stderr = tap.clipeval("run", "--quiet", "raises.lua", "--data", tree, "--out", "kept")
tap.is(code, 3, "a script that raises after an evaluation: exit code 3")
tap.has(stderr, "what was finished is in kept", "what was finished is kept")
tap.is(#rows("kept", 3), 63, "all of it")

-- data that is wrong
local function wrong(script, data, message)
  code, stdout, stderr = tap.clipeval("run", script, "--data", data, "--out", "wrong")
  tap.is(code, 3, message .. ": exit code 3")
  tap.has(stderr, message, message .. ": told")
  tap.is(select(2, stderr:gsub("\n", "")), 1, message .. ": in one line")
  tap.is(select(2, tap.shell("ls -d wrong*")), "", message .. ": nothing left behind")
end
wrong("folders.lua", "/nowhere", "no /nowhere")
wrong("fashion_mnist.lua", tree, "t10k-images-idx3-ubyte")
wrong("manifest.lua", tap.write("no-label.csv", "path,x\n"), "no-label.csv:1: no column 'label'")
wrong("manifest.lua", tap.write("quote.csv", "path,label\na,\"b\n"), "quote.csv:2")

-- stdout that nobody reads, or that is closed
for name, line in pairs { gone = "{ %s; echo $? >code; } | true",
                          closed = "%s >&-; echo $? >code" } do
  local words = ("%s run --quiet folders.lua --data %s --out %s"):format(tap.quote(arg.bin),
                                                                       tap.quote(tree), name)
  code, stdout, stderr = tap.shell(line:format(words))
  tap.is(tap.read(tap.directory() .. "/code"), "3\n", name .. " stdout: exit code 3")
  tap.has(stderr, "clipeval: standard output: ", name .. " stdout: told")
  tap.is(select(2, others(stderr):gsub("\n", "")), 1, name .. " stdout: in one line")
  tap.is(read_run(name), one, name .. " stdout: the run is written all the same")
end

-- a full disk
if tap.shell("mkdir small && mount -t tmpfs -o size=16k none small") == 0 then
  code, stdout, stderr = tap.clipeval("run", "--quiet", "folders.lua", "--data", tree, "--out",
                                      "small/run")
  tap.shell("ls -A small > left; umount small")
  tap.is(code, 3, "a full disk: exit code 3")
  tap.has(stderr, "No space left", "a full disk: told")
  tap.is(select(2, others(stderr):gsub("\n", "")), 1, "a full disk: in one line")
  tap.is(tap.read(tap.directory() .. "/left"), "", "a full disk: nothing half-written is left")
  tap.has(stdout, "acc@1", "a full disk: the table was shown all the same")
else
  tap.skip("a full disk", "no tmpfs can be mounted here")
end
tap.done()
