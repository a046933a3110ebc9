"""Step 6: the figures of the model card, from the exported files alone, with Pillow's arithmetic.

    python evaluate.py MODEL --classes stamps_classes.json [--stamps DIR] [--fashion DIR] [--limit N]

These sets are only for reporting: nothing was chosen by them.
"""
import argparse
import glob
import gzip
import json
import os
import re

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

from tokenizer import BPE
from towers import ImageTower, TextTower

PROMPTS = ["{}", "a photo of a {}", "a picture of a {}", "a drawing of a {}", "clip art of a {}"]
FASHION = ["T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


class Model:
    """An open_clip folder with a ModifiedResNet."""

    def __init__(self, root):
        c = json.load(open(os.path.join(root, "open_clip_config.json")))
        m, self.pre = c["model_cfg"], c["preprocess_cfg"]
        v, t = m["vision_cfg"], m["text_cfg"]
        self.size, self.context = v["image_size"], t["context_length"]
        self.bpe = BPE(root)
        sd = {k: x.float() if x.is_floating_point() else x for k, x in load_file(os.path.join(root, "open_clip_model.safetensors")).items()}
        self.scale = sd.pop("logit_scale").exp().item()
        self.image = ImageTower(v["layers"], v["width"], v["image_size"], v["head_width"], m["embed_dim"]).eval()
        self.image.load_state_dict({k[7:]: x for k, x in sd.items() if k.startswith("visual.")})
        self.text = TextTower(t["vocab_size"], t["width"], t["heads"], t["layers"], t["context_length"], m["embed_dim"]).eval()
        self.text.load_state_dict({k: x for k, x in sd.items() if not k.startswith("visual.")})

    def pixels(self, im):
        """resize_mode longest: round half to even, pad floor before and the rest after."""
        r = max(im.size) / self.size
        w, h = (round(s / r) for s in im.size)
        im = im.resize((w, h), Image.BICUBIC)
        out = Image.new("RGB", (self.size, self.size), (self.pre["fill_color"],) * 3)
        out.paste(im, ((self.size - w) // 2, (self.size - h) // 2))
        x = np.asarray(out, np.float32) / 255
        return torch.from_numpy((x - np.float32(self.pre["mean"])) / np.float32(self.pre["std"])).permute(2, 0, 1)

    @torch.no_grad()
    def images(self, ims):
        return torch.cat([F.normalize(self.image(torch.stack([self.pixels(i) for i in ims[k:k + 100]])), dim=-1)
                          for k in range(0, len(ims), 100)])

    @torch.no_grad()
    def texts(self, texts):
        out = []
        for t in texts:
            out.append(F.normalize(self.text(torch.tensor([self.bpe.encode(t, self.context)])), dim=-1))
        return torch.cat(out)

    def classes(self, names, prompts=PROMPTS):
        return F.normalize(torch.stack([self.texts([p.replace("{}", n) for p in prompts]).mean(0) for n in names]), dim=-1)


def on_white(path):
    im = Image.open(path).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", im.size, (255, 255, 255, 255)), im).convert("RGB")


def stamps(root, classes):
    """(picture, folder, caption) of every captioned stamp but the mirrored ones."""
    out = []
    for folder in sorted(classes):
        for p in sorted(glob.glob(os.path.join(root, folder, "**", "*.png"), recursive=True)):
            txt = p[:-4] + ".txt"
            if os.path.exists(txt) and not re.search(r"_(mirror|flip)", os.path.basename(p)):
                out.append((p, folder, open(txt, encoding="utf-8").readline().strip()))
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("model")
    ap.add_argument("--classes", required=True)
    ap.add_argument("--stamps", default="/usr/share/tuxpaint/stamps")
    ap.add_argument("--fashion", default="/usr/share/datasets/fashion-mnist")
    ap.add_argument("--limit", type=int, default=10000)
    a = ap.parse_args()
    torch.set_num_threads(1)
    m = Model(a.model)

    read = lambda n, skip: np.frombuffer(gzip.open(glob.glob(os.path.join(a.fashion, "**", n), recursive=True)[0]).read(), np.uint8)[skip:]
    px = read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)[:a.limit]
    y = torch.from_numpy(read("t10k-labels-idx1-ubyte.gz", 8)[:a.limit].astype(np.int64))
    e = m.images([Image.fromarray(p).convert("RGB") for p in px])
    pred = (e @ m.classes(FASHION).T).argmax(-1)
    print(f"Fashion-MNIST: {100 * (pred == y).float().mean():.2f} of {len(y)}; by class: " +
          " ".join(f"{n} {100 * (pred[y == i] == i).float().mean():.0f}" for i, n in enumerate(FASHION)))

    classes = json.load(open(a.classes))
    folders = sorted(classes)
    items = stamps(a.stamps, classes)
    y = torch.tensor([folders.index(f) for _, f, _ in items])
    e = m.images([on_white(p) for p, _, _ in items])
    pred = (e @ m.classes([classes[f] for f in folders]).T).argmax(-1)
    per = [(pred[y == i] == i).float().mean().item() for i in range(len(folders))]
    print(f"stamps, folders: {100 * (pred == y).float().mean():.2f} of {len(y)}, balanced {100 * np.mean(per):.2f}, "
          f"majority {100 * (y == y.mode().values).float().mean():.1f}; by folder: " + " ".join(f"{f} {100 * p:.0f}" for f, p in zip(folders, per)))

    items = [(p, f, c.lower()) for p, f, c in items]
    caps = sorted({c for _, _, c in items})
    own = torch.tensor([caps.index(c) for _, _, c in items])
    s = e @ m.texts(caps).T
    rank = (s > s.gather(1, own[:, None])).sum(1)
    print(f"stamps, captions: {len(items)} x {len(caps)}, image to text R@1 / 5 / 10: " + " / ".join(f"{100 * (rank < k).float().mean():.2f}" for k in (1, 5, 10)))

    for kind, folder in (("an animal", "animals"), ("food", "food"), ("a vehicle", "vehicles")):
        yes, no = m.texts([f"a picture of {kind}", "a picture of something else"])
        use = y != folders.index("symbols")
        pos = (y == folders.index(folder))[use]
        d = (e @ (yes - no))[use]
        auc = ((d[pos][:, None] > d[~pos][None]).float().mean()).item()
        bal = ((d[pos] > 0).float().mean() + (d[~pos] <= 0).float().mean()).item() / 2
        others = m.classes([classes[f] for f in folders if f not in (folder, "symbols")], ["a picture of a {}"])
        d2 = (e @ (yes - F.normalize(others.mean(0), dim=-1)))[use]
        bal2 = ((d2[pos] > 0).float().mean() + (d2[~pos] <= 0).float().mean()).item() / 2
        print(f"is it {kind}? balanced {100 * bal:.1f} against 'something else', {100 * bal2:.1f} against the other kinds' mean, AUC {100 * auc:.1f}, n {len(d)}, yes {int(pos.sum())}")
    print(f"logit scale {m.scale:.2f}")


if __name__ == "__main__":
    main()
