-- A suite for CI: three datasets that Debian has, two prompt lists, and a bound for each figure.
-- clipeval run regression.lua --baseline eval/baselines/regression.csv [--model M] [--alpha 0.05]
local clip = require "clipeval"

local model  = clip.model(arg.model)
local stamps = clip.dataset "tuxpaint_stamps"

-- The stamps of animals, by what kind of animal it is.
local kinds = { mammals = 1, birds = 2, insects = 3, fish = 4 }
local animals = {}
for _, stamp in ipairs(stamps.items) do
  local kind = kinds[stamp.id:match "^animals/(%w+)/"]
  if kind then animals[#animals + 1] = { id = stamp.id, path = stamp.path, label = kind } end
end

local datasets = {
  clip.dataset "fashion_mnist",
  stamps,
  clip.dataset { name = "stamp_animals", version = "1", alpha = stamps.alpha, items = animals,
                 classes = { "mammal", "bird", "insect", "fish" } },
}

-- Bounds stand in the column max_drop of the baseline; a new one is written with
-- --update-baseline, and keeps the bounds of the old one.
local results = {}
for _, dataset in ipairs(datasets) do
  for _, prompts in ipairs { "a_photo", "five_plain" } do
    results[#results + 1] = clip.zeroshot { model = model, dataset = dataset, prompts = prompts }
  end
end
return results
