-- clipeval doctor: why is my figure off? What was resolved from a checkpoint and from which
-- file, what is known to mislead, and a self-test; as a screen, or as one JSON object.
local core = require "clipeval.core"
local models = require "clipeval.models"
local selftest = require "clipeval.selftest"
local util = require "clipeval.util"

local WIDTH, LABEL = 80, 15
local BATCH_ERROR = 1e-4 -- relative: more is no rounding

-- What to do about a finding, by its code.
local ADVICE = {
  ["activation-not-stated"] = "look up what the model was trained with, and state it there: " ..
    "OpenAI's weights need quick_gelu; a wrong one costs several points",
  ["openai-names-gelu"] = "OpenAI's weights need quick_gelu: correct it there unless the model " ..
    "was trained anew with gelu",
  ["activations-differ"] = "both towers of every published CLIP share one: look it up, and " ..
    "correct the other",
  ["openai-spelling"] = "--arch with open_clip's own name (ViT-B-32, ViT-B-32-quickgelu) says " ..
    "which is meant",
  ["openai-assumed"] = "--arch with the architecture's name settles it",
  ["imagenet-normalisation"] = "correct them unless the model was trained so",
  ["unusual-normalisation"] = "correct them unless the model was trained so",
  ["preprocess-assumed"] = "put the open_clip_config.json that belongs to the weights beside them",
  ["image-size-mismatch"] = "correct the configuration, so that every tool does the same",
  ["unused-tensors"] = "the architecture is not the file's: give the right one (--arch, or the " ..
    "configuration that belongs to these weights)",
  ["not-finite"] = "the file is damaged, or training diverged: get it again, or take an " ..
    "earlier checkpoint",
  ["all-zero"] = "such a part was never trained, or was lost in a conversion: compare with the " ..
    "original file",
  ["logit-scale-untrained"] = "the checkpoint may be untrained, or the parameter was lost in a " ..
    "conversion",
  ["logit-scale-odd"] = "the file may hold the factor itself where its logarithm belongs; " ..
    "ranks do not depend on it, probabilities do",
  ["texts-alike"] = "the text tower tells nothing apart: its weights, its tokenizer or the " ..
    "end-of-text rule belong to another model",
  ["pictures-alike"] = "the image tower tells nothing apart: its weights or the preprocessing " ..
    "belong to another model",
  ["batch-dependent"] = "the engine does not compute each row by itself; see CLIPEVAL_ENGINE",
}

-- ---- what is known ----

local function add(report, severity, code, text)
  report.findings[#report.findings + 1] = { severity = severity, code = code, text = text,
                                            advice = ADVICE[code] }
end

-- Within what bf16 leaves of the logarithms of the values below; files are converted to and fro.
local function is_near(value, want, tolerance)
  return math.abs(math.log(value / want)) <= (tolerance or 6e-3)
end

-- OpenAI's training clamps the factor at 100, and begins with 1 / 0.07; SigLIP's begins with
-- 10 and a bias of -10.
local function check_logits(report, info)
  local scale, shown = info.logit_scale, ("%.6g"):format(info.logit_scale)
  if not (scale >= 1 and scale <= 1000) then
    add(report, "warning", "logit-scale-odd", ("%s: the logit scale is %s"):format(
        info.weights, shown))
  elseif info.sigmoid and is_near(scale, 10) and
         math.abs(info.logit_bias + 10) < 1e-3 then
    add(report, "warning", "logit-scale-untrained",
        ("%s: the logit scale is 10 and the bias -10, where training begins"):format(info.weights))
  elseif not info.sigmoid and is_near(scale, 1 / 0.07) then
    add(report, "warning", "logit-scale-untrained",
        ("%s: the logit scale is %s = 1 / 0.07, where training begins"):format(info.weights, shown))
  elseif not info.sigmoid and is_near(scale, 100, 0.012) then
    add(report, "remark", "logit-scale-ceiling",
        ("the logit scale is %s, the ceiling of CLIP's training: usual in released models; " ..
         "ranks do not depend on it"):format(shown))
  end
end

local function check_selftest(report)
  for noun, kind in pairs { text = "texts", picture = "pictures" } do
    local t = report.selftest[kind]
    if t.fault then
      add(report, "fault", kind .. "-not-encoded", ("self-test, %s: %s"):format(kind, t.fault))
    elseif t.collapsed then
      add(report, "warning", kind .. "-alike", ("self-test: all %s are alike: every pair of %d " ..
          "has a cosine of at least %.6f"):format(kind, t.n, t.cosines.min))
    elseif t.batch_error > BATCH_ERROR then
      add(report, "warning", "batch-dependent", ("self-test: a %s alone differs by %.1e from " ..
          "the same among others"):format(noun, t.batch_error))
    end
  end
end

-- The weights by themselves: also of a model that does not open.
local function read_weights(report, path)
  local w, fault = core.weights(path)
  if not w then return nil, fault end
  local values, files = 0, {}
  for _, n in pairs(w.types) do values = values + n end
  for _, file in ipairs(util.keys(w.files)) do
    files[#files + 1] = { path = file, bytes = select(3, core.kind(file)) }
  end
  report.weights = { path = path, format = w.format, sha256 = w.sha256, tensors = w.tensors,
                     values = values, types = w.types, files = files }
end

local function describe(report, info)
  report.architecture = { source = info.architecture_source, embed_dim = info.embed_dim,
                          dtype = info.dtype }
  report.image = { tower = info.vision, activation = info.vision_activation,
                   pool = info.vision_pool, width = info.image_width, height = info.image_height }
  report.text = { tower = info.text, activation = info.activation, pool = info.end_of_text,
                  context = info.context }
  report.activation_source = info.activation_source
  report.preprocess = util.copy(info.preprocess, { source = info.preprocess_source })
  report.tokenizer = { source = info.tokenizer, kind = info.tokenizer_kind }
  report.logits = { scale = info.logit_scale, temperature = 1 / info.logit_scale,
                    bias = info.logit_bias, sigmoid = info.sigmoid }
end

local function examine_model(report, model)
  local info = model.info
  describe(report, info)
  report.engine.kernels = info.engine
  local surveyed, fault = model:survey()
  for _, note in ipairs(model.notes) do
    add(report, note.severity, note.code, note.text)
  end
  if not surveyed then add(report, "fault", "not-read", fault) end
  check_logits(report, info)
  report.selftest = selftest(model)
  check_selftest(report)
end

-- What --precision auto takes, and why; a model whose weights are broken cannot be measured.
local function choose_precision(place, options)
  local ok, model = pcall(models.open_as, place, options, true)
  if not ok or not model then return "fp32" end
  local precision, reason = model.info.precision, models.reason(model)
  model:close()
  return precision, reason
end

local RANK = { fault = 1, warning = 2, remark = 3 }

local function examine(name, place, options)
  local arch = options.arch
  local about = core.about()
  local report = { clipeval = about.version, model = place.name or util.basename(place.path),
                   path = place.path, found = place.kind, arch = arch, findings = {},
                   engine = { precision = options.precision or "fp32", kernels = about.engine,
                              blas = about.blas } }
  if options.precision == "auto" then
    report.engine.precision, report.engine.reason = choose_precision(place, options)
    options = util.copy(options, { precision = report.engine.precision })
  end
  report.commit = place.found and place.found.commit
  local model, fault = models.open_at(place, options, true)
  local files = core.checkpoint(place.path, arch)
  if files then
    report.format, report.directory, report.config = files.format, files.directory, files.config
    read_weights(report, files.weights)
  end
  if model then
    report.model = model.name
    examine_model(report, model)
  else
    add(report, "fault", "does-not-open", fault)
  end
  table.sort(report.findings, function(a, b)
    if a.severity ~= b.severity then return RANK[a.severity] < RANK[b.severity] end
    if a.code ~= b.code then return a.code < b.code end
    return a.text < b.text
  end)
  report.wrong = report.findings[1] ~= nil and report.findings[1].severity ~= "remark"
  return report
end

-- ---- the screen ----

-- The words of `text` in lines of at most `width`; a longer word has a line of its own.
local function wrap(text, width)
  local lines, line = {}, ""
  for word in text:gmatch("%S+") do
    if line ~= "" and utf8.len(line .. " " .. word) > width then
      lines[#lines + 1], line = line, ""
    end
    line = line == "" and word or line .. " " .. word
  end
  lines[#lines + 1] = line
  return lines
end

local function indented(label, text, indent)
  local lines = wrap(util.utf8(text):gsub("[%c\127]", "?"), WIDTH - indent)
  for i, line in ipairs(lines) do
    lines[i] = (i == 1 and label .. (" "):rep(indent - #label) or (" "):rep(indent)) .. line
  end
  return table.concat(lines, "\n")
end

local function amount(n)
  return n < 1e4 and ("%d"):format(n) or n < 1e6 and ("%.1f k"):format(n / 1e3) or
         ("%.1f M"):format(n / 1e6)
end

local function size(report)
  local total = 0
  for _, file in ipairs(report.weights.files) do total = total + file.bytes end
  return ("%.1f MB"):format(total / 1e6)
end

local function types(report)
  local parts = {}
  for _, name in ipairs(util.keys(report.weights.types)) do
    parts[#parts + 1] = ("%s %s"):format(amount(report.weights.types[name]), name)
  end
  return table.concat(parts, ", ")
end

local function numbers(list)
  local parts = {}
  for i, x in ipairs(list) do parts[i] = ("%.4g"):format(x) end
  return table.concat(parts, " ")
end

local function resize_text(p)
  local sizes = ("%d x %d"):format(p.resize_width, p.resize_height)
  local steps = { none = "no resize", squash = "to " .. sizes .. ", whatever the aspect",
                  shortest = "short side to " .. p.resize_width,
                  longest = ("long side to %d, padded with %d"):format(p.resize_width, p.fill) }
  local crop = p.resize_mode == "shortest" or p.resize_mode == "none" or
               p.width ~= p.resize_width or p.height ~= p.resize_height
  return ("%s, %s%s"):format(steps[p.resize_mode], p.interpolation,
         crop and (", crop %d x %d (offset: %s)"):format(p.width, p.height, p.crop_rounding) or "")
end

local function selftest_text(kind, t)
  if t.fault then return ("%d %s: failed, see below"):format(t.n, kind) end
  return ("%d %s: norms %.3g to %.3g, cosines %.3f to %.3f"):format(t.n, kind, t.norms.min,
         t.norms.max, t.cosines.min, t.cosines.max)
end

local function batch_text(texts, pictures)
  local worst = math.max(texts.batch_error or 0, pictures.batch_error or 0)
  return worst == 0 and "a row has the same bits alone and among others" or
         ("a row alone differs by %.0e"):format(worst)
end

-- Paths within the model's directory are shown without it.
local function shortener(report)
  local directory = report.directory or ""
  if directory:sub(-1) ~= "/" then directory = directory .. "/" end
  local pattern = directory:gsub("%p", "%%%0")
  return function(text) return directory == "/" and text or (text:gsub(pattern, "")) end
end

local function model_rows(report, row, short)
  local image, text, logits = report.image, report.text, report.logits
  row("architecture", short(report.architecture.source))
  row("image tower", image.tower)
  row("  pooled by", image.pool)
  row("text tower", text.tower)
  row("  pooled at", text.pool .. (text.pool:find(" id", 1, true) and " (end of text)" or ""))
  row("activation", image.activation == text.activation and text.activation or
      ("texts %s, pictures %s"):format(text.activation, image.activation))
  row("  stated in", short(report.activation_source))
  row("embedding", ("%d numbers"):format(report.architecture.embed_dim))
  row("preprocessing", resize_text(report.preprocess))
  row("  mean, std", numbers(report.preprocess.mean) .. ", " .. numbers(report.preprocess.std))
  row("  stated in", short(report.preprocess.source))
  local tokenizer = report.tokenizer
  row("tokenizer", tokenizer.kind == "" and tokenizer.source or
      ("%s (%s)"):format(tokenizer.kind, tokenizer.source))
  row("logit scale", ("%.6g (temperature %.4g)%s"):format(logits.scale, logits.temperature,
      logits.sigmoid and ("; sigmoid, bias %.6g"):format(logits.bias) or ""))
  row("engine", ("%s, %s"):format(report.engine.precision, report.engine.kernels))
  if report.engine.reason then row("", report.engine.reason) end
  row("self-test", selftest_text("texts", report.selftest.texts))
  row("", selftest_text("pictures", report.selftest.pictures))
  row("", batch_text(report.selftest.texts, report.selftest.pictures))
end

local function verdict(report)
  local count = { fault = 0, warning = 0, remark = 0 }
  for _, f in ipairs(report.findings) do count[f.severity] = count[f.severity] + 1 end
  if not report.wrong then return "nothing looks wrong" end
  local parts = {}
  for _, severity in ipairs { "fault", "warning" } do
    if count[severity] > 0 then parts[#parts + 1] = util.count(count[severity], severity) end
  end
  return table.concat(parts, ", ")
end

local function screen(report)
  local short, w = shortener(report), report.weights
  local lines = {}
  local function row(label, text) lines[#lines + 1] = indented(label, text, LABEL) end
  row("model", report.model .. (report.found == "embedded" and " (embedded)" or ""))
  local above, commit = (report.directory or report.path):match("^(.*)/snapshots/(%x+)$")
  row("  lies in", above or report.directory or report.path)
  if commit then row("  snapshot", commit) end
  if report.format then
    row("format", report.format .. (report.arch and (" (--arch %s)"):format(report.arch) or ""))
  end
  if w then
    row("weights", ("%s: %s, %s"):format(short(w.path), w.format, size(report)))
    row("", ("%d tensors: %s"):format(w.tensors, types(report)))
    row("  sha256", w.sha256)
  end
  if report.image then model_rows(report, row, short) end
  lines[#lines + 1] = ""
  for _, f in ipairs(report.findings) do
    lines[#lines + 1] = indented(f.severity, short(f.text), 9)
    if f.advice then lines[#lines + 1] = indented("", f.advice, 9) end
  end
  lines[#lines + 1] = verdict(report)
  return table.concat(lines, "\n")
end

return function(options)
  local place, fault = models.resolve(options[0])
  if not place then util.quit(3, "%s", fault) end
  local report = examine(options[0], place, options)
  print(options.json and util.json(report) or screen(report))
  return report.wrong and 1 or 0
end
