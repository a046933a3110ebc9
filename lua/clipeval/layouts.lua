-- The layouts that a dataset can have: every file of layouts/ is one, an adapter from what
-- lies on disk to a list of items. A new file there needs no other change. It returns
--
--     kind       what its items are (see dataset.lua), unless load says it
--     takes      "DIR" or "FILE": what stands behind "NAME:"
--     fields     { NAME = type }: of a description, for this layout
--     expects(dataset)   one line that shows the files, where the description has none
--     fill_in(dataset)   optional: checks fields, and puts in what is not said
--     load(dataset, place) -> items, class names (nil where the kind has none), kind
--     part       what the text of a split names, below the root ("its folder"), or
--     part_field the field that a split's text or list stands for; neither: it is a table
--     splits, split      those of a dataset that says none, and which is usual
--     own_splits true: the splits lie on disk, and load settles dataset.split
--     manifest   the file that is meant where a directory is named
--     present    true: its files name pictures, and that all are missing is a fault
local NAME <const> = "^clipeval%.layouts%.([%w_]+)$"

local layouts = {}
for module in pairs(package.preload) do
  local name = module:match(NAME)
  if name then layouts[name] = require(module) end
end
return layouts
