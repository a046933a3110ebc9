"""Step 3: the image tower, against the fixed text space.

    python train_image.py WORK --minutes 75 [--bf16] [--threads 1]

The schedule follows the wall clock, so that a run ends when it should on a busy machine.
Its last part is best run against what the finished text tower says (--resume --from-part .55
--text-bank), and twice with different seeds, for average.py.
WORK/image.pt holds the moving average of the weights, written every five minutes.
"""
import argparse
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

from tokenizer import BPE
from towers import CONTEXT, EMA, EMBED, IMAGE, ImageTower, TextTower

LR, DECAY, BATCH, WARMUP, OWN = 1e-3, .05, 96, 150, .85


def pick(n, p):
    return torch.from_numpy(np.flatnonzero(np.random.rand(n) < p))


def augment(u8, mono):
    """uint8 [n, 80, 80, 4] -> float [n, 3, 64, 64], normalised as the export says (mean .5, std .25).

    Every change is made only to the pictures drawn for it: this runs on the core that trains.
    """
    n = len(u8)
    U = lambda k, lo, hi: torch.rand(k, 1, 1, 1) * (hi - lo) + lo
    x = u8.permute(0, 3, 1, 2).float().div_(255)
    rgb, a = x[:, :3].contiguous(), x[:, 3:]
    # colour, before the ground is laid under
    i = torch.nonzero(mono & (torch.rand(n) < .5)).flatten()
    rgb[i] = (torch.rand(len(i), 3, 1, 1) + (rgb[i] - .13)).clamp(0, 1)
    i = pick(n, .4)
    g = rgb[i].mean(1, keepdim=True)
    rgb[i] = g + (rgb[i] - g) * U(len(i), .3, 1.6)
    i = pick(n, .4)
    rgb[i] = (rgb[i] - .5) * U(len(i), .6, 1.4) + .5 + U(len(i), -.2, .2)
    for j in pick(n, .07).tolist():
        rgb[j] = rgb[j][torch.randperm(3)]
    fashion = torch.rand(n) < .12  # light grey objects on black
    i = torch.nonzero((torch.rand(n) < .1) | fashion).flatten()
    rgb[i] = rgb[i].mean(1, keepdim=True)
    i = torch.nonzero(fashion).flatten()
    lum = (rgb[i] * a[i]).sum((1, 2, 3)) / (3 * a[i].sum((1, 2, 3)) + 1e-3)
    i = torch.cat([i[lum < .4], pick(n, .04)]).unique()
    rgb[i] = 1 - rgb[i]
    i = pick(n, .1)
    tex = F.interpolate(torch.rand(len(i), 1, 10, 10), size=u8.shape[1], mode="bilinear")
    rgb[i] = rgb[i] * (1 - U(len(i), .1, .6) * tex)
    x = torch.cat([rgb.clamp_(0, 1) * a, a], 1)
    # geometry; two in five keep the framing of the evaluation
    free = (torch.rand(n) < .6).float()
    s = torch.exp(torch.empty(n).uniform_(-.1, .35) * free)
    asp = torch.exp(torch.empty(n).uniform_(-.16, .16) * free)
    wide = (torch.rand(n) < .15).float() * 2 + 1
    t = torch.empty(n).uniform_(-.2, .2) * free * wide
    sh = torch.empty(n).uniform_(-.15, .15) * free
    flip = torch.where(torch.rand(n) < .5, -1., 1.)
    cos, sin = torch.cos(t), torch.sin(t)
    theta = torch.stack([torch.stack([s * asp * cos * flip, s * (sh - sin), torch.empty(n).uniform_(-.15, .15) * free], 1),
                         torch.stack([s * sin * flip, s / asp * cos, torch.empty(n).uniform_(-.15, .15) * free], 1)], 1)
    x = F.grid_sample(x, F.affine_grid(theta, (n, 4, IMAGE, IMAGE), align_corners=False), align_corners=False)
    # grounds: white .46, black .12, solid .26, gradient .10, noise .06
    r = torch.rand(n)
    flat = torch.rand(n, 3, 1, 1)
    flat[r < .46] = 1
    flat[((r > .46) & (r < .58)) | fashion] = 0
    hole = 1 - x[:, 3:]
    out = x[:, :3] + flat * hole
    for lo, hi, k, mode in ((.84, .94, 2, "bilinear"), (.94, 1.1, 12, "bilinear")):
        i = torch.nonzero((r > lo) & (r <= hi) & ~fashion).flatten()
        out[i] = x[i, :3] + F.interpolate(torch.rand(len(i), 3, k, k), size=IMAGE, mode=mode, align_corners=k == 2) * hole[i]
    # less sharp than a rendering
    i = pick(n, .15)
    if len(i):
        small = F.interpolate(out[i], size=int(np.random.randint(24, 44)), mode="bilinear", antialias=True)
        out[i] = F.interpolate(small, size=IMAGE, mode="bicubic")
    i = pick(n, .15)
    out[i] += torch.randn(len(i), 3, IMAGE, IMAGE) * U(len(i), 0, .08)
    for j in pick(n, .08).tolist():
        h, w = np.random.randint(8, 28, 2)
        y0, x0 = np.random.randint(0, IMAGE - h), np.random.randint(0, IMAGE - w)
        out[j, :, y0:y0 + h, x0:x0 + w] = torch.rand(3, 1, 1)
    return out.clamp_(0, 1).sub_(.5).div_(.25)


def plain(u8):
    """As the evaluation sees them: on white, longest side 64."""
    x = u8.permute(0, 3, 1, 2).float() / 255
    x = x[:, :3] * x[:, 3:] + 1 - x[:, 3:]
    return (F.interpolate(x, size=IMAGE, mode="bicubic", antialias=True).clamp(0, 1) - .5) / .25


def targets(recs, bank, texts):
    """Sparse distributions over the bank, one a picture: own captions .85, the teacher's neighbours .15."""
    index = {t: i for i, t in enumerate(texts)}
    near_i, near_p = [], []
    for i in range(0, len(bank), 1024):
        s = bank[i:i + 1024] @ bank.T
        s[torch.arange(len(s)), torch.arange(i, i + len(s))] = -2
        v, j = s.topk(8)
        near_i.append(j)
        near_p.append((v / .08).softmax(-1))
    near_i, near_p = torch.cat(near_i).numpy(), torch.cat(near_p).numpy()
    out = []
    for r in recs:
        d = {}
        for c, w in r["captions"].items():
            i = index[c]
            d[i] = d.get(i, 0) + OWN * w
            for j, p in zip(near_i[i], near_p[i]):
                d[int(j)] = d.get(int(j), 0) + (1 - OWN) * w * float(p)
        k = np.fromiter(d, np.int64)
        p = np.array(list(d.values()), np.float32)
        out.append((k, p / p.sum()))
    return out


KINDS = ["animal", "bird", "insect", "food", "fruit", "drink", "plant", "vehicle", "boat", "clothing", "footwear", "building", "furniture",
         "musical instrument", "weapon", "tool", "container", "person", "body part", "symbol", "flag", "sports equipment"]


@torch.no_grad()
def validate(model, state, pics, recs, val, bank, texts):
    """On held-out pictures: name in the top 1 / 10 of the bank; balanced accuracy over the kinds above."""
    m = ImageTower()
    m.load_state_dict(state)
    m.eval()
    e = F.normalize(torch.cat([m(plain(torch.from_numpy(pics[val[i:i + 128]]))) for i in range(0, len(val), 128)]), dim=-1)
    top = (e @ bank.T).topk(10).indices
    own = [{texts[j] for j in row} for row in top.tolist()]
    caps = [recs[i]["captions"] for i in val]
    r1 = np.mean([texts[row[0]] in c for row, c in zip(top.tolist(), caps)])
    r10 = np.mean([bool(o & c.keys()) for o, c in zip(own, caps)])
    idx = [texts.index(k) for k in KINDS]
    pred = (e @ bank[idx].T)
    hit = {}
    for row, c in zip(pred, caps):
        mine = [i for i, k in enumerate(KINDS) if c.get(k, 0) > .05]
        if mine:
            hit.setdefault(mine[-1], []).append(int(row.argmax()) in mine)
    return r1, r10, np.mean([np.mean(v) for v in hit.values()])


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("--minutes", type=float, default=75)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--bf16", action="store_true")
    ap.add_argument("--resume", action="store_true", help="start from WORK/image.pt")
    ap.add_argument("--from-part", type=float, default=0, help="with --resume: where in the schedule to start, 0 to 1")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--text-bank", action="store_true", help="the finished text tower's embeddings of the bank instead of the teacher's")
    ap.add_argument("--out", default="image.pt")
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    np.random.seed(a.seed)
    path = lambda n: os.path.join(a.work, n)
    pics = np.load(path("pictures.npy"), mmap_mode="r")
    pics = np.ascontiguousarray(pics)
    recs = json.load(open(path("pictures.json")))
    b = json.load(open(path("bank.json")))
    texts, bank = b["texts"], torch.from_numpy(np.load(path("bank.npy")))
    tg = targets(recs, bank, texts)
    if a.text_bank:
        bank = said(a.work, texts)
    mono = torch.tensor([r["mono"] for r in recs])
    val = np.arange(0, len(recs), 25)
    train = np.setdiff1d(np.arange(len(recs)), val)
    w = np.array([recs[i]["weight"] for i in train])
    w = torch.from_numpy(w / w.sum())
    prior = np.zeros(len(texts))
    for i, p in zip(train, w.numpy()):
        prior[tg[i][0]] += p * tg[i][1]
    prior = torch.from_numpy(np.log(prior + 1e-7)).float()

    model = ImageTower().to(memory_format=torch.channels_last)
    done = 0
    if a.resume:
        ck = torch.load(path("image.pt"))
        model.load_state_dict(ck["state"])
        done = ck["step"]
    scale = torch.nn.Parameter(torch.tensor(ck["scale"] if a.resume else math.log(12.)))
    # The pooling's projections learn slower: at the body's rate their logits grow until every head is one-hot.
    body = [p for n, p in model.named_parameters() if not n.startswith("attnpool")]
    opt = torch.optim.AdamW([{"params": [p for p in body if p.ndim > 1], "rate": 1.}, {"params": [p for p in body if p.ndim == 1], "rate": 1., "weight_decay": 0.},
                             {"params": list(model.attnpool.parameters()), "rate": .25}, {"params": [scale], "rate": 1., "weight_decay": 0.}],
                            lr=LR, betas=(.9, .98), weight_decay=DECAY)
    ema = EMA(model, .9985)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(train)} pictures, {len(val)} held out", flush=True)
    start = time.time()
    step, saved, shown, run = done, start, start, []
    while (f := a.from_part + (1 - a.from_part) * (time.time() - start) / (60 * a.minutes)) < 1:
        for g in opt.param_groups:
            g["lr"] = LR * g["rate"] * min((step - done + 1) / (50 if a.resume else WARMUP), .02 + .98 * .5 * (1 + math.cos(math.pi * f)))
        ix = train[torch.multinomial(w, BATCH).numpy()]
        x = augment(torch.from_numpy(pics[ix]), mono[ix]).contiguous(memory_format=torch.channels_last)
        t = torch.zeros(BATCH, len(texts))
        for r, i in enumerate(ix):
            t[r, tg[i][0]] = torch.from_numpy(tg[i][1])
        with torch.autocast("cpu", torch.bfloat16, enabled=a.bf16):
            e = model(x)
        e = F.normalize(e.float(), dim=-1)
        logits = scale.exp().clamp(max=60) * (e @ bank.T) + prior
        mean = F.normalize(t @ bank, dim=-1)
        ce = -(t * logits.log_softmax(-1)).sum(-1).mean()
        cs = 1 - (e * mean).sum(-1).mean()
        opt.zero_grad(set_to_none=True)
        (ce + 2 * cs).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.)
        opt.step()
        ema.update()
        step += 1
        run.append((ce.item(), cs.item()))
        now = time.time()
        if now - shown > 60 or step == 50:
            c, d = np.mean(run, 0)
            print(f"{(now - start) / 60:6.1f} min  step {step}  epoch {step * BATCH / len(train):5.2f}  ce {c:.3f}  cos {1 - d:.3f}  "
                  f"scale {scale.exp().item():.1f}", flush=True)
            shown, run = now, []
        if now - saved > 300 or step == 300:
            saved = now
            save(path(a.out), ema, step, len(train), scale.item())
            print("        held out: top-1 %.3f  top-10 %.3f  kinds %.3f" % validate(model, ema.state, pics, recs, val, bank, texts), flush=True)
    save(path(a.out), ema, step, len(train), scale.item())
    print("        held out: top-1 %.3f  top-10 %.3f  kinds %.3f" % validate(model, ema.state, pics, recs, val, bank, texts))
    print("done:", step, "steps", flush=True)


@torch.no_grad()
def said(work, texts):
    """What the text tower makes of each text, bare and in a few templates."""
    bpe = BPE(work)
    m = TextTower(len(bpe.vocab)).eval()
    m.load_state_dict(torch.load(os.path.join(work, "text.pt"))["state"])
    out = torch.zeros(len(texts), EMBED)
    for t in ("{}", "a photo of a {}", "a picture of a {}", "a drawing of a {}", "clip art of a {}"):
        ids = [bpe.encode(t.replace("{}", x), CONTEXT) for x in texts]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        for k in range(0, len(order), 256):
            part = order[k:k + 256]
            x = torch.zeros(len(part), len(ids[part[-1]]), dtype=torch.long)
            for r, i in enumerate(part):
                x[r, :len(ids[i])] = torch.tensor(ids[i])
            out[part] += F.normalize(m(x), dim=-1)
    return F.normalize(out, dim=-1)


def save(p, ema, step, n, scale):
    torch.save({"state": ema.state, "scale": scale, "step": step, "epochs": step * BATCH / n}, p + ".tmp")
    os.replace(p + ".tmp", p)


if __name__ == "__main__":
    main()
