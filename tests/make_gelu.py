"""Fits the polynomial P of core/simd_math.h's gelu_vf: Phi(-z) = exp(-z^2 / 2) P(t), t = 1 / (1 + z / 3).

Iteratively reweighted least squares (Lawson) on Chebyshev nodes, for the smallest relative
error over 0 <= z <= 13.5. Needs numpy and scipy; run by hand, prints the ten coefficients.
"""
import numpy as np
from numpy.polynomial import chebyshev, polynomial
from scipy.special import erfcx

DEGREE, SLOPE, Z_MAX = 9, 1 / 3, 13.5
low = 1 / (1 + Z_MAX * SLOPE)
mid, half = (1 + low) / 2, (1 - low) / 2
node = np.cos(np.pi * (np.arange(4000) + 0.5) / 4000)
z = (1 / (mid + half * node) - 1) / SLOPE
target = 0.5 * erfcx(z / np.sqrt(2))

basis, weight = chebyshev.chebvander(node, DEGREE), np.ones_like(node)
for _ in range(60):
    fit = np.linalg.lstsq(basis * (weight / target)[:, None], weight, rcond=None)[0]
    error = np.abs(basis @ fit / target - 1)
    weight *= np.sqrt(error / error.max() + 1e-3)
    weight /= weight.max()

p = np.zeros(1)
for k, c in enumerate(chebyshev.cheb2poly(fit)):
    p = polynomial.polyadd(p, c * polynomial.polypow([-mid / half, 1 / half], k))
print("relative error", error.max())
print(", ".join(f"{c:.9g}f" for c in p.astype(np.float32)))
