-- clip.a_or_an: English only. The article follows the sound that a word begins with; its first
-- letter tells that, but for the beginnings below.
local util = require "clipeval.util"

-- The first that the word begins with decides.
local BEGINNINGS = {
  { "an", { "hour", "honest", "honor", "honour", "heir", "unin", "unim", "unid" } },
  { "a", { "uni", "use", "usa", "usu", "uti", "ute", "uk", "ura", "ure", "uri", "uro", "ubi",
           "ufo", "eu", "ewe", "once", "ouija" } },
}
local ONE = util.set { "one", "ones", "onesie" } -- but "an onerous task"

local function article(noun)
  local digits = noun:match("^%d+")
  if digits then
    return (digits:find("^8") or digits == "11" or digits == "18") and "an" or "a"
  end
  local word = noun:match("^%a*")
  if #word <= 4 and word:find("^%u+$") then -- spelt out: SUV, X-ray
    return word:find("^[AEFHILMNORSX]") and "an" or "a"
  end
  word = word:lower()
  for _, row in ipairs(BEGINNINGS) do
    for _, beginning in ipairs(row[2]) do
      if word:sub(1, #beginning) == beginning then return row[1] end
    end
  end
  return word:find("^[aeiou]") and not ONE[word] and "an" or "a"
end

-- "an hour", "a unicorn", "an SUV". It does not know which capitals are spoken as a word
-- ("a NASA probe"), nor names that are spoken in another way than spelt.
return function(noun)
  if type(noun) ~= "string" then util.fail("a_or_an: needs a noun, not %s", util.show(noun)) end
  return article(noun) .. " " .. noun
end
