-- Karpathy's splits, the captions in the files that CLIP_benchmark 1.6.2 uses.
return {
  name = "mscoco_captions",
  version = "1",
  about = "MS COCO captions (2014): photographs with five captions each",
  task = "retrieval",
  source = "cocodataset.org (val2014.zip); " ..
           "captions: github.com/mehdidc/retrieval_annotations/releases/tag/1.0.0",
  expects = "{annotations} and the pictures, such as {prefix}COCO_...jpg",
  layout = "coco",
  split = "test",
  splits = {
    test = { annotations = "coco_test_karpathy.json", prefix = "val2014/" },
    val = { annotations = "coco_val_karpathy.json", prefix = "val2014/" },
    train = { annotations = "coco_train_karpathy.json", prefix = "train2014/" },
  },
  size = 5000,
}
