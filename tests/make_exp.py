"""Fits the polynomial of core/simd_math.h's exp_bounded_vf: 2^f = 1 + f P(f), |f| <= 1/2.

Iteratively reweighted least squares (Lawson) on Chebyshev nodes, for the smallest relative
error. Needs numpy; run by hand, prints the six coefficients and their error in float32.
"""
import numpy as np

DEGREE = 5
f = np.cos(np.pi * (np.arange(4000) + 0.5) / 4000) / 2
target = 2.0**f


def error(coefficients):
    return np.abs((1 + f * np.polyval(coefficients[::-1].astype(float), f)) / target - 1)


basis = np.stack([f ** (k + 1) for k in range(DEGREE + 1)], 1)
weight, best = np.ones_like(f), None
for _ in range(200):
    fit = np.linalg.lstsq(basis * (weight / target)[:, None], (target - 1) * weight / target, rcond=None)[0]
    if best is None or error(fit).max() < error(best).max():
        best = fit
    weight *= np.sqrt(error(fit) / error(fit).max() + 1e-3)
    weight /= weight.max()

rounded = best.astype(np.float32)
print("relative error", error(best).max(), "rounded", error(rounded).max())
print(", ".join(f"{c:.9g}f" for c in rounded))
