"""A minibatch: the batch index is on the data only, so the gradient of the mean loss is the mean of the examples' gradients.

Writes pictures/minibatch.svg.
"""

from pathlib import Path

import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

N, D, M = gc.dims("N D M")
b, i, j = gc.indices("b i j")
X, T, A, c = gc.tensor("X", N, D), gc.tensor("T", N, M), gc.tensor("A", D, M), gc.tensor("c", M)
U, Y, L = gc.tensors("U Y L")
U[b, i] += X[b, j] * A[j, i]
Y[b, i] = gc.sigmoid(U[b, i] + c[i])
L[()] += (Y[b, i] - T[b, i]) ** 2 / N

gradients = gc.grad(L, [A, c])
print(gc.loops(L, *gradients))
gc.draw(L, *gradients).save(PICTURES / "minibatch.svg")

random = np.random.default_rng(0)
data = {"X": random.normal(size=(8, 4)), "T": random.random((8, 3)), "A": random.normal(size=(4, 3)), "c": random.normal(size=3)}
print(f"\nnumeric check: {gc.check_grad(L, [A, c], **data):.1e} relative difference")

step = gc.compile([L, *gradients])  # one program for every batch size: N is bound by the arrays of each call
data = {name: a.astype("float32") for name, a in data.items()}
loss, dA, dc = step(**data)
singles = [step(X=data["X"][n : n + 1], T=data["T"][n : n + 1], A=data["A"], c=data["c"]) for n in range(8)]
print(f"loss of the batch {loss:.6f}, mean of the 8 losses {np.mean([s[0] for s in singles]):.6f}")
np.testing.assert_allclose(loss, np.mean([s[0] for s in singles]), rtol=1e-5)
np.testing.assert_allclose(dA, np.mean([s[1] for s in singles], axis=0), rtol=1e-4, atol=1e-6)
np.testing.assert_allclose(dc, np.mean([s[2] for s in singles], axis=0), rtol=1e-4, atol=1e-6)
print("the gradient of the batch is the mean of the 8 gradients")
