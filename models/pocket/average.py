"""Averages runs of the image tower that started from one checkpoint: python average.py OUT IN IN ..."""
import sys

import torch

out, *ins = sys.argv[1:]
cs = [torch.load(p) for p in ins]
state = {k: sum(c["state"][k] for c in cs) / len(cs) if v.is_floating_point() else v for k, v in cs[0]["state"].items()}
torch.save({"state": state, "scale": cs[0]["scale"], "step": cs[0]["step"], "epochs": sum(c["epochs"] for c in cs) / len(cs)}, out)
