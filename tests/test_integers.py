"""Programs of integers: NumPy's values on every target."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc
from tests import gpu
from tests.c_programs import UNDEFINED, exported, needs_compiler

N, M = gc.dims("N M")
i, j, k = gc.indices("i j k")

TARGETS = ["interpret", "cpu", pytest.param("c", marks=needs_compiler), "cuda"]


def result(output: gc.Tensor, target: str, folder: Path, **arrays: Any) -> np.ndarray[Any, Any]:
    """The result of a program; "c" is compiled with checks for what C leaves undefined, "cuda" runs on a simulated GPU."""
    if target == "cuda":
        return gpu.compiled(output)(**arrays)
    program = gc.compile(output, target="cpu" if target == "c" else target)
    return exported(program, folder, output.name, UNDEFINED).results(arrays)[0] if target == "c" else program(**arrays)


NEGATIVE = [
    np.array([-100, -100], "int8"), np.array([-(2**63)], "int64"), np.array([], "int16"), np.array([], "bool"), np.array([True, False]),
    np.array([117] + [100] * 49, "int8"), np.array([-200, -(2**31)], "int32"),
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("values", NEGATIVE, ids=lambda a: f"{a.dtype}-{a.size}")
def test_logsumexp_of_integers(values: np.ndarray[Any, Any], target: str, tmp_path: Path) -> None:
    """An accumulator of integers has no infinity to begin with."""
    z = gc.tensor("z", N, dtype=values.dtype.name)
    direct, written = gc.tensors("direct written")
    direct[()] = gc.logsumexp(z[i], over=i)
    written[()] = gc.log(gc.sum(gc.exp(z[i]), over=i))
    wide = values.astype("float64")
    expected = wide.max() + np.log(np.exp(wide - wide.max()).sum()) if wide.size else -np.inf
    for output in (direct, written):
        np.testing.assert_allclose(result(output, target, tmp_path, z=values), expected, rtol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_softmax_of_integers(target: str, tmp_path: Path) -> None:
    z, y = gc.tensor("z", M, N, dtype="int8"), gc.tensor("y")
    y[i, j] = gc.exp(z[i, j]) / gc.sum(gc.exp(z[i, k]), over=k)
    values = np.array([[-100, -100], [-128, 127], [0, 0]], "int8")
    np.testing.assert_allclose(result(y, target, tmp_path, z=values), [[0.5, 0.5], [0, 1], [0.5, 0.5]], atol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("reduce", [gc.max, gc.min])
def test_extrema_of_large_integers_under_a_condition(reduce: Any, target: str, tmp_path: Path) -> None:
    """The other branch is an integer too, so that every digit remains."""
    c, z, y = gc.tensor("c", M, dtype="bool"), gc.tensor("z", N, dtype="int64"), gc.tensor("y")
    y[i] = gc.where(c[i], reduce(gc.clip(z[j], 0, 2**62), over=j), 7)
    values = np.array([2**60 + 1, 2**60 + 3])
    expected = [2**60 + (3 if reduce is gc.max else 1), 7]
    np.testing.assert_array_equal(result(y, target, tmp_path, c=np.array([True, False]), z=values), expected)


@pytest.mark.parametrize("target", TARGETS)
def test_integers_are_whole(target: str, tmp_path: Path) -> None:
    """A float does not hold every digit of what is rounded."""
    z, y, s = gc.tensor("z", N, dtype="int64"), gc.tensor("y"), gc.tensor("s")
    y[i] = gc.floor(z[i]) + gc.ceil(z[i]) - gc.round(z[i])
    s[i] = gc.sign(z[i]) * z[i]
    values = np.array([2**60 + 1, -(2**60) - 1, 0, 2**24 + 1])
    np.testing.assert_array_equal(result(y, target, tmp_path, z=values), values)
    np.testing.assert_array_equal(result(s, target, tmp_path, z=values), abs(values))


INTEGERS = ["int8", "int16", "int32", "int64", "uint8"]


def _last(x: Any) -> np.ndarray[Any, Any]:
    """Python's integers in 64 bits."""
    return np.array([(int(v) + 2**63) % 2**64 - 2**63 for v in np.ravel(x)], "int64")


OVERFLOWING: dict[str, tuple[Any, Any]] = {
    "square": (lambda z, y: {i: z[i] * z[i]}, lambda z: z * z),
    "power": (lambda z, y: {i: z[i] ** 5}, lambda z: z**5),
    "high power": (lambda z, y: {i: z[i] ** 9 - 2 * z[i] ** 100}, lambda z: z**9 - 2 * z**100),
    "product": (lambda z, y: {(): gc.prod(z[i], over=i)}, lambda z: [np.prod(z)]),
    "sum": (lambda z, y: {(): gc.sum(z[i] ** 3, over=i)}, lambda z: [np.sum(z**3)]),
    "hash": (lambda z, y: {i: gc.pad(y, 5381)[i - 1] * 33 + z[i]},
             lambda z: itertools.accumulate(z, lambda h, c: 33 * h + c, initial=5381)),
}


@pytest.mark.parametrize("target", ["interpret", "cpu"])
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", OVERFLOWING)
def test_integers_wrap_round_where_they_are_stored(name: str, dtype: str, target: str) -> None:
    limits = np.iinfo(dtype)
    values = np.array([limits.max, limits.min, limits.max // 2 + 1, 3, limits.max - 5, 2], dtype)
    z, y = gc.tensor("z", N, dtype=dtype), gc.tensor("y", dtype=dtype)
    written, exact = OVERFLOWING[name]
    for left, right in written(z, y).items():
        y[left] = right
    expected = _last([*exact(values.astype(object))][-values.size :]).astype(dtype)
    found = gc.compile(y, target=target)(z=values)
    assert found.dtype == dtype
    np.testing.assert_array_equal(np.ravel(found), expected)


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_powers_of_integers_are_floats_where_the_exponent_varies(target: str) -> None:
    u, y = gc.tensor("u", N, dtype="uint8"), gc.tensor("y")
    y[i] = u[i] ** u[i]
    np.testing.assert_allclose(gc.compile(y, target=target)(u=np.array([200, 3, 0], "uint8")), [np.inf, 27, 1])
    z, y = gc.tensor("z", N, dtype="int64"), gc.tensor("y", dtype="float64")
    y[i] = z[i] ** z[i]
    values = np.array([2**40, -(2**40), -3])
    np.testing.assert_allclose(gc.compile(y, target=target)(z=values), [np.inf, 0, -1 / 27])


def test_the_interpreter_computes_with_integers_beyond_all_floats() -> None:
    z, y = gc.tensor("z", N, dtype="int64"), gc.tensor("y")
    huge = z[i] ** 99
    y[i] = gc.exp(-(huge**3)) + huge**3 / 2 + gc.tanh(-(huge**3)) + gc.where(huge > 0, 1, 0)
    assert gc.compile(y, target="interpret")(z=np.array([2**60, 0])).tolist() == [np.inf, 1]
    total = gc.tensor("total", dtype="float64")
    total[()] += gc.tensor("x", N, dtype="float64")[i]
    assert gc.compile(total, target="interpret")(x=np.array([1e308, 1e308])) == np.inf


@pytest.mark.parametrize("target", TARGETS[:3])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_floats_beyond_64_bits_are_the_least_integer(dtype: str, target: str, tmp_path: Path) -> None:
    """What is between them wraps round."""
    x, y = gc.tensor("x", N), gc.tensor("y", dtype=dtype)
    y[i] = x[i]
    values = np.array([1e20, -1e20, np.nan, np.inf, -1.5, 300.75, 3e9, -2147483904.0], "float32")
    whole = [-(2**63)] * 4 + [-1, 300, 3 * 10**9, -2147483904]
    np.testing.assert_array_equal(result(y, target, tmp_path, x=values), np.array(whole).astype(dtype))


J, H = gc.index("j", 100), gc.index("h", 2)
LARGE = {
    "sum": lambda F: F[i] * gc.sum(J**10, over=J),
    "prod": lambda F: F[i] * gc.prod(J + 1, over=J),
    "sqrt": lambda F: F[i] + gc.sqrt(gc.sum(J**10, over=J)),
    "mean": lambda F: F[i] + gc.mean(J**10, over=J),
    "condition": lambda F: F[i] + gc.where(gc.sum(J**10, over=J) > 0, 1.0, 0.0),
    "max": lambda F: F[i] * gc.max(J**10, over=J),
    "nested": lambda F: F[i] * gc.sum(i + gc.prod(J + 1, over=J), over=H),
    "abs": lambda F: F[i] * gc.abs((i + 90) ** 10),
    "root": lambda F: F[i] * gc.sqrt((i - 1) ** 10),
    "compared": lambda F: F[i] + gc.where((i + 70) ** 10 > 0, 1.0, 0.0),
}
"""Numbers beyond 64 bits that are made of indices."""


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LARGE)
def test_indices_do_not_overflow_where_floats_are_computed(name: str, dtype: str, target: str, tmp_path: Path) -> None:
    F, Y = gc.tensor("F", 3, dtype=dtype), gc.tensor("Y", 3, dtype=dtype)
    Y[i] = LARGE[name](F)
    values = np.ones(3, dtype)
    np.testing.assert_allclose(result(Y, target, tmp_path, F=values), result(Y, "interpret", tmp_path, F=values), rtol=1e-5)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("reduce", [gc.prod, gc.max, gc.sum])
def test_indices_do_not_overflow_where_a_reduction_is_stored_as_floats(reduce: Any, target: str, tmp_path: Path) -> None:
    Y = gc.tensor("Y", 3, dtype="float64")
    Y[i] = reduce((J + 1) ** 10, over=J)
    np.testing.assert_allclose(result(Y, target, tmp_path), result(Y, "interpret", tmp_path), rtol=1e-12)


def test_reductions_of_integer_tensors_wrap_round() -> None:
    K, F, Y = gc.tensor("K", 2, dtype="int64"), gc.tensor("F", 1), gc.tensor("Y", 1)
    Y[i] = F[i] * gc.prod(K[k], over=k)
    assert gc.compile(Y)(K=np.array([2**62, 4]), F=np.ones(1, "float32"))[0] == 0
