-- clipeval encode: lists of pictures and texts become a safetensors file.
local core = require "clipeval.core"
local models = require "clipeval.models"
local util = require "clipeval.util"

local BATCH_BYTES = 64 << 20 -- of inputs that are held at a time, with --inputs

-- The lines of LIST, each a path or a text; of a .jsonl file each a JSON string.
local function read_list(list)
  local file, fault = io.stdin, nil
  if list ~= "-" then
    file, fault = io.open(list, "rb")
    if not file then util.quit(3, "%s", fault) end
  end
  local text = file:read("a")
  if list ~= "-" then file:close() end
  if not text then util.quit(3, "%s: cannot be read", list) end
  local items, number = {}, 0
  for line in (text:sub(-1) == "\n" and text or text == "" and text or text .. "\n")
              :gmatch("([^\n]*)\n") do
    number = number + 1
    line = line:gsub("\r$", "")
    if list:find("%.jsonl$") then
      line, fault = core.json_decode(line)
      if type(line) ~= "string" then
        util.quit(3, "%s:%d: %s", list, number, fault or "not a JSON string")
      end
    end
    items[number] = line
  end
  return items
end

local function check(value, fault)
  if not value then util.quit(3, "%s", fault) end
  return value
end

-- What is encoded of one kind: how, and which tensors come of it.
local function plan(kind, list, items, model, options, tensors)
  local function tensor(name, dtype, shape)
    tensors[#tensors + 1] = { name = name, dtype = dtype, shape = shape }
    return #tensors
  end
  local width, height = table.unpack(model.image_size)
  local is_image = kind == "pictures"
  local p = { kind = kind, list = list, items = items, batch = math.max(1, #items),
              encode = is_image and model.encode_image or model.encode_text,
              row = model.embed_dim * 4,
              input_row = is_image and 3 * width * height * 4 or model.context * 8,
              embeds = tensor(is_image and "image_embeds" or "text_embeds", "F32",
                              { #items, model.embed_dim }) }
  if options.inputs then
    p.batch = math.max(1, math.min(p.batch, BATCH_BYTES // p.input_row))
    p.inputs = is_image and tensor("pixel_values", "F32", { #items, 3, height, width })
               or tensor("input_ids", "I64", { #items, model.context })
  end
  return p
end

-- Encodes batch after batch into `file`; returns how many items could not be read.
local function encode(p, model, options, file)
  local bad = 0
  for first = 1, #p.items, p.batch do
    local last = math.min(first + p.batch - 1, #p.items)
    local part = p.batch >= #p.items and p.items or table.move(p.items, first, last, 1, {})
    local embeds, problems, pixels, ids = p.encode(model, part, {
      alpha = options.alpha, pixels = options.inputs, ids = options.inputs,
      progress = p.kind, progress_base = first - 1, progress_total = #p.items })
    if options.normalize then embeds = embeds:normalize() end
    check(file:write(p.embeds, (first - 1) * p.row, embeds))
    if p.inputs then
      check(file:write(p.inputs, (first - 1) * p.input_row, p.kind == "texts" and ids or pixels))
    end
    for i = 1, problems and #part or 0 do
      if problems[i] then
        io.stderr:write(("clipeval: %s:%d: %s\n"):format(p.list, first + i - 1, problems[i]))
        bad = bad + 1
      end
    end
  end
  return bad
end

return function(options)
  if not options.images and not options.texts then
    util.quit(2, "encode: needs --images LIST or --texts LIST")
  elseif options.images == "-" and options.texts == "-" then
    util.quit(2, "encode: only one of --images and --texts can be standard input")
  elseif not options.output then
    util.quit(2, "encode: needs -o FILE")
  elseif core.kind(options.output) == "directory" then
    util.quit(2, "encode: -o %s is a directory", options.output)
  end
  local images = options.images and read_list(options.images)
  local texts = options.texts and read_list(options.texts)
  local model = models.open(options.model, {
    arch = options.arch, activation = options.activation, precision = options.precision })
  local plans, tensors = {}, {}
  if images then plans[1] = plan("pictures", options.images, images, model, options, tensors) end
  if texts then plans[#plans + 1] = plan("texts", options.texts, texts, model, options, tensors) end
  local file <close> = check(core.tensor_file(options.output, tensors))
  local bad = 0
  for _, p in ipairs(plans) do bad = bad + encode(p, model, options, file) end
  check(file:commit())
  return bad > 0 and 3 or 0
end
