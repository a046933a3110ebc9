"""Step 1: cut-outs with alpha, and their captions.

    python prepare.py WORK --npm NODE_MODULES [--openclipart DIR] [--stamps DIR] [--wordnet DIR]

NODE_MODULES holds the npm packages that README.md lists. Writes WORK/pictures.npy (uint8 [n, 80, 80, 4], cropped to what is visible, padded to a square)
and WORK/pictures.json (one record a picture: set, weight, mono, captions {text: weight}).
"""
import argparse
import glob
import io
import json
import os
import random
import re
import string
from collections import Counter
from multiprocessing import Pool

import numpy as np
import resvg_py
from PIL import Image, ImageDraw, ImageFont

from wordnet import WordNet

SIZE = 80
COLOUR = ["noto", "noto-v1", "twemoji", "fluent-emoji", "fluent-emoji-flat", "emojione", "fxemoji",
          "streamline-emojis", "streamline-color", "streamline-plump-color", "streamline-ultimate-color",
          "streamline-kameleon-color", "streamline-stickies-color", "streamline-freehand-color",
          "flat-color-icons", "marketeq", "fluent-color", "meteocons"]
MONO = ["game-icons", "fluent-emoji-high-contrast", "emojione-monotone", "fa6-solid", "maki", "temaki",
        "mdi", "ph", "material-symbols", "healthicons", "icon-park"]
SKIN = re.compile(r"-(medium-light|medium-dark|light|medium|dark)(-skin-tone)?\b")
# Words of user interfaces: an icon whose name holds one says little about an object.
UI = set("""arrow button alt chevron caret cursor align file folder app apps application window list menu sort
 filter text font layout grid column row border rectangle square circle rounded remove add plus minus off on check
 cancel close edit delete download upload share refresh sync settings config login logout user account data
 database server cloud code api link network wifi signal bluetooth message chat mail email bubble notification alert
 warning error info question help badge zoom select selection format paragraph input output export import copy paste
 undo redo crop rotate flip transform vector layer brand logo social google facebook twitter github microsoft
 alphabetical numeric alpha abstract battery percent dots dot line graph chart left right up down top bottom inner
 outer horizontal vertical center middle slash play pause stop next previous forward backward rewind skip volume mute
 toggle switch slider swap shuffle repeat loop expand collapse fullscreen maximize minimize pin tag bookmark flag
 location marker map gps loading progress status view preview show hide visibility lock unlock password key1 id
 payment currency dollar euro bitcoin yen pound cash invoice bill sale discount business seo web website page browser
 tab screen desktop monitor display device smartphone tablet sim card1 usb hdmi cpu ai gesture touch swipe tap drag""".split())
FOLDER = {"bugs": "insect", "bodypart": "body part", "signs_and_symbols": "symbol", "recreation": "hobby",
          "transportation": "vehicle", "big_cats": "big cat", "housecats": "cat", "breads_and_carbs": "bread",
          "meats_and_eggs": "meat", "map_symbols": "map symbol", "roadsigns": "road sign", "cards": "playing card",
          "alcohol": "alcoholic drink", "smilies": "smiley face", "clothing": "clothing"}
DULL_FOLDER = {"png", "unsorted", "duplicates", "special", "icons", "miscellany", "simple", "white", "bordered",
               "led", "examples", "themes", "generic", "stock"}
GROUPS = {"smileys-emotion": "smiley face", "people-body": "person", "animals-nature": None, "food-drink": "food",
          "travel-places": None, "activities": "hobby", "objects": "object", "symbols": "symbol", "flags": "flag"}
SUBGROUPS = {"animal-mammal": "animal", "animal-bird": "bird", "animal-amphibian": "animal", "animal-reptile": "reptile",
             "animal-marine": "sea animal", "animal-bug": "insect", "plant-flower": "flower", "plant-other": "plant",
             "food-fruit": "fruit", "food-vegetable": "vegetable", "food-prepared": "meal", "food-asian": "asian food",
             "food-marine": "seafood", "food-sweet": "dessert", "drink": "drink", "dishware": "dishes",
             "place-geographic": "landscape", "place-building": "building", "place-religious": "religious building",
             "transport-ground": "vehicle", "transport-water": "boat", "transport-air": "aircraft", "time": "clock",
             "sky-weather": "weather", "event": "holiday", "sport": "sport", "game": "game", "arts-crafts": "art",
             "clothing": "clothing", "sound": "sound", "music": "music", "musical-instrument": "musical instrument",
             "phone": "phone", "computer": "computer", "light-video": "light", "book-paper": "book", "money": "money",
             "mail": "mail", "writing": "writing tool", "office": "office supplies", "tool": "tool",
             "science": "science", "medical": "medical item", "household": "household item",
             "transport-sign": "sign", "zodiac": "zodiac sign", "hotel": "hotel", "body-parts": "body part"}
# WordNet's lexicographer files: animal, artifact, body, food, object, person, plant
PHYSICAL = {5: 1.6, 6: 1.0, 8: 0.8, 13: 1.6, 17: 1.0, 18: 0.7, 20: 1.5}


def square(im):
    """Crop to what is visible, pad to a transparent square, 80 x 80 (alpha-aware)."""
    im = im.convert("RGBA")
    box = im.getchannel("A").point(lambda a: 255 if a > 24 else 0).getbbox()
    if not box or max(box[2] - box[0], box[3] - box[1]) < 24:
        return None
    im = im.crop(box)
    k = SIZE / max(im.size)
    w, h = (max(1, round(s * k)) for s in im.size)
    a = np.asarray(im, np.float32)
    pre = np.dstack([a[..., :3] * a[..., 3:] / 255, a[..., 3]])
    pre = np.dstack([np.asarray(Image.fromarray(pre[..., i]).resize((w, h), Image.BICUBIC)) for i in range(4)])
    al = np.clip(pre[..., 3:], 0, 255)
    rgb = np.where(al > 0, pre[..., :3] * 255 / np.maximum(al, 1), 0)
    out = np.zeros((SIZE, SIZE, 4), np.uint8)
    y, x = (SIZE - h) // 2, (SIZE - w) // 2
    out[y:y + h, x:x + w] = np.clip(np.dstack([rgb, al]) + .5, 0, 255)
    return out


def render(job):
    kind, what = job[0], job[1]
    try:
        if kind == "svg":
            im = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=what, width=128, skip_system_fonts=True))))
        elif kind == "file":
            im = Image.open(what)
            if max(im.size) > 2500:
                return None
            im.thumbnail((200, 200)) if im.mode != "P" else None
        else:
            font, ch = what
            im = Image.new("RGBA", (160, 160))
            ImageDraw.Draw(im).text((80, 80), ch, (0, 0, 0, 255), ImageFont.truetype(font, 96), anchor="mm")
        return square(im)
    except Exception:
        return None


def clean(name):
    name = re.sub(r"[-_ ]+", " ", name.lower()).strip()
    name = re.sub(r"(\s\d+)+$", "", name)
    name = re.sub(r"\b(flat|duo|fill|alt|facing right|medium skin tone)$", "", name).strip()
    return re.sub(r"\b(one|two|three|four|s)$", "", name).strip() if name.count(" ") else name


def splitter(vocab):
    """Split glued names ("documentwithpicture") into known words, by unigram counts."""
    total = sum(vocab.values())

    def split(s):
        best = [(0.0, [])] + [(-1e9, [])] * len(s)
        for i in range(1, len(s) + 1):
            for j in range(max(0, i - 14), i):
                w = s[j:i]
                if vocab.get(w):
                    c = best[j][0] + np.log(vocab[w] / total) - 1
                    if c > best[i][0]:
                        best[i] = (c, best[j][1] + [w])
        return " ".join(best[-1][1]) if best[-1][1] else s
    return split


def captions(wn, name, keywords, category):
    """The weighted set: name .40, keywords .30, category .12, kinds .18 (what is missing goes to the name)."""
    out = Counter()
    kinds, _ = wn.kinds(name)
    left = 1.0
    for texts, w in ((keywords, .30), ([category] if category else [], .12), (kinds, .18)):
        texts = [t for t in texts if t and t != name and len(t) > 1]
        for t in texts:
            out[t] += w / len(texts)
        left -= w if texts else 0
    out[name] += left
    return dict(out)


def weight(wn, name, category):
    kinds, lex = wn.kinds(name)
    w = PHYSICAL.get(lex, .35)
    if "clothing" in kinds or "footwear" in kinds or category == "clothing":
        w = 1.8
    if category in ("flag", "smiley face") or name.startswith("flag"):
        w = .12 if category == "flag" or name.startswith("flag") else .3
    return w


def iconify(wn, root, tags, split):
    for s in COLOUR + MONO:
        d = os.path.join(root, "@iconify-json", s)
        data = json.load(open(os.path.join(d, "icons.json")))
        meta = json.load(open(os.path.join(d, "metadata.json"))) if os.path.exists(os.path.join(d, "metadata.json")) else {}
        cats = {}
        for c, names in meta.get("categories", {}).items():
            for n in names:
                cats.setdefault(n, c)
        emoji = s in COLOUR[:8] or s in ("fluent-emoji-high-contrast", "emojione-monotone")
        mono = s in MONO and s != "icon-park"
        seen = set()
        for key, ic in data["icons"].items():
            if ic.get("hidden"):
                continue
            tone = SKIN.search(key) if emoji else None
            if tone and random.random() > .12:
                continue
            n = SKIN.sub("", key) if emoji else key
            if s in ("mdi", "material-symbols", "healthicons") and re.search(r"outline|rounded|sharp|24px|variant|negative|off$", n):
                continue
            if s == "ph" and not re.search(r"-(fill|duotone)$", n):
                continue
            if s == "fluent-color" and not n.endswith("-32"):
                continue
            n = re.sub(r"-(duotone|fill|11|15|32)$", "", n)
            n = split(n) if s == "fxemoji" else clean(n)
            n = re.sub(r"^flag (for )?(?!in )", "flag of ", n) if n.startswith("flag ") else n
            if not n or not re.search("[a-z]", n) or len(n) > 60:
                continue
            info = tags.get(n.replace(" ", ""))
            if not emoji:
                words = n.split()
                if any(w in UI for w in words) or len(words) > 4 or wn.kinds(n)[1] not in PHYSICAL:
                    continue
            # of pose and tone variants under one name, keep the first and a third of the others
            if n in seen and random.random() > .35:
                continue
            seen.add(n)
            kw, cat = ([], None)
            if info:
                n, kw, cat = info
            elif emoji or s.startswith("streamline"):
                c = cats.get(key, "")
                cat = {"Food & Drink": "food", "Food": "food", "FoodDrink": "food", "Food Drink": "food", "Flags": "flag",
                       "Animals": "animal"}.get(c)
            w = weight(wn, n, cat)
            if not emoji:
                w *= .8
            if tone:
                w *= .3
            W, H = ic.get("width", data.get("width", 16)), ic.get("height", data.get("height", 16))
            x, y = ic.get("left", 0), ic.get("top", 0)
            svg = (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{W}" height="{H}" '
                   f'viewBox="{x} {y} {W} {H}" color="#222">{ic["body"]}</svg>')
            yield ("svg", svg, s, w, mono, captions(wn, n, kw, cat))


def fluent3d(wn, root, by_code):
    for p in sorted(glob.glob(os.path.join(root, "@lobehub/fluent-emoji-3d/assets/*.webp"))):
        code = os.path.basename(p)[:-5].upper().lstrip("0")
        tone = re.search("1F3F[B-F]", code)
        if tone and random.random() > .12:
            continue
        info = by_code.get(re.sub("-?(1F3F[B-F]|FE0F)", "", code).strip("-"))
        if info:
            n, kw, cat = info
            yield ("file", p, "fluent-emoji-3d", 1.2 * weight(wn, n, cat) * (.3 if tone else 1), False, captions(wn, n, kw, cat))


def openclipart(wn, root):
    svgs = os.path.join(root, "svg")
    for p in sorted(glob.glob(os.path.join(root, "png", "**", "*.png"), recursive=True)):
        rel = os.path.relpath(p, os.path.join(root, "png"))
        parts = rel.split("/")
        if parts[0] in ("special", "shapes", "buttons") or "etiquette-theme" in rel or "duplicates" in parts:
            continue
        src = ""
        q = os.path.join(svgs, rel[:-4] + ".svg")
        if os.path.exists(q):
            src = open(q, encoding="utf-8", errors="replace").read(400000)
        who = " ".join(re.findall(r"<dc:(?:creator|rights)>.*?<dc:title>(.*?)</dc:title>", src, re.S)).lower()
        who = set(re.findall("[a-z]+", who)) | {"architetto", "archite", "ganson", "benji", "jarno", "vasamaa", "francesco",
                                               "rollandin", "patricia", "fidelis", "karam", "orlando", "theme", "dagobert",
                                               "crystal", "mo", "nathan", "sup", "bw", "plain", "remix", "clipart"}
        title = re.search(r"<dc:title>(.*?)</dc:title>", src, re.S)
        title = re.findall("[a-z]+", title.group(1).lower()) if title else []
        stem = re.sub(r"([a-z])([A-Z])", r"\1 \2", parts[-1][:-4]).lower()
        words = [w for w in re.findall("[a-z]+", stem) if len(w) > 2 and w in wn.words
                 and not any(w == a or (len(w) > 3 and a.startswith(w)) for a in who)]
        kw = []
        if set(words) & set(title) and 0 < len(title) < 6:
            kw.append(" ".join(title))
        if words and "subject" in src:
            subj = [s.strip().lower() for s in re.findall(r"<rdf:li>(.*?)</rdf:li>", src)]
            if set(" ".join(subj).split()) & set(words):
                kw += [s for s in subj if re.fullmatch("[a-z ]{3,24}", s)][:6]
        cats = []
        for d in reversed(parts[:-1]):
            if d not in DULL_FOLDER:
                d = FOLDER.get(d, d.replace("_", " ").replace("-", " "))
                cats.append(" ".join(d.split()[:-1] + [wn.singular(d.split()[-1])]))
        if not words and not cats:
            continue
        cat = cats[-1] if cats else None
        name = " ".join(words[:5]) if words else cats[0]
        caps = captions(wn, name, list(dict.fromkeys(kw + cats[:-1])), cat)
        top = parts[0]
        w = weight(wn, name, None) if words else .25
        if "flags" in parts:
            w = .1
            name = "flag"
            caps = {("flag of " + " ".join(words)) if words else "flag": .6, "flag": .4}
        elif top in ("computer", "logos") or "led" in parts or "cards" in parts or "roadsigns" in parts or "aiga" in rel:
            w = min(w, .2)
        elif top in ("animals", "food", "plants", "tools", "transportation", "buildings", "clothing"):
            w = max(w, 1.0)
        yield ("file", p, "openclipart", w, False, caps)


def letters(fonts):
    names = dict(zip("0123456789", "zero one two three four five six seven eight nine".split()))
    signs = {"+": "plus sign", "-": "minus sign", "=": "equals sign", "?": "question mark", "!": "exclamation mark",
             "&": "ampersand", "$": "dollar sign", "%": "percent sign", "#": "number sign", "@": "at sign"}
    for f in fonts:
        for c in string.ascii_letters:
            case = "capital letter" if c.isupper() else "small letter"
            yield ("text", (f, c), "letters", .12, True, {f"the letter {c}".lower(): .35, f"{case} {c}".lower(): .15,
                   "letter of the alphabet": .2, "letter": .1, "symbol": .2})
        for c, n in names.items():
            yield ("text", (f, c), "letters", .12, True, {n: .15, f"the number {n}": .25, f"digit {c}": .2, "number": .15, "symbol": .25})
        for c, n in signs.items():
            yield ("text", (f, c), "letters", .12, True, {n: .6, "symbol": .4})


def thumbs(a):
    """16 x 16 on white, both ways round, for the leak guard."""
    al = a[..., 3:].astype(np.float32) / 255
    rgb = (a[..., :3] * al + 255 * (1 - al)) / 255
    n = len(a)
    return rgb.reshape(n, 16, SIZE // 16, 16, SIZE // 16, 3).mean((2, 4)).reshape(n, -1)


def stamp_thumbs(root, pool):
    files = [p for p in glob.glob(os.path.join(root, "**", "*.*"), recursive=True) if p.endswith((".png", ".svg"))]
    jobs = [("file", p) if p.endswith("png") else ("svg", open(p, encoding="utf-8", errors="replace").read()) for p in files]
    got = [a for a in pool.map(render, jobs, chunksize=16) if a is not None]
    t = thumbs(np.stack(got))
    flip = t.reshape(-1, 16, 16, 3)[:, :, ::-1].reshape(len(t), -1)
    return np.concatenate([t, flip])


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("--npm", required=True)
    ap.add_argument("--openclipart", default="/usr/share/openclipart")
    ap.add_argument("--stamps", default="/usr/share/tuxpaint/stamps")
    ap.add_argument("--wordnet", default="/usr/share/wordnet")
    ap.add_argument("--fonts", nargs="*", default=sorted(glob.glob("/usr/share/fonts/truetype/dejavu/*.ttf"))[::2])
    a = ap.parse_args()
    random.seed(0)
    wn = WordNet(a.wordnet)

    groups = json.load(open(os.path.join(a.npm, "emojibase-data/meta/groups.json")))
    tags, by_code = {}, {}
    for e in json.load(open(os.path.join(a.npm, "emojibase-data/en/data.json"))):
        n = clean(re.sub(r"^flag: ", "flag of ", e["label"].lower()).replace(":", "").replace("’", "'"))
        sub = groups["subgroups"].get(str(e.get("subgroup")), "")
        grp = groups["groups"].get(str(e.get("group")), "")
        kw = [t for t in e.get("tags", []) if re.fullmatch("[a-z' -]{3,24}", t) and t in wn.words | set(wn.senses)]
        info = (n, kw[:8], SUBGROUPS.get(sub) or GROUPS.get(grp))
        tags.setdefault(n.replace(" ", ""), info)
        by_code[re.sub("-?FE0F", "", e["hexcode"].lstrip("0")).strip("-")] = info
    vocab = Counter()
    for s in ("noto", "twemoji", "emojione"):
        for k in json.load(open(os.path.join(a.npm, "@iconify-json", s, "icons.json")))["icons"]:
            vocab.update(SKIN.sub("", k).split("-"))
    split = splitter(vocab)

    jobs = list(iconify(wn, a.npm, tags, split)) + list(fluent3d(wn, a.npm, by_code)) + \
        list(openclipart(wn, a.openclipart)) + list(letters(a.fonts))
    with Pool(2) as pool:
        st = stamp_thumbs(a.stamps, pool)
        pics = pool.map(render, [j[:2] for j in jobs], chunksize=64)
    keep = [i for i, p in enumerate(pics) if p is not None]
    arr = np.stack([pics[i] for i in keep])
    # Leak guard: no picture that looks like any stamp, straight or mirrored (some stamps are openclipart's).
    t = thumbs(arr)
    worst = np.empty(len(t), np.float32)
    for i in range(0, len(t), 512):
        x = t[i:i + 512]
        d = (x * x).sum(1)[:, None] + (st * st).sum(1)[None] - 2 * x @ st.T
        worst[i:i + 512] = np.sqrt(np.maximum(d, 0) / t.shape[1]).min(1)
    ok = worst >= .06
    recs = [{"set": jobs[keep[i]][2], "weight": round(float(jobs[keep[i]][3]), 4), "mono": jobs[keep[i]][4], "captions": jobs[keep[i]][5]}
            for i in range(len(keep)) if ok[i]]
    os.makedirs(a.work, exist_ok=True)
    np.save(os.path.join(a.work, "pictures.npy"), arr[ok])
    json.dump(recs, open(os.path.join(a.work, "pictures.json"), "w"))
    print(len(jobs), "jobs;", len(keep), "rendered;", int((~ok).sum()), "left out by the leak guard;", len(recs), "kept;",
          len({c for r in recs for c in r["captions"]}), "captions")
    for s, n in Counter(r["set"] for r in recs).most_common():
        print(f"  {s:32s}{n:6d}  weight {sum(r['weight'] for r in recs if r['set'] == s):8.0f}")


if __name__ == "__main__":
    main()
