-- The verbs of the command line: each returns an exit code.
local core = require "clipeval.core"
local session = require "clipeval.session"
local util = require "clipeval.util"

local program = {}

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

-- The result or the list of results that a script returned; {} for anything else.
local function as_results(value)
  local is_result = require "clipeval.zeroshot".is_result
  if is_result(value) then return { value } end
  local results = {}
  for _, item in ipairs(type(value) == "table" and value or {}) do
    if is_result(item) then results[#results + 1] = item end
  end
  return results
end

-- The run directory, or nil and a message. A signal waits: half a run is none.
local function write(results, interrupted)
  core.hold_signals()
  session.finished, session.current = {}, nil -- where this fails, nothing is left to salvage
  return require "clipeval.report".write(results, interrupted)
end

function program.run()
  local path = find_script(arg[0])
  if arg.out then
    local ok, fault = require "clipeval.report".check_out(arg.out)
    if not ok then util.quit(2, "run: --out %s", fault) end
  end
  local chunk, fault = loadfile(path, "t")
  if not chunk then
    util.quit(3, "%s", fault:find(util.basename(path), 1, true) and fault or path .. ": " .. fault)
  end
  arg.seed = arg.seed or 0
  session.script, session.script_sha256 = path, core.sha256_file(path)
  session.started = os.date("!%Y-%m-%dT%H:%M:%SZ")
  package.path = util.directory(path) .. "/?.lua;" .. package.path
  local results = as_results(chunk())
  if #results == 0 then return 0 end
  local out
  out, fault = write(results) -- before the table: nobody may be left to read that
  for _, result in ipairs(results) do print(result) end
  if not out then util.quit(3, "%s", fault) end
  print("written to " .. out)
  return 0
end

-- After a fault or an interruption: what was finished is written all the same.
function program.salvage(interrupted)
  local results = session.finished
  if interrupted and session.current then
    results[#results + 1] = require "clipeval.zeroshot".finish_partial(session.current)
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
  return require "clipeval.encode"(arg)
end

-- ---- list ----

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read("a") or ""
  if file then file:close() end
  return text
end

-- The first sentence of a model card, without its front matter and headings.
local function first_sentence(path)
  local text = read(path):gsub("^%-%-%-\n.-\n%-%-%-\n", ""):gsub("^%s*#[^\n]*%s*", "")
  local paragraph = text:match("^(.-)\n%s*\n") or text
  paragraph = paragraph:gsub("%s+", " ")
  return paragraph:match("^(.-%.) ") or paragraph
end

local lists = {}

function lists.models()
  local names, is_directory = core.list(core.share .. "/models")
  local rows = {}
  for i, name in ipairs(names or {}) do
    local path = ("%s/models/%s"):format(core.share, name)
    if is_directory[i] then
      rows[#rows + 1] = { name, first_sentence(path .. "/README.md") }
    end
  end
  return rows
end

function lists.datasets()
  local rows = {}
  for _, name in ipairs(util.list("datasets")) do
    local d = util.load_table(("%s/datasets/%s.lua"):format(core.share, name))
    local found = d.root and core.kind(d.root) and "found"
    rows[#rows + 1] = { name, d.about or "", found or "not found; from " .. (d.source or "?") }
  end
  return rows
end

function lists.prompts()
  local rows = {}
  for _, name in ipairs(util.list("prompts")) do
    local p = util.load_table(("%s/prompts/%s.lua"):format(core.share, name))
    rows[#rows + 1] = { name, p.about or util.count(#(p.templates or p), "template") }
  end
  return rows
end

function lists.evals()
  local rows = {}
  for _, name in ipairs(util.list("eval")) do
    local path = ("%s/eval/%s.lua"):format(core.share, name)
    rows[#rows + 1] = { name, read(path):match("^%-%-%s*([^\n]*)") or "" }
  end
  return rows
end

function program.list()
  local list = lists[arg[0]]
  if not list then
    util.quit(2, "list: '%s' is nothing to list (there are %s)", arg[0],
              table.concat(util.keys(lists), ", "))
  end
  for _, row in ipairs(list()) do
    print(("%-20s %s%s"):format(row[1], row[2], row[3] and " (" .. row[3] .. ")" or ""))
  end
  return 0
end

return program
