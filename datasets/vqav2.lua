return {
  name = "vqav2",
  version = "1",
  about = "VQA v2: open questions about COCO's pictures, ten answers each",
  task = "vqa",
  source = "visualqa.org/download.html, cocodataset.org (val2014.zip)",
  expects = "{questions}, {annotations} and the pictures {pictures}",
  layout = "vqav2",
  split = "val",
  splits = {
    val = { questions = "v2_OpenEnded_mscoco_val2014_questions.json",
            annotations = "v2_mscoco_val2014_annotations.json",
            pictures = "val2014/COCO_val2014_%012d.jpg" },
    train = { questions = "v2_OpenEnded_mscoco_train2014_questions.json",
              annotations = "v2_mscoco_train2014_annotations.json",
              pictures = "train2014/COCO_train2014_%012d.jpg" },
  },
  size = 214354,
}
