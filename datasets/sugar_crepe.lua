-- The seven files beside COCO's val2017, as CLIP_benchmark 1.6.2 lays them; each is a split
-- of its own, too.
local splits = { all = { annotations = {} } }
for i, group in ipairs { "add_att", "add_obj", "replace_att", "replace_obj", "replace_rel",
                         "swap_att", "swap_obj" } do
  splits[group] = { annotations = { group .. ".json" } }
  splits.all.annotations[i] = group .. ".json"
end

return {
  name = "sugar_crepe",
  version = "1",
  about = "SugarCrepe: the right caption, or one with a detail changed?",
  task = "pairs",
  source = "github.com/RAIVNLab/sugar-crepe (data/*.json), cocodataset.org (val2017.zip)",
  expects = "{annotations} and the pictures val2017/000000000139.jpg, ...",
  layout = "sugarcrepe",
  prefix = "val2017/",
  split = "all",
  splits = splits,
}
