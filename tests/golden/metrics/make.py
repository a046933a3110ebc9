"""Makes tasks.safetensors and tasks.json (copies of the reference data's sections on tasks; labels
as bytes) and sklearn.json (scikit-learn's logistic regression and ROC AUC on small problems).

Run by hand: python make.py PATH-OF-THE-REFERENCE-DATA. Needs numpy, safetensors, scikit-learn.
"""
import json
import os
import sys

import numpy as np
import sklearn
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

here, reference = os.path.dirname(os.path.abspath(__file__)), os.path.join(sys.argv[1], "metrics")
SECTIONS = ["multilabel", "retrieval", "winoground", "calibration"]


def copy_tasks():
    tensors = load_file(os.path.join(reference, "inputs.safetensors"))
    kept = {name: t for name, t in tensors.items() if name.split(".")[0] in SECTIONS and name != "retrieval.scores"}
    kept = {name: t.astype(np.uint8) if t.dtype == np.int64 else t for name, t in kept.items()}
    save_file(kept, os.path.join(here, "tasks.safetensors"))
    with open(os.path.join(reference, "cases.json")) as f:
        cases = json.load(f)
    return {name: cases[name] for name in SECTIONS + ["mcnemar"]}


def logistic(rng, classes, n, dims, strengths):
    """Unit rows; the last but one of the classes never occurs, where there are more than two."""
    x = rng.normal(size=(n, dims))
    labels = rng.integers(0, classes, n)
    if classes > 2:
        labels[labels == classes - 2] = 0
    x += 0.7 * rng.normal(size=(classes, dims))[labels]
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
    fits = []
    for strength in strengths:
        m = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-13, max_iter=1000).fit(x, labels)
        p = m.predict_proba(x)
        loss = -np.log(p[np.arange(n), np.searchsorted(m.classes_, labels)]).sum()
        fits.append({"strength": strength, "objective": strength * loss + (m.coef_**2).sum() / 2,
                     "present": m.classes_.tolist(), "coef": m.coef_.tolist(), "intercept": m.intercept_.tolist(),
                     "predicted": m.predict(x).tolist()})
    return {"classes": classes, "x": x.tolist(), "labels": labels.tolist(), "fits": fits}


def roc(rng, n, levels):
    matches = rng.random(n) < 0.4
    scores = np.round((rng.normal(size=n) + matches) * levels) / levels
    return {"scores": scores.tolist(), "matches": matches.tolist(), "auc": roc_auc_score(matches, scores)}


rng = np.random.default_rng(7)
answers = {"scikit-learn": sklearn.__version__,
           "logistic": [logistic(rng, 5, 60, 6, [0.01, 1, 100]), logistic(rng, 2, 40, 5, [0.01, 1, 100])],
           "roc": [roc(rng, 80, 1e6), roc(rng, 80, 2)]}
for name, content in [("tasks", copy_tasks()), ("sklearn", answers)]:
    with open(os.path.join(here, f"{name}.json"), "w") as f:
        json.dump(content, f)
        f.write("\n")
