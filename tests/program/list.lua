-- clipeval list datasets: what lies below --data, however it was unpacked.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"

local function line_of(name, data)
  local code, out = tap.clipeval("list", "datasets", "--data", tap.directory() .. "/" .. data)
  tap.is(code, 0, "exit code")
  return ("\n" .. out):match("\n(" .. name .. " [^\n]*)") or ""
end

for _, path in ipairs {
  "parent/food-101/meta/test.txt", -- the archive, unpacked here
  "many/food101/food-101/meta/test.txt", -- torchvision's root, among others
  "named/food101/meta/test.txt", -- under our name
  "itself/meta/test.txt", -- the archive's own folder
} do
  tap.write(path, "apple_pie/1")
  local root = path:match("^[^/]+")
  tap.has(line_of("food101", root), "(found: " .. tap.directory() .. "/" ..
          path:match("^(.*)/meta/"), root .. ": found")
  tap.has(line_of("sun397", root), "not found; from ", root .. ": nothing else is")
end
tap.write("voc/VOCdevkit/VOC2007/ImageSets/Main/test.txt", "")
tap.has(line_of("voc2007", "voc"), "VOCdevkit/VOC2007)", "a folder of the archive's name")
local row = line_of("food101", "nowhere")
tap.has(row, "not found", "a directory that is not there")
tap.ok(row:find("classification +25250  "), "kind and size")
local _, out = tap.clipeval("list", "prompts")
tap.has(out, "imagenet_zh", "list prompts")
tap.has(out, "80 templates, 1000 class names: Chinese, ImageNet", "templates and class names")
tap.done()
