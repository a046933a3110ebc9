-- Three questions about Tux Paint's stamps: an animal? what of four kinds? which animal?
-- clipeval run vqa_stamps.lua [--model M] [--data DIR] [-o prompt=TEMPLATE]
local clip = require "clipeval"

local stamps = clip.dataset("tuxpaint_stamps", { root = arg.data })

-- Folders with creatures in them that may or may not be called animals are not asked about.
local unclear = { person = true, symbol = true, ["holiday decoration"] = true }
local kinds = { "animal", "food", "plant", "vehicle" }

-- Captions that say more, or less, than the animal's name.
local names = {
  ["adelaide rosella"] = "parrot", ["albino peahen"] = "peacock", ["baby of a gnu"] = "gnu",
  ["baby sheep"] = "lamb", ["big eared rabbit"] = "rabbit", ["blue gnu"] = "gnu",
  ["brown hen"] = "hen", ["brown slug"] = "slug", ["colorful rooster"] = "rooster",
  ["edward bear"] = "teddy bear", ["european bear"] = "bear",
  ["freshwater mussel"] = "mussel", ["george the blue groper"] = "groper",
  ["happy lion"] = "lion", ["happy snail"] = "snail",
  ["hoverfly resembles a honeybee drone"] = "hoverfly", ["little rabbit"] = "rabbit",
  ["male black rhino"] = "rhino", ["mountaingoat"] = "mountain goat",
  ["penguins are wining"] = "penguin", ["rainbow lorikeet"] = "parrot",
  ["red kangaroo"] = "kangaroo", ["singing dinosaur"] = "dinosaur", ["sitting gnu"] = "gnu",
  ["sleeping capybara"] = "capybara", ["spider playing computer games"] = "spider",
  ["spider playing soccer"] = "spider", ["spiny lobster, from the hawaiian islands"] = "lobster",
  ["sumatran tiger"] = "tiger", ["tamworth pig"] = "pig", ["tux—the linux mascot"] = "penguin",
  ["two wild boars"] = "wild boar", ["very poisonous lionfish"] = "lionfish",
  ["white kitten"] = "kitten",
  ["tux and spider - two friends"] = false, ["spider dancing with a fly"] = false, -- two at once
  ["couple of wings"] = false,
}

local function animal_of(stamp)
  local name = stamp.caption:lower():gsub("^the ", ""):gsub("^an? ", ""):gsub(" %(.*", "")
                            :gsub("[.!]$", "")
  if names[name] ~= nil then return names[name] end
  return name
end

-- One dataset a question, so that each has its own figures beside chance.
local questions = {
  { name = "stamps_is_animal", text = "Is it an animal?", kind = "yes/no",
    choices = { "yes", "no" } },
  { name = "stamps_four_kinds", kind = "other", choices = kinds,
    text = "What is in the picture, an animal, food, a plant or a vehicle?" },
  { name = "stamps_which_animal", text = "What animal is in the picture?", kind = "other",
    choices = {} },
}

local function ask(number, stamp, answer)
  local question = questions[number]
  question.items = question.items or {}
  table.insert(question.items, {
    id = stamp.id, path = stamp.path, question = question.text, choices = question.choices,
    answers = { answer }, question_type = question.text, answer_type = question.kind })
end

-- Every animal's name that is an answer to some stamp is a candidate for each.
local animals, seen = questions[3].choices, {}
for _, stamp in ipairs(stamps.items) do
  local class = stamps.classes[stamp.label]
  local name = class == "animal" and animal_of(stamp)
  if not unclear[class] then ask(1, stamp, class == "animal" and "yes" or "no") end
  for _, kind in ipairs(kinds) do
    if class == kind then ask(2, stamp, kind) end
  end
  if name then ask(3, stamp, name) end
  if name and not seen[name] then
    seen[name] = true
    table.insert(animals, name)
  end
end
table.sort(animals)

local model, results = clip.model(arg.model), {}
for i, question in ipairs(questions) do
  results[i] = clip.vqa {
    model   = model,
    dataset = clip.dataset { name = question.name, version = "1", task = "vqa", alpha = "white",
                             items = question.items },
    prompt  = arg.prompt, -- a template such as -o prompt="question: {q} answer: {a}"
  }
end
return results
