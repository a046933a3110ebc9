-- clip.image: files, raw pixels, resizing.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local golden = arg.source .. "/tests/golden/images/"

local grey = clip.image { width = 2, height = 1, channels = 1, pixels = "\10\200" }
tap.is(tostring(grey), "image 2 x 1", "tostring shows the size")
tap.is(grey.width .. " " .. grey.height, "2 1", "width and height")
tap.is(table.concat({ grey:pixel(1, 0) }, " "), "200 200 200", "grey becomes RGB")
local rgb = clip.image { width = 1, height = 2, pixels = "\1\2\3\4\5\6" }
tap.is(table.concat({ rgb:pixel(0, 1) }, " "), "4 5 6", "pixels count from 0, x before y")
tap.is(rgb:bytes(), "\1\2\3\4\5\6", "bytes are RGB, row by row")

local flat = clip.image { width = 5, height = 3, channels = 1, pixels = ("\77"):rep(15) }
local small = flat:resize(2, 7, "bilinear")
tap.is(tostring(small), "image 2 x 7", "resize gives the size asked for")
tap.is(small:bytes(), ("\77"):rep(42), "a flat picture stays flat")
tap.is(flat:bytes(), ("\77"):rep(45), "resize leaves the original alone")

local picture = clip.image(golden .. "rgb-33x32.png")
tap.is(tostring(picture), "image 33 x 32", "a file is decoded")
tap.is(#picture:bytes(), 33 * 32 * 3, "all its pixels")
tap.ok(clip.image(golden .. "rgba.png", { alpha = "white" }):bytes() ~=
       clip.image(golden .. "rgba.png"):bytes(), "alpha = \"white\" makes a difference")

local none, message = clip.image("/nowhere/cat.png")
tap.is(none, nil, "a file that is not there is nil")
tap.has(message, "/nowhere/cat.png", "and a message that names it")
none, message = clip.image(golden .. "broken/truncated.jpg")
tap.is(none, nil, "a broken file is nil")
tap.has(message, "truncated", "and a message that tells why")
none, message = clip.image(golden)
tap.is(none, nil, "a directory is nil")

tap.raises(function() clip.image { width = 2, height = 2, pixels = "\1" } end, "bytes",
           "too few pixels")
tap.raises(function() clip.image { width = 0, height = 2, pixels = "" } end, "width", "no width")
tap.raises(function() clip.image { width = 1, height = 1, channels = 2, pixels = "ab" } end,
           "channels", "two channels")
tap.raises(function() clip.image("a.png", { alpha = "black" }) end, "alpha", "an unknown alpha")
tap.raises(function() clip.image("a.png", { alhpa = "drop" }) end, "unknown field 'alhpa'",
           "a misspelt option")
tap.raises(function() clip.image("a.png", "white") end, "options must be a table",
           "options by name")
tap.raises(function() clip.image("a\0b.png") end, "NUL", "a path with a NUL byte")
tap.raises(function() clip.image() end, "string expected", "no argument")
tap.raises(function() rgb:pixel(1, 0) end, "outside", "a pixel outside")
tap.raises(function() rgb:pixel(-1, 0) end, "outside", "a negative coordinate")
tap.raises(function() rgb:resize(0, 1) end, "from 1", "a size of 0")
tap.raises(function() rgb:resize(1, 1, "nearest") end, "nearest", "an unknown filter")

local function inherits(fields) return setmetatable({}, { __index = fields }) end
tap.raises(function() clip.image(inherits { width = 1, height = 1, pixels = "abc" }) end, "width",
           "fields of a picture are its own")
tap.raises(function()
  clip.image(setmetatable({ width = 1, height = 1, channels = 3 }, {
    __index = function() return ("x"):rep(3) .. "" end }))
end, "pixels", "its pixels too: nothing else would keep them")

rgb:close()
tap.raises(function() rgb:pixel(0, 0) end, "closed", "a closed image cannot be used")
tap.is(tostring(rgb), "image (closed)", "a closed image says so")
tap.done()
