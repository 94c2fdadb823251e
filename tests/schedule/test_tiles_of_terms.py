"""Sums of any function of two tensors in tiles: which are, and that the others are right as loops."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

N, M, P = gc.dims("N M P")
i, j, k = gc.indices("i j k")
A, B, H, p = gc.tensor("A", N, M), gc.tensor("B", M, P), gc.tensor("H", N, P), gc.tensor("p", ())
a, b, h = A[i, k], B[k, j], H[i, j]
TILES = {
    "distance": lambda: abs(a - b), "third": lambda: h * gc.sign(h - a * b), "choice": lambda: gc.where(a < b, 1, 0) * h,
    "nested": lambda: gc.where(a < b, gc.where(a > h, a, 2), b), "function": lambda: gc.tanh(a + b) / (1 + gc.exp(-a * b)),
}  # fmt: skip
LOOPS = {
    "truth of a comparison": lambda: gc.where((a < b) > h, a, b), "two truths": lambda: gc.where((a < b) < (b < h), a, b),
    "choice in a comparison": lambda: gc.where(gc.where(a < b, 1, 2) > gc.where(b < h, 1, 2), 1, 0) * h,
    "equality": lambda: gc.where(a == b, h, a),
    "both": lambda: gc.where((a < b) & (b < h), a, b), "size": lambda: abs(a - b) / M, "number": lambda: abs(a - b) * p[()],
    "index": lambda: abs(a - b) * i,
}  # fmt: skip


def arrays(rows=5, depth=20, columns=33):
    random = np.random.default_rng(0)
    made = {"A": random.normal(size=(rows, depth)), "B": random.normal(size=(depth, columns)), "H": np.full((rows, columns), 0.5), "p": 1.5}
    made["B"][0, :5] = made["A"][0, 0]
    return {name: np.asarray(x, "float32") for name, x in made.items()}


@pytest.mark.parametrize("reduction", [gc.sum, gc.max, gc.min])
@pytest.mark.parametrize("name", [*TILES, *LOOPS])
def test_values(name, reduction):
    y = gc.tensor("y")
    y[i, j] = reduction({**TILES, **LOOPS}[name](), over=k)
    program = gc.compile(y)
    assert ("_terms(" in program.source) == (name in TILES)
    given = {n: x for n, x in arrays().items() if n in program.inputs}
    np.testing.assert_allclose(program(**given), gc.compile(y, target="interpret")(**given), rtol=2e-5, atol=2e-5)


def test_the_place_of_what_is_computed_is_found_while_it_is():
    """In a loop of its own LLVM may round it otherwise, and no place has the largest value."""
    X, z, w, y, stored, t = gc.tensor("X", N, 64), gc.tensor("z", 64), gc.tensor("w", N), *gc.tensors("y stored t")
    y[i] = gc.argmax(X[i, k] + z[k] + w[i], over=k)
    t[i, k] = X[i, k] + z[k] + w[i]
    stored[i] = gc.argmax(t[i, k], over=k)
    random = np.random.default_rng(1)
    x = {"X": random.normal(size=(3000, 64)), "z": random.normal(size=64), "w": random.normal(size=3000)}
    x = {name: value.astype("float32") for name, value in x.items()}
    for found in gc.compile([y, stored])(**x):
        values = np.take_along_axis(x["X"] + x["z"] + x["w"][:, None], found[:, None], 1)[:, 0]
        np.testing.assert_allclose(values, (x["X"] + x["z"] + x["w"][:, None]).max(1), rtol=1e-5)
