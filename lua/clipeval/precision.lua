-- `--precision auto`: the fastest precision that keeps to float32, by a short measurement of
-- this model on this CPU.
local core = require "clipeval.core"
local drift = require "clipeval.drift"

local precision = {}

precision.names = { "fp32", "int8", "bf16" }

-- In the order of what a CPU does a second of each: the first that is fit is the fastest.
local FASTER = { "int8", "bf16" }
local COUNT = 8         -- pictures, and texts
local AGREEMENT = 0.999 -- the least cosine with float32's embedding at the 1st percentile
local SPEED = 1.1       -- times that of float32: less is not worth other figures

local function agreement(a, b)
  return math.min(drift.cosines(a.images, b.images).p1, drift.cosines(a.texts, b.texts).p1)
end

local function is_fit(t)
  return t.agreement >= AGREEMENT and t.speed >= SPEED
end

local function tell(taken, tried)
  local parts = {}
  for i, t in ipairs(tried) do
    parts[i] = ("%s has %.1f times the speed of fp32, cosine %.5f"):format(t.name, t.speed,
                                                                          t.agreement)
  end
  if #parts == 0 then parts[1] = "this CPU has instructions for neither int8 nor bf16" end
  return ("took %s: %s (wanted: %s times, cosine with fp32 %s at the 1st percentile of %d " ..
          "built-in pictures and of %d texts)"):format(taken, table.concat(parts, ", "), SPEED,
                                                       AGREEMENT, COUNT, COUNT)
end

-- Opens a model by `open(precision)`, which returns it, or nil and a message, in the precision
-- to take; also returns why, one line. Where float32 fails to open, so does this.
function precision.auto(open)
  local base, fault = open("fp32")
  if not base then return nil, fault end
  local pictures, texts, tried = drift.pictures(COUNT), drift.texts(COUNT), {}
  local truth
  for _, name in ipairs(FASTER) do
    if core.is_fast(name) then
      truth = truth or drift.embed(base, pictures, texts)
      local model
      model, fault = open(name)
      if not model then return nil, fault end
      local made = drift.embed(model, pictures, texts)
      local t = { name = name, agreement = agreement(truth, made),
                  speed = truth.seconds / made.seconds }
      tried[#tried + 1] = t
      if is_fit(t) then
        base:close()
        return model, tell(name, tried)
      end
      model:close()
    end
  end
  return base, tell("fp32", tried)
end

return precision
