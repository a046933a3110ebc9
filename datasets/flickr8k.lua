-- Karpathy's splits, the captions in the files that CLIP_benchmark 1.6.2 uses: a header,
-- then PICTURE,CAPTION. Pictures and captions lie in one folder, as there.
return {
  name = "flickr8k",
  version = "1",
  about = "Flickr8k: photographs with five captions each",
  task = "retrieval",
  source = "www.kaggle.com/datasets/adityajn105/flickr8k; " ..
           "captions: github.com/mehdidc/retrieval_annotations/releases/tag/1.0.0",
  expects = "{place} (lines of PICTURE,CAPTION) and the pictures, such as " ..
            "1056338697_4f7d7ce270.jpg, in one folder",
  layout = "flickr_csv",
  split = "test",
  splits = {
    test = "flickr8k_test_karpathy.txt",
    val = "flickr8k_val_karpathy.txt",
    train = "flickr8k_train_karpathy.txt",
  },
  size = 1000,
}
