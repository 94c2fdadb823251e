"""Programs that are longer or deeper than Python's recursion limit."""

from __future__ import annotations

import sys

import numpy as np

import graphc as gc

DEPTH = 1500
"""Of one expression; the recursion limit is 1000."""
LENGTH = 1100
"""Statements, each of which reads the one before."""


def test_deep_expressions_are_recorded() -> None:
    assert sys.getrecursionlimit() <= DEPTH
    i, x, y, L = gc.index("i"), gc.tensor("x", gc.dim("N")), gc.tensor("y"), gc.tensor("L")
    value = x[i]
    for _ in range(DEPTH):
        value = gc.sin(value)
    y[i] = value
    L[()] += value
    assert str(y.shape) == str(x.shape)


def test_chains_of_statements() -> None:
    """y = 0.999ᵏ·x + 1 - 0.999ᵏ for k statements."""
    i, x, L = gc.index("i"), gc.tensor("x", gc.dim("N")), gc.tensor("L")
    last = x
    for k in range(LENGTH):
        following = gc.tensor(f"T{k}")
        following[i] = 0.999 * last[i] + 0.001
        last = following
    L[()] += last[i] * x[i]
    slope = gc.grad(L, x)
    assert len(gc.loops(L, slope).splitlines()) >= LENGTH
    values = np.linspace(-1, 1, 3)
    total, derivative = gc.compile([L, slope], target="interpret", precision="float64")(x=values)
    factor = 0.999**LENGTH
    np.testing.assert_allclose(total, (values * (factor * values + 1 - factor)).sum(), rtol=1e-6)
    np.testing.assert_allclose(derivative, 2 * factor * values + 1 - factor, rtol=1e-6)
