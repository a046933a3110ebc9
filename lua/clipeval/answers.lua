-- clip.answers: the official accuracy of visual question answering, and the normalisation
-- of answers that comes before it. The definitions, quirks included, are those of
-- GT-Vision-Lab/VQA at a013f00 (PythonEvaluationTools/vqaEvaluation/vqaEval.py).
local core = require "clipeval.core"
local util = require "clipeval.util"

local answers = {}

-- ---- facts: the tables of vqaEval.py (BSD-2-Clause) ----

-- Contractions as people type them, and what becomes of them. Those with a capital never
-- match, since lower case comes first, and `somebody'd` loses its apostrophe: as published.
local CONTRACTIONS = {}
for wrong, right in ([[
  aint=ain't arent=aren't cant=can't couldve=could've couldnt=couldn't
  couldn'tve=couldn't've couldnt've=couldn't've didnt=didn't doesnt=doesn't dont=don't
  hadnt=hadn't hadnt've=hadn't've hadn'tve=hadn't've hasnt=hasn't havent=haven't hed=he'd
  hed've=he'd've he'dve=he'd've hes=he's howd=how'd howll=how'll hows=how's
  Id've=I'd've I'dve=I'd've Im=I'm Ive=I've isnt=isn't itd=it'd itd've=it'd've
  it'dve=it'd've itll=it'll let's=let's maam=ma'am mightnt=mightn't
  mightnt've=mightn't've mightn'tve=mightn't've mightve=might've mustnt=mustn't
  mustve=must've neednt=needn't notve=not've oclock=o'clock oughtnt=oughtn't
  ow's'at='ow's'at 'ows'at='ow's'at 'ow'sat='ow's'at shant=shan't shed've=she'd've
  she'dve=she'd've she's=she's shouldve=should've shouldnt=shouldn't
  shouldnt've=shouldn't've shouldn'tve=shouldn't've somebody'd=somebodyd
  somebodyd've=somebody'd've somebody'dve=somebody'd've somebodyll=somebody'll
  somebodys=somebody's someoned=someone'd someoned've=someone'd've
  someone'dve=someone'd've someonell=someone'll someones=someone's
  somethingd=something'd somethingd've=something'd've something'dve=something'd've
  somethingll=something'll thats=that's thered=there'd thered've=there'd've
  there'dve=there'd've therere=there're theres=there's theyd=they'd theyd've=they'd've
  they'dve=they'd've theyll=they'll theyre=they're theyve=they've twas='twas
  wasnt=wasn't wed've=we'd've we'dve=we'd've weve=we've werent=weren't whatll=what'll
  whatre=what're whats=what's whatve=what've whens=when's whered=where'd wheres=where's
  whereve=where've whod=who'd whod've=who'd've who'dve=who'd've wholl=who'll whos=who's
  whove=who've whyll=why'll whyre=why're whys=why's wont=won't wouldve=would've
  wouldnt=wouldn't wouldnt've=wouldn't've wouldn'tve=wouldn't've yall=y'all
  yall'll=y'all'll y'allll=y'all'll yall'd've=y'all'd've y'alld've=y'all'd've
  y'all'dve=y'all'd've youd=you'd youd've=you'd've you'dve=you'd've youll=you'll
  youre=you're youve=you've
]]):gmatch("(%S+)=(%S+)") do
  CONTRACTIONS[wrong] = right
end

local NUMBERS = { none = "0", zero = "0", one = "1", two = "2", three = "3", four = "4",
                  five = "5", six = "6", seven = "7", eight = "8", nine = "9", ten = "10" }
local ARTICLES = util.set { "a", "an", "the" }
local MARKS = { ";", "/", "[", "]", '"', "{", "}", "(", ")", "=", "+", "\\", "_", "-", ">",
                "<", "@", "`", ",", "?", "!" }
local MOST_KNOWN = 1 << 16 -- forms that are remembered
local MOST_STOPS = 32 -- the original hands a flag of this value where a count belongs

-- ---- normalisation ----

-- Python's white space beyond Lua's %s: four separators of ASCII, and Unicode's.
local SPACES = { "\x1c", "\x1d", "\x1e", "\x1f", "\u{85}", "\u{a0}", "\u{1680}", "\u{2028}",
                 "\u{2029}", "\u{202f}", "\u{205f}", "\u{3000}" }
for code = 0x2000, 0x200a do SPACES[#SPACES + 1] = utf8.char(code) end

local function is_plain(text) return not text:find("[\x1c-\x1f\x80-\xff]") end

-- The text without the white space at its ends; `text` is not plain.
local function trim_unicode(text)
  local before
  repeat
    before, text = text, text:match("^%s*(.-)%s*$")
    for _, space in ipairs(SPACES) do
      if text:sub(1, #space) == space then text = text:sub(#space + 1) end
      if text:sub(-#space) == space then text = text:sub(1, -#space - 1) end
    end
  until text == before
  return text
end

-- What is done to every answer, also where nothing else is.
local function clean(text)
  text = text:gsub("[\n\t]", " ")
  return is_plain(text) and text:match("^%s*(.-)%s*$") or trim_unicode(text)
end

local function escaped(mark) return "%" .. mark end

-- A mark that stands beside a space anywhere is deleted, else it becomes a space; where the
-- text has a comma between digits, all are deleted. Both tests look at the text as it came.
-- Then full stops go that no digit follows.
local function without_punctuation(text)
  local out, digits = text, text:find("%d,%d")
  for _, mark in ipairs(MARKS) do
    if text:find(mark, 1, true) then
      local beside = digits or text:find(mark .. " ", 1, true) or text:find(" " .. mark, 1, true)
      out = out:gsub(escaped(mark), beside and "" or " ")
    end
  end
  local gone = 0
  return (out:gsub("%.(%d?)", function(digit)
    if digit ~= "" or gone == MOST_STOPS then return nil end
    gone = gone + 1
    return ""
  end))
end

-- Lower case, number words as digits, no articles, apostrophes where they belong.
local function words_settled(text)
  if is_plain(text) then
    text = text:lower()
  else
    text = utf8.len(text) and core.lower(text) or text:lower()
    for _, space in ipairs(SPACES) do text = text:gsub(space, " ") end
  end
  local words = {}
  for word in text:gmatch("%S+") do
    word = NUMBERS[word] or word
    if not ARTICLES[word] then words[#words + 1] = CONTRACTIONS[word] or word end
  end
  return table.concat(words, " ")
end

-- People give the same few answers again and again.
local known, known_count = {}, 0

local function normalise(text)
  local form = known[text]
  if form then return form end
  if known_count == MOST_KNOWN then known, known_count = {}, 0 end
  form = words_settled(without_punctuation(clean(text)))
  known[text], known_count = form, known_count + 1
  return form
end

-- ---- accuracy ----

-- Of n people m gave this answer: the mean over the n ways to leave one of them out of
-- min(1, how many of the others agree / 3), in one division.
local function leave_one_out(m, n)
  return (m * math.min(3, m - 1) + (n - m) * math.min(3, m)) / (3 * n)
end

local function check_list(list)
  local count = type(list) == "table" and util.length(list, "answers: answer") or 0
  if count ~= 1 and count < 4 then
    util.fail("answers: needs one reference answer, or at least four (VQA has ten), not %s",
              type(list) == "table" and count or util.show(list))
  end
  for i = 1, count do
    if type(list[i]) ~= "string" then util.fail("answers: answer %d is no text", i) end
  end
  return count
end

-- What answers are worth beside these reference answers: `worth` by form, 0 where there is
-- none; `form` makes it of an answer. Where all agree, answers count as they are written.
function answers.scorer(list)
  local n, form, count, worth = check_list(list), clean, {}, {}
  for i = 2, n do
    if clean(list[i]) ~= clean(list[1]) then form = normalise end
  end
  if n == 1 then form = normalise end
  for i = 1, n do
    local key = form(list[i])
    count[key] = (count[key] or 0) + 1
  end
  for key, m in pairs(count) do worth[key] = n == 1 and 1 or leave_one_out(m, n) end
  return { form = form, worth = worth }
end

-- What `prediction` is worth beside a list of reference answers, 0 to 1.
function answers.accuracy(prediction, list)
  if type(prediction) ~= "string" then
    util.fail("answers: the prediction is no text but %s", util.show(prediction))
  end
  local scorer = answers.scorer(list)
  return scorer.worth[scorer.form(prediction)] or 0
end

-- The form in which the official evaluation compares answers.
function answers.normalise(text)
  if type(text) ~= "string" then
    util.fail("answers: needs a text, not %s", util.show(text))
  end
  return normalise(text)
end

answers.clean = clean

return answers
