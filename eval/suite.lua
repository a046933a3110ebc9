-- Several evaluations, one report: what they share is embedded once.
-- clipeval run suite.lua [--model M]
local clip = require "clipeval"

local model  = clip.model(arg.model)
local stamps = clip.dataset "tuxpaint_stamps"

return {
  clip.zeroshot { model = model, dataset = stamps, prompts = "five_plain" },
  clip.zeroshot { model = model, dataset = stamps, prompts = "a_photo" },
  clip.zeroshot { model = model, dataset = "fashion_mnist", prompts = "five_plain" },
}
