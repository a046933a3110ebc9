-- The verbs of the command line: each returns an exit code.
local core = require "clipeval.core"
local hub = require "clipeval.hub"
local session = require "clipeval.session"
local util = require "clipeval.util"

local program = {}

-- They are about the model that --model names: the embedded one needs none.
local function check_arch()
  for _, key in ipairs { "arch", "activation" } do
    if arg[key] and not arg.model then util.quit(2, "--%s needs --model", key) end
  end
end

-- ---- run ----

-- SCRIPT as given, else in eval/, with or without ".lua".
local function find_script(name)
  local in_share = util.join(core.share .. "/eval", name)
  for _, path in ipairs { name, in_share, in_share .. ".lua" } do
    if core.kind(path) == "file" then return path end
  end
  util.quit(3, "%s: no such script, neither here nor in %s/eval (which holds %s)", name,
            core.share, table.concat(util.list("eval"), ", "))
end

-- Adds the results in what a script returned, at any depth of lists and maps, each once.
local function collect(value, results, seen)
  if type(value) ~= "table" or seen[value] then return end
  seen[value] = true
  if require "clipeval.evaluation".is_result(value) then
    results[#results + 1] = value
    return
  end
  local keys = {}
  for key in next, value do
    if type(key) == "string" or type(key) == "number" then keys[#keys + 1] = key end
  end
  table.sort(keys, function(a, b)
    if type(a) == type(b) then return a < b end
    return type(a) == "number"
  end)
  for _, key in ipairs(keys) do collect(rawget(value, key), results, seen) end
end

-- What is to be written, given what the script returned: the results among it; where there
-- are none, all that was evaluated.
local function choose_results(returned)
  local results, seen, left = {}, {}, 0
  for i = 1, returned.n do collect(returned[i], results, seen) end
  if #results == 0 then return table.move(session.finished, 1, #session.finished, 1, {}) end
  for _, result in ipairs(session.finished) do left = left + (seen[result] and 0 or 1) end
  if left > 0 then
    util.warn("%s not returned by the script and not written", util.count(left, "evaluation"))
  end
  return results
end

-- Makes `arg` a view of session.settings that notes in `read` what the script asks for.
local function watch_arg(read)
  local settings, view = session.settings, {}
  function view.__index(_, key)
    read[key] = true
    return settings[key]
  end
  function view.__newindex(_, key, value)
    if key == "out" and util.path(value, "arg.out") then
      local ok, fault = require "clipeval.report".check_out(value)
      if not ok then util.fail("arg.out: %s", fault) end
    end
    settings[key] = value
  end
  function view.__pairs()
    for key in next, settings do read[key] = true end
    return next, settings
  end
  arg = setmetatable({}, view)
end

-- Options that the script did not ask for: most likely they are misspelt.
local function warn_of_unread(read)
  local ours = util.set { "0", "out", "limit", "seed", "threads", "precision", "quiet", "cache",
                          "no_cache", "cache_size", "baseline", "update_baseline", "max_drop",
                          "significance" }
  local words = util.set { "model", "data", "arch", "activation" }
  for key in pairs(session.taken) do ours[key] = true end
  local unread = {}
  for _, key in ipairs(util.keys(session.options)) do
    if not ours[key] and not read[key] then
      unread[#unread + 1] = (words[key] and "--" or "-o ") .. key
    end
  end
  if #unread > 0 then
    util.warn("%s does not read %s", util.basename(session.script), table.concat(unread, ", "))
  end
end

-- The run directory, or nil and a message. A signal waits: half a run is none.
local function write(results, interrupted)
  core.hold_signals()
  require "clipeval.store".close()
  session.finished, session.current = {}, nil -- where this fails, nothing is left to salvage
  return require "clipeval.report".write(results, interrupted)
end

function program.run()
  check_arch()
  local path = find_script(arg[0])
  if arg.out then
    local ok, fault = require "clipeval.report".check_out(arg.out)
    if not ok then util.quit(2, "run: --out %s", fault) end
  end
  local place, wrong = require "clipeval.store".place(arg)
  if place == false then util.quit(2, "run: %s", wrong) end
  local baseline = require "clipeval.baseline"
  local compared = baseline.prepare(arg)
  local chunk, fault = loadfile(path, "t")
  if not chunk then
    util.quit(3, "%s", fault:find(util.basename(path), 1, true) and fault or path .. ": " .. fault)
  end
  arg.seed = arg.seed or 0
  session.script, session.script_sha256 = path, core.sha256_file(path)
  session.started = os.date("!%Y-%m-%dT%H:%M:%SZ")
  package.path = util.directory(path) .. "/?.lua;" .. package.path
  session.options, session.settings = arg, util.copy(arg)
  local read = {}
  watch_arg(read)
  local results = choose_results(table.pack(chunk()))
  warn_of_unread(read)
  if #results == 0 then
    if compared then util.quit(3, "%s: evaluated nothing", path) end
    return 0
  end
  local out
  out, fault = write(results) -- before the table: nobody may be left to read that
  for _, result in ipairs(results) do print(result) end
  if not out then util.quit(3, "%s", fault) end
  print("written to " .. out)
  return compared and baseline.finish(compared, out) or 0
end

-- After a fault or an interruption: what was finished is written all the same.
function program.salvage(interrupted)
  local results = session.finished
  if interrupted and session.current then -- a fault in it must not cost what is finished
    local ok, partial = pcall(require "clipeval.evaluation".finish_partial, session.current)
    if ok then
      results[#results + 1] = partial
    else
      io.stderr:write("clipeval: ", tostring(partial), "\n")
    end
  end
  local why = interrupted and "clipeval: interrupted; " or "clipeval: "
  if #results > 0 then
    local out, fault = write(results, interrupted)
    if not out then util.quit(3, "%s", fault) end
    io.stderr:write(why, "what was finished is in ", out, "\n")
  elseif interrupted then
    io.stderr:write("clipeval: interrupted\n")
  end
end

-- ---- encode ----

function program.encode()
  check_arch()
  return require "clipeval.encode"(arg)
end

-- ---- doctor ----

function program.doctor()
  return require "clipeval.doctor"(arg)
end

-- ---- bench ----

function program.bench()
  check_arch()
  return require "clipeval.bench"(arg)
end

-- ---- compare, report, history, cache ----

function program.compare()
  return require "clipeval.compare"(arg)
end

function program.report()
  return require "clipeval.html"(arg)
end

function program.history()
  return require "clipeval.history"(arg)
end

function program.cache()
  return require "clipeval.cache"(arg)
end

-- ---- list ----

-- The first sentence of a model card, without its front matter and headings.
local function first_sentence(path)
  local text = (util.read(path) or ""):gsub("^%-%-%-\n.-\n%-%-%-\n", ""):gsub("^%s*#[^\n]*%s*", "")
  local paragraph = text:match("^(.-)\n%s*\n") or text
  paragraph = paragraph:gsub("%s+", " ")
  return paragraph:match("^(.-%.) ") or paragraph
end

local lists = {}

local function megabytes(bytes)
  return bytes < 1e9 and ("%.1f MB"):format(bytes / 1e6) or ("%.2f GB"):format(bytes / 1e9)
end

-- The embedded ones, then what lies in the Hugging Face cache.
function lists.models()
  local rows = {}
  for _, name in ipairs(require "clipeval.models".embedded()) do
    local card = ("%s/models/%s/README.md"):format(core.share, name)
    rows[#rows + 1] = { name, first_sentence(card) }
  end
  local found, others = hub.models()
  for _, m in ipairs(found) do
    rows[#rows + 1] = { m.id, ("%s, %s, %s"):format(m.kind, megabytes(m.bytes), m.revisions),
                        m.unfinished and "without weights" }
  end
  return rows, ("%s in the Hugging Face cache %s%s"):format(util.count(#found, "model"),
    hub.directory(), others > 0 and ("; %s there are of other kinds"):format(
    util.count(others, "repository", "repositories")) or "")
end

-- Name, kind and size; whether it lies below --data, or where it is told to.
function lists.datasets()
  local places = require "clipeval.places"
  local rows, found = {}, 0
  for _, name in ipairs(util.list("datasets")) do
    local d = util.load_table(("%s/datasets/%s.lua"):format(core.share, name))
    local root = d.root and core.kind(d.root) and d.root
    local place = arg.data and places.find(d, arg.data) or root
    found = found + (place and 1 or 0)
    rows[#rows + 1] = { name, ("%-14s %8s  %s"):format(d.task or "classification",
                              d.size or "?", d.about or ""),
                        place and "found: " .. place or "not found; from " .. (d.source or "?") }
  end
  return rows, ("%d of %s found%s"):format(found, util.count(#rows, "dataset"), arg.data and
                                           " below " .. arg.data or "; --data DIR looks there")
end

function lists.prompts()
  local rows = {}
  for _, name in ipairs(util.list("prompts")) do
    local p = util.load_table(("%s/prompts/%s.lua"):format(core.share, name))
    local classes = p.classes and (", %d class names"):format(#p.classes) or ""
    rows[#rows + 1] = { name, util.count(#(p.templates or p), "template") .. classes ..
                        (p.about and ": " .. p.about or "") }
  end
  return rows
end

function lists.evals()
  local rows = {}
  for _, name in ipairs(util.list("eval")) do
    local path = ("%s/eval/%s.lua"):format(core.share, name)
    rows[#rows + 1] = { name, (util.read(path) or ""):match("^%-%-%s*([^\n]*)") or "" }
  end
  return rows
end

function program.list()
  local list = lists[arg[0]]
  if not list then
    util.quit(2, "list: '%s' is nothing to list (there are %s)", arg[0],
              table.concat(util.keys(lists), ", "))
  end
  local rows, remark = list()
  local width = 20
  for _, row in ipairs(rows) do width = math.max(width, #row[1]) end
  for _, row in ipairs(rows) do
    print(row[1] .. (" "):rep(width - #row[1] + 1) .. row[2] ..
          (row[3] and " (" .. row[3] .. ")" or ""))
  end
  if remark then print(remark) end
  return 0
end

return program
