-- How far the model's confidence can be trusted: 15 bins, as core/calibration.c has them.
local core = require "clipeval.core"
local figures = require "clipeval.page.figures"
local h = require "clipeval.page.markup"
local plots = require "clipeval.page.plots"
local tables = require "clipeval.page.tables"


-- The diagram of one run, or nil where predictions.csv holds no confidence.
return function(evaluation, title)
  local rows = evaluation:predictions()
    local confidence, correct, n = {}, {}, 0
  for i, row in ipairs(rows) do
    confidence[i], correct[i] = tonumber(row.confidence) or false, row.rank == "1"
    n = n + (confidence[i] and 1 or 0)
  end
  if n == 0 then return nil end
  local ece, bins = core.calibration_error(confidence, correct)
  local said = evaluation:metric "ece"
  local lines = {}
  for i, bin in ipairs(bins) do
    if bin.count > 0 then
      lines[#lines + 1] = { ("%.3f – %.3f"):format((i - 1) / #bins, i / #bins),
                            ("%d"):format(bin.count), ("%.4f"):format(bin.confidence),
                            ("%.4f"):format(bin.accuracy) }
    end
  end
  return h.figure {
    title and h.h4(title),
    plots.reliability(bins, ("Reliability: expected calibration error %.4f over %d items"):format(
                              ece, n)),
    h.figcaption { "Expected calibration error ",
                   figures.data(("%.4f"):format(said and said.value or ece), said and said.value),
                   (", over %d items in 15 bins."):format(n) },
    h.details { h.summary "The bins as a table", tables.make({
      { "confidence", "name" }, { "items", "number" }, { "mean confidence", "number" },
      { "share right", "number" } }, lines, { label = "Bins" }) },
  }
end
