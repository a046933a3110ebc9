-- A prompt ensemble of one's own, with a function where words cannot say it.
-- clipeval run custom_ensemble.lua [--model M] [--data DIR] [--limit N]
local clip = require "clipeval"

local function a_or_an(noun)
  return (noun:find("^[aeiou]") and "an " or "a ") .. noun
end

local shop = { name = "shop window", version = "1", templates = {
  "a photo of a {}",
  "a black and white photo of a {}",
  function(class) return a_or_an(class:lower()) .. ", seen in a shop window" end,
} }

return clip.zeroshot {
  model   = clip.model(arg.model),
  dataset = clip.dataset("fashion_mnist", { root = arg.data }),
  prompts = clip.prompts(shop) + clip.prompts "five_plain",
  metrics = { "acc@1", "acc@3", "mean_per_class_recall" },
}
