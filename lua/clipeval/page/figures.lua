-- Numbers as the page writes them. Beside the rounded one stands the CSV's own, byte for byte:
-- <data value="0.335">33.50 %</data>.
local h = require "clipeval.page.markup"
local util = require "clipeval.util"

local figures = {}

-- Metrics that are no share of one, whatever their value.
local PLAIN = util.set { "ece", "brier", "strength", "best_threshold", "threshold",
                         "subset_templates", "ties", "truncated_texts", "unreadable" }
local COUNTS = util.set { "ties", "truncated_texts", "unreadable" }

function figures.is_share(metric)
  return not (PLAIN[metric] or metric:find("_median_rank$"))
end

-- What is counted beside the metrics: ties, cut texts, unreadable pictures.
function figures.is_count(metric) return COUNTS[metric] == true end

local function signed(text) return (text:gsub("^%-", "−")) end

-- A metric's value in words, with its unit.
function figures.show(metric, value, bare)
  if not value then return "" end
  if value ~= value then return "–" end
  if math.abs(value) == math.huge then return value > 0 and "∞" or "−∞" end
  if figures.is_share(metric) then
    return signed(("%.2f"):format(100 * value)) .. (bare and "" or " %")
  end
  return signed(("%.4g"):format(value))
end

-- "31.46 – 35.60 %"
function figures.range(metric, low, high)
  if not low or not high then return "" end
  return figures.show(metric, low, true) .. " – " .. figures.show(metric, high)
end

local function with_sign(text) return text:find("^−") and text or "+" .. text end

-- A difference: percentage points where the metric is a share.
function figures.difference(metric, value, bare)
  if not value or value ~= value then return "–" end
  if not figures.is_share(metric) then return with_sign(figures.show(metric, value)) end
  return with_sign(signed(("%.2f"):format(100 * value))) .. (bare and "" or " pp")
end

function figures.difference_range(metric, low, high)
  if not low or not high or low ~= low or high ~= high then return "" end
  return figures.difference(metric, low, true) .. " to " .. figures.difference(metric, high)
end

function figures.p(value)
  if not value or value ~= value then return "" end
  if value < 0.0001 then return "< 0.0001" end
  return (value < 0.01 and "%.4f" or "%.3f"):format(value)
end

-- Marked with what the CSV says: its text, or the number written as there (bind_output.c).
function figures.data(text, csv)
  if csv == nil or csv == "" then return text end
  return h.data { value = type(csv) == "number" and ("%.9g"):format(csv) or csv, text }
end

-- Names of the world's scripts keep to themselves.
function figures.name(text)
  return text ~= nil and text ~= "" and h.bdi(text) or ""
end

-- A path, which may break where its parts end.
function figures.path(text)
  local parts = {}
  for part in (text or ""):gmatch("[^/_-]*[/_-]?") do
    if part ~= "" then table.move({ part, h.wbr {} }, 1, 2, #parts + 1, parts) end
  end
  return h.bdi(parts)
end

return figures
