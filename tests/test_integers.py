"""Programs of integers: NumPy's values on every target."""

from __future__ import annotations

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
