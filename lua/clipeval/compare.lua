-- clipeval compare: what got worse between two runs, and is it more than chance? The exit code
-- is 1 where there is a regression, as --max-drop and --alpha say what one is.
local comparison = require "clipeval.comparison"
local formats = require "clipeval.comparison_formats"
local power = require "clipeval.power"
local rules = require "clipeval.rules"
local runs = require "clipeval.runs"
local util = require "clipeval.util"

local function check_arguments(options)
  if options.format and not formats[options.format] then
    util.quit(2, "compare: --format must be table, csv, json, markdown or junit, not '%s'",
              options.format)
  end
  if options[1] or options.power and not options[0] then return end
  util.quit(2, "compare: %s is missing (see --help)", options[0] and "NEW" or "BASE NEW")
end

return function(options)
  check_arguments(options)
  local r = rules.of(options, "compare")
  local c = options[1] and comparison.of(runs.load(options[0]), runs.load(options[1]), {
    rules = r, force = options.force, seed = options.seed, resamples = options.resamples })
  if options.power then return power(c, options, r) end
  util.write(options.output, formats[options.format or "table"](c))
  return #c.regressions > 0 and 1 or 0
end
