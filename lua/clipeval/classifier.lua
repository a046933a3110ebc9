-- Class names and prompts become rows that pictures are compared with: each text's embedding
-- is normalised, a class is the normalised (weighted) mean of its texts (CLIP_benchmark's
-- zero_shot_classifier).
local core = require "clipeval.core"
local embeddings = require "clipeval.embeddings"
local evaluation = require "clipeval.evaluation"
local util = require "clipeval.util"

local classifier = {}

-- The names that a script gives in place of the dataset's, checked; and what stands there
-- twice.
function classifier.classes(self, given)
  local data, classes = self.dataset, given or self.prompts.classes or self.dataset.classes
  if type(classes) ~= "table" or util.length(classes, self.name .. ": class") ~= #data.classes then
    util.fail("%s: classes must be a list of %d names, in the order of %s", self.name,
              #data.classes, data.name)
  end
  for i, name in ipairs(classes) do
    if type(name) ~= "string" or name == "" then
      util.fail("%s: class %d is no text", self.name, i)
    end
  end
  self.duplicate_classes = evaluation.duplicates(classes, data)
  self.about.dataset.classes = classes
  self.about.dataset.duplicate_classes = self.duplicate_classes
  return classes
end

-- [classes, d]
function classifier.build(self)
  local texts, first, about, weights = self.prompts:render(self.classes)
  local embeds = embeddings.texts(self, texts)
  self.about.prompts = about
  local rows = {}
  for class = 1, #self.classes do
    local from, to = first[class], first[class + 1] - 1
    local own = weights and table.move(weights, from, to, 1, {})
    rows[class] = embeds:slice(from, to):mean(own):normalize()[1]
  end
  return core.matrix(rows)
end

return classifier
