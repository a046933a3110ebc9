-- `--precision auto`: the fastest precision that keeps to float32, by a short measurement of
-- this model on this CPU.
local core = require "clipeval.core"
local drift = require "clipeval.drift"

local precision = {}

precision.names = { "fp32", "int8", "bf16" }

local COUNT = 8       -- pictures, and texts
local AGREEMENT = 0.999 -- of the cosine with float32's embedding at the 1st percentile

local function agreement(a, b)
  return math.min(drift.cosines(a.images, b.images).p1, drift.cosines(a.texts, b.texts).p1)
end

-- "int8 (3.1 times as fast as fp32, agreement 0.9996), ..."
local function tell(tried)
  local parts = {}
  for i, t in ipairs(tried) do
    parts[i] = ("%s: %.1f times the speed of fp32, agreement %.4f"):format(t.name, t.speed,
                                                                          t.agreement)
  end
  return #parts > 0 and table.concat(parts, "; ") or "this CPU has nothing faster"
end

-- Opens the model of `open(name)`, which returns a model, or nil and a message, in the precision
-- to take; also returns why, one line. Where float32 fails to open, so does this.
function precision.auto(open)
  local best, fault = open("fp32")
  if not best then return nil, fault end
  local pictures, texts = drift.pictures(COUNT), drift.texts(COUNT)
  local tried, base, seconds = {}, nil, nil
  for _, name in ipairs(precision.names) do
    if name ~= "fp32" and core.is_fast(name) then
      base = base or drift.embed(best, pictures, texts, 2)
      seconds = seconds or base.seconds
      local model
      model, fault = open(name)
      if not model then return nil, fault end
      local made = drift.embed(model, pictures, texts, 2)
      local t = { name = name, agreement = agreement(base, made),
                  speed = base.seconds / made.seconds }
      tried[#tried + 1] = t
      local is_better = t.agreement >= AGREEMENT and made.seconds < seconds
      local slower = is_better and best or model
      slower:close()
      if is_better then best, seconds = model, made.seconds end
    end
  end
  return best, ("took %s (%s; the fastest whose cosine with fp32 is at least %s at the 1st " ..
                "percentile of %d built-in pictures and of %d texts)"):format(best.info.precision,
                tell(tried), AGREEMENT, COUNT, COUNT)
end

return precision
