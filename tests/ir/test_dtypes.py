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


@pytest.mark.parametrize("target", ["interpret", "cpu"])
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
def test_the_sign_of_small_integers_changes_in_64_bits(dtype: str, target: str) -> None:
    """Numba has sums of small integers in 64 bits, but ``-x`` and ``abs(x)`` in the type of x, where the least number has no opposite."""
    i, N = gc.index("i"), gc.dim("N")
    x, y = gc.tensor("x", N, dtype=dtype), gc.tensor("y", N, dtype=dtype)
    least = int(np.iinfo(dtype).min)
    made = {
        "opposite": -x[i], "size": gc.abs(x[i]), "above": gc.maximum(-x[i], 0) + x[i], "larger": -gc.maximum(x[i], y[i]),
        "chosen": -gc.where(x[i] > y[i], x[i], y[i]), "product": -x[i] * y[i], "difference": -x[i] - y[i], "sign": gc.sign(-x[i]),
    }  # fmt: skip
    a, b = [least, 5, least + 3, -2], [least, -5, -1, 2]
    want = [
        sum(-u for u in a), sum(map(abs, a)), sum(max(-u, 0) + u for u in a), *[-sum(map(max, a, b))] * 2,
        -sum(u * v for u, v in zip(a, b, strict=True)), -sum(a + b), 2,
    ]  # fmt: skip
    sums = []
    for name, value in made.items():
        sums.append(gc.tensor(name))
        sums[-1][()] = gc.sum(value, over=i)
    root = gc.tensor("root")
    root[i] = gc.sqrt(gc.abs(x[i]))
    *found, roots = gc.compile([*sums, root], target=target)(x=np.array(a, dtype), y=np.array(b, dtype))
    assert list(map(int, found)) == want
    np.testing.assert_allclose(roots, np.sqrt(np.abs(np.array(a, float))), rtol=1e-6)


def test_constants_beyond_float32(target: str) -> None:
    """They come from factors that are none."""
    i = gc.index("i")
    x, large, small = gc.tensor("x", 4), *gc.tensors("large small")
    large[i] = x[i] * 3e38 * 10
    small[i] = 1e-30 * x[i] * 1e-30
    got = gc.compile([large, small], target=target)(x=np.float32([0, -0.05, 1e-30, 1e30]))
    np.testing.assert_allclose(got[0], np.float32([0, -1.5e38, 3e9, np.inf]), rtol=1e-6)
    np.testing.assert_allclose(got[1], np.float32([0, -5e-62, 0, 1e-30]), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constants_beyond_float64(dtype: str, target: str) -> None:
    i = gc.index("i")
    x, large, low = gc.tensor("x", 3, dtype=dtype), *gc.tensors("large low")
    large[i] = x[i] * 1e200 * 1e200
    low[i] = x[i] - 1e308 - 1e308
    found = gc.compile([large, low], target=target)(x=np.array([1, 2, -3], dtype))
    np.testing.assert_array_equal(found[0], [np.inf, np.inf, -np.inf])
    np.testing.assert_array_equal(found[1], [-np.inf] * 3)
