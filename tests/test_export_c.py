"""A program saved as C computes the same results: through ctypes, with every set of flags that the documentation names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc
from tests.c_programs import FAST, PLAIN, Exported, exported, needs_compiler

pytestmark = needs_compiler

N, D, M = gc.dims("N D M")
b, i, j = gc.indices("b i j")
random = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return random.normal(size=shape).astype("float32")


def agree(program: gc.Program, net: Exported, arrays: dict[str, Any], **options: Any) -> None:
    """The same results, in any number of threads, with the caller's workspace and without."""
    expected = program(**arrays)
    expected = expected if isinstance(expected, list) else [expected]
    for threads in (1, 2, 3):
        for got, wanted in zip(net.results(arrays, threads, own_workspace=threads == 2), expected, strict=True):
            np.testing.assert_allclose(got, wanted, **{"rtol": 2e-6, "atol": 1e-6} | options)


def layer() -> gc.Program:
    X, c = gc.tensor("X", N, D), gc.tensor("c", D)
    Y, L = gc.tensors("Y L")
    Y[b, i] = gc.sigmoid(X[b, i] * c[i]) + gc.where(b > 0, 1, 0)
    L[()] += (Y[b, i] - 0.5) ** 2 / N
    return gc.compile([L, Y, gc.grad(L, c)])


@pytest.mark.parametrize("flags", [FAST, PLAIN], ids=["fast", "plain"])
def test_maps_and_sums(tmp_path: Path, flags: tuple[str, ...]) -> None:
    program = layer()
    net = exported(program, tmp_path, flags=flags)
    for rows in (0, 1, 70, 1000):
        agree(program, net, {"X": normal(rows, 37), "c": normal(37)})
