-- VQA v2 with CLIP: questions about COCO's pictures, answered from the most common answers.
-- clipeval run vqa.lua --data DIR [--model M] [--limit N] [-o choices=K] [-o prompt=TEMPLATE]
local clip = require "clipeval"

-- Rules of one's own go before the shipped ones.
local mine = clip.questions {
  name = "sports", version = "1",
  { name = "sport", answers = "other", template = "a picture of people playing {a}",
    pattern = "^(what|which) (sport|game) .*" },
}

return clip.vqa {
  model   = clip.model(arg.model),
  dataset = clip.dataset("vqav2", { root = arg.data }),
  prompt  = arg.prompt or mine + clip.questions(),
  choices = math.tointeger(tonumber(arg.choices or 1000)),
}
