"""Step 5: an open_clip folder (fp16) from the two towers.

    python export.py WORK OUT

logit_scale is fitted on held-out pictures: picture against 100 names, of which one is its own.
"""
import argparse
import json
import math
import os
import shutil

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import towers
from tokenizer import BPE
from train_image import plain
from towers import CONTEXT


def fit_scale(image, text, bpe, work):
    recs = json.load(open(os.path.join(work, "pictures.json")))
    pics = np.load(os.path.join(work, "pictures.npy"), mmap_mode="r")
    val = [i for i in range(0, len(recs), 25) if recs[i]["weight"] > .5]
    names = [max(recs[i]["captions"], key=recs[i]["captions"].get) for i in val]
    with torch.no_grad():
        x = torch.cat([image(plain(torch.from_numpy(pics[val[i:i + 64]]))) for i in range(0, len(val), 64)])
        ids = torch.zeros(len(val), CONTEXT, dtype=torch.long)
        for r, n in enumerate(names):
            e = bpe.encode(n, CONTEXT)
            ids[r, :len(e)] = torch.tensor(e)
        y = text(ids)
    x, y = F.normalize(x, dim=-1), F.normalize(y, dim=-1)
    g = torch.Generator().manual_seed(0)
    sims = []
    for i in range(len(val)):
        others = [j for j in torch.randperm(len(val), generator=g).tolist() if names[j] != names[i]][:99]
        sims.append(x[i] @ y[[i] + others].T)
    sims = torch.stack(sims)
    acc = (sims.argmax(-1) == 0).float().mean().item()
    best = min((-(math.exp(s) * sims).log_softmax(-1)[:, 0].mean().item(), s) for s in np.arange(0, 4.6, .02))
    print(f"held out, own name among 100: {acc:.3f} of {len(val)}; logit scale {math.exp(best[1]):.1f}, loss {best[0]:.3f}")
    return best[1]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("out")
    a = ap.parse_args()
    torch.set_num_threads(1)
    bpe = BPE(a.work)
    ci, ct = (torch.load(os.path.join(a.work, n + ".pt")) for n in ("image", "text"))
    image, text = towers.ImageTower().eval(), towers.TextTower(len(bpe.vocab)).eval()
    image.load_state_dict(ci["state"])
    text.load_state_dict(ct["state"])
    print("image steps", ci["step"], "epochs %.1f" % ci["epochs"], "text steps", ct["step"])

    sd = {("visual." + k): v for k, v in image.state_dict().items()}
    sd |= text.state_dict()
    sd["logit_scale"] = torch.tensor(fit_scale(image, text, bpe, a.work))
    sd = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in sd.items()}
    assert all(torch.isfinite(v).all() for v in sd.values())
    os.makedirs(a.out, exist_ok=True)
    tmp = os.path.join(a.out, "open_clip_model.safetensors")
    save_file(sd, tmp + ".tmp", metadata={"format": "pt"})
    os.chmod(tmp + ".tmp", 0o644)
    os.replace(tmp + ".tmp", tmp)
    for f in ("vocab.json", "merges.txt"):
        shutil.copyfile(os.path.join(a.work, f), os.path.join(a.out, f))
    config = {
        "model_cfg": {
            "embed_dim": towers.EMBED,
            "vision_cfg": {"image_size": towers.IMAGE, "layers": [2, 2, 2, 2], "width": towers.WIDTH, "patch_size": None, "head_width": towers.HEAD},
            "text_cfg": {"context_length": towers.CONTEXT, "vocab_size": len(bpe.vocab), "width": towers.TEXT_WIDTH,
                         "heads": towers.TEXT_HEADS, "layers": towers.TEXT_LAYERS}},
        "preprocess_cfg": {"mean": [.5, .5, .5], "std": [.25, .25, .25], "interpolation": "bicubic", "resize_mode": "longest", "fill_color": 255}}
    with open(os.path.join(a.out, "open_clip_config.json"), "w") as f:
        json.dump(config, f, indent=1)
        f.write("\n")
    print(sum(os.path.getsize(os.path.join(a.out, f)) for f in ("open_clip_model.safetensors", "vocab.json", "merges.txt")), "bytes")


if __name__ == "__main__":
    main()
