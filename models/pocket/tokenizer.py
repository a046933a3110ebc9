"""CLIP's byte-level BPE: learning the merges, and encoding. Files: vocab.json, merges.txt."""
import html
import json
import os

import ftfy
import regex as re

PATTERN = re.compile(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", re.IGNORECASE)


def byte_chars():
    """GPT-2's printable stand-ins, in the order that CLIP's vocabulary has them."""
    bs = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    cs, n = bs[:], 0
    for b in range(256):
        if b not in bs:
            bs.append(b)
            cs.append(256 + n)
            n += 1
    return dict(zip(bs, map(chr, cs)))


BYTES = byte_chars()


def words(text):
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    text = " ".join(text.split()).lower()
    return ["".join(BYTES[b] for b in w.encode()) for w in PATTERN.findall(text)]


def learn(counts, n_merges, folder):
    """counts: {word: weight}. Writes vocab.json and merges.txt."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    t = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    alphabet = list(BYTES.values())
    tr = trainers.BpeTrainer(vocab_size=n_merges + 4000, initial_alphabet=alphabet, end_of_word_suffix="</w>", min_frequency=2, show_progress=False)
    t.train_from_iterator((" ".join([w] * min(c, 2000)) for w, c in counts.items()), tr)
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in json.loads(t.to_str())["model"]["merges"]][:n_merges]
    vocab = alphabet + [c + "</w>" for c in alphabet] + ["".join(m) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocab = {v: i for i, v in enumerate(dict.fromkeys(vocab))}
    json.dump(vocab, open(os.path.join(folder, "vocab.json"), "w"), ensure_ascii=False)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))


class BPE:
    def __init__(self, folder):
        self.vocab = json.load(open(os.path.join(folder, "vocab.json"), encoding="utf-8"))
        lines = open(os.path.join(folder, "merges.txt"), encoding="utf-8").read().splitlines()[1:]
        self.rank = {tuple(m.split()): i for i, m in enumerate(lines)}
        self.sot, self.eot = self.vocab["<|startoftext|>"], self.vocab["<|endoftext|>"]
        self.cache = {}

    def word(self, w):
        if w not in self.cache:
            p = list(w[:-1]) + [w[-1] + "</w>"]
            while len(p) > 1:
                r, i = min((self.rank.get((p[i], p[i + 1]), 1 << 30), i) for i in range(len(p) - 1))
                if r == 1 << 30:
                    break
                a, b = p[i], p[i + 1]
                out, j = [], 0
                while j < len(p):
                    if j + 1 < len(p) and p[j] == a and p[j + 1] == b:
                        out.append(a + b)
                        j += 2
                    else:
                        out.append(p[j])
                        j += 1
                p = out
            self.cache[w] = [self.vocab[s] for s in p]
        return self.cache[w]

    def ids(self, text):
        return [i for w in words(text) for i in self.word(w)]

    def encode(self, text, context):
        return [self.sot] + self.ids(text)[:context - 2] + [self.eot]
