-- What a regression is, in the user's words: --max-drop, --alpha, or both.
--
--     local r = rules.of { max_drop = "0.5pp", significance = "0.05" }
--     local verdict, fired = rules.judge(r, row)
--
-- A drop is in the direction that is worse for the metric: of an error, a rise. Where both are
-- given, both must fire: a drop that is larger than the bound and more than chance. A metric
-- that cannot be tested is held to --max-drop alone.
local util = require "clipeval.util"

local rules = {}

local DEFAULT_ALPHA = 0.05 -- for the words, where no --alpha is given

-- "0.5pp" and "0.5%" (percentage points), or "0.005": a fraction, and whether it is one of
-- points; or nil.
function rules.parse_drop(text)
  local digits, points = text:match "^([%d.]+)%s*(.*)$"
  local x = digits and tonumber(digits)
  if not x or points ~= "" and points ~= "pp" and points ~= "%" then return nil end
  local fraction = points == "" and x or x / 100
  return fraction, points ~= ""
end

-- { max_drop =, points =, alpha =, text = words } of the options; raises exit code 2.
function rules.of(options, verb)
  local r = {}
  if options.max_drop then
    r.max_drop, r.points = rules.parse_drop(options.max_drop)
    if not r.max_drop or r.max_drop > 1 then
      util.quit(2, "%s: --max-drop needs percentage points such as 0.5pp, or a fraction such as " ..
                "0.005, not '%s'", verb, options.max_drop)
    end
  end
  if options.significance then
    r.alpha = options.significance:find "^[%d.]+[eE]?[-+]?%d*$" and tonumber(options.significance)
    if not r.alpha or r.alpha <= 0 or r.alpha >= 1 then
      util.quit(2, "%s: --alpha needs a number between 0 and 1 such as 0.05, not '%s'", verb,
                options.significance)
    end
  end
  return r
end

-- A fraction in percentage points, or a number, without a tail of zeros.
function rules.show(value, unit)
  if unit == "percent" then return ("%.4g pp"):format(100 * value) end
  return ("%.4g"):format(value)
end

-- The rules in words; nil where there is none. `has_bounds`: the baseline has a max_drop for
-- some metrics.
function rules.words(r, has_bounds)
  local drop = r.max_drop and ("a drop of more than %s (--max-drop)"):format(
    rules.show(r.max_drop, r.points and "percent" or "plain"))
  if has_bounds then
    drop = drop and drop .. ", or the baseline's own bound," or
           "a drop of more than the baseline's bound"
  end
  local p = r.alpha and ("adjusted p of at most %.4g (--alpha)"):format(r.alpha)
  if drop and p then return drop .. " with an " .. p end
  return drop or p and "a drop with an " .. p
end

-- What the metric may drop by, and who says so; nil where no bound is for it. Points are for
-- what is in percent; a plain number is for all that goes from 0 to 1.
local function bound_of(r, row)
  if row.max_drop then return row.max_drop, "the baseline's max_drop" end
  if not r.max_drop or row.unit == "count" or r.points and row.unit ~= "percent" then return nil end
  return r.max_drop, "--max-drop"
end

local function describe(r, row)
  local p = row.adjusted or row.p
  if row.sign == 0 then return row.difference == 0 and "same" or "differs" end
  if row.difference == 0 then return "same" end
  if not p then return "not tested" end
  if p > (r.alpha or DEFAULT_ALPHA) then return "within chance" end
  return row.difference * row.sign < 0 and "worse" or "better"
end

-- The verdict on a metric (regression, worse, better, within chance, not tested, same,
-- differs), and where it is a regression the rules that fired, in words.
function rules.judge(r, row)
  if row.sign == 0 or not row.difference or row.difference ~= row.difference then
    return row.difference and describe(r, row) or "not compared"
  end
  local drop, p = -row.sign * row.difference, row.adjusted or row.p
  local bound, name = bound_of(r, row)
  local fired, asked = {}, 0
  if bound then
    asked = asked + 1
    if drop > bound + 1e-9 then -- a drop of exactly the bound is none
      fired[#fired + 1] = ("a drop of %s is more than %s (%s)"):format(
        rules.show(drop, row.unit), rules.show(bound, row.unit), name)
    end
  end
  if r.alpha and p then
    asked = asked + 1
    if drop > 0 and p <= r.alpha then
      fired[#fired + 1] = ("adjusted p %.2g is at most %.4g (--alpha)"):format(p, r.alpha)
    end
  end
  if asked > 0 and #fired == asked then return "regression", fired end
  return describe(r, row)
end

return rules
