"""What PyTorch computes in float64 from the exported weights, for tests/core/test_model.c.

    python make_golden.py MODEL PICTURES OUT     (OUT: tests/golden/models/pocket)

Writes expected.safetensors and cases.json in the layout of the other checkpoints there.
"""
import json
import os
import sys

import torch
from PIL import Image
from safetensors.torch import save_file

from evaluate import Model

TEXTS = ["", "cat", "a photo of a cat", "a drawing of an ankle boot", "clip art of a musical instrument"]
PICTURES = ["rgb-37x53.png", "rgb-97x41.png", "rgb-56x56.png"]

root, pictures, out = sys.argv[1:4]
model = Model(root)
pixels = torch.stack([model.pixels(Image.open(os.path.join(pictures, p)).convert("RGB")) for p in PICTURES])
ids = torch.zeros(len(TEXTS), model.context, dtype=torch.long)
for row, text in zip(ids, TEXTS):
    tokens = model.bpe.encode(text, model.context)
    row[:len(tokens)] = torch.tensor(tokens)


def embed(dtype):
    with torch.no_grad():
        return {"image_embeds": model.image.to(dtype)(pixels.to(dtype)), "text_embeds": model.text.to(dtype)(ids)}


exact, single = embed(torch.float64), embed(torch.float32)
tolerance = {}
for name, truth in exact.items():
    lost = (single[name].double() - truth).abs().max().item()
    tolerance[name] = {"max_abs": max(20 * lost, 2e-5 * truth.pow(2).mean().sqrt().item())}
os.makedirs(out, exist_ok=True)
tensors = {"input_ids": ids.long(), "pixel_values": pixels.float()}
tensors.update({name: t.float() for name, t in exact.items()})
save_file({k: t.contiguous() for k, t in tensors.items()}, os.path.join(out, "expected.safetensors"))
cases = {"model": "pocket", "texts": TEXTS, "images": PICTURES, "suggested_tolerance": tolerance}
json.dump(cases, open(os.path.join(out, "cases.json"), "w"), indent=1)
print(tolerance)
