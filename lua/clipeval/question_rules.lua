-- How a question and an answer become a text that CLIP can compare with a picture: a caption,
-- since captions are what it learned from, not a dialogue. The first rule whose pattern fits
-- and that takes one of the candidates is used; clip.questions explains patterns and templates.
--
-- Yes and no: CLIP hardly hears "not" (Alhamoud et al. 2025, arXiv:2501.09425). The text of
-- "no" is therefore what is left of that of "yes" without the words that were asked about,
-- so that the difference of the two cosines is what these words add. With the embedded model
-- on eleven kinds of Tux Paint's stamps ("is it an animal?", ...) that gave a mean balanced
-- accuracy of 69 %; seven ways of saying "not" or "without" gave 57 to 63 %.
local BE, DO = "(is|are|was|were)", "(do|does|did)"
local AUXILIARY = "(is|are|was|were|do|does|did|can|could|have|has)"
local IT = "(this picture|this image|this photo|it|this|that|these|those|they)"
local SHOWN = "(shown|pictured|depicted|here|visible|seen)"
local AT = "(in|on|at|under|near|behind|beside|above|below|inside|next to|in front of)"
local IN_PICTURE = "in (the|this) (picture|image|photo|photograph|scene)"
local KIND = "(kind|type|sort|breed|species|brand|make|style|variety)"
local OPEN = { "number", "other" } -- anything but yes and no
local WORDS = "other"

return {
  name = "question rules", version = "1",
  about = "captions for the usual questions: yes-no, what, colour, kind, how many, where, who",
  rules = {
    -- "Is it a cat or a dog?": the answers are in the question
    { name = "or", answers = OPEN, template = "a picture of {an}",
      pattern = { "^" .. BE .. " " .. IT .. " (a|an) .+ or .+$", "^" .. BE .. " there .+ or .+$" } },
    { name = "or", answers = OPEN, template = "{2} {1} {an}",
      pattern = "^" .. BE .. " (.+) (a|an) .+ or .+$" },
    { name = "or", answers = OPEN, template = "{2} {1} {a}",
      pattern = "^" .. BE .. " (.+) %S+ or .+$" },

    -- yes and no
    { name = "is there", yes = "a picture with {an 2}", no = "a picture",
      pattern = { "^" .. BE .. " there (.+) " .. IN_PICTURE .. "$",
                  "^" .. BE .. " there (.+)$" } },
    { name = "is it", yes = "a picture of {3}", no = "a picture",
      pattern = { "^" .. BE .. " " .. IT .. " ((a|an|the|any|some) .+)$",
                  "^(are|were) (these|those) (%S+)$", "^(are|were) (they) (.+)$" } },
    { name = "is it", yes = "a picture that is {3}", no = "a picture",
      pattern = { "^" .. BE .. " (it|this picture|this image|this photo) (.+)$",
                  "^" .. BE .. " (this|that) (%S+)$" } },
    { name = "is doing", yes = "{2} {3}", no = "{2}",
      pattern = { "^" .. BE .. " (.-) (%a+ing.*)$", "^" .. BE .. " (.-) ((in|on|at) .+)$",
                  "^" .. BE .. " (.-) ((a|an|the|made|next|under|near|behind) .+)$" } },
    { name = "is so", yes = "{2} {1} {3}", no = "{2}", pattern = "^" .. BE .. " (.+) (%S+)$" },
    { name = "does have", yes = "{2} with {an 3}", no = "{2}",
      pattern = "^" .. DO .. " (.-) have (.+)$" },
    { name = "does", yes = "{2}", no = "a picture",
      pattern = "^(do|does|did|can|could|will|would|should|has|have|had) (.+)$" },

    -- what colour, how many
    { name = "what colour", answers = WORDS, template = "{2} {1} {a}",
      pattern = { "^what colou?rs? " .. BE .. " (.+)$",
                  "^what " .. BE .. " the colou?rs? of (.+)$" } },
    { name = "what colour", answers = WORDS, template = "{3} {4} {a} {1}",
      pattern = "^what colou?r (.-) " .. BE .. " (.-) (%a+ing)$" },
    { name = "what colour", answers = WORDS, template = "a picture of {an} {1}",
      pattern = "^what colou?r (.+) " .. BE .. " .+$" },
    { name = "how many", answers = "number", template = "a picture of {number} {1}",
      pattern = { "^how many (.-) " .. AUXILIARY .. " .+$",
                  "^how many (.+)$" } },

    -- what is in the picture, and what kind of thing
    { name = "what kind", answers = WORDS, template = "a picture of {an}, a {2} of {3}",
      pattern = { "^(what|which) " .. KIND .. " of (.-) " .. AUXILIARY .. " .+$",
                  "^(what|which) " .. KIND .. " of (.+)$" } },
    { name = "what time", answers = OPEN, template = "it is {a}", pattern = "^what time%f[%A]" },
    { name = "what", answers = OPEN, template = "a picture of {an}",
      pattern = { "^what " .. BE .. " " .. IN_PICTURE, "^what " .. BE .. " " .. IT .. "$",
                  "^what " .. BE .. " " .. IT .. " a (picture|image|photo) of$",
                  "^what " .. BE .. " " .. SHOWN, "^what " .. DO .. " .- (picture|image|photo) show",
                  "^(what|which) .- " .. BE .. " " .. IN_PICTURE .. "$",
                  "^(what|which) .- " .. BE .. " " .. IT .. "$",
                  "^(what|which) .- " .. BE .. " " .. SHOWN .. "$" } },
    { name = "what is done", answers = WORDS, template = "{2} {a}",
      pattern = "^what " .. BE .. " (.+) doing%f[%A]" },
    { name = "what is held", answers = OPEN, template = "{2} {3} {an}{4}",
      pattern = "^what " .. BE .. " (.+) (%a+ing)(.*)$" },
    { name = "what is where", answers = OPEN, template = "{an} {2} {3}",
      pattern = "^what " .. BE .. " " .. AT .. " (.+)$" },
    { name = "what does it say", answers = OPEN, template = "{2} that says {a}",
      pattern = "^what " .. DO .. " (.+) say$" },
    { name = "which", answers = OPEN, template = "{an} {3}",
      pattern = "^(what|which) .- " .. BE .. " (.+)$" },
    { name = "what is", answers = OPEN, template = "{2} {1} {a}",
      pattern = { "^what " .. BE .. " (.+) like$", "^what " .. BE .. " (.+)$" } },

    -- where, who
    { name = "where", answers = WORDS, template = "a picture taken {in}",
      pattern = { "^where " .. BE .. " " .. IT .. "$", "^where " .. BE .. " .+ taken$" } },
    { name = "where", answers = WORDS, template = "{2} {in}",
      pattern = "^where " .. BE .. " (.+)$" },
    { name = "who", answers = WORDS, template = "{an} {2}",
      pattern = "^who " .. BE .. " (.+)$" },

    { name = "any", pattern = "", template = "question: {q} answer: {a}" },
  },
}
