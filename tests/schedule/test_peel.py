"""The iteration that a comparison sets apart leaves a loop that compares nothing; variables with one value are one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

import graphc as gc
from graphc.ir.expr import Access, Compare, Index
from graphc.ir.nest import Assign, For, If, Kernel, Local, LoopPlan, Nest, Store
from graphc.schedule.once import once

N, M = gc.dims("N M")
SIZES = [(1, 1), (2, 3), (5, 17), (3, 64), (4, 131)]


def hinge(label_type="int64"):
    s, label, loss = gc.tensor("S", N, M, dtype="float64"), gc.tensor("label", N, dtype=label_type), gc.tensor("L")
    n, j = gc.indices("n j")
    loss[()] += gc.where(j == label[n], 0, gc.relu(s[n, j] - s[n, label[n]] + 1))
    return [loss, gc.grad(loss, s)]


def both(outputs, **arrays):
    cpu, slow = (gc.compile(outputs, target=target)(**arrays) for target in ("cpu", "interpret"))
    for got, want in zip(cpu, slow, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
    return cpu


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize("label_type", ["int64", "int32"])
def test_labels(rows, columns, label_type):
    random = np.random.default_rng(rows)
    for at in (random.integers(0, columns, rows), np.zeros(rows), np.full(rows, columns - 1)):
        both(hinge(label_type), S=random.standard_normal((rows, columns)), label=at.astype(label_type))


def test_the_loop_compares_nothing():
    """Only the form in which a label is outside does, and what reports it."""
    source = gc.compile(hinge()).source
    first = source[source.index("def rows_0"):]
    inside = first[first.index("if 0 <= "):first.index("if not (0 <= ")]
    assert inside.count("for j in range(") == 2
    assert "==" not in inside


@pytest.mark.parametrize("label", [-1, 3, 2**63 - 1, -2**63])
def test_a_label_outside_is_reported(label):
    program = gc.compile(hinge())
    with pytest.raises(gc.ArgumentError, match=rf"label\[1\] is {label}"):
        program(S=np.ones((2, 3)), label=np.array([0, label]))


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_labels_that_need_not_point_inside_are_compared(rows, columns):
    """A number of which nothing is known stays in its comparison."""
    x, label, y = gc.tensor("X", N, M, dtype="float64"), gc.tensor("label", N, dtype="int64"), gc.tensor("Y")
    n, j = gc.indices("n j")
    y[n, j] = gc.where(j != label[n], x[n, j], -1)
    label_ = np.array([columns - 1, -1, columns, 2**63 - 1, 0][:rows])
    given = np.random.default_rng(0).standard_normal((rows, columns))
    (got,) = both([y], X=given, label=label_)
    want = given.copy()
    for row, at in enumerate(label_):
        if 0 <= at < columns:
            want[row, at] = -1
    assert np.array_equal(got, want)


@pytest.mark.parametrize("size", [1, 2, 16, 17, 65])
def test_diagonals(size):
    x, y, z = gc.tensor("X", N, N, dtype="float64"), gc.tensor("Y"), gc.tensor("Z")
    i, j = gc.indices("i j")
    y[i, j] = gc.where(i == j, gc.exp(x[i, j]), x[j, i] * x[i, j])
    z[i] += gc.where(j != N - 1 - i, y[i, j] * x[i, j], 0)
    loss = gc.tensor("L")
    loss[()] += z[i] ** 2
    both([y, z, gc.grad(loss, x)], X=np.random.default_rng(size).standard_normal((size, size)))


@pytest.mark.parametrize("size", [1, 2, 17, 40])
def test_recurrences_along_the_loop(size):
    """Iterations keep their order, backwards too."""
    x, h, loss = gc.tensor("X", N, dtype="float64"), gc.tensor("h"), gc.tensor("L")
    k, t = gc.tensor("K", 1, dtype="int64"), gc.index("t", N)
    h[-1] = 0
    h[t] = 0.5 * h[t - 1] + gc.where(t == k[0], x[t] ** 2, x[t] * x[k[0]])
    loss[()] += gc.sin(h[t])
    for at in {0, size // 2, size - 1}:
        both([h, gc.grad(loss, x)], X=np.random.default_rng(size).standard_normal(size), K=np.array([at]))


def test_variables_with_one_value_are_one():
    source = gc.compile(hinge()).source
    first = source[source.index("def rows_0"):source.index("if not (0 <= ")]
    assert first.count("= label[n]\n") == 1


def test_variables_with_values_of_other_times_are_two():
    """Between two reads of an element it is written, or the loop has gone on."""
    i, n = Index("i"), sp.Integer(4)
    a, b, c, d = map(Local, "abcd")
    x = Access("x", i)
    reads = Assign(a, x, "float32"), Assign(b, x, "float32"), Store("x", (i,), a + b), Assign(c, x, "float32"), Store("y", (i,), c)
    loop = For(i, (sp.Integer(0),), (n,), (*reads, If(Compare(">", c, sp.Integer(0)), (Assign(d, x, "float32"), Store("z", (i,), d)))))
    plan = LoopPlan("", "map", ("i",), "", "")
    nest = Nest(Kernel("map", "", ("x",), (loop, loop), None), plan, ("x",), "y", n)
    twice = once(nest).kernel.body
    assert twice == (loop, loop), "every variable is assigned in two loops"
    (alone,) = once(replace(nest, kernel=replace(nest.kernel, body=(loop,)))).kernel.body
    assert alone.body[:2] == (Assign(a, x, "float32"), Store("x", (i,), a + a))
    assert alone.body[2:4] == (Assign(c, x, "float32"), Store("y", (i,), c))
    assert alone.body[4].body == (Store("z", (i,), c),)
