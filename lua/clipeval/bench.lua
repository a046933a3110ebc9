-- clipeval bench: how near the kernels come to this CPU's own limit, what a model does a second
-- in each precision, and what stands in the way; as a table, or as one JSON object.
--
-- Each figure is the median of several short rounds, and what is compared with each other
-- alternates, so that a disturbance meets all of it.
local core = require "clipeval.core"
local add_hints = require "clipeval.bench_hints"
local drift = require "clipeval.drift"
local models = require "clipeval.models"
local precisions = require "clipeval.precision"
local util = require "clipeval.util"

local bench = core.bench

local ROUNDS = 7       -- of what takes a few hundredths of a second
local MODEL_ROUNDS = 5 -- of what a model does
local ROUND = 0.2      -- seconds of such a round, where a model is fast enough
local LABEL, COLUMN = 24, 12

local function median(list)
  table.sort(list)
  local middle = #list // 2
  return #list % 2 == 1 and list[middle + 1] or (list[middle] + list[middle + 1]) / 2
end

local function check(value, fault)
  if not value then util.quit(3, "bench: %s", fault) end
  return value
end

-- ---- the machine ----

local function cpu_name()
  local text = util.read("/proc/cpuinfo") or ""
  local name = text:match("model name%s*:%s*([^\n]+)") or text:match("Model%s*:%s*([^\n]+)")
  return name and util.utf8(name) or "unknown CPU"
end

-- Seconds of all cores since the machine started: in all, at work, taken by its host. nil
-- where the system does not tell.
local function clocks()
  local line = (util.read("/proc/stat") or ""):match("^cpu%s+([^\n]*)")
  local t = {}
  for number in (line or ""):gmatch("%d+") do t[#t + 1] = number / 100 end
  if #t < 8 then return nil end
  local user, nice, system, idle, wait, irq, soft, stolen = table.unpack(t)
  local busy = user + nice + system + irq + soft
  return { total = busy + idle + wait + stolen, busy = busy, stolen = stolen }
end

local function children()
  local text = util.read("/proc/self/stat") or ""
  local fields = {}
  for word in (text:match("%) (.*)") or ""):gmatch("%S+") do fields[#fields + 1] = word end
  return ((tonumber(fields[14]) or 0) + (tonumber(fields[15]) or 0)) / 100
end

-- What others had of all cores between two looks at the clocks; nil: cannot be told.
local function others(before, after, own)
  if not before or not after or after.total <= before.total then return nil end
  local total = after.total - before.total
  return { busy = math.max(0, after.busy - before.busy - own) / total,
           stolen = math.max(0, after.stolen - before.stolen) / total }
end

-- ---- rounds ----

-- Runs each of a list of jobs, {measure = function() -> number}, one round after another;
-- job.rates are the numbers of all rounds.
local function alternate(jobs, rounds)
  for _, job in ipairs(jobs) do job.rates = {} end
  for i = 1, rounds do
    for _, job in ipairs(jobs) do job.rates[i] = job.measure() end
  end
end

-- On one core, and on all: the jobs are added to `jobs`, and finish(one, all) is called with
-- their rates by what is returned.
local function pair(jobs, threads, measure)
  local one = { measure = function() return check(measure(1)) end }
  local all = threads > 1 and { measure = function() return check(measure(threads)) end } or one
  jobs[#jobs + 1] = one
  if all ~= one then jobs[#jobs + 1] = all end
  return function(choose) return choose(one.rates), choose(all.rates) end
end

-- A limit is the best that was seen; a disturbance only ever lowers it.
local function most(list)
  return math.max(table.unpack(list))
end

-- ---- peak, kernels, pictures ----

local function measure_machine(report, model, names)
  local jobs, peaks, kernels = {}, {}, {}
  local threads = report.threads
  for i, set in ipairs(report.cpu.sets) do
    peaks[i] = pair(jobs, threads, function(n) return bench.peak(set, n) end)
  end
  for _, name in ipairs(names) do
    kernels[name] = pair(jobs, threads, function(n) return bench.kernel(name, n) end)
  end
  local jpeg, width, height = bench.jpeg()
  check(jpeg, width)
  local decode = pair(jobs, threads, function(n) return bench.pictures(model, jpeg, n) end)
  alternate(jobs, ROUNDS)
  report.peak, report.kernel = {}, {}
  local limit = 0
  for i, set in ipairs(report.cpu.sets) do
    local one, all = peaks[i](most)
    report.peak[i] = { set = set, one = one, all = all }
    limit = math.max(limit, one)
  end
  for name, finish in pairs(kernels) do
    local one, all = finish(median)
    report.kernel[name] = { one = one, all = all, fast = core.is_fast(name),
                            share = name == "fp32" and one / limit or nil }
  end
  local one, all = decode(median)
  report.pictures = { one = one, all = all, width = width, height = height, bytes = #jpeg }
end

-- ---- the model ----

-- n pictures of the model's own size: no resizing, all different.
local function make_pictures(model, n)
  local width, height = table.unpack(model.image_size)
  local size, parts, seed = width * height * 3, {}, 1
  for i = 1, 4096 do
    seed = (1664525 * seed + 1013904223) % 4294967296 -- of Numerical Recipes
    parts[i] = string.char(seed >> 24)
  end
  local noise = table.concat(parts):rep((size + 2 * n) // 4096 + 1)
  local list = {}
  for i = 1, n do
    list[i] = { width = width, height = height, channels = 3, pixels = noise:sub(i, i + size - 1) }
  end
  return list
end

-- The first n of ImageNet's prompts: every class in 80 templates.
local function make_texts(n)
  local set = util.load_table(core.share .. "/prompts/imagenet_80.lua")
  local classes = util.load_table(core.share .. "/datasets/shared/imagenet.lua").names
  local list = {}
  for i = 0, n - 1 do
    local class = classes[i // #set.templates % #classes + 1]
    list[i + 1] = set.templates[i % #set.templates + 1]:gsub("{}", function() return class end)
  end
  return list
end

local function seconds(f, ...)
  local start = bench.now()
  f(...)
  return bench.now() - start
end

-- How many items take about a round, from `least` on: a portion of `least` is tried first.
local function choose_count(least, most_items, try)
  try(least) -- loads the tower
  local n = least
  while n < most_items do
    local took = try(n)
    if took >= ROUND / 2 then break end
    n = math.min(most_items, n * math.max(2, math.min(8, math.floor(ROUND / took))))
  end
  return n
end

-- Seconds from a process's start to its end, with one picture's embedding.
local function first_embedding(directory, options, name)
  local words = { check(bench.program()), "encode", "--quiet", "--images", directory.list, "-o",
                  directory.out, "--precision", name }
  for _, key in ipairs { "model", "arch", "activation" } do
    if options[key] then
      words[#words + 1] = "--" .. key
      words[#words + 1] = options[key]
    end
  end
  for i, word in ipairs(words) do words[i] = "'" .. word:gsub("'", [['\'']]) .. "'" end
  local start = bench.now()
  local ok = os.execute("exec " .. table.concat(words, " "))
  if not ok then util.quit(3, "bench: clipeval encode failed") end
  return bench.now() - start
end

-- Files for `encode`: a list of one picture, and what comes of it.
local function temporary()
  local files = { picture = os.tmpname(), list = os.tmpname(), out = os.tmpname() }
  for key, text in pairs { picture = (bench.jpeg()), list = files.picture .. "\n" } do
    local file = check(io.open(files[key], "wb"))
    file:write(text)
    file:close()
  end
  return setmetatable(files, { __close = function(t)
    for _, path in pairs(t) do os.remove(path) end
  end })
end

local function measure_models(report, opened, names, options)
  local files <close> = temporary()
  local first = opened[names[1]]
  local pictures, texts = {}, make_texts(80000)
  local function part(list, n) return table.move(list, 1, n, 1, {}) end
  local function encode_pictures(model, n)
    while #pictures < n do pictures = make_pictures(model, n) end
    local items = part(pictures, n)
    return seconds(model.encode_image, model, items, { threads = report.threads })
  end
  local function encode_texts(model, n)
    return seconds(model.encode_text, model, part(texts, n), { threads = report.threads })
  end
  local image_count = choose_count(report.threads * 8, 1024,
                                   function(n) return encode_pictures(first, n) end)
  local text_count = choose_count(report.threads * 80, #texts,
                                  function(n) return encode_texts(first, n) end)
  report.counts = { images = image_count, prompts = text_count }
  local jobs = {}
  for _, name in ipairs(names) do
    local model, p = opened[name], {}
    report.precisions[name] = p
    encode_pictures(model, report.threads * 8) -- loads the towers
    encode_texts(model, report.threads * 80)
    local function job(key, measure) jobs[#jobs + 1] = { key = key, of = p, measure = measure } end
    job("images", function() return image_count / encode_pictures(model, image_count) end)
    job("prompts", function() return text_count / encode_texts(model, text_count) end)
    job("first", function() return first_embedding(files, options, name) end)
  end
  alternate(jobs, MODEL_ROUNDS)
  for _, job in ipairs(jobs) do job.of[job.key] = median(job.rates) end
end

-- ---- drift ----

local function measure_drift(report, opened, names)
  report.drift = {}
  for _, name in ipairs(precisions.names) do
    if name ~= "fp32" and util.set(names)[name] then
      report.drift[name] = drift.compare(opened.fp32, opened[name])
    end
  end
end

-- ---- the screen ----

local function number(x)
  return (x < 10 and "%.2f" or x < 1000 and "%.1f" or "%.0f"):format(x)
end

local function line(label, cells, unit)
  local text = label .. (" "):rep(LABEL - #label)
  for _, cell in ipairs(cells) do
    text = text .. (" "):rep(COLUMN - utf8.len(cell)) .. cell
  end
  return unit and text .. "  " .. unit or text
end

local function machine_lines(report, names, print)
  local all = report.threads > 1
  local function row(label, r, unit)
    print(line(label, { number(r.one), all and number(r.all) or nil }, unit))
  end
  print(line("", { "one core", all and ("%d cores"):format(report.threads) or nil }))
  for i = #report.peak, 1, -1 do
    row("FMA peak, " .. report.peak[i].set, report.peak[i], "GFLOP/s")
  end
  for _, name in ipairs(names) do
    local k = report.kernel[name]
    row("kernel, " .. name, k, name == "int8" and "Gop/s" or
        name == "fp32" and ("GFLOP/s, %.0f %% of the peak"):format(100 * k.share) or "GFLOP/s")
  end
  local p = report.pictures
  row("JPEG to pixels", p, ("images/s, %d x %d"):format(p.width, p.height))
end

local function model_lines(report, names, print)
  local function row(label, key, factor, unit)
    local cells = {}
    for i, name in ipairs(names) do cells[i] = number(report.precisions[name][key] * factor) end
    print(line(label, cells, unit))
  end
  print(line("", names))
  row("images/s", "images", 1)
  row("prompts/s", "prompts", 1, ("of ImageNet's first %d"):format(report.counts.prompts))
  row("first embedding", "first", 1e3, "ms, from the program's start")
end

local function drift_lines(report, names, print)
  print(line("cosine with fp32", { "mean", "1st perc.", "least" }))
  for _, name in ipairs(names) do
    local d = report.drift[name]
    for _, kind in ipairs(d and { "images", "texts" } or {}) do
      local c = d[kind]
      print(line(("%s, %d %s"):format(name, c.n, kind),
                 { ("%.6f"):format(c.mean), ("%.6f"):format(c.p1), ("%.6f"):format(c.min) }))
    end
  end
  print(line("same text first", { "pictures", "clear lead", "same" }))
  for _, name in ipairs(names) do
    local t = report.drift[name] and report.drift[name].top1
    if t then
      print(line(name, { tostring(t.n), tostring(t.counted),
                         t.counted > 0 and ("%.1f %%"):format(100 * t.share) or "-" },
                 ("led by a cosine of %g or more"):format(drift.TIE)))
    end
  end
end

local function screen(report, names, print)
  local cpu = report.cpu
  print(("%-10s %s, %s"):format("CPU", cpu.name, cpu.cores == cpu.online and
        util.count(cpu.cores, "core") or ("%d of %d cores"):format(cpu.cores, cpu.online)))
  print(("%-10s %s; %s"):format("engine", report.engine, report.blas))
  for _, name in ipairs(names) do
    if name ~= "fp32" then print(("%-10s %s: %s"):format("", name, report.kernel[name].engine)) end
  end
  print(("%-10s %s: %s; %s"):format("model", report.model.name, report.model.vision,
                                    report.model.text))
  if report.reason then print(("%-10s %s"):format("auto", report.reason)) end
  print("")
  machine_lines(report, names, print)
  print("")
  model_lines(report, names, print)
  if report.drift then
    print("")
    drift_lines(report, names, print)
  end
  print("")
  for _, hint in ipairs(report.hints) do print("hint       " .. hint.text) end
  if #report.hints == 0 then print("nothing looks wrong") end
end

-- ---- the verb ----

-- Opens the model in each precision that is asked for; returns them by name, and the names.
local function open(options)
  local function model_in(name)
    return models.open(options.model, { arch = options.arch, activation = options.activation,
                                        precision = name })
  end
  local opened, names = {}, {}
  local wanted = options.precision and { options.precision } or precisions.names
  for _, name in ipairs(wanted) do
    local model = model_in(name)
    name = model.info.precision -- auto has become what it took
    opened[name], names[#names + 1] = model, name
  end
  if options.drift and not opened.fp32 then opened.fp32 = model_in("fp32") end
  return opened, names
end

return function(options)
  local about, before, start = core.about(), clocks(), os.clock() + children()
  local opened, names = open(options)
  local model = opened[names[1]]
  local info = model.info
  local report = { clipeval = about.version, engine = about.engine, blas = about.blas,
                   cpu = bench.cpu(), reason = models.reason(model), precisions = {},
                   model = { name = info.name, vision = info.vision, text = info.text } }
  report.cpu.name = cpu_name()
  report.threads = options.threads or report.cpu.cores
  local kernels = util.set(names)
  kernels.fp32 = true
  measure_machine(report, model, util.keys(kernels))
  for name, m in pairs(opened) do report.kernel[name].engine = m.info.engine end
  report.kernel.fp32.engine = report.engine
  measure_models(report, opened, names, options)
  report.others = others(before, clocks(), os.clock() + children() - start)
  if options.drift then measure_drift(report, opened, names) end
  add_hints(report)
  if options.json then
    print(util.json(report))
  else
    screen(report, names, print)
  end
  return 0
end
