-- clipeval report: the page holds the CSVs' numbers and nothing from elsewhere, is well-formed
-- whatever the names in it are, and shows itself in a browser (Chromium, where it is there)
-- without a complaint and without overflowing.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local core = require "clipeval.core"
local golden = arg.source .. "/tests/golden/"
local tiny = golden .. "models/tiny-clip-bin"
local here = tap.directory()

-- ---- helpers ----

local function report(out, ...)
  local code, stdout, stderr = tap.clipeval("report", "-o", out, ...)
  tap.is(code, 0, out .. ": exit code 0")
  tap.is(stdout .. stderr, "", out .. ": silence")
  return tap.read(here .. "/" .. out)
end

-- Counts elements by name; text is all text of the document.
local function survey(x, counts, texts)
  counts[x.name] = (counts[x.name] or 0) + 1
  texts[#texts + 1] = x.text
  for _, child in ipairs(x) do survey(child, counts, texts) end
  return counts, texts
end

local function parse(name)
  local x, fault = core.xml(here .. "/" .. name)
  if not tap.ok(x, name .. ": is well-formed", fault) then return {}, "" end
  local counts, texts = survey(x, {}, {})
  return counts, table.concat(texts, "\n")
end

local function count(text, part)
  local n, at = 0, 1
  repeat
    at = text:find(part, at, true)
    if at then n, at = n + 1, at + #part end
  until not at
  return n
end

local function check_page(name, page)
  local counts, text = parse(name)
  tap.ok(not page:find("https?://"), name .. ": no reference to anywhere")
  tap.ok(not page:find("@import") and not page:find("url%("), name .. ": no files")
  for tag in page:gmatch("<%a[^>]*>") do
    if tag:find("^<script") or tag:find("^<link") or tag:find("%son%a+%s*=") or
       tag:find("^<iframe") or tag:find("javascript:") then
      tap.ok(false, name .. ": nothing that runs", tag)
    end
  end
  for source in page:gmatch('src="([^"]*)') do
    if not source:find("^data:image/jpeg;base64,[%w+/]+=*$") then
      tap.ok(false, name .. ": pictures are in the page", source:sub(1, 80))
    end
  end
  tap.is(count(page, "<svg") - count(page, '<svg class="mark'),
         count(page, 'role="img"') + count(page, 'aria-hidden="true"'),
         name .. ": every plot says what it shows, or is an ornament")
  tap.ok(#page < 4 << 20, name .. ": is bounded")
  return counts, text
end

local function records(path)
  local rows, list = assert(clip.csv(path)), {}
  for i = 2, #rows do
    list[i - 1] = {}
    for k, column in ipairs(rows[1]) do list[i - 1][column] = rows[i][k] end
  end
  return list
end

-- ---- one run ----

-- Names that want to be markup, do not fit, or come from elsewhere.
local EVIL = { ["checker board"] = "<script>alert(1)</script>", disc = "&amp; \"quoted\" 'too' ]]>",
               ring = ("a very long name "):rep(20), square = "正方形 الدائرة",
               stripes = "\u{202E}desrever", triangle = "tri<b>angle" }
local classes = {}
for folder, name in pairs(EVIL) do classes[#classes + 1] = ("[%q] = %q"):format(folder, name) end
table.sort(classes)
tap.shell(("cp -r %s tree && chmod -R u+w tree && cp %s 'tree/disc/<img src=x onerror=y>.png' "
           .. "&& cp %s tree/ring/broken.jpg"):format(
  tap.quote(golden .. "zeroshot/folders"),
  tap.quote(golden .. "zeroshot/folders/checker board/checker_board_00.png"),
  tap.quote(golden .. "images/broken/text.jpg")))
tap.write("evil.lua", ([[
local clip = require "clipeval"
return clip.zeroshot { model = clip.model(arg.model), prompts = { name = "</title>$body", templates = { "a {}" } },
  dataset = clip.dataset { name = "<b>$title</b>", version = "1", layout = "folders", root = arg.data,
                           classes = { %s } } }
]]):format(table.concat(classes, ", ")))

local function run(out, ...)
  local code, _, stderr = tap.clipeval("run", "--quiet", "--data", here .. "/tree", "--out", out,
                                       ...)
  tap.is(code, 0, out .. ": runs")
  return stderr
end
run("one", "evil.lua")
run("two", "evil.lua", "--model", tiny)

local one = report("one.html", "one")
local counts, text = check_page("one.html", one)
tap.has(text, "<script>alert(1)</script>", "a class that wants to be a script is text")
tap.has(text, "tri<b>angle", "so is one with a tag")
tap.has(text, "<b>$title</b>", "and a dataset of that kind, which fills no slot")
tap.has(text, "正方形 الدائرة", "scripts of the world stay as they are")
tap.is(counts.b, nil, "no tag comes from a name")
tap.has(text, "ring/broken.jpg", "a picture that cannot be read is told")
local metrics = records(here .. "/one/report.csv")
for _, m in ipairs(metrics) do
  tap.has(one, ('<data value="%s">'):format(m.value), m.metric .. ": the CSV's own number")
  if m.ci_low ~= "" then
    tap.has(one, ('<data value="%s">'):format(m.ci_low), m.metric .. ": the interval's beginning")
    tap.has(one, ('<data value="%s">'):format(m.ci_high), m.metric .. ": the interval's end")
  end
  if m.metric:find("^acc@") then
    tap.has(text, ("%.2f %%"):format(100 * tonumber(m.value)), m.metric .. ": to be read as well")
  end
end
for _, c in ipairs(records(here .. "/one/classes.csv")) do
  tap.has(one, ('<data value="%s">%.1f %%</data>'):format(c.recall, 100 * tonumber(c.recall)),
          "a class: its recall")
end
tap.is(count(one, 'class="bin"') > 0, true, "a reliability diagram")
for _, m in ipairs(metrics) do
  if m.metric == "ece" then
    tap.has(text, ("error %.4f"):format(tonumber(m.value)), "with the calibration error")
  end
end
local hits = 0
for _, p in ipairs(records(here .. "/one/predictions.csv")) do
  hits = hits + (p.target == p.prediction and 1 or 0)
end
local framed = 0
for number in one:gmatch('class="heat right"[^>]*>(%d*)<') do
  framed = framed + (tonumber(number) or 0)
end
tap.is(framed, hits, "confusion: right answers add up")

-- ---- two runs ----

local both = report("both.html", "one", "two")
counts, text = check_page("both.html", both)
local known, worse, better = {}, {}, {}
for _, p in ipairs(records(here .. "/one/predictions.csv")) do known[p.id] = p end
for _, p in ipairs(records(here .. "/two/predictions.csv")) do
  local was, is = known[p.id].rank == "1", p.rank == "1"
  if was and not is then worse[#worse + 1] = p.id end
  if is and not was then better[#better + 1] = p.id end
end
tap.ok(#worse + #better > 0, "the two runs differ")
tap.has(text, #worse > 0 and ("Right to wrong: %d"):format(#worse) or "Right to wrong: none",
        "what went wrong is counted")
tap.has(text, #better > 0 and ("Wrong to right: %d"):format(#better) or "Wrong to right: none",
        "and what went right")
tap.is(counts.img, math.min(24, #worse) + math.min(24, #better),
       "each that is shown has its picture")
for _, name in ipairs { "one", "two" } do
  for _, m in ipairs(records(here .. "/" .. name .. "/report.csv")) do
    tap.has(both, ('<data value="%s">'):format(m.value), name .. ": " .. m.metric)
  end
end
tap.has(text, "pocket", "a run is called by its model")
tap.has(text, "tiny-clip-bin", "and the other by its own")
tap.shell("'" .. arg.bin .. "' compare one two --format csv > compared.csv")
local compared = 0
for _, row in ipairs(records(here .. "/compared.csv")) do
  if row.kind == "metric" and row.p ~= "" then
    compared = compared + 1
    for _, column in ipairs { "base", "new", "difference", "ci_low", "ci_high", "p",
                              "p_adjusted" } do
      tap.has(both, ('<data value="%s">'):format(row[column]),
              ("%s: %s as compare has it"):format(row.metric, column))
    end
  elseif row.kind == "class" then
    tap.has(both, ('<data value="%s">'):format(row.difference), "a class: its difference")
  end
end
tap.ok(compared >= 4, "and that is something")
local twice = report("twice.html", "one", "one", "one")
check_page("twice.html", twice)
tap.has(twice, "None.", "a run beside itself: nothing flipped")
tap.has(twice, "acc@1 over versions", "three runs: a metric over versions")
tap.is(count(twice, "<polyline"), 1, "as a line")

-- Runs that must not be compared.
tap.shell([[cp -r two other && sed -i 's/,all,/,val,/' other/report.csv && ]] ..
          [[sed -i 's/"split": "all"/"split": "val"/' other/run.json]])
local other = report("other.html", "one", "other")
check_page("other.html", other)
tap.has(other, "Not compared", "other data: not compared, and it is said")

-- Pictures that are gone, and that lie elsewhere now.
tap.shell("mv tree moved")
local gone = report("gone.html", "one", "two")
counts, text = check_page("gone.html", gone)
tap.is(counts.img, nil, "pictures that are gone: no broken ones")
tap.has(text, "The pictures are not shown", "and it is said")
report("moved.html", "one", "two", "--data", here .. "/moved")
counts = check_page("moved.html", tap.read(here .. "/moved.html"))
tap.is(counts.img, math.min(24, #worse) + math.min(24, #better), "--data says where they are")
tap.shell("mv moved tree")

-- A run.json from elsewhere must not have a Lua file run, nor files outside be shown.
tap.write("trap.lua", "os.execute('touch " .. here .. "/sprung')\nreturn {}\n")
tap.shell([[cp -r one trap && cp -r two trap2 && sed -i 's|<b>$title</b>|../trap.lua|g' trap/*.* trap2/*.*]])
report("trap.html", "trap", "trap2", "--data", here .. "/nowhere")
tap.ok(not tap.exists(here .. "/sprung"), "a dataset's name in run.json is never run")

-- ---- other tasks ----

tap.write("tasks.lua", [[
local clip = require "clipeval"
local root = arg.data
local model = clip.model(arg.model)
local function list(more)
  local items = {}
  for _, name in ipairs { "disc", "ring", "square" } do
    for i = 0, 7 do
      local path = ("%s/%s_%02d.%s"):format(name, name, i, (i % 3 == 2) and "jpg" or "png")
      items[#items + 1] = more(path, name, i)
    end
  end
  return items
end
local function set(name, task, more)
  return clip.dataset { name = name, version = "1", task = task, root = root, items = list(more) }
end
return {
  clip.vqa { model = model, dataset = set("asked", "vqa", function(path, name)
    return { path = path, question = "what <i>shape</i> is it?", answers = { name }, choices = { "disc", "ring", "square" },
             question_type = "what & which", answer_type = "other" } end) },
  clip.retrieval { model = model, dataset = set("found", "retrieval", function(path, name, i)
    return { path = path, captions = { "a " .. name, ("%s no. %d"):format(name, i) } } end) },
  clip.multilabel { model = model, prompts = { name = "p", templates = { "a {}" } },
    dataset = set("several", "multilabel", function(path, name, i)
      return { path = path, labels = i % 2 == 0 and { name } or { name, "shape" } } end) },
  clip.compositional { model = model, dataset = set("ordered", "pairs", function(path, name)
    return { path = path, captions = { "a " .. name, "a cat" }, group = name } end) },
  clip.match { model = model, dataset = set("matched", "match", function(path, name, i)
    return { path = path, text = "a " .. (i % 2 == 0 and name or "cat"), match = i % 2 == 0 } end) },
}
]])
local function run_tasks(out, ...)
  local code, _, stderr = tap.clipeval("run", "--quiet", "--data", here .. "/tree", "--out", out,
                                       "tasks.lua", ...)
  tap.is(code, 0, out .. ": " .. stderr)
end
run_tasks("tasks1")
run_tasks("tasks2", "--model", tiny)
for name, words in pairs { ["tasks.html"] = { "tasks1" },
                           ["tasks-both.html"] = { "tasks1", "tasks2" } } do
  local page = report(name, table.unpack(words))
  counts, text = check_page(name, page)
  tap.is(counts.section, 5, name .. ": a section for each evaluation")
  tap.is(counts.i, nil, name .. ": a question is text")
  for _, word in ipairs(words) do
    for _, m in ipairs(records(here .. "/" .. word .. "/report.csv")) do
      tap.has(page, ('<data value="%s">'):format(m.value), ("%s: %s of %s"):format(name, m.metric,
                                                            m.dataset))
    end
  end
end
tap.ok(counts.h2 == 5, "and a heading")

-- ---- pictures that are no files of their own: in tars, in CIFAR's records, two an item ----

tap.shell([[mkdir -p shards/test wino/images && cd shards/test && n=0 && for c in disc ring square; do
  for p in ../../tree/$c/${c}_0*; do
    i=$(printf %03d $n); cp "$p" $i.${p##*.}; case $c in disc) l=0;; ring) l=1;; *) l=2;; esac
    printf $l > $i.cls; n=$((n+1))
  done
done && tar --format=ustar -cf 0.tar *.cls *.png *.jpg && rm *.cls *.png *.jpg && echo 1 > nshards.txt]])
tap.write("shards/classnames.txt", "disc\nring\nsquare\n")
local records_of, seed = {}, 1
for i = 1, 30 do
  local bytes = {}
  for k = 1, 3072 do
    seed = (seed * 1103515245 + 12345) % 2 ^ 31
    bytes[k] = string.char((i * 37 + k // 1024 * (i * 11 % 90) + seed // 2 ^ 25) % 256)
  end
  records_of[i] = string.char(i % 3) .. table.concat(bytes)
end
tap.write("ten/test_batch.bin", table.concat(records_of))
tap.write("ten/batches.meta.txt", "red\ngreen\nblue\n")
local examples, shapes = {}, { "disc", "ring", "square", "stripes", "triangle" }
local things = { "red cat", "small dog", "car at night", "boat", "tree in snow", "old house",
                 "green bus" }
for i = 0, 41 do
  local one, other = shapes[i % 5 + 1], shapes[(i + 1 + i // 5 % 4) % 5 + 1]
  tap.shell(("cp tree/%s/%s_00.png wino/images/ex_%d_0.png && cp tree/%s/%s_03.png wino/images/ex_%d_1.png")
            :format(one, one, i, other, other, i))
  examples[i + 1] = ([[{"id": %d, "image_0": "ex_%d_0", "image_1": "ex_%d_1", ]] ..
                     [["caption_0": "a %s", "caption_1": "a %s", "tag": "x"}]]):format(
    i, i, i, things[i % 7 + 1], things[(i + 1 + i // 7) % 7 + 1])
end
tap.write("wino/examples.jsonl", table.concat(examples, "\n") .. "\n")
tap.write("kept.lua", [[
local clip = require "clipeval"
local model, prompts = clip.model(arg.model), { name = "p", templates = { "a {}" } }
return {
  clip.zeroshot { model = model, prompts = prompts, dataset = clip.dataset("wds:" .. arg.data .. "/shards") },
  clip.zeroshot { model = model, prompts = prompts, dataset = clip.dataset("cifar:" .. arg.data .. "/ten") },
  clip.compositional { model = model,
                       dataset = clip.dataset("winoground:" .. arg.data .. "/wino/examples.jsonl") },
}
]])
for k, m in ipairs { "pocket", tiny } do
  local exit, _, fault = tap.clipeval("run", "--quiet", "--data", here, "--out", "kept" .. k,
                                      "kept.lua",
                                      "--model", m)
  tap.is(exit, 0, "kept" .. k .. ": runs " .. fault)
end
local kept = clip.json(select(2, tap.clipeval("compare", "kept1", "kept2", "--format", "json")))
local kept_page = report("kept.html", "kept1", "kept2")
counts, text = check_page("kept.html", kept_page)
local expected = 0
for _, e in ipairs(kept.evaluations) do
  local flips = math.min(24, #e.right_to_wrong) + math.min(24, #e.wrong_to_right)
  tap.ok(flips > 0, e.dataset .. ": items flipped")
  expected = expected + flips * (e.task == "compositional" and 2 or 1)
end
tap.is(counts.img, expected, "tars, CIFAR, Winoground: every flipped item has its pictures")
tap.ok(not text:find "not shown", "and none is missing")

-- ---- many classes, from files alone ----

local lines = { "model,model_sha256,precision,dataset,dataset_version,split,task,prompts," ..
                "prompts_sha256,metric,value,ci_low,ci_high,n",
                "m,0,fp32,big,1,val,zeroshot,p,1,acc@1,0.5,0.4,0.6,20000" }
tap.write("big/report.csv", table.concat(lines, "\n") .. "\n")
local classes_csv, predictions = { "class,n,hits,recall,ci_low,ci_high" },
                                 { "id,target,prediction,rank,score,tied,confidence" }
for i = 1, 1000 do
  classes_csv[i + 1] = ("class number %d,20,%d,%.9g,0.1,0.9"):format(i, i % 21, i % 21 / 20)
  for k = 1, 20 do
    predictions[#predictions + 1] = ("i%d-%d,class number %d,class number %d,%d,0.3,0,%.3f"):format(
      i, k, i, (i * 7 + k % 3) % 1000 + 1, k % 4 + 1, k / 20)
  end
end
tap.write("big/classes.csv", table.concat(classes_csv, "\n") .. "\n")
tap.write("big/predictions.csv", table.concat(predictions, "\n") .. "\n")
local big = report("big.html", "big")
check_page("big.html", big)
tap.has(big, "The 10 worst of 1000", "a thousand classes: the worst")
tap.has(big, "class number 777<", "and all, for who wants them")
local many = {}
for i = 1, 30 do many[i] = "big" end
check_page("many.html", report("many.html", table.unpack(many)))

-- ---- misuse and misfortune ----

local function fails(code, part, ...)
  local got, _, stderr = tap.clipeval(...)
  tap.is(got, code, part .. ": exit code")
  tap.has(stderr, part, part)
  tap.is(select(2, stderr:gsub("\n", "")), 1, part .. ": one line")
end
fails(2, "-o FILE.html is missing", "report", "one")
fails(3, "no such run", "report", "nothing", "-o", "x.html")
fails(3, "No such file", "report", "one", "-o", "no/where/x.html")
tap.ok(not tap.exists(here .. "/x.html"), "no half page is left")
tap.write("edited/report.csv", tap.read(here .. "/one/report.csv") .. "x\n")
fails(3, "edited/report.csv:", "report", "edited", "-o", "x.html")

-- ---- in a browser ----

local CHROMIUM = "chromium"
if tap.shell("command -v " .. CHROMIUM) ~= 0 then
  tap.skip("in a browser", "there is no " .. CHROMIUM ..
           " (apt-get install --no-install-recommends chromium: 200 MB, 700 MB on disk)")
  tap.done()
  return
end

-- stdout and stderr of the browser.
local function browse(options, address)
  local code, stdout, stderr = tap.shell(("timeout 120 %s --headless --no-sandbox --disable-gpu " ..
    "--disable-dev-shm-usage --hide-scrollbars --user-data-dir=%s --virtual-time-budget=5000 " ..
    "--enable-logging=stderr --v=0 %s %s"):format(CHROMIUM, tap.quote(here .. "/profile"), options,
    tap.quote(address)))
  return stdout, stderr, code
end

for _, name in ipairs { "one.html", "both.html", "tasks-both.html", "big.html" } do
  local dom, stderr = browse("--dump-dom", "file://" .. here .. "/" .. name)
  tap.ok(not stderr:find(":CONSOLE", 1, true), name .. ": nothing on the console",
         stderr:match("[^\n]*:CONSOLE[^\n]*"))
  tap.has(dom, "</footer>", name .. ": loads to its end")
  if name == "one.html" then
    for _, m in ipairs(metrics) do
      tap.has(dom, ('<data value="%s">'):format(m.value), "the browser has " .. m.metric)
    end
    tap.has(dom, "&lt;script&gt;alert(1)&lt;/script&gt;", "and no script of a class")
  end
end

-- A page that holds the report in frames of several widths, and measures them.
local WIDTHS = { 320, 400, 700, 1400 }
local frames = {}
for i, width in ipairs(WIDTHS) do
  frames[i] = ('<iframe id="f%d" style="width:%dpx;height:900px;border:0"></iframe>'):format(i,
                                                                                             width)
end
for _, name in ipairs { "one.html", "both.html", "tasks-both.html", "big.html" } do
  tap.write("frames.html", table.concat(frames) .. ([[<pre id="said"></pre><script>
    const said = document.getElementById("said");
    document.querySelectorAll("iframe").forEach(f => {
      f.onload = () => {
        const d = f.contentDocument;
        d.querySelectorAll("details").forEach(x => x.open = true);
        said.textContent += f.clientWidth + ":" + d.documentElement.scrollWidth + " ";
      };
      f.src = "%s";
    });</script>]]):format(name))
  local dom = browse("--allow-file-access-from-files --dump-dom",
                     "file://" .. here .. "/frames.html")
  local seen = 0
  for width, wide in (dom:match('id="said">([^<]*)') or ""):gmatch("(%d+):(%d+)") do
    seen = seen + 1
    tap.ok(tonumber(wide) <= tonumber(width),
           ("%s: nothing overflows at %s pixels"):format(name, width),
           "it is " .. wide .. " wide")
  end
  tap.is(seen, #WIDTHS, name .. ": every width was looked at")
end

local _, stderr = browse("--window-size=1280,1600 --screenshot=" .. tap.quote(here .. "/shot.png"),
                         "file://" .. here .. "/both.html")
local shot = clip.image(here .. "/shot.png")
if tap.ok(shot, "a screenshot", stderr) then
  local colours = {}
  for y = 0, shot.height - 1, 8 do
    for x = 0, shot.width - 1, 8 do
      local r, g, b = shot:pixel(x, y)
      colours[r << 16 | g << 8 | b] = true
    end
  end
  local n = 0
  for _ in pairs(colours) do n = n + 1 end
  tap.ok(n > 20, "that is not blank", n .. " colours")
end
tap.done()
