-- clip.vqa, clip.answers and clip.questions: questions about pictures, answered by a text.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"

-- ---- the official normalisation and accuracy, against what the original gives ----

local reference = clip.json(tap.read(arg.source .. "/tests/golden/metrics/vqa.json"))

local wrong = {}
for _, case in ipairs(reference.normalised) do
  local got = clip.answers.normalise(case.answer)
  if got ~= case.normalised then wrong[#wrong + 1] = ("%q -> %q"):format(case.answer, got) end
end
tap.is(table.concat(wrong, ", "), "", ("%d answers take their official form"):format(
       #reference.normalised))

local worst, sum, by_type = 0, 0, {}
for _, case in ipairs(reference.questions) do
  local got = clip.answers.accuracy(case.prediction, case.answers)
  worst, sum = math.max(worst, math.abs(got - case.accuracy)), sum + got
  local own = by_type[case.answer_type] or { sum = 0, n = 0 }
  own.sum, own.n = own.sum + got, own.n + 1
  by_type[case.answer_type] = own
end
tap.near(worst, 0, 1e-12, ("%d predictions have their official accuracy"):format(
         #reference.questions))
tap.is(("%.2f"):format(100 * sum / #reference.questions), ("%.2f"):format(reference.overall),
       "and their official mean")
for answer_type, want in pairs(reference.per_answer_type) do
  local own = by_type[answer_type]
  tap.is(("%.2f"):format(100 * own.sum / own.n), ("%.2f"):format(want), "also of " .. answer_type)
end

local function ten(yes, no)
  local list = {}
  for i = 1, 10 do list[i] = i <= yes and "yes" or no or "no" end
  return list
end
for yes = 0, 10 do -- the definition: leave one of the ten out, ask the other nine
  local want = 0
  for i = 1, 10 do want = want + math.min(1, (i <= yes and yes - 1 or yes) / 3) / 10 end
  tap.near(clip.answers.accuracy("Yes.", ten(yes)), yes == 10 and 0 or want, 1e-15,
           ("%d of ten agree"):format(yes))
end
tap.is(clip.answers.accuracy("Yes", { "the yes" }), 1, "one answer: the same form")
tap.is(clip.answers.accuracy("no", { "yes" }), 0, "one answer: another form")
tap.is(clip.answers.normalise("  ÉCOLE\u{a0}two\u{2003}"), "école 2", "as Python's strings do")
tap.is(clip.answers.normalise("\xff A dog"), "\xff dog", "bytes that are no text stay")
tap.raises(function() clip.answers.accuracy("a", {}) end, "one reference answer", "no answer")
tap.raises(function() clip.answers.accuracy("a", { "a", "b" }) end, "at least four",
           "two answers have no official accuracy")
tap.raises(function() clip.answers.accuracy("a", { "a", nil, "a", "a" }) end, "answer 2 is nil",
           "a hole")
tap.raises(function() clip.answers.accuracy(nil, { "a" }) end, "nil", "no prediction")
tap.raises(function() clip.answers.normalise(1) end, "needs a text", "a number is no answer")

-- ---- rules ----

local shipped = clip.questions()

-- The texts of some candidates, "-" for those that the rule does not take.
local function texts(question, candidates, rules)
  local shown, list = {}, (rules or shipped):texts(question, candidates)
  for i, own in ipairs(list) do shown[i] = own and table.concat(own, "/") or "-" end
  return table.concat(shown, "|")
end

for _, case in ipairs {
  { "What animal is in the picture?", "dog", "a picture of a dog" },
  { "what animal is in the picture", "owl", "a picture of an owl" },
  { "What animals are shown?", "dogs", "a picture of dogs" },
  { "What is in the picture, an animal, food, a plant or a vehicle?", "food",
    "a picture of food" },
  { "What's this?", "unicorn", "a picture of a unicorn" },
  { "What color is the car?", "red", "the car is red" },
  { "What colour are his shoes?", "red", "his shoes are red" },
  { "What color shirt is the man wearing?", "red", "the man wearing red shirt" },
  { "What kind of dog is this?", "poodle", "a picture of a poodle, a kind of dog" },
  { "How many dogs are in the picture?", "2", "a picture of two dogs" },
  { "How many people?", "25", "a picture of 25 people" },
  { "Where is the cat?", "kitchen", "the cat in the kitchen" },
  { "Where is the cat?", "on table", "the cat on table" },
  { "Where was this picture taken?", "Paris", "a picture taken in Paris" },
  { "Who is holding the ball?", "boy", "a boy holding the ball" },
  { "What is the man doing?", "surfing", "the man surfing" },
  { "What is this man doing?", "surfing", "this man surfing" },
  { "What is this a picture of?", "cow", "a picture of a cow" },
  { "What is the woman holding in her hand?", "umbrella",
    "the woman holding an umbrella in her hand" },
  { "What is on the plate?", "pizza", "a pizza on the plate" },
  { "Which animal is on the left?", "cow", "a cow on the left" },
  { "Is it a cat or a dog?", "cat", "a picture of a cat" },
  { "Is the man standing or sitting?", "sitting", "the man is sitting" },
  { "Why is he sad?", "rain", "question: Why is he sad? answer: rain" },
} do
  tap.is(texts(case[1], { case[2] }), case[3], case[1])
end
for _, case in ipairs {
  { "Is it an animal?", "a picture of an animal|a picture" },
  { "Is there a dog in the picture?", "a picture with a dog|a picture" },
  { "Are there any dogs?", "a picture with dogs|a picture" },
  { "Is the man wearing a hat?", "the man wearing a hat|the man" },
  { "Is this man happy?", "this man is happy|this man" },
  { "Is it raining?", "a picture that is raining|a picture" },
  { "Are these dogs?", "a picture of dogs|a picture" },
  { "Is the car red?", "the car is red|the car" },
  { "Does the man have a beard?", "the man with a beard|the man" },
} do
  tap.is(texts(case[1], { "yes", "no" }), case[2], case[1])
end
tap.is(texts("Is it an animal?", { "2", "no", "dog", "Yes." }),
       "-|a picture|-|a picture of an animal", "a yes-no question takes yes and no alone")
tap.is(texts("Is it an animal?", { "2", "dog" }),
       "question: Is it an animal? answer: 2|question: Is it an animal? answer: dog",
       "but where there are none, what there is")
tap.is(texts("How many dogs are there?", { "yes", "3", "red" }), "-|a picture of three dogs|-",
       "how many takes numbers")
tap.is(texts("What color is it?", { "yes", "3", "red" }), "-|-|it is red", "a colour is no number")

local articles = {}
for i, noun in ipairs { "owl", "hour glass", "unicorn", "honey bee", "honest man", "dogs", "bus",
                        "water",
                        "the dog", "2 dogs", "cup of tea", "cats and dogs", "on table", "X-ray" } do
  articles[i] = texts("?", { noun }, clip.questions "{an}")
end
tap.is(table.concat(articles, ", "),
       "an owl, an hour glass, a unicorn, a honey bee, an honest man, " ..
       "dogs, a bus, water, the dog, 2 dogs, a cup of tea, cats and dogs, on table, an X-ray",
       "{an}: an article where one belongs")

local every = true -- whatever is asked: a text for each candidate that is taken, at least one
for _, question in ipairs { "", "?", " ", "what", "is", "Is it", "how many", "%s (.+) [", "où?",
                            "is there", "who is", ("what "):rep(200), "\xff", "a\0b" } do
  local list = shipped:texts(question, { "yes", "no", "2", "dog", "%1 {a} {q}" })
  local some = false
  for _, own in ipairs(list) do some = some or own and #own[1] > 0 end
  every = every and some and #list == 5
end
tap.ok(every, "odd questions get texts, too")
tap.is(texts("why?", { "%1 {q} {an}" }), "question: why? answer: %1 {q} {an}",
       "an answer is taken as it is")

local mine = clip.questions { name = "mine", version = 2,
  { pattern = "^what (fruit|berry) (.+)$", template = { "a {1}: {a}", "{an}, {2}" } } }
tap.is(texts("What berry is it?", { "elderberry" }, mine + shipped),
       "a berry: elderberry/an elderberry, is it", "rules of one's own, and several texts")
tap.is(texts("What animal is it?", { "dog" }, mine + clip.questions()), "a picture of a dog",
       "before the shipped ones")
tap.is((mine + shipped).name .. " " .. #(mine + shipped), "mine+question rules " .. #shipped + 1,
       "a + b has the rules of both")
tap.raises(function() mine:texts("Is it red?", { "yes" }) end, "no rule for 'Is it red?'",
           "alone they fit or they do not")
tap.is(texts("Q?", { "a" }, clip.questions "question: {q} answer: {a}"), "question: Q? answer: a",
       "a template")
tap.is(texts("Q?", { "a", "b" }, clip.questions(function(q, a) return a == "b" and q .. a end)),
       "-|Q?b", "a function, which may refuse")
tap.is(texts("Q?", { "cat" }, clip.questions(clip.prompts { "a {}", "the {}" })), "a cat/the cat",
       "prompts: each answer is a class")

for _, gives in ipairs { "", { "x", "" } } do
  tap.raises(function()
    clip.questions(function() return gives end):texts("Q?", { "a" })
  end, "gave an empty text for 'Q?' and 'a'", "an empty text")
end

for _, case in ipairs {
  { {}, "needs a list of rules", "no rules" },
  { 1, "needs a list", "a number" },
  { "question: {q}", "no place for the answer", "a template without the answer" },
  { "{x} {a}", "unknown place {x}", "a misspelt place" },
  { { { pattern = "(", template = "{a}" } }, "pattern '('", "a broken pattern" },
  { { { pattern = "(a|b)" } }, "needs a template", "a rule without a template" },
  { { { template = "{a}" } }, "needs a pattern", "a rule without a pattern" },
  { { { pattern = "", yes = "a" } }, "either yes and no", "yes without no" },
  { { { pattern = "", template = "{a}", answers = "colour" } }, "no answers 'colour'",
    "a kind of answers that there is not" },
  { { { pattern = "", tmeplate = "{a}" } }, "tmeplate", "a misspelt field" },
  { { { pattern = ("(a|b|c|d|e|f|g|h)"):rep(8), template = "{a}" } }, "too many alternatives",
    "a pattern that explodes" },
} do
  tap.raises(function() clip.questions(case[1]) end, case[2], case[3])
end
tap.raises(function() clip.questions(function() return 1 end):texts("q", { "a" }) end, "gave 1",
           "a function that gives a number")

-- ---- end to end, against the same by hand ----

local model = clip.model()
local function plain(red, green, blue)
  return { width = 8, height = 8, pixels = string.char(red, green, blue):rep(64) }
end
local pictures = { plain(250, 20, 20), plain(20, 200, 20), plain(20, 20, 250), plain(5, 5, 5) }
local colours = { "red", "green", "blue", "black" }
local items = {}
for i, picture in ipairs(pictures) do
  items[#items + 1] = { id = i .. "a", image = picture, question = "What color is it?",
                        answers = { colours[i] }, choices = colours, question_type = "what",
                        answer_type = "other" }
  items[#items + 1] = { id = i .. "b", image = picture, question = "Is it a red square?",
                        answers = ten(i == 1 and 8 or 2), choices = { "no", "yes" },
                        question_type = "is", answer_type = "yes/no" }
end
local data = { name = "squares", task = "vqa", items = items }

local function run(prompt, choices)
  return clip.vqa { model = model, dataset = clip.dataset(data), prompt = prompt,
                    choices = choices }
end
local result = run()

local function by_hand(item, candidates, shown)
  local scores = model:encode_image(item.image):normalize():similarity(
                 model:encode_text(shown):normalize())
  local columns, values = scores:topk(1)
  return candidates[columns[1][1]], values[1][1]
end
local same, total = true, 0
for i, item in ipairs(items) do
  local candidates = item.choices
  local shown = candidates[1] == "no" and { "a picture", "a picture of a red square" } or
                { "it is red", "it is green", "it is blue", "it is black" }
  local answer, score = by_hand(item, candidates, shown)
  local row = result.predictions[i]
  total = total + clip.answers.accuracy(answer, item.answers)
  same = same and row.id == item.id and row.prediction == answer and
         math.abs(row.score - score) < 1e-6 and
         row.accuracy == clip.answers.accuracy(answer, item.answers)
end
tap.ok(same, "predictions, scores and accuracies are those of encoding and comparing by hand")
tap.near(result.vqa_accuracy, total / #items, 1e-12, "and so is their mean")

local metric = result.metrics[1]
tap.is(metric.metric, "vqa_accuracy", "the first figure")
-- a colour: 1/4; yes-no: eight of ten are worth 1, two of ten are worth .6
tap.near(metric.chance, (0.25 + (1 + 0.6) / 2) / 2, 1e-12, "chance is a candidate by the dice")
tap.near(result.prior_accuracy, ((1 + 0 + 0 + 0) / 4 + (0.6 + 3) / 4) / 2, 1e-12,
         "the best single answer to each type of question")
tap.near(result.ceiling_accuracy, 1, 1e-12, "the best candidate is worth all here")
tap.is(#result.class_rows, 4, "figures for each question type and answer type")
tap.is(result.class_rows[1][2], "is", "sorted by name")

-- ---- choices and prompts ----

local picky = run(function(_, answer) return answer == "red" and "a red thing" or nil end,
                  { "red", "green" })
tap.is(picky.predictions[3].prediction .. picky.predictions[3].candidates, "red1",
       "what the prompt refuses is no candidate")
local tie = run(function() return "the same text" end, { "blue", "red" })
tap.is(tie.predictions[1].prediction, "blue", "of equal texts the first")
tap.is(tie.predictions[1].tied, true, "which is noted")
local one = run("{a}", { "green", "red" })
local two = run(function(_, a) return { a, a } end, { "green", "red" })
tap.near(two.predictions[1].score, one.predictions[1].score, 1e-6,
         "several texts count as their normalised mean")
local common = run("{q} {a}", 3)
tap.is(common.predictions[1].candidates, 3, "the three most common answers of the split")
tap.is(tostring(common.about.dataset.candidates),
       "the 3 most common reference answers of the split", "which is said")

local broken = tap.write("broken.png", "no picture")
local half = clip.vqa { model = model,
                        dataset = clip.dataset { name = "half", task = "vqa", items = {
  { id = "1", image = pictures[1], question = "Is it red?", answers = { "yes" },
    choices = { "yes" } },
  { id = "2", path = broken, question = "Is it red?", answers = { "yes" }, choices = { "yes" } },
} } }
tap.is(half.vqa_accuracy, 0.5, "a picture that cannot be read counts, as wrong")
tap.is(half.predictions[2].prediction, nil, "and has no prediction")
tap.is(#half.problems, 1, "but a line in problems.csv")

local function misuse(spec, part, name)
  spec.model, spec.dataset = spec.model or model, spec.dataset or clip.dataset(data)
  tap.raises(function() clip.vqa(spec) end, part, name)
end
misuse({ choices = {} }, "choices must be", "no choices")
misuse({ choices = 0 }, "choices must be", "the 0 most common")
misuse({ choices = { "a", "" } }, "choice 2 is no text", "an empty choice")
misuse({ prompt = "{q}" }, "no place for the answer", "a template without the answer")
misuse({ prompts = "{a}" }, "prompts", "a misspelt field")
tap.done()
os.exit(true, true) -- or all these evaluations would be written
