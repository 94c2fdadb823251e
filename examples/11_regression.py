"""Polynomial regression on eight points, degree 1 to 7, with and without an L2 penalty.

The loss is quadratic in the weights, so its gradient is linear: a handful of calls of the compiled gradient give the normal
equations, and the best fit is one small linear system. Writes pictures/regression.png.
"""

from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
POINTS = np.array([(10, 6), (15, 9), (20, 11), (25, 12), (29, 13), (40, 11), (50, 10), (60, 9)], float)

N, K = gc.dims("N K")
n, k = gc.indices("n k")
features, t = gc.tensor("features", N, K, dtype="float64"), gc.tensor("t", N, dtype="float64")
w, penalty = gc.tensor("w", K, dtype="float64"), gc.tensor("penalty", (), dtype="float64")
y, loss = gc.tensors("y loss")
y[n] += features[n, k] * w[k]
loss[()] += (y[n] - t[n]) ** 2
loss[()] += penalty[()] * w[k] ** 2
gradient = gc.grad(loss, w)
print(gc.loops(loss, gradient))
slope, value, curve = gc.compile(gradient), gc.compile(loss), gc.compile(y)


def powers(x: np.ndarray, degree: int) -> np.ndarray:
    """x⁰ … x^degree of the abscissa scaled to [-1, 1]."""
    return np.vander((x - 35) / 25, degree + 1, increasing=True)


def fit(degree: int, strength: float = 0.0) -> np.ndarray:
    """The weights at which the gradient g + Hw vanishes."""
    given = {"features": powers(POINTS[:, 0], degree), "t": POINTS[:, 1], "penalty": strength}
    constant = slope(**given, w=np.zeros(degree + 1))
    hessian = np.stack([slope(**given, w=unit) - constant for unit in np.eye(degree + 1)])
    return np.linalg.solve(hessian, -constant)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    dense, losses = np.linspace(10, 60, 200), []
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    for degree in range(1, 6):
        weights = fit(degree)
        losses.append(float(value(features=powers(POINTS[:, 0], degree), t=POINTS[:, 1], w=weights, penalty=0.0)))
        axes[0].plot(dense, curve(features=powers(dense, degree), w=weights), label=f"degree {degree}")
        expected = np.polynomial.polynomial.polyfit((POINTS[:, 0] - 35) / 25, POINTS[:, 1], degree)
        np.testing.assert_allclose(weights, expected, rtol=1e-6)
        print(f"degree {degree}: loss {losses[-1]:.4f}")
    bends = []
    for strength in (0.0, 0.01, 1.0):
        weights = fit(7, strength)
        bends.append(float(np.abs(weights).max()))
        axes[1].plot(dense, curve(features=powers(dense, 7), w=weights), label=f"degree 7, L2 {strength:g}")
        print(f"degree 7, L2 penalty {strength:g}: largest weight {bends[-1]:.2f}")
    for axis in axes:
        axis.plot(*POINTS.T, "ko")
        axis.legend()
    figure.savefig(PICTURES / "regression.png", dpi=120)
    random = np.random.default_rng(0)
    difference = gc.check_grad(loss, w, features=powers(POINTS[:, 0], 3), t=POINTS[:, 1], w=random.normal(size=4), penalty=0.1)
    print(f"numeric check: {difference:.1e} relative difference")
    assert all(a > b for a, b in pairwise(losses)), "a higher degree fits better"
    assert bends[0] > 5 * bends[1] > 5 * bends[2] / 2, "the penalty tames the weights"


main()
