"""Step 4: the tokenizer and the text tower, which learns to say what the teacher says.

    python train_text.py WORK --teacher DIR --minutes 75 [--bf16] [--threads 1]

A template round a name is trained to give the embedding of the bare name, so that prompts mean
what they hold. Writes WORK/vocab.json, WORK/merges.txt and, every five minutes, WORK/text.pt.
"""
import argparse
import json
import math
import os
import time
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F

from text_space import MiniLM, project
from tokenizer import BPE, BYTES, learn, words
from towers import CONTEXT, EMA, TextTower, groups

MERGES, LR, DECAY, BATCH, CHUNKS, WARMUP = 10000, 1.2e-3, .02, 512, 4, 200
TEMPLATES = [
    "a photo of a {}", "a photo of the {}", "a picture of a {}", "a picture of the {}", "a drawing of a {}", "clip art of a {}",
    "an icon of a {}", "an image of a {}", "an illustration of a {}", "a sketch of a {}", "a cartoon {}", "a cartoon of a {}",
    "a painting of a {}", "a rendering of a {}", "a close-up photo of a {}", "a bright photo of a {}", "a black and white photo of a {}",
    "a low resolution photo of a {}", "a good photo of a {}", "a photo of one {}", "a photo of many {}", "a photo of a small {}",
    "a photo of a large {}", "a photo of {}", "a picture of {}", "a drawing of {}", "clip art of {}", "this is a {}", "this is a photo of a {}",
    "there is a {} in the picture", "a {}", "the {}", "a {} on a white background", "a photo of a {}, a type of thing",
    "what is this? a {}", "what is it? {}", "question: what is in the picture? answer: a {}", "is it a {}? yes", "is this a {}? yes",
    "does the picture show a {}? yes", "what kind of thing is it? {}", "emoji of a {}",
]
# share of a batch, share of it inside a template
MIX = {"bank": (.42, .62), "lemma": (.32, .5), "gloss": (.1, .1), "compound": (.16, .45)}


def fill(template, text):
    """'a {}' becomes 'an apple' half of the time: prompts of evaluations rarely care."""
    if text[:1] in "aeiou" and np.random.rand() < .5:
        template = template.replace(" a {}", " an {}")
        template = "an {}" if template == "a {}" else template
    out = template.replace("{}", text)
    r = np.random.rand()
    return out + "." if r < .25 and not out.endswith("?") else out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("--teacher", required=True)
    ap.add_argument("--minutes", type=float, default=75)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--bf16", action="store_true")
    ap.add_argument("--resume", action="store_true", help="start from WORK/text.pt")
    ap.add_argument("--from-part", type=float, default=0, help="with --resume: where in the schedule to start, 0 to 1")
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    np.random.seed(0)
    path = lambda n: os.path.join(a.work, n)
    start = time.time()

    bank, co = json.load(open(path("bank.json"))), json.load(open(path("corpus.json")))
    texts = bank["texts"] + co["texts"]
    family = np.array(["bank"] * len(bank["texts"]) + co["family"])
    weight = np.concatenate([np.sqrt(np.array(bank["mass"])) + .3, co["weight"]])
    emb = torch.from_numpy(np.concatenate([np.load(path("bank.npy")), np.load(path("corpus.npy")).astype(np.float32)]))

    if not os.path.exists(path("merges.txt")):
        c = Counter()
        for t, w, f in zip(texts, weight, family):
            for x in words(t):
                c[x] += int(round(w * (20 if f == "bank" else 4 if f == "lemma" else 1)))
        for t in TEMPLATES:
            for x in words(t):
                c[x] += 2000
        learn(c, MERGES, a.work)
    bpe = BPE(a.work)
    n_vocab = len(bpe.vocab)

    model = TextTower(n_vocab)
    # Token embeddings start as the teacher's embedding of the token's own string, in the text space.
    back = {v: k for k, v in BYTES.items()}
    names = [bytes(back[ch] for ch in t.removesuffix("</w>")).decode("utf-8", "replace") for t in list(bpe.vocab)[:-2]]
    s = np.load(path("space.npz"))
    init = torch.from_numpy(project(MiniLM(a.teacher).encode(names), s["mean"], s["matrix"]))
    with torch.no_grad():
        model.token_embedding.weight[:len(init)] = init
        model.text_projection.copy_(torch.eye(len(model.text_projection)) + .02 * torch.randn_like(model.text_projection))

    done = 0
    if a.resume:
        ck = torch.load(path("text.pt"))
        model.load_state_dict(ck["state"])
        done = ck["step"]
    rng = np.random.default_rng(0)
    held = {f: rng.permutation(np.flatnonzero(family == f))[:1500] for f in ("lemma", "compound")}
    out = np.zeros(len(texts), bool)
    for h in held.values():
        out[h] = True
    pool = {f: np.flatnonzero((family == f) & ~out) for f in MIX}
    prob = {f: weight[p] / weight[p].sum() for f, p in pool.items()}
    common = rng.permutation(pool["bank"])[:1500]

    opt = torch.optim.AdamW(groups(model, DECAY), lr=LR, betas=(.9, .98))
    ema = EMA(model, .9985)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {n_vocab} tokens, {len(texts)} texts, "
          f"{np.mean([len(bpe.ids(t)) for t in texts[::50]]):.1f} tokens a text, prepared in {time.time() - start:.0f} s", flush=True)

    def batch_ids(ts):
        ids = [bpe.encode(t, CONTEXT) for t in ts]
        x = torch.full((len(ids), max(map(len, ids))), 0)
        for r, i in enumerate(ids):
            x[r, :len(i)] = torch.tensor(i)
        return x

    @torch.no_grad()
    def check():
        m = TextTower(n_vocab)
        m.load_state_dict(ema.state)
        res = []
        for name, ix, tpl in (("captions", common, "{}"), ("in 'a photo of a'", common, "a photo of a {}"), ("unseen lemmas", held["lemma"], "{}"),
                              ("unseen compounds", held["compound"], "{}")):
            ix = sorted(ix, key=lambda i: len(texts[i]))
            e = torch.cat([F.normalize(m(batch_ids([tpl.format(texts[i]) for i in ix[k:k + 250]])), dim=-1) for k in range(0, len(ix), 250)])
            res.append(f"{name} {(e * emb[ix]).sum(-1).mean():.3f}")
        return ", ".join(res)

    def save(step):
        torch.save({"state": ema.state, "step": step}, path("text.pt.tmp"))
        os.replace(path("text.pt.tmp"), path("text.pt"))
        print("        cosine:", check(), flush=True)

    step, saved, shown, run, seen = done, start, time.time(), [], done * BATCH
    while (f := a.from_part + (1 - a.from_part) * (time.time() - start) / (60 * a.minutes)) < 1:
        for g in opt.param_groups:
            g["lr"] = LR * min((step - done + 1) / WARMUP, .02 + .98 * .5 * (1 + math.cos(math.pi * f)))
        ix, ts = [], []
        for fam, (share, inside) in MIX.items():
            for i in np.random.choice(pool[fam], int(share * BATCH), p=prob[fam]):
                t = texts[i]
                ix.append(i)
                ts.append(fill(TEMPLATES[np.random.randint(len(TEMPLATES))] if np.random.rand() > .3 else
                               TEMPLATES[np.random.randint(6)], t) if np.random.rand() < inside else t)
        ids = [bpe.encode(t, CONTEXT) for t in ts]
        order = sorted(range(len(ids)), key=lambda k: len(ids[k]))
        e = []
        for k in range(0, len(order), BATCH // CHUNKS):
            part = [ids[j] for j in order[k:k + BATCH // CHUNKS]]
            x = torch.zeros(len(part), len(part[-1]), dtype=torch.long)
            for r, i in enumerate(part):
                x[r, :len(i)] = torch.tensor(i)
            with torch.autocast("cpu", torch.bfloat16, enabled=a.bf16):
                e.append(model(x))
        e = F.normalize(torch.cat(e).float(), dim=-1)
        y = emb[[ix[j] for j in order]]
        cs = 1 - (e * y).sum(-1).mean()
        nce = (20 * e @ y.T - 1e4 * ((y @ y.T > .995) & ~torch.eye(len(y), dtype=torch.bool))).log_softmax(-1).diagonal().neg().mean()
        opt.zero_grad(set_to_none=True)
        (4 * cs + .15 * nce).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
        opt.step()
        ema.update()
        step += 1
        seen += len(ts)
        run.append((1 - cs.item(), nce.item()))
        now = time.time()
        if now - shown > 60 or step == 50:
            c, n = np.mean(run, 0)
            print(f"{(now - start) / 60:6.1f} min  step {step}  texts {seen}  cos {c:.3f}  nce {n:.3f}", flush=True)
            shown, run = now, []
        if now - saved > 300:
            saved = now
            save(step)
    save(step)
    print("done:", step, "steps,", seen, "texts", flush=True)


if __name__ == "__main__":
    main()
