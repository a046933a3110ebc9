"""peer.py ENGINE DIRECTORY NAME: one engine in a process of its own, told what to do on
standard input, a line a time; it answers with a line a time.

    batch B         the pictures of a call from now on
    rate SECONDS    encodes for that long: pictures a second
    embed FILE      float32 embeddings of the first 4 pictures
    texts FIRST N   encodes N of the prompts in PROMPTS: prompts a second
    embed-texts FIRST N FILE
"""
import os
import sys
import time

import numpy as np

THREADS = int(os.environ["THREADS"])
TEXT_BATCH = 64


class Torch:
    def __init__(self, directory, name, precision):
        import torchvision_cpu  # noqa: F401
        import open_clip
        import torch
        from safetensors.torch import load_file
        torch.set_num_threads(THREADS)
        self.torch, self.bf16 = torch, precision == "bf16"
        model = open_clip.create_model(name).eval()
        model.load_state_dict(load_file(f"{directory}/open_clip_model.safetensors"))
        self.visual, self.model = model.visual, model
        self.tokenizer = open_clip.get_tokenizer(name)
        if "PROMPTS" in os.environ:
            with open(os.environ["PROMPTS"], encoding="utf-8") as file:
                self.prompts = file.read().split("\n")[:-1]

    def context(self):
        return self.torch.autocast("cpu", self.torch.bfloat16, enabled=self.bf16)

    def encode(self, x):
        with self.torch.inference_mode(), self.context():
            return self.visual(self.torch.from_numpy(x)).float().numpy()

    def encode_texts(self, first, n):
        rows = []
        with self.torch.inference_mode(), self.context():
            for i in range(first, first + n, TEXT_BATCH):
                part = self.prompts[i:min(i + TEXT_BATCH, first + n)]
                rows.append(self.model.encode_text(self.tokenizer(part)).float().numpy())
        return np.concatenate(rows)

    def run(self, x, seconds):
        start, n = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            self.encode(x)
            n += len(x)
        return n / (time.perf_counter() - start)


class Onnxruntime(Torch):
    def __init__(self, directory, name, precision):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = onnxruntime.InferenceSession(f"{directory}/{precision}.onnx", options,
                                                    providers=["CPUExecutionProvider"])

    def encode(self, x):
        return self.session.run(None, {"x": x})[0]


class Openvino:
    """As many streams as cores: throughput is what is asked for."""

    def __init__(self, directory, name, precision):
        import openvino
        config = {"NUM_STREAMS": THREADS, "INFERENCE_NUM_THREADS": THREADS,
                  "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32"}
        file = {"static": "static.xml", "weights": "weights.xml"}.get(precision, "fp32.onnx")
        if precision == "weights":
            config["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 64
        self.model = openvino.Core().compile_model(f"{directory}/{file}", "CPU", config)
        self.queue = openvino.AsyncInferQueue(self.model, THREADS)

    def encode(self, x):
        return self.model(x)[0]

    def run(self, x, seconds):
        start, n = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            for _ in range(THREADS):  # waits where all streams are busy
                self.queue.start_async({0: x}, share_inputs=True)
                n += len(x)
        self.queue.wait_all()
        return n / (time.perf_counter() - start)


ENGINES = {"torch": Torch, "onnxruntime": Onnxruntime, "openvino": Openvino}


def main(engine, directory, name):
    kind, precision = engine.split("-")
    engine = ENGINES[kind](directory, name, precision)
    pixels = np.load(f"{directory}/pixels.npy")
    x = pixels
    print("ready", flush=True)
    for line in sys.stdin:
        verb, *words = line.split()
        answer = "ok"
        if verb == "batch":
            x = pixels[:int(words[0])]
            engine.encode(x)
        elif verb == "rate":
            answer = f"{engine.run(x, float(words[0])):.4f}"
        elif verb == "embed":
            np.asarray(engine.encode(pixels[:4]), np.float32).tofile(words[0])
        elif verb == "texts":
            start = time.perf_counter()
            engine.encode_texts(int(words[0]), int(words[1]))
            answer = f"{int(words[1]) / (time.perf_counter() - start):.4f}"
        elif verb == "embed-texts":
            engine.encode_texts(int(words[0]), int(words[1])).tofile(words[2])
        print(answer, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
