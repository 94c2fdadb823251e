"""Programs that are longer or deeper than Python's recursion limit."""

from __future__ import annotations

import inspect
import operator
import sys

import numpy as np
import sympy as sp

import graphc as gc
from graphc.ir.expr import Index, build_from

DEPTH = 1500
"""Of one expression; the recursion limit is 1000."""
LENGTH = 1100
"""Statements, each of which reads the one before."""


def _nested(depth: int) -> tuple[gc.Tensor, gc.Tensor, gc.Tensor]:
    i, x, y, L = gc.index("i"), gc.tensor("x", gc.dim("N")), gc.tensor("y"), gc.tensor("L")
    value = x[i]
    for _ in range(depth):
        value = gc.sin(value)
    y[i] = value
    L[()] += y[i] ** 2
    return x, y, L


def _by_hand(values: np.ndarray, depth: int) -> tuple[float, np.ndarray]:
    slope = np.ones_like(values)
    for _ in range(depth):
        values, slope = np.sin(values), slope * np.cos(values)
    return float((values**2).sum()), 2 * values * slope


def test_deep_expressions() -> None:
    """One statement is computed and differentiated in parts; its text stays whole."""
    assert sys.getrecursionlimit() <= DEPTH
    x, y, L = _nested(DEPTH)
    assert gc.loops(y) == f"for i:  y[i] = {'sin(' * DEPTH}x[i]{')' * DEPTH}"
    assert gc.latex(y).count("sin") == DEPTH
    slope = gc.grad(L, x)
    text = gc.loops(L, slope)
    assert "y.part[i] = sin(" in text and "y.part.grad[i]" in text
    values = np.array([0.1, 0.5, 0.9])
    loss, derivative = gc.compile([L, slope], target="interpret", precision="float64")(x=values)
    total, wanted = _by_hand(values, DEPTH)
    np.testing.assert_allclose(loss, total, rtol=1e-9)
    np.testing.assert_allclose(derivative, wanted, rtol=1e-9)
    assert gc.compile([L, slope]).source.count("sin(") >= DEPTH


def test_terms_of_deep_expressions_have_an_order() -> None:
    """Two terms that read the same element: which is written first is decided without recursion."""
    i, x, L = gc.index("i"), gc.tensor("x", 3), gc.tensor("L")
    value = x[i]
    for _ in range(150):
        value = gc.sin(value) + 0.125 * x[i]
    L[()] += value
    text = str(gc.loops(L))
    assert text.count("sin(") == 150 and text.count("0.125*x[i]") == 150


def test_deep_expressions_as_machine_code() -> None:
    """y = 0.9ᵏ·x + 1 - 0.9ᵏ for a sum in a product in a sum …, k times."""
    i, x, L = gc.index("i"), gc.tensor("x", gc.dim("N")), gc.tensor("L")
    value = x[i]
    for _ in range(90):
        value = 0.9 * value + 0.1
    L[()] += value**2
    values, factor = np.array([-3.0, 0.5, 2.0]), 0.9**90
    loss, derivative = gc.compile([L, gc.grad(L, x)], precision="float64")(x=values)
    np.testing.assert_allclose(loss, ((factor * values + 1 - factor) ** 2).sum(), rtol=1e-9)
    np.testing.assert_allclose(derivative, 2 * (factor * values + 1 - factor) * factor, rtol=1e-9)


def test_parts_of_deep_branches_are_lazy() -> None:
    """log(x) is not evaluated where x ≤ 0, and what is read under a condition stays inside."""
    i, x, y, L = gc.index("i"), gc.tensor("x", gc.dim("N")), gc.tensor("y"), gc.tensor("L")
    value, other = gc.log(x[i]), x[i - 1]
    for _ in range(150):
        value, other = gc.sin(value), gc.cos(other)
    y[i] = gc.where(x[i] > 0, value, 0) + gc.where(i > 0, other, 0)
    L[()] += y[i]
    values = np.array([-1.0, 0.0, 0.5, 2.0])
    got, derivative = gc.compile([y, gc.grad(L, x)], target="interpret", precision="float64")(x=values)
    first, second = np.log(values[2:]), values[:-1]
    for _ in range(150):
        first, second = np.sin(first), np.cos(second)
    np.testing.assert_allclose(got, [0, second[0], first[0] + second[1], first[1] + second[2]], rtol=1e-9)
    assert np.isfinite(derivative).all()


def test_deep_reductions_and_recurrences() -> None:
    t, i, j, x = *gc.indices("t i j"), gc.tensor("x", 3, 4)
    s, h = gc.tensors("s h")
    value = x[i, j]
    for _ in range(150):
        value = gc.sin(value)
    s[i] = gc.sum(value, over=j)
    value = h[t - 1]
    for _ in range(150):
        value = gc.sin(value + 0.1)
    h[-1] = 0.3
    h[t] = value + s[t]
    values = np.linspace(-1, 1, 12).reshape(3, 4)
    got = gc.compile([s, h], target="interpret", precision="float64")(x=values)
    for _ in range(150):
        values = np.sin(values)
    np.testing.assert_allclose(got[0], values.sum(1), rtol=1e-9)
    row, rows = 0.3, []
    for total in values.sum(1):
        for _ in range(150):
            row = np.sin(row + 0.1)
        row += total
        rows.append(row)
    np.testing.assert_allclose(got[1], rows, rtol=1e-9)


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


def test_questions_of_sympy_about_deep_expressions() -> None:
    """SymPy asks about bases whether they are positive, and so about all that is inside of them."""
    i, x, y = gc.index("i"), gc.tensor("x", gc.dim("N")), gc.tensor("y")
    value = x[i]
    for _ in range(270):
        value = (value + 1) ** 0.5
    y[i] = value
    assert gc.loops(y).count("sqrt") == 270


def test_questions_of_sympy_from_deep_stacks() -> None:
    j, k = Index("j"), Index("k")
    base = build_from(operator.add, build_from(operator.mul, sp.Float(0.3), build_from(operator.add, j, -k)), sp.Float(-0.249))

    def below(depth: int) -> sp.Expr:
        return below(depth - 1) if depth else build_from(operator.pow, base, sp.Integer(2))

    frames = len(inspect.stack())
    assert below(sys.getrecursionlimit() - frames - 40) == below(0)


def test_continued_fractions() -> None:
    """Each quotient is written once, not twice as often per level."""
    i, x, y = gc.index("i"), gc.tensor("x", gc.dim("N")), gc.tensor("y")
    value = x[i]
    for _ in range(60):
        value = 1 / (1 + value)
    y[i] = value
    np.testing.assert_allclose(gc.compile(y, precision="float64")(x=np.array([0.5, 2.0])), (np.sqrt(5) - 1) / 2, rtol=1e-9)


def test_maxima_of_maxima() -> None:
    """The derivative of each is a choice: of choices, they grow as the depth, not as 2 to the depth."""
    n = 60
    x, y = gc.tensor("x", n, dtype="float64"), gc.tensor("y")
    value = x[0]
    for k in range(1, n):
        value = gc.maximum(value, x[k]) if k % 3 else gc.minimum(1.5 * value, x[k])
    y[()] = value
    gradient = gc.grad(y, [x])
    assert len(str(gc.loops(*gradient))) < 200_000
    program = gc.compile(gradient, target="interpret")
    for seed in range(5):
        data = np.random.default_rng(seed).integers(1, 9, n) / 4.0  # with ties
        found, slope = data[0], np.zeros(n)
        slope[0] = 1
        for k in range(1, n):
            before, scale = (found, 1.0) if k % 3 else (1.5 * found, 1.5)
            keeps = before > data[k] if k % 3 else before < data[k]
            share = 0.5 if before == data[k] else float(keeps)
            slope *= scale * share
            slope[k] = 1 - share
            found = max(before, data[k]) if k % 3 else min(before, data[k])
        np.testing.assert_allclose(program(x=data)[0], slope, rtol=1e-12)
