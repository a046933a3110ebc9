-- Class names: CLIP_benchmark 1.6.2's (MIT, en_classnames.json). There are no splits: all
-- pictures are scored, as there.
return {
  name = "eurosat",
  version = "1",
  about = "EuroSAT: 64 x 64 satellite pictures, 10 kinds of land use",
  task = "classification",
  source = "zenodo.org/records/7711810 (EuroSAT_RGB.zip), or EuroSAT.zip of 2018",
  expects = "2750/AnnualCrop/AnnualCrop_1.jpg, ...: ten folders",
  layout = "folders",
  folder = "2750",
  folders = {
    "AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture",
    "PermanentCrop", "Residential", "River", "SeaLake",
  },
  classes = {
    "annual crop land",
    "forest",
    "brushland or shrubland",
    "highway or road",
    "industrial buildings or commercial buildings",
    "pasture land",
    "permanent crop land",
    "residential buildings or homes or apartments",
    "river",
    "lake or sea",
  },
  templates = "eurosat",
  size = 27000,
}
