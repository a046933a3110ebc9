-- Numbers as the page writes them. Beside the rounded one stands the CSV's own, byte for byte:
-- <data value="0.335">33.50 %</data>.
local h = require "clipeval.page.markup"
local measures = require "clipeval.measures"
local util = require "clipeval.util"

local figures = {}

local COUNTS = util.set { "ties", "truncated_texts", "unreadable" }

-- Whether a metric is a share of one, and written in percent.
function figures.is_share(metric) return measures.about(metric).unit == "percent" end

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

local function with_sign(text)
  return (text:find("^−") or not text:find("[1-9]")) and text or "+" .. text
end

-- A difference: percentage points where the metric is a share.
function figures.difference(metric, value, bare)
  if not value or value ~= value then return "–" end
  if not figures.is_share(metric) then
    local digits = measures.about(metric).unit == "plain" and "%.4f" or "%.4g"
    return with_sign(signed(digits:format(value)))
  end
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

-- Names of the world's scripts keep to themselves; a long one is cut by the page where room is
-- dear, and whole in its title.
function figures.name(text)
  if text == nil or text == "" then return "" end
  text = tostring(text) -- run.json may say anything
  return h.bdi { title = #text > 60 and text or nil, text }
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
