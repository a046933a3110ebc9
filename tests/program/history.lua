-- clipeval history: past runs, oldest first, with those that cannot be read told beside them.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local core = require "clipeval.core"
local here = tap.directory()

local HEAD = "model,model_sha256,precision,dataset,dataset_version,split,task,prompts," ..
             "prompts_sha256,metric,value,ci_low,ci_high,n\n"

-- A run of one evaluation with acc@1 and brier.
local function write_run(path, model, started, value, more)
  local start = '"' .. model .. '",00,fp32,shapes,1,val,zeroshot,plain,11,'
  tap.write(path .. "/report.csv", HEAD .. start .. ("acc@1,%s,%s,%s,100\n"):format(value,
            value - 0.05, value + 0.05) .. start .. "brier,0.75,,,100\n" .. (more or ""))
  tap.write(path .. "/run.json", ([[{"clipeval": "0.1.0", "started": "%s", "interrupted": false,
    "evaluations": [{"task": "zeroshot", "finished": true, "model": {"name": "%s", "sha256": "00"},
    "dataset": {"name": "shapes", "split": "val", "version": "1"},
    "prompts": {"name": "plain", "sha256": "11"}, "metrics": {"acc@1": %s, "brier": 0.75}}]}]])
            :format(started, model, value))
end
write_run("runs/c", "third", "2026-03-01T10:00:00Z", 0.75)
write_run("runs/deep/down/a", "first", "2026-01-01T10:00:00Z", 0.25)
write_run("runs/b", "<b>second</b>, 二", "2026-02-01T10:00:00Z", 0.5)
write_run("runs/edited", "fourth", "2026-04-01T10:00:00Z", 0.5, "what is this\n")
write_run("runs/none", "fifth", "2026-05-01T10:00:00Z", 0.5)
tap.write("runs/none/run.json", "{")
tap.write("runs/notes/readme.txt", "no run\n")
tap.shell("ln -s .. runs/deep/loop")

local function history(...)
  local code, stdout, stderr = tap.clipeval("history", ...)
  tap.is(code, 0, "exit code 0")
  tap.is(stderr, "", "silence")
  return stdout
end

-- a table
local said = history("runs")
local function at(part) return said:find(part, 1, true) or 0 end
tap.ok(at "first" > 0 and at "first" < at "second" and at "second" < at "third", "oldest first",
       said)
tap.has(said, "50.00 %", "the first metric")
tap.has(said, "45.00 - 55.00 %", "with its interval")
tap.has(said, "2026-01-01 10:00", "and when")
tap.has(said, "cannot be read: runs/edited/report.csv:4", "a run that was edited is a line")
tap.has(said, "cannot be read: runs/none/run.json", "so is one that is broken")
tap.is(select(2, said:gsub("\n", "")), 6, "a line for each, and one that names the columns")
tap.has(history("runs", "--metric", "brier"), "0.75", "--metric: another one")
tap.is(history("runs", "--metric", "brier"):find("acc@1", 1, true), nil, "and only that")
tap.has(history("runs/notes"), "no runs", "where there is none")

-- CSV
local csv = history("runs", "--format", "csv")
local path = tap.write("history.csv", csv)
local rows = assert(clip.csv(path))
tap.is(#rows, 6, "CSV: five runs")
local column = {}
for i, name in ipairs(rows[1]) do column[name] = i end
local want = { { "first", "0.25", "runs/deep/down/a" }, { "<b>second</b>, 二", "0.5", "runs/b" },
               { "third", "0.75", "runs/c" } }
for i, w in ipairs(want) do
  local row = rows[i + 1]
  tap.is(row[column.value], w[2], "CSV: the value")
  tap.is(row[column.run], w[3], "CSV: the run")
  tap.is(row[column.metric] .. row[column.n], "acc@1100", "CSV: metric and n")
end
tap.is(rows[3][column.model]:match("^%S*"), "<b>second</b>,", "CSV: a name with a comma")
tap.has(rows[5][column.problem], "report.csv:4", "CSV: a broken run has its problem")
tap.is(history("runs", "--format", "csv", "-o", "written.csv"), "", "-o: to a file")
tap.is(tap.read(here .. "/written.csv"), csv, "the same bytes")

-- a page
tap.is(history("runs", "-o", "history.html"), "", "a page, and nothing else")
local page = tap.read(here .. "/history.html")
tap.ok(core.xml(here .. "/history.html"), "the page is well-formed", select(2, core.xml(here ..
                                                                             "/history.html")))
tap.ok(not page:find("https?://") and not page:find("<b>"), "nothing from elsewhere")
for _, w in ipairs(want) do
  tap.has(page, ('<data value="%s">'):format(w[2]), "the page has the CSV's value")
end
tap.is(select(2, page:gsub("<circle ", "")), 3, "a dot for each run")
tap.has(page, "Runs that cannot be read", "and those that are broken")
local dots = {}
for x, y in page:gmatch('<circle cx="([%d.]+)" cy="([%d.]+)"') do
  dots[#dots + 1] = { tonumber(x), tonumber(y) }
end
tap.ok(dots[1][1] < dots[2][1] and dots[2][1] < dots[3][1], "from left to right")
tap.near(dots[1][2] - dots[2][2], dots[2][2] - dots[3][2], 0.02, "and equally far up")

-- misuse
local function fails(code, part, ...)
  local got, _, stderr = tap.clipeval("history", ...)
  tap.is(got, code, part .. ": exit code")
  tap.has(stderr, part, part)
end
fails(3, "no such directory", "nowhere")
fails(2, "--format must be table or csv", "runs", "--format", "json")
tap.done()
