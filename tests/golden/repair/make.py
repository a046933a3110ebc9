"""Writes cases.json: texts, and what ftfy 6.3.1 and Python's html.unescape make of them.

    python make.py        (pip install ftfy==6.3.1; Python 3.11)

"fix": [text, ftfy.fix_text(text)], only texts that change or nearly do.
"unescape": [text, html.unescape(text)].
"garbled": texts that one alternative alone of ftfy's expression takes for mojibake.
"sound": the same with one character changed, which nothing takes for it.
"""
import html
import json
import random
import re

import ftfy
from ftfy.badness import BADNESS_RE, MOJIBAKE_CATEGORIES, is_bad
from ftfy.chardata import CHARMAP_ENCODINGS as PAGES
from ftfy.chardata import CONTROL_CHARS, LIGATURES, WIDTH_MAP

rnd = random.Random(2024)
WORDS = """voilà café crème à la mode naïve schön größer Übung “quoted” — dash… It’s © ® €50 ½
25°C año ¿qué? às àquele coração łódź gęś Příliš žluťoučký kůň tükörfúrógép Привет мир Ёлка №5
Україна ґанок ђак Καλημέρα κόσμε Ελληνικά ΰ 日本語 漢字 カタカナ 한국어 힣 中文 ไทย हिन्दी বাংলা
العربية نص ١٢٣ שלום Türkçe ığüşöç İstanbul Latviešu ķēde žagata ąčęėįšų 😀 👩‍👧 ✔ → ≠ ∞ √ ﬁne
‹a› «b» Ångström Æsir þing ñ × ´ º Š Ž œuvre Ÿ ƒ""".split()
HTML = "& & &# ; ;; x X amp lt gt not notin frac12 AMP LT é < 0 5 a F eacute EACUTE".split() + [
    "&amp;", "&amp;amp;", "&nbsp;", "&SZLIG;", "&#x41;", "&#128;", "&#x1f600;", "&#xd800;", "&#0;",
    "&#59;", "&#11;", " ", "\n", "&fflig;", "&FFLIG;", "&GTDOT;", "&ThickSpace;", "&#1114112;"]
PIECES = ["\r\n", "\r", "\n", "\u2028", "\x1b[", "\x1b[31;1m", "1", "٣", ";", "m", "\0", "\x0b",
          "\x0c", "\x7f", "\u206a", "\ufeff", "\ufffc", "&lt;", "<", "ﬁ", "ŉ", "Ǆ", "＆", "ｶﾞ", "’",
          "”", "é", "e\u0301", "Ａ", "\u3000", "x", "Ã©", "&#195;&#169;", "￣", "ﾡ", "\x85", "ａｍｐ；"]
LEADS = [0xC0, 0xC2, 0xC3, 0xE0, 0xE2, 0xED, 0xF0, 0xF4, 0x80, 0xA0, 0xB0, 0x85, 0x20, 0x3F, 0x1A,
         0x0A, 0x61, 0xBF]


def members(spec):
    out = []
    for i, c in enumerate(spec):
        if c != "-":
            out.append(c)
        else:
            out += [chr(o) for o in range(ord(spec[i - 1]) + 1, ord(spec[i + 1]))]
    return out


STRANGE = sorted({c for spec in MOJIBAKE_CATEGORIES.values() for c in members(spec)})


def soup(pieces, most):
    return "".join(rnd.choice(pieces) for _ in range(rnd.randint(1, most)))


def phrase():
    return " ".join(rnd.choice(WORDS) for _ in range(rnd.randint(1, 3)))


def wrong(text):
    raw = text.encode()
    if rnd.random() < 0.2:
        raw = raw.replace(b"\xa0", b" ")
    page = rnd.choice(PAGES)
    if rnd.random() < 0.2:
        page = page.replace("sloppy-", "")
    return raw.decode(page, errors="replace")


def garbled():
    text = wrong(phrase())
    kind = rnd.randint(0, 4)
    if kind == 0:
        text = wrong(text)
    elif kind == 1:
        text = phrase() + rnd.choice([" ", ""]) + text
    elif kind == 2:
        at = rnd.randrange(len(text))
        text = text[:at] + rnd.choice(["\ufffd", "?", " ", "\x1a", "\x80", "é"]) + text[at + 1:]
    return text


def from_bytes():
    raw = bytes(rnd.choice(LEADS) for _ in range(rnd.randint(2, 8)))
    return raw.decode(rnd.choice(PAGES))


def collect(count, make, change, unchanged_in):
    rows = {}
    while len(rows) < count:
        text = make()
        if len(text) < 48 and (change(text) != text or rnd.random() * unchanged_in < 1):
            rows[text] = change(text)
    return rows


def cesu(text):
    units = text.encode("utf-16-be")
    pairs = [int.from_bytes(units[i:i + 2], "big") for i in range(0, len(units), 2)]
    return b"".join(chr(u).encode("utf-8", "surrogatepass") for u in pairs)


def systematic():
    """What chance would miss."""
    for chars in LIGATURES, CONTROL_CHARS, WIDTH_MAP:
        chars = "".join(map(chr, chars))
        yield from (chars[i:i + 20] for i in range(0, len(chars), 20))
    yield from ("a\u2029b", "a\x7fb", "&#65z;", "&#x41g;", "&CounterClockwiseContourIntegral;",
                "&NotNestedGreaterGreater;", "&#" + "0" * 23 + "65;",
                "&filig;&fllig;&ffilig;&ffllig;&napos;", "&FILIG;&FLLIG;&FFILIG;&FFLLIG;&NAPOS;")
    words = "à la às àquele àquela àquilo à Š Π Р ٠ † い ‚ \U00020000 \U0001f800 \U0001f620 \U000e0067 ᅠ"
    for word in words.split() + ["à às", "às à", "àquela à", "àquilo à", "à à"]:
        for page in PAGES[:3]:
            yield ("x é " + word + " y").encode().decode(page)
            yield ("x é " + word + " y").encode().replace(b"\xa0", b" ").decode(page)
    yield from ("Ã© â \x85", "Ã© â\x85 ", "Ã© ã\x85 x")
    for raw in "é—😀".encode(), "é".encode(), cesu("😀"), "\U000e0067—".encode(), "Ņ".encode():
        text = raw.decode("sloppy-windows-1252")
        yield from (text, "日" + text, text + "日")
        for at in range(len(text)):
            yield from (text[:at] + lost + text[at + 1:] for lost in "?\ufffd\x1a")
    for tail in "", "\n", "x":
        for raw in b"\xc0", b"\xc0\x80", cesu("😀"), cesu("😀")[:-1], cesu("😀")[:3]:
            yield from ((b"\xc3\xa9" + raw).decode(page) + tail for page in PAGES[:2])


fix = {text: ftfy.fix_text(text) for text in systematic()}
for count, make in [(450, garbled), (200, from_bytes), (250, lambda: soup(STRANGE + list("aZ. "), 5)),
                    (150, lambda: soup(PIECES, 6)), (150, lambda: soup(HTML, 6))]:
    fix.update(collect(count, make, ftfy.fix_text, 20))
unescape = collect(250, lambda: soup(HTML, 7), html.unescape, 20)

# Lines with nothing but a bar part them.
ALTERNATIVES = [re.compile(part, re.VERBOSE) for part in re.split(r"\n\s*\|\s*\n", BADNESS_RE.pattern)]
ATOM = re.compile(r"(\[[^]]*\]|\\\w|[^\s^])(\??)")
LETTERS = STRANGE + list("aZé. ,?\n1_ЂўГ中")


def example(alternative):
    """A text of characters that fit the expression's atoms one by one."""
    out = ""
    for atom, optional in ATOM.findall(re.sub(r"(?m)^\s*#.*$", "", alternative.pattern)):
        if not optional or rnd.random() < 0.5:
            out += rnd.choice([c for c in LETTERS if re.fullmatch(atom, c)])
    return out


bad, sound = [], []
for one in ALTERNATIVES:
    texts = [example(one) for _ in range(1000)]
    alone = [t for t in texts if is_bad(t) and sum(bool(a.search(t)) for a in ALTERNATIVES) == 1]
    bad += alone[:6]
    near = [t[:at] + rnd.choice(LETTERS) + t[at + 1:] for t in texts for at in range(len(t))]
    sound += [t for t in near if not is_bad(t)][:6]


def lines(rows):
    return ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


with open("cases.json", "w") as f:
    f.write('{"fix": [\n%s\n],\n"unescape": [\n%s\n],\n"garbled": [\n%s\n],\n"sound": [\n%s\n]}\n'
            % (lines(fix.items()), lines(unescape.items()), lines(bad), lines(sound)))
