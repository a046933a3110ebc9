"""Imported before torchvision. Where its compiled operators do not fit the CPU build of torch
(the wheel on PyPI is made for CUDA), they are declared without being there: open_clip and
CLIP_benchmark want only its transforms, which are Python and Pillow."""
import re
import sys

import torch

_declared = torch.library.Library("torchvision", "FRAGMENT")
for _ in range(16):
    try:
        import torchvision  # noqa: F401
        break
    except RuntimeError as fault:
        missing = re.search(r"operator torchvision::(\w+) does not exist", str(fault))
        if not missing:
            raise
        _declared.define(missing[1] + "(Tensor x) -> Tensor")
        for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[name]
