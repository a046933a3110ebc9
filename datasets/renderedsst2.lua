return {
  name = "renderedsst2",
  version = "1",
  about = "Rendered SST2: film reviews as pictures of text, good or bad",
  task = "classification",
  source = "openaipublic.azureedge.net/clip/data/rendered-sst2.tgz",
  expects = "rendered-sst2/{place}/negative/NAME.png and " ..
            "rendered-sst2/{place}/positive/NAME.png, ...",
  layout = "folders",
  folder = "rendered-sst2",
  split = "test",
  splits = { test = "test", val = "valid", train = "train" },
  folders = { "negative", "positive" },
  classes = { "negative", "positive" },
  templates = "renderedsst2",
  size = 1821,
}
