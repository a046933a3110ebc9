"""What bench/run starts, in the peers' environment: prepares, compares embeddings, measures in
alternating rounds, and writes the table. What was measured is kept in WORK/state.json."""
import argparse
import csv
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from table import NEAR, SAME, write

HERE = Path(__file__).resolve().parent
MODELS = {"ViT-B-32": "ViT-B-32-quickgelu", "ViT-B-16": "ViT-B-16-quickgelu",
          "ViT-L-14": "ViT-L-14-quickgelu", "RN50": "RN50-quickgelu"}
BATCHES = (1, 8, 16, 32)
FP32 = ("torch-fp32", "onnxruntime-fp32", "openvino-fp32", "clipeval-fp32")
NARROW = ("torch-bf16", "openvino-bf16", "clipeval-bf16", "onnxruntime-int8", "openvino-static",
          "openvino-weights", "clipeval-int8")
PACKAGES = ("torch", "torchvision", "open_clip_torch", "onnx", "onnxruntime", "openvino", "nncf",
            "clip-benchmark")


def log(*words):
    print("bench:", *words, file=sys.stderr, flush=True)


# ---- engines, each a process that waits for its turn ----

class Refused(Exception):
    pass


class Engine:
    def __init__(self, command, environment, log_file):
        self.log_file = log_file
        with open(log_file, "w") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=errors, text=True,
                                            env=environment)
        self.read("ready")

    def read(self, wanted=None):
        line = ""
        while True:  # a library may print what it likes
            line = self.process.stdout.readline()
            if not line:
                with open(self.log_file) as file:
                    last = (file.read().strip().split("\n") or [""])[-1]
                raise Refused(last[:200])
            line = line.strip()
            if line in ("ready", "ok") if wanted else line == "ok" or is_number(line):
                return line

    def tell(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def is_number(text):
    try:
        float(text)
        return True
    except ValueError:
        return False


def start(options, key, directory, name, prompts=None):
    kind, precision = key.split("-")
    environment = dict(os.environ, THREADS=str(options.threads),
                       OMP_NUM_THREADS=str(options.threads))
    if kind == "clipeval":
        del environment["OMP_NUM_THREADS"]
        command = [options.clipeval, "run", "--quiet", "--threads", options.threads,
                   "--precision", precision, "--model", directory, HERE / "ours.lua"]
        if prompts:
            command += ["-o", f"prompts={prompts}"]
    else:
        command = [sys.executable, HERE / "peer.py", key, directory, name]
        if prompts:
            environment["PROMPTS"] = str(prompts)
    return Engine([str(c) for c in command], environment, options.work / f"{key}.log")


def agreement(a, b):
    """The least cosine between rows of the two, each less the mean row of b: what untrained
    weights give is mostly the same for every picture, and would hide a difference."""
    mean = b.astype(np.float64).mean(0)
    a, b = a - mean, b - mean
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float(cosines.min())


def embedding(engine, work, rows, *words):
    path = work / "embeddings.f32"
    engine.tell(*words, path)
    return np.fromfile(path, np.float32).reshape(rows, -1)


# ---- sections: each returns {"rows": {engine: {...}}, ...} ----

def open_engines(options, keys, directory, name):
    """Those whose embeddings are open_clip's; what is wrong with the others."""
    engines, rows, truth = {}, {}, None
    for key in keys:
        try:
            engine = start(options, key, directory, name)
            made = embedding(engine, options.work, 4, "embed")
            truth = made if truth is None else truth
            value = agreement(made, truth)
            rows[key] = {"agreement": value}
            if not key.endswith("fp32") and not value >= NEAR:
                rows[key]["remark"] = f"agreement below {NEAR}: not counted"
            if key.endswith("fp32") and not value >= SAME:
                rows[key]["refused"] = f"agreement {value:.5f} with open_clip's fp32"
                engine.close()
                continue
            engines[key] = engine
        except (Refused, BrokenPipeError) as fault:
            rows[key] = {"refused": str(fault) or "it ended"}
        if "refused" in rows.get(key, {}):
            log(f"{directory.name}: {key} is refused: {rows[key]['refused']}")
    return engines, rows


def best_batch(options, key, engine, row):
    """The batch with the highest rate in one look at each."""
    if key.startswith("clipeval"):
        return  # it chooses for itself
    rates = {}
    for batch in options.batches:
        engine.tell("batch", batch)
        rates[batch] = float(engine.tell("rate", options.seconds / 2))
        if batch / rates[batch] > options.seconds:
            break  # one call of a larger batch would outlast a round
    row["batch"] = max(rates, key=rates.get)
    engine.tell("batch", row["batch"])


def images(options, section):
    name = MODELS[section]
    directory = options.work / name
    prepare(options, name)
    keys = [k for k in FP32 + NARROW if not (section == "RN50" and
                                             k in ("onnxruntime-int8", "openvino-weights"))]
    engines, rows = open_engines(options, keys, directory, name)
    for key, engine in engines.items():
        best_batch(options, key, engine, rows[key])
        rows[key]["rates"] = []
    for turn in range(options.rounds):
        for key, engine in engines.items():
            rows[key]["rates"].append(float(engine.tell("rate", options.seconds)))
        log(section, f"round {turn + 1} of {options.rounds}:",
            ", ".join(f"{k} {rows[k]['rates'][-1]:.1f}" for k in engines))
    for engine in engines.values():
        engine.close()
    return {"rows": rows}


def write_prompts(options):
    import torchvision_cpu  # noqa: F401
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES
    prompts = [t(c) for c in IMAGENET_CLASSNAMES for t in OPENAI_IMAGENET_TEMPLATES]
    path = options.work / "prompts.txt"
    path.write_text("\n".join(prompts) + "\n", encoding="utf-8")
    return path, len(prompts)


def text(options, section):
    """A peer's subset moves through the set from round to round; clipeval does all of it, and
    the same subset."""
    name = MODELS["ViT-B-32"]
    prepare(options, name)
    path, n = write_prompts(options)
    n = options.prompts or n
    subset = 64 if options.quick else 256
    keys = ("torch-fp32", "torch-bf16", "clipeval-fp32", "clipeval-bf16", "clipeval-int8")
    engines, rows, truth = {}, {}, None
    for key in keys:
        engines[key] = start(options, key, options.work / name, name, path)
        made = embedding(engines[key], options.work, subset, "embed-texts", n // 2, subset)
        truth = made if truth is None else truth
        value = agreement(made, truth)
        rows[key] = {"agreement": value, "rates": [], "subset": []}
        if not value >= (SAME if key.endswith("fp32") else NEAR):
            rows[key] = {"agreement": value, "refused": f"agreement {value:.5f}"}
            engines.pop(key).close()
    for turn in range(options.rounds):
        first = n * turn // options.rounds
        for key, engine in engines.items():
            rows[key]["subset"].append(float(engine.tell("texts", first, subset)))
            if key.startswith("clipeval"):
                rows[key]["rates"].append(float(engine.tell("texts", 0, n)))
            else:
                rows[key]["rates"].append(rows[key]["subset"][-1])
        log(section, f"round {turn + 1} of {options.rounds}:",
            ", ".join(f"{k} {rows[k]['rates'][-1]:.1f}" for k in engines))
    for engine in engines.values():
        engine.close()
    return {"rows": rows, "prompts": n, "subset": subset}


CLASSES = ("beach", "bridge", "cat", "dog", "flower", "fruit", "house", "mountain", "ship",
           "train")
TEMPLATES = ("a photo of a {c}.", "a blurry photo of a {c}.", "a drawing of a {c}.",
             "a close-up photo of the {c}.", "a bright photo of the {c}.", "art of the {c}.",
             "a photo of the small {c}.")


def write_folder(root, n):
    """n JPEGs of 500 x 375 in folders of their classes: gradients, edges, blobs and grain."""
    from PIL import Image
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:375, 0:500].astype(np.float32)
    for i in range(n):
        a = rng.uniform(0, 1, 24)
        pixels = np.empty((375, 500, 3), np.float32)
        for c in range(3):
            pixels[:, :, c] = 255 * (a[c] * x / 500 + a[3 + c] * y / 375) / 2
        for k in range(3 + i % 9):
            cx, cy, r = rng.uniform(0, 500), rng.uniform(0, 375), rng.uniform(15, 110)
            inside = (x - cx) ** 2 + (y - cy) ** 2 < r * r if k % 2 else \
                (abs(x - cx) < r) & (abs(y - cy) < r / 2)
            pixels[inside] = rng.uniform(0, 255, 3)
        pixels += rng.normal(0, 2 + 20 * a[9], pixels.shape)
        folder = root / "test" / CLASSES[i % len(CLASSES)]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(
            folder / f"{i:04d}.jpg", quality=90)


def commands(options, name, root):
    model = options.work / name
    here = options.work / "end"
    script = here / "folder.lua"
    script.write_text('local clip = require "clipeval"\n'
                      "return clip.zeroshot { model = clip.model(arg.model), "
                      'dataset = clip.dataset("folders", { root = arg.data }), '
                      f'prompts = {{ name = "seven", version = "1", templates = '
                      f'{json.dumps(TEMPLATES).replace("[", "{").replace("]", "}")} }} }}\n')
    (here / "classes.json").write_text(json.dumps({"fer2013": CLASSES}))
    (here / "templates.json").write_text(json.dumps({"fer2013": TEMPLATES}))
    peer = [sys.executable, HERE / "clip_benchmark_cpu.py", "eval", "--dataset", "fer2013",
            "--dataset_root", root, "--task", "zeroshot_classification", "--model", name,
            "--pretrained", model / "open_clip_model.safetensors", "--no_amp",
            "--custom_classname_file", here / "classes.json",
            "--custom_template_file", here / "templates.json", "--output", here / "peer.json"]
    found = {"clip_benchmark-fp32": peer}
    for precision in ("fp32", "bf16", "int8"):
        found[f"clipeval-{precision}"] = [
            options.clipeval, "run", script, "--quiet", "--no-cache", "--model", model, "--data",
            root / "test", "--precision", precision, "--threads", options.threads,
            "--out", here / f"run-{precision}"]
    return found


def accuracy(here, key):
    if key.startswith("clip_benchmark"):
        return json.loads((here / "peer.json").read_text())["metrics"]["acc1"]
    with open(here / f"run-{key.split('-')[1]}" / "report.csv", newline="") as file:
        return next(float(r["value"]) for r in csv.DictReader(file) if r["metric"] == "acc@1")


def end(options, section):
    """From a folder of JPEGs to the report, the whole process by the wall clock. Its files lie
    in the system's cache; no embedding does."""
    name, here = MODELS["ViT-B-32"], options.work / "end"
    prepare(options, name)
    here.mkdir(exist_ok=True)
    n = 100 if options.quick else 400
    root = here / f"pictures-{n}"
    if not (root / "done").exists():
        write_folder(root, n)
        (root / "done").touch()
    rows = {}
    for turn in range(options.rounds):
        for key, command in commands(options, name, root).items():
            subprocess.run(["rm", "-rf", here / f"run-{key.split('-')[1]}", here / "peer.json"])
            began = time.perf_counter()
            done = subprocess.run([str(c) for c in command], cwd=here, capture_output=True,
                                  text=True)
            took = time.perf_counter() - began
            row = rows.setdefault(key, {"rates": [], "wall": []})
            if done.returncode != 0:
                last = (done.stderr.strip().split("\n") or [""])[-1]
                rows[key] = {"refused": last[:200] or f"exit code {done.returncode}"}
                log(f"{key}: {rows[key]['refused']}")
                continue
            row["wall"].append(took)
            row["rates"].append(n / took)
            row["accuracy"] = accuracy(here, key)
        log(section, f"round {turn + 1} of {options.rounds}:",
            ", ".join(f"{k} {r['wall'][-1]:.1f} s" for k, r in rows.items() if "wall" in r))
    return {"rows": rows, "pictures": n}


def prepare(options, name):
    if not (options.work / name / "prepared").exists():
        log("making a checkpoint:", name)
        with open(options.work / "prepare.log", "w") as file:
            subprocess.run([sys.executable, HERE / "prepare.py", options.work, name], check=True,
                           stdout=file, stderr=file)


SECTIONS = {**{m: images for m in MODELS}, "text": text, "end": end}


# ---- the machine ----

def cpu_name():
    text = Path("/proc/cpuinfo").read_text()
    def field(name):
        found = re.search(rf"^{name}\s*:\s*(.+)$", text, re.M)
        return found[1] if found else "?"
    return (f"{field('model name')} (family {field('cpu family')}, model {field('model')}, "
            f"stepping {field('stepping')})")


def conditions(options):
    version = subprocess.run([options.clipeval, "--version"], capture_output=True, text=True)
    def git(*words):
        return subprocess.run(["git", "-C", HERE.parent, *words], capture_output=True, text=True)
    commit = git("describe", "--always").stdout.strip()
    if git("diff", "--quiet", "HEAD", "--", ".", ":!bench/results").returncode == 1:
        commit += "-dirty"  # what this writes is no change of the program
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 ** 30
    flags = set(Path("/proc/cpuinfo").read_text().split())
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")
    return {
        "CPU": cpu_name(),
        "instructions": " ".join(f for f in wanted if f in flags),
        "cores used": f"{options.threads} of {os.cpu_count()}",
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "governor": governor.read_text().strip() if governor.exists() else "not told (virtual)",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "clipeval": " / ".join([commit] + version.stdout.strip().split("\n")[:3]),
        "Python": platform.python_version(),
        "peers": ", ".join(f"{p} {importlib.metadata.version(p)}" for p in PACKAGES),
    }


def parse():
    p = argparse.ArgumentParser(prog="bench/run")
    p.add_argument("--work", type=Path, required=True)
    p.add_argument("--clipeval", default=str(HERE.parent / "build" / "clipeval"))
    p.add_argument("--quick", action="store_true")
    p.add_argument("--only", default="")
    p.add_argument("--machine")
    p.add_argument("--out", type=Path)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    o = p.parse_args()
    o.work = o.work.resolve()
    o.sections = o.only.split(",") if o.only else \
        ["ViT-B-32", "text", "end"] if o.quick else list(SECTIONS)
    for section in o.sections:
        if section not in SECTIONS:
            p.error(f"no section '{section}' (there are {', '.join(SECTIONS)})")
    if not os.access(o.clipeval, os.X_OK):
        p.error(f"no program {o.clipeval}: build it first (./dev build), or --clipeval PROGRAM")
    o.rounds, o.seconds, o.batches, o.prompts = (3, 0.8, (8, 32), 4000) if o.quick else \
        (5, 4, BATCHES, None)
    o.out = o.out or (o.work / "quick" if o.quick else HERE / "results")
    return o


def main():
    options = parse()
    now = conditions(options)
    path = options.work / ("quick.json" if options.quick else "state.json")
    state = json.loads(path.read_text()) if path.exists() else {}
    identity = {k: v for k, v in now.items() if k != "load before"}
    if {k: v for k, v in state.get("conditions", {}).items() if k != "load before"} != identity:
        state = {"conditions": now, "sections": {}}  # another build or machine: from the start
    if float(now["load before"]) > 0.5:
        log(f"the machine is not idle (load {now['load before']}): figures will be off")
    for section in options.sections:
        if section in state["sections"]:
            log(section, "was measured before (remove", path, "to measure again)")
            continue
        state["sections"][section] = SECTIONS[section](options, section)
        path.write_text(json.dumps(state, indent=1))
        log("written:", write(options, state))
    log("written:", write(options, state))


if __name__ == "__main__":
    main()
