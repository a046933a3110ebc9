-- clip.matrix against arithmetic done by hand.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"

local m = clip.matrix { { 3, 4 }, { 0, 0 }, { -1, 0.5 } }
tap.is(#m, 3, "# is the number of rows")
tap.is(m.rows .. " " .. m.cols, "3 2", "rows and cols")
tap.is(m[1][2], 4.0, "m[i][j]")
tap.is(m[4], nil, "a row outside is nil")
tap.is(m[0], nil, "rows count from 1")
tap.is(m.nonsense, nil, "an unknown field is nil")
tap.is(tostring(m), "matrix 3 x 2", "tostring shows the shape")
local rows = 0
for _, row in ipairs(m) do rows = rows + #row end
tap.is(rows, 6, "ipairs walks the rows")

local unit = m:normalize()
tap.near(unit[1][1], 0.6, 1e-7, "normalize divides by the length")
tap.is(unit[2][1], 0.0, "a row of zeros stays")
tap.is(m[1][1], 3.0, "normalize leaves the original alone")
local mean = m:mean()
tap.is(#mean, 1, "the mean is one row")
tap.near(mean[1][1], 2 / 3, 1e-7, "mean, first column")
tap.near(mean[1][2], 1.5, 1e-7, "mean, second column")

local s = m:similarity(clip.matrix { { 1, 0 }, { 1, 1 } })
tap.is(s.rows .. " " .. s.cols, "3 2",
       "similarity has a row for each row and a column for each other")
tap.is(s[1][2], 7.0, "similarity is the dot product")
tap.is(s[3][2], -0.5, "similarity of the last row")

local scores = clip.matrix { { 1, 5, 5, 2 }, { 0 / 0, -1, -2, -1 } }
local best, values = scores:topk(3)
tap.is(table.concat(best[1], " "), "2 3 4", "topk: best first, the lower index first among equals")
tap.is(table.concat(best[2], " "), "2 4 3", "topk: NaN comes last")
tap.is(values[1][3], 2.0, "topk gives the scores")
tap.is(#(scores:topk(99))[1], 4, "topk gives no more than there is")
local ranks, first, value, tied = scores:ranks { 3, 1 }
tap.is(ranks[1] .. " " .. ranks[2], "2 4", "ranks count from 1 and follow the tie rule")
tap.is(first[1] .. " " .. first[2], "2 2", "ranks name the best column")
tap.is(value[1], 5.0, "ranks give the best score")
tap.is(tied[1] and tied[2], true, "ranks tell ties")

tap.ok(m:select { 3, 1 } == clip.matrix { { -1, 0.5 }, { 3, 4 } }, "select takes rows in order")
tap.ok(m:slice(2, 3) == clip.matrix { { 0, 0 }, { -1, 0.5 } }, "slice takes a range")
tap.is(#m:slice(2, 1), 0, "an empty slice")
tap.ok(clip.matrix(m:totable()) == m, "totable and back")
tap.ok(clip.matrix(2, 3) == clip.matrix { { 0, 0, 0 }, { 0, 0, 0 } }, "matrix(rows, cols) is zeros")
tap.ok(clip.matrix { { 0 / 0 } } ~= clip.matrix { { 0 / 0 } }, "NaN equals nothing")
tap.ok(m ~= clip.matrix { { 3, 4 } }, "another shape is not equal")

tap.raises(function() clip.matrix {} end, "at least one row", "no rows")
tap.raises(function() clip.matrix { { 1, 2 }, { 1 } } end, "row 2", "rows of unequal length")
tap.raises(function() clip.matrix { { 1, "x" } } end, "row 1, column 2", "text in a row")
tap.raises(function() clip.matrix(-1, 2) end, "negative", "negative rows")
tap.raises(function() clip.matrix(1 << 40, 1 << 40) end, "", "rows and columns that overflow")
tap.raises(function() m:similarity(clip.matrix { { 1, 2, 3 } }) end, "rows of 2", "unequal columns")
tap.raises(function() m:similarity {} end, "clip.matrix expected", "a table is no matrix")
tap.raises(function() m:topk(0) end, "at least 1", "topk(0)")
tap.raises(function() m:select { 4 } end, "no such row", "select a row outside")
tap.raises(function() m:slice(1, 4) end, "no such row", "slice beyond the end")
tap.raises(function() scores:ranks { 1 } end, "one target for each row", "too few targets")
tap.raises(function() scores:ranks { 1, 5 } end, "not the number of a column", "a target outside")
tap.raises(function() m:mean(m:slice(1, 0):mean()) end, "no mean", "the mean of nothing")
tap.raises(function() m.topk("x", 1) end, "clip.matrix expected", "a method on something else")
tap.raises(function() m:topk("x") end, "matrix.lua:", "errors name the script and its line")

do
  local closing <close> = clip.matrix { { 1 } }
  m = closing
end
tap.raises(function() m:mean() end, "closed", "a closed matrix cannot be used")
tap.is(tostring(m), "matrix (closed)", "a closed matrix says so")
m:close()
tap.is(getmetatable(m), "locked", "metatables are locked")

-- Many rows are normalised in place on every core: the same bits.
local core = require "clipeval.core"
local many = {}
for i = 1, 5000 do many[i] = { i % 7, i / 3, -i % 11 } end
many = clip.matrix(many)
local alone = many:normalize()
core.normalize(many)
tap.ok(many == alone, "normalised in place, as in a copy")

tap.done()
