-- clipeval encode: the file, its shapes, and what happens to what cannot be read.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local images = arg.source .. "/tests/golden/images/"
local model = clip.model()
local d, context = model.embed_dim, model.context
local w, h = table.unpack(model.image_size)

local function is_row(tensor, row, want, name)
  for j, x in ipairs(want) do
    if tensor.at(row * #want + j - 1) ~= x then return tap.ok(false, name, "column " .. j) end
  end
  return tap.ok(true, name)
end

local list = tap.write("list", images .. "rgb-33x32.png\n" .. images .. "rgba.png\n")
local texts = tap.write("texts", "a cat\n\nа кот\r\nthe end")
local code, stdout, stderr = tap.clipeval("encode", "--images", list, "--texts", texts, "--inputs",
                                          "-o", "all.st")
tap.is(code .. stdout .. stderr, "0", "nothing but the file")
local t, size = tap.tensors(tap.directory() .. "/all.st")
tap.is(t.image_embeds.shape .. " " .. t.image_embeds.dtype, ("2,%d F32"):format(d), "image_embeds")
tap.is(t.text_embeds.shape, ("4,%d"):format(d),
       "text_embeds: a row for each line, also an empty one")
tap.is(t.pixel_values.shape, ("2,3,%d,%d"):format(h, w), "pixel_values")
tap.is(t.input_ids.shape .. " " .. t.input_ids.dtype, ("4,%d I64"):format(context), "input_ids")
local numbers = 2 * d + 4 * d + 2 * 3 * h * w
tap.is(size - numbers * 4 - 4 * context * 8,
       string.unpack("<I8", tap.read(tap.directory() .. "/all.st")) + 8,
       "no byte too many")
is_row(t.image_embeds, 1, model:encode_image(images .. "rgba.png")[1],
       "a picture's row is its embedding")
is_row(t.text_embeds, 2, model:encode_text("а кот")[1],
       "a text's row is its embedding, without the carriage return")
is_row(t.text_embeds, 1, model:encode_text("")[1], "the empty text as well")
local ids = model:tokenize("the end")
is_row({ at = function(i) return t.input_ids.at(3 * context + i) end }, 0, ids,
       "input_ids are those of tokenize")
local _, _, pixels = model:encode_image(images .. "rgb-33x32.png", { pixels = true })
is_row(t.pixel_values, 0, pixels[1], "pixel_values are what the tower saw")

tap.clipeval("encode", "--images", list, "-o", "plain.st", "--threads", "1")
local plain = tap.tensors(tap.directory() .. "/plain.st")
tap.is(plain.text_embeds, nil, "only what was asked for")
is_row(plain.image_embeds, 0, model:encode_image(images .. "rgb-33x32.png")[1],
       "the same with one thread")
tap.clipeval("encode", "--images", list, "--normalize", "--alpha", "white", "--output=unit.st")
local unit = tap.tensors(tap.directory() .. "/unit.st")
is_row(unit.image_embeds, 1,
       model:encode_image(images .. "rgba.png", { alpha = "white" }):normalize()[1],
       "--normalize and --alpha white")

-- JSON lines and standard input
tap.write("texts.jsonl", '"two\\nlines"\n"a \\u0063at"\n')
tap.clipeval("encode", "--texts", "texts.jsonl", "-o", "json.st")
local json = tap.tensors(tap.directory() .. "/json.st").text_embeds
is_row(json, 0, model:encode_text("two\nlines")[1], "a JSON string may hold a newline")
is_row(json, 1, model:encode_text("a cat")[1], "and escapes")
tap.shell("printf 'a cat\\n' | " .. tap.quote(arg.bin) .. " encode --texts - -o in.st")
is_row(tap.tensors(tap.directory() .. "/in.st").text_embeds, 0, model:encode_text("a cat")[1],
       "- is standard input")
tap.write("none", "")
tap.is(tap.clipeval("encode", "--texts", "none", "-o", "none.st"), 0, "an empty list")
tap.is(tap.tensors(tap.directory() .. "/none.st").text_embeds.shape, ("0,%d"):format(d),
       "gives no rows")

-- what cannot be read
tap.write("mixed", table.concat({ images .. "broken/empty.png", images .. "rgb-33x32.png",
                                  "/nowhere.png", images, "" }, "\n"))
code, stdout, stderr = tap.clipeval("encode", "--images", "mixed", "-o", "mixed.st", "--inputs")
tap.is(code, 3, "pictures that cannot be read: exit code 3")
tap.is(select(2, stderr:gsub("\n", "")), 3, "a line on stderr for each")
tap.has(stderr, "mixed:3: /nowhere.png: No such file", "that names the list's line and the file")
local mixed = tap.tensors(tap.directory() .. "/mixed.st")
local nan = mixed.image_embeds.at(0)
tap.ok(nan ~= nan and mixed.pixel_values.at(3 * 3 * w * h) ~= mixed.pixel_values.at(3 * 3 * w * h),
       "their rows are NaN")
is_row(mixed.image_embeds, 1, model:encode_image(images .. "rgb-33x32.png")[1],
       "the others are there")
tap.write("latin", "fine\n\xe9t\xe9\n")
code, stdout, stderr = tap.clipeval("encode", "--texts", "latin", "-o", "latin.st")
tap.is(code, 3, "a text that is not UTF-8: exit code 3")
tap.has(stderr, "latin:2:", "and its line")

local function wrong(code_wanted, message, ...)
  code, stdout, stderr = tap.clipeval("encode", ...)
  tap.is(code, code_wanted, message .. ": exit code " .. code_wanted)
  tap.has(stderr, message, message .. ": told")
  tap.is(select(2, stderr:gsub("\n", "")), 1, message .. ": in one line")
end
wrong(2, "needs --images LIST or --texts LIST", "-o", "x.st")
wrong(2, "needs -o FILE", "--texts", "none")
wrong(2, "only one of", "--texts", "-", "--images", "-", "-o", "x.st")
wrong(2, "is a directory", "--texts", "none", "-o", "/tmp")
wrong(2, "--alpha must be", "--texts", "none", "--alpha", "black", "-o", "x.st")
wrong(3, "nowhere: No such file", "--texts", "nowhere", "-o", "x.st")
wrong(3, "bad.jsonl:2: ", "--texts", tap.write("bad.jsonl", '"a"\n{\n'), "-o", "x.st")
wrong(3, "bad.jsonl:1: not a JSON string", "--texts", tap.write("bad.jsonl", "1\n"), "-o", "x.st")
wrong(3, "no model 'nope'", "--model", "nope", "--texts", "none", "-o", "x.st")
wrong(3, "/nowhere/x.st", "--texts", "texts", "-o", "/nowhere/x.st")
-- what stands under the name of -o
tap.shell("mkfifo fifo.st; ln -s nowhere.st broken.st; echo old >old.st; ln -s old.st link.st")
wrong(3, "fifo.st: ", "--texts", "texts", "-o", "fifo.st")
wrong(3, "broken.st: ", "--texts", "texts", "-o", "broken.st")
tap.is(tap.shell("test -p fifo.st"), 0, "a FIFO stays what it is")
tap.is(tap.clipeval("encode", "--texts", "texts", "-o", "link.st"), 0, "a link to a file")
tap.is(tap.shell("test -L link.st && test ! -L old.st"), 0, "stays a link")
tap.is(tap.tensors(tap.directory() .. "/old.st").text_embeds.shape, ("4,%d"):format(d),
       "and its file is replaced")
tap.is(select(2, tap.shell("ls | grep -c 'x.st\\|tmp'")), "0\n", "no half-written file is left")
tap.done()
