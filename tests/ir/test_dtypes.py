"""Data types of sums, products and padded reads of integer tensors, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

SMALL = ("bool", "int8", "int16", "int32", "uint8")


@pytest.fixture(params=["interpret", "cpu"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("dtype", SMALL)
def test_sums_and_products_of_small_integers_do_not_overflow(dtype: str, target: str) -> None:
    values = (np.arange(9) % 2 * 100 + 3).astype(dtype)
    x, i, j = gc.tensor("x", 9, dtype=dtype), gc.index("i", 9), gc.index("j", 9)
    total, product, inside = gc.tensors("total product inside")
    total[()] += x[i]
    product[()] = gc.prod(x[i], over=i)
    inside[i] = gc.sum(x[j], over=j) + x[i]
    got = gc.compile([total, product, inside], target=target)(x=values)
    whole = values.astype("int64")
    for result, expected in zip(got, (whole.sum(), whole.prod(), whole.sum() + whole), strict=True):
        assert result.dtype == "int64"
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64"])
def test_a_padded_read_has_a_type_that_holds_tensor_and_constant(dtype: str, target: str) -> None:
    values = np.array([1, 2, 3], dtype)
    x, i = gc.tensor("x", 3, dtype=dtype), gc.index("i", 3)
    for fill, kind in ((0, dtype), (1000, "int64"), (0.5, "float32")):
        y = gc.tensor("y")
        y[i] = gc.pad(x, fill)[i - 1]
        got = gc.compile(y, target=target)(x=values)
        assert got.dtype == kind
        np.testing.assert_array_equal(got, [fill, 1, 2])


def test_a_padded_mask_stays_a_mask(target: str) -> None:
    mask, i = gc.tensor("mask", 3, dtype="bool"), gc.index("i", 3)
    y = gc.tensor("y")
    y[i] = gc.pad(mask, False)[i - 1]
    got = gc.compile(y, target=target)(mask=np.array([True, False, True]))
    assert got.dtype == "bool"
    np.testing.assert_array_equal(got, [False, True, False])


def test_fractions_of_integers_are_as_precise_as_what_is_around_them():
    """Hoisted, shared and lifted parts that read integers only, in a program of float64."""
    N, M = gc.dims("N M")
    i, j = gc.indices("i j")
    k = gc.index("k", 7)
    x, n, m = gc.tensor("x", N, dtype="float64"), gc.tensor("n", M, dtype="int64"), gc.tensor("m", N, dtype="int32")
    lifted, shared, hoisted, branch = gc.tensors("lifted shared hoisted branch")
    lifted[i] = x[i] * (gc.sum(1 / n[j], over=j) + gc.logsumexp(0.1 * k, over=k)) + gc.max(gc.sqrt(n[j]), over=j)
    shared[i] = x[i] / m[i] + gc.exp(x[i] / m[i]) * (x[i] + 2) / m[i]
    hoisted[i] = gc.sum(x[i] * (gc.log(n[j]) / m[i]) * gc.sqrt(m[i]), over=j)
    branch[i] = x[i] * gc.where(m[i] > 2, 0.1, 1 / m[i])
    xs, ns, ms = np.linspace(1, 2, 4), np.array([3, 7, 5]), np.array([3, 7, 2, 6], "int32")
    want = [
        xs * ((1 / ns).sum() + np.log(np.exp(0.1 * np.arange(7)).sum())) + np.sqrt(7),
        xs / ms + np.exp(xs / ms) * (xs + 2) / ms,
        (xs[:, None] * np.log(ns) / ms[:, None] * np.sqrt(ms)[:, None]).sum(1),
        xs * np.where(ms > 2, 0.1, 1 / ms),
    ]
    for target in ("interpret", "cpu"):
        for got, expected in zip(gc.compile([lifted, shared, hoisted, branch], target=target)(x=xs, n=ns, m=ms), want, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-14)
