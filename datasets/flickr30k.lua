-- Karpathy's splits, the captions in the files that CLIP_benchmark 1.6.2 uses: a header,
-- then PICTURE,CAPTION. Pictures and captions lie in one folder, as there.
return {
  name = "flickr30k",
  version = "1",
  about = "Flickr30k: photographs with five captions each",
  task = "retrieval",
  source = "www.kaggle.com/datasets/hsankesara/flickr-image-dataset; " ..
           "captions: github.com/mehdidc/retrieval_annotations/releases/tag/1.0.0",
  expects = "{place} (lines of PICTURE,CAPTION) and the pictures, such as " ..
            "1007129816.jpg, in one folder",
  layout = "flickr_csv",
  split = "test",
  splits = {
    test = "flickr30k_test_karpathy.txt",
    val = "flickr30k_val_karpathy.txt",
    train = "flickr30k_train_karpathy.txt",
  },
  size = 1000,
}
