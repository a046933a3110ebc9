-- The original's labels lie in HDF5 files, which are not read here: this is the data set as
-- CLIP_benchmark publishes it. The class names are CLIP_benchmark 1.6.2's (MIT,
-- en_classnames.json).
return {
  name = "pcam",
  version = "1",
  about = "PatchCamelyon: slides of lymph nodes, with and without tumour",
  task = "classification",
  source = "huggingface.co/datasets/clip-benchmark/wds_vtab-pcam",
  expects = "wds_vtab-pcam/{shards}/nshards.txt, wds_vtab-pcam/{shards}/0.tar, ...",
  layout = "wds",
  folder = "wds_vtab-pcam",
  split = "test",
  splits = { test = "test", train = "train" },
  classes = {
    "lymph node",
    "lymph node containing metastatic tumor tissue",
  },
  templates = "pcam",
  size = 32768,
}
