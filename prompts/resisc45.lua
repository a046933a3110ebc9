-- Templates of CLIP_benchmark 1.6.2 (MIT), en_zeroshot_classification_templates.json, as
-- they stand there; OpenAI's data/prompts.md has others. ("sattelite" is theirs.)
return {
  name = "resisc45",
  version = "1",
  about = "RESISC45: aerial pictures",
  templates = {
    "a sattelite image of {}",
    "an aerial view of {}",
    "a sattelite photo of {}",
    "{} from above",
  },
}
