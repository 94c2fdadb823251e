"""One layer, y = σ(Ax + b): what `gc.grad` returns are loops in your own names.

Writes pictures/layer_as_loops.svg.
"""

from pathlib import Path

import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

M, N = gc.dims("M N")
i, j = gc.indices("i j")
A, x, b, t = gc.tensor("A", M, N), gc.tensor("x", N), gc.tensor("b", M), gc.tensor("t", M)
u, y, L = gc.tensors("u y L")
u[i] += A[i, j] * x[j]
y[i] = gc.sigmoid(u[i] + b[i])
L[()] += (y[i] - t[i]) ** 2

du, dA, db, dx = gc.grad(L, [u, A, b, x])
text = str(gc.loops(L, du, dA, db, dx))
print(text)
gc.draw(L, dA, db, dx).save(PICTURES / "layer_as_loops.svg")

random = np.random.default_rng(0)
arrays = {"A": random.normal(size=(3, 4)), "x": random.normal(size=4), "b": random.normal(size=3), "t": random.normal(size=3)}
print(f"\nnumeric check: {gc.check_grad(L, [A, b, x], **arrays):.1e} relative difference")

# No zeroing lines, and σ' is recovered from the value that the forward half has computed already.
lines = [line.replace(" ", "").split(":", 1)[1] for line in text.splitlines() if ":" in line]
assert lines[:2] == ["u[i]+=A[i,j]*x[j]", "y[i]=sigmoid(u[i]+b[i])"]
assert "A.grad[i,j]+=u.grad[i]*x[j]" in lines
assert "b.grad[i]+=u.grad[i]" in lines
assert "x.grad[j]+=u.grad[i]*A[i,j]" in lines
assert any(line.endswith("y.grad[i]*y[i]*(1-y[i])") for line in lines)
assert not any(line.endswith("=0") or "exp" in line for line in lines)
