"""Softmax cross-entropy as the textbook writes it, on scores for which exp overflows or underflows in float32.

Nothing is stabilised by hand: the compiler recognises log(Σ exp) and exp/Σ exp, and rewrites them before it differentiates.
Writes pictures/stable_softmax.svg.
"""

from pathlib import Path

import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

N, C = gc.dims("N C")
n, c = gc.indices("n c")
scores, label = gc.tensor("scores", N, C), gc.tensor("label", N, dtype="int64")
Z, P, L = gc.tensors("Z P L")
Z[n] += gc.exp(scores[n, c])
P[n, c] = gc.exp(scores[n, c]) / Z[n]
L[()] += -gc.log(P[n, label[n]])

gradient = gc.grad(L, scores)
print(gc.loops(L, gradient))
gc.draw(L, gradient).save(PICTURES / "stable_softmax.svg")
f = gc.compile([L, gradient])

cases = {
    "one score is 1000, and right": ([1000, 0, -3], 0, 0.0, [1, 0, 0]),
    "one score is 1000, and wrong": ([1000, 0, -3], 1, 1000.0, [1, 0, 0]),
    "all scores are -1000": ([-1000, -1000, -1000], 2, np.log(3), [1 / 3, 1 / 3, 1 / 3]),
    "all scores are 1000": ([1000, 1000, 1000], 0, np.log(3), [1 / 3, 1 / 3, 1 / 3]),
}
print()
for name, (row, right, expected, probabilities) in cases.items():
    loss, slope = f(scores=np.array([row], "float32"), label=np.array([right]))
    print(f"{name:29} loss {float(loss):9.4f}   gradient {np.round(slope[0], 4)}")
    rounding = float(np.finfo("float32").eps) * max(map(abs, row))  # of the scores themselves
    np.testing.assert_allclose(loss, expected, atol=rounding)
    np.testing.assert_allclose(slope[0], np.array(probabilities) - np.eye(3)[right], atol=rounding)  # p − onehot

random = np.random.default_rng(0)
difference = gc.check_grad(L, scores, scores=random.normal(size=(3, 4)), label=np.array([0, 3, 1]))
print(f"numeric check: {difference:.1e} relative difference")
