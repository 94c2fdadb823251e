"""The type of a tensor is that of its definition as it was written, before SymPy simplifies it."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

i, j = gc.index("i", 4), gc.index("j", 4)
K, B = gc.tensor("K", 4, dtype="int64"), gc.tensor("B", 4, dtype="bool")
h, x, d = gc.tensor("h", 4, dtype="int32"), gc.tensor("x", 4), gc.tensor("d", 4, dtype="float64")
VALUES = {t.name: np.array([0, 1, 1, 1]).astype(t.declared_dtype or "float32") for t in (K, B, h, x, d)}

WRITTEN = {
    "float32": [
        K[i] + 0.0, K[i] * 0.0, K[i] / 1, h[i] / (h[i] + 1) * (h[i] + 1), K[i] / 2 + K[i] / 2, (K[i] + 0.5) - 0.5, K[i]**2.0,
        gc.sqrt(K[i])**2, K[i]**0.0, h[i] * x[i] - h[i] * x[i], i + 0.0, i / 1, i**2.0, B[i] + 0.0, gc.sum(h[j] * 1.0, over=j),
        gc.where(x[i] > 0, K[i], 0.0), gc.mean(K[j], over=j), gc.uniform(3, i), gc.exp(gc.log(K[i] + 1)), 2.0 * (K[i] > 0),
    ],
    "float64": [x[i] + 0 * d[i], x[i] + d[i] - d[i], x[i] * d[i]**0, K[i] * d[i], x[i] * gc.sum(0 * d[j], over=j)],
    "int64": [
        h[i] + 0 * K[i], B[i] * 1, B[i] + 0, -B[i], B[i] * B[i], gc.sum(h[j], over=j), gc.prod(B[j], over=j), 2 * i + 1, gc.floor(K[i]),
        gc.where(K[i] > 0.5, 1, 0), K[i]**2, gc.argmax(x[j], over=j), (x[i] > 0) * 1,
    ],
    "int32": [h[i] * 2, h[i] + i, h[i] * gc.sum(j, over=j), gc.where(d[i] > 0, h[i], 0), gc.max(h[j], over=j), gc.pad(h, 0)[i - 1]],
    "bool": [B[i], x[i] > 0, (x[i] > 0) & B[i], gc.pad(B, 0)[i - 1], gc.any(B[j], over=j), gc.max(B[j], over=j)],
}  # fmt: skip


@pytest.mark.parametrize(("dtype", "value"), [(dtype, value) for dtype, values in WRITTEN.items() for value in values], ids=str)
def test_a_type_as_it_was_written(dtype: str, value: gc.Expr) -> None:
    Y, Z = gc.tensors("Y Z")
    Y[i] = value
    Z[i] = Y[i]
    result, copy = gc.compile([Y, Z], target="interpret")(VALUES)
    assert (result.dtype, copy.dtype) == (dtype, dtype)


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_values_are_stored_in_the_type_that_was_written(target: str) -> None:
    every = gc.tensors(" ".join(f"Y{n}" for n in range(6)))
    written = [K[i] / 1, K[i] / 2 + K[i] / 2, h[i] + 0 * K[i], x[i] + 0 * d[i], B[i] * 1, i**2.0]
    for tensor, value in zip(every, written, strict=True):
        tensor[i] = value
    results = gc.compile(list(every), target=target)(VALUES)
    assert [str(r.dtype) for r in results] == ["float32", "float32", "int64", "float64", "int64", "float32"]
    np.testing.assert_array_equal(results, [VALUES["K"]] * 5 + [np.arange(4) ** 2])


def test_sums_and_recurrences_as_they_were_written() -> None:
    S, R, U = gc.tensors("S R U")
    S[()] += K[i] / 1
    S[()] += 1
    R[0] = h[0]
    t = gc.index("t", 1, 4)
    R[t] = R[t - 1] + 0 * K[t]
    U[i] = R[i] * 0.5 + R[i] * 0.5
    results = gc.compile([S, R, U], target="interpret")(VALUES)
    assert [str(r.dtype) for r in results] == ["float32", "int64", "float32"]
