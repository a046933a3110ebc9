"""Fits the polynomials of core/simd_math.h, for the smallest relative error.

    exp_bounded_vf   2^f = 1 + f P(f), |f| <= 1/2
    gelu_vf          Phi(-z) = exp(-z^2 / 2) P(t), t = 1 / (1 + z / 3), 0 <= z <= 13.5

Iteratively reweighted least squares (Lawson) on Chebyshev nodes. Needs numpy and scipy; run by
hand, prints the coefficients from the lowest power on.
"""
import numpy as np
from numpy.polynomial import chebyshev, polynomial
from scipy.special import erfcx

node = np.cos(np.pi * (np.arange(4000) + 0.5) / 4000)


def fit(basis, wanted, target, rounds):
    """Coefficients for which basis @ coefficients is near `wanted`, relative to `target`."""
    weight = np.ones_like(node)
    for _ in range(rounds):
        found = np.linalg.lstsq(basis * (weight / target)[:, None], wanted * weight / target, rcond=None)[0]
        error = np.abs((basis @ found - wanted) / target)
        weight *= np.sqrt(error / error.max() + 1e-3)
        weight /= weight.max()
    return found, error.max()


def show(name, coefficients, error):
    print(name, "relative error", error)
    print(", ".join(f"{c:.9g}f" for c in coefficients.astype(np.float32)))


f = node / 2
show("exp", *fit(np.stack([f ** (k + 1) for k in range(6)], 1), 2.0**f - 1, 2.0**f, 200))

DEGREE, SLOPE, Z_MAX = 9, 1 / 3, 13.5
low = 1 / (1 + Z_MAX * SLOPE)
mid, half = (1 + low) / 2, (1 - low) / 2
z = (1 / (mid + half * node) - 1) / SLOPE
target = 0.5 * erfcx(z / np.sqrt(2))
in_chebyshev, error = fit(chebyshev.chebvander(node, DEGREE), target, target, 60)
p = np.zeros(1)
for k, c in enumerate(chebyshev.cheb2poly(in_chebyshev)):
    p = polynomial.polyadd(p, c * polynomial.polypow([-mid / half, 1 / half], k))
show("gelu", p, error)
