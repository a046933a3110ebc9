-- What CLIP_benchmark 1.6.2 calls voc2007_multilabel: class names and their order are those
-- of voc2007.py there. It counts objects marked "difficult" as present; the challenge
-- itself ignores them, as difficult = "ignore" does.
return {
  name = "voc2007",
  version = "1",
  about = "PASCAL VOC 2007: which of 20 things are in the picture?",
  task = "multilabel",
  source = "host.robots.ox.ac.uk/pascal/VOC/voc2007 (VOCtest_06-Nov-2007.tar)",
  expects = "VOCdevkit/VOC2007/ImageSets/Main/{list}.txt, Annotations/000001.xml, ... " ..
            "and JPEGImages/000001.jpg, ...",
  layout = "voc",
  folder = "VOCdevkit/VOC2007",
  split = "test",
  splits = { test = "test", trainval = "trainval", train = "train", val = "val" },
  difficult = "count",
  classes = {
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
  },
  templates = "voc2007",
  size = 4952,
}
