-- clipeval compare --power D: how many items it takes to see a drop of D. Only items on which
-- two runs differ tell them apart, so it depends on how many those are: on these two runs, or,
-- where there are none, for a table of shares.
local core = require "clipeval.core"
local rules = require "clipeval.rules"
local util = require "clipeval.util"

local POWER, ALPHA = 0.8, 0.05
local SHARES = { 0.01, 0.02, 0.05, 0.1, 0.2, 0.3 }

-- Items that it takes; a drop of D needs a share of D that differ at least.
local function needed(drop, discordant, alpha)
  return core.items_needed { drop = drop, discordant = math.max(drop, discordant), alpha = alpha,
                             power = POWER }
end

-- How many times the items it takes where some share a picture: the variance that these two
-- runs' difference has by resampling pictures, over what single items would give it (Kish,
-- Survey Sampling, 1965). Below 1 it is taken for luck.
local function design_effect(m)
  local share = (m.better + m.worse) / m.n
  local single = (share - m.difference ^ 2) * m.n / (m.n - 1)
  if not m.clustered or not (single > 0) then return 1 end
  return math.max(1, m.spread ^ 2 / single)
end

local function from_runs(c, drop, alpha)
  local rows = {}
  for _, pair in ipairs(c.evaluations) do
    for _, m in ipairs(pair.metrics) do
      local row = { evaluation = pair.title, metric = m.metric, n = m.n }
      if m.test and m.unit == "percent" and m.statistic == "hits" then
        row.discordant = (m.better + m.worse) / m.n
        row.design_effect = design_effect(m)
        row.needed = math.ceil(needed(drop, row.discordant, alpha) * row.design_effect)
      elseif m.test and m.statistic == "mean" and m.spread > 0 then
        row.spread = m.spread
        row.needed = core.items_needed { drop = drop, spread = m.spread, alpha = alpha,
                                         power = POWER }
      end
      row.clustered = m.clustered or false
      if row.needed then rows[#rows + 1] = row end
    end
  end
  return rows
end

local function from_shares(drop, alpha)
  local rows = {}
  for _, share in ipairs(SHARES) do
    if share >= drop then
      rows[#rows + 1] = { discordant = share, needed = needed(drop, share, alpha) }
    end
  end
  return rows
end

local function differ(row)
  return row.discordant and ("%.2f %%"):format(100 * row.discordant) or
         ("spread %.4g"):format(row.spread)
end

-- What sharing pictures costs; a spread holds it already.
local function by_picture(row)
  if not row.clustered then return "" end
  return row.design_effect and (", by picture: %.2f times as many"):format(row.design_effect) or
         ", by picture"
end

local writers = {}

function writers.table(rows, drop, alpha)
  local lines = { ("to see a drop of %s with a power of %g %% (two-sided, alpha %g), each " ..
                   "metric alone:"):format(rules.show(drop, "percent"), 100 * POWER, alpha) }
  local last
  for _, row in ipairs(rows) do
    if row.evaluation ~= last then lines[#lines + 1] = row.evaluation end
    last = row.evaluation
    lines[#lines + 1] = ("  %sitems that differ %s%s: %d items%s"):format(
      row.metric and ("%-24s "):format(row.metric) or "", differ(row), by_picture(row),
      row.needed, row.n and (" (there are %d)"):format(row.n) or "")
  end
  if #rows == 0 then lines[#lines + 1] = "  nothing that can be counted" end
  return table.concat(lines, "\n") .. "\n"
end

function writers.csv(rows, drop, alpha)
  local lines = { "evaluation,metric,n,discordant,spread,design_effect,drop,alpha,power,needed" }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = ('"%s",%s,%s,%s,%s,%s,%.9g,%.9g,%g,%d'):format(
      (row.evaluation or ""):gsub('"', '""'), row.metric or "", row.n or "",
      row.discordant and ("%.9g"):format(row.discordant) or "",
      row.spread and ("%.9g"):format(row.spread) or "",
      row.design_effect and ("%.9g"):format(row.design_effect) or "", drop, alpha, POWER,
      row.needed)
  end
  return table.concat(lines, "\n") .. "\n"
end

function writers.json(rows, drop, alpha)
  return util.json { drop = drop, alpha = alpha, power = POWER, metrics = rows } .. "\n"
end

-- c: a comparison, or nil
return function(c, options, r)
  local drop = rules.parse_drop(options.power)
  if not drop or drop <= 0 or drop >= 1 then
    util.quit(2, "compare: --power needs a drop such as 0.5pp or 0.005, not '%s'", options.power)
  end
  local writer = writers[options.format or "table"]
  if not writer then util.quit(2, "compare: --power is written as table, csv or json") end
  local alpha = r.alpha or ALPHA
  local rows = c and from_runs(c, drop, alpha) or from_shares(drop, alpha)
  util.write(options.output, writer(rows, drop, alpha))
  return 0
end
