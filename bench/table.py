"""What bench/measure.py measured, as Markdown and CSV."""
import csv
import re
import statistics

SHOWN = {"torch": "open_clip", "onnxruntime": "onnxruntime", "openvino": "OpenVINO",
         "clip_benchmark": "CLIP_benchmark", "clipeval": "clipeval"}
PRECISIONS = {"static": "int8 (NNCF, static)", "weights": "int8 (weights, dynamic)",
              "int8": "int8 (dynamic)"}
SAME = 0.9999        # the least agreement with open_clip's fp32 that fp32 must have
NEAR = 0.9           # and a narrower precision, on weights that nothing was trained into


def shown(key):
    kind, precision = key.split("-")
    return SHOWN[kind], PRECISIONS.get(precision, precision)


def kind_of(key):
    precision = key.split("-")[1]
    return "int8" if precision in ("static", "weights") else precision


def number(rate):
    return f"{rate:.1f}" if rate >= 10 else f"{rate:.2f}"


def best_peer(rows, key):
    """The median of the fastest peer of the same kind; of any, where that kind has none."""
    peers = {k: statistics.median(r["rates"]) for k, r in rows.items()
             if not k.startswith("clipeval") and r.get("rates") and "remark" not in r}
    same = [rate for k, rate in peers.items() if kind_of(k) == kind_of(key)]
    return max(same or peers.values(), default=None)


def lines_of(section, result):
    """[engine, precision, batch, median, least, most, ratio, agreement, remark]"""
    rows = result["rows"]
    for key, row in rows.items():
        name, precision = shown(key)
        if not row.get("rates"):
            yield [name, precision, "", "", "", "", "", "", row.get("refused", "not measured")]
            continue
        middle = statistics.median(row["rates"])
        base = best_peer(rows, key)
        ratio = f"{middle / base:.2f}" if name == "clipeval" and base else ""
        remark = row.get("remark", "")
        if row.get("subset") and name == "clipeval":
            same = statistics.median(row["subset"])
            remark = f"the peers' subset alone: {same:.1f}"
        if row.get("wall"):
            remark = (f"{statistics.median(row['wall']):.1f} s, acc@1 {row['accuracy']:.4f}")
        agreed = f"{row['agreement']:.5f}" if "agreement" in row else ""
        yield [name, precision, str(row.get("batch", "")), number(middle),
               number(min(row["rates"])), number(max(row["rates"])), ratio, agreed, remark]


TITLES = {"text": "Prompts of ImageNet (ViT-B-32, {prompts} of 1000 classes x 80 templates; peers: "
                  "{subset} a round), prompts/s",
          "end": "A folder of {pictures} JPEGs (500 x 375) to a report (ViT-B-32, 10 classes x 7 "
                 "templates; whole process), images/s"}
HEADS = ("engine", "precision", "batch", "median", "least", "most",
         "ratio to the best peer", "agreement", "remark")


def write(options, state):
    """Writes it to options.out, and returns where."""
    cpu = re.sub(r"[^a-z0-9]+", "-", state["conditions"]["CPU"].lower()).strip("-")
    machine = options.machine or f"{cpu}-{options.threads}-cores"
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    table = [["section", *HEADS]]
    text = ["# Peers beside clipeval", "",
            f"Written by `bench/run{' --quick' if options.quick else ''}`; medians of "
            f"{options.rounds} alternating rounds. The ratio is to the fastest peer of the same "
            "kind (fp32, bf16, int8), or of any where no peer has that kind. Weights are "
            "random; the agreement is the least cosine of a few embeddings (less their mean) "
            f"with open_clip's fp32, and an engine with less than {SAME} in fp32 is refused, "
            f"with less than {NEAR} in 8 or 16 bits not counted.", ""]
    for key, value in state["conditions"].items():
        text.append(f"- {key}: {value}")
    if options.quick:
        text += ["", "A quick look: not for comparisons."]
    for section, result in state["sections"].items():
        title = TITLES.get(section, section + ", images/s").format(**result)
        text += ["", f"## {title}", "", "| " + " | ".join(HEADS) + " |",
                 "|" + " --- |" * len(HEADS)]
        for cells in lines_of(section, result):
            text.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
            table.append([section, *cells])
    (out / f"{machine}.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    with open(out / f"{machine}.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(table)
    return out / f"{machine}.md"
