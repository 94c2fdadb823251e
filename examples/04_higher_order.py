"""Tensors with three indices: a batch of matrix products, and its gradient.

Writes pictures/higher_order.svg.
"""

from pathlib import Path

import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

H, I, J, K = gc.dims("H I J K")  # noqa: E741
h, i, j, k = gc.indices("h i j k")
A, B = gc.tensor("A", H, I, K), gc.tensor("B", H, J, K)
U, Y, L = gc.tensors("U Y L")
U[h, i, j] += A[h, i, k] * B[h, j, k]
Y[h, i, j] = gc.sigmoid(U[h, i, j])
L[()] += Y[h, i, j] ** 2

gradients = gc.grad(L, [A, B])
text = str(gc.loops(L, *gradients))
print(text)
gc.draw(L, *gradients).save(PICTURES / "higher_order.svg")

random = np.random.default_rng(0)
arrays = {"A": random.normal(size=(2, 3, 4)), "B": random.normal(size=(2, 5, 4))}
print(f"\nnumeric check: {gc.check_grad(L, [A, B], **arrays):.1e} relative difference")

# The same numbers as NumPy's einsum.
singles = {name: a.astype("float32") for name, a in arrays.items()}
loss, dA, dB = gc.compile([L, *gradients])(**singles)
y = 1 / (1 + np.exp(-np.einsum("hik,hjk->hij", arrays["A"], arrays["B"])))
dU = 2 * y * y * (1 - y)
np.testing.assert_allclose(loss, (y**2).sum(), rtol=1e-5)
np.testing.assert_allclose(dA, np.einsum("hij,hjk->hik", dU, arrays["B"]), rtol=1e-4, atol=1e-5)
np.testing.assert_allclose(dB, np.einsum("hij,hik->hjk", dU, arrays["A"]), rtol=1e-4, atol=1e-5)

lines = text.replace(" ", "").splitlines()
assert any(line.endswith(":A.grad[h,i,k]+=U.grad[h,i,j]*B[h,j,k]") for line in lines)
assert any(line.endswith(":B.grad[h,j,k]+=U.grad[h,i,j]*A[h,i,k]") for line in lines)
