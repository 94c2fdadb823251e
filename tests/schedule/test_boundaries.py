"""Boundaries cost no test in the interior, and mean what they mean at every size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import graphc as gc
from graphc.compile import optimised
from graphc.frontend.collect import collect
from graphc.ir.expr import Compare, undistributed
from graphc.ir.nest import Assign, For, If, Nest, Store
from graphc.ir.tree import contains
from graphc.passes.pad_copy import copy_padded
from graphc.passes.tighten import tighten
from graphc.schedule.lower import schedule
from graphc.schedule.merge import read_tensors
from graphc.schedule.target import CPU
from tests.unjitted import run

N = gc.dim("N")
p, q = gc.index("p", N), gc.index("q", N)
r, s = gc.index("r", 3), gc.index("s", 3)
VIEWS = {"pad": lambda x: gc.pad(x, 0.5), "clamp": gc.clamp, "wrap": gc.wrap, "reflect": gc.reflect, "skip": gc.skip}


def weighted(view):
    """A blur with given weights."""
    x, w, y = gc.tensor("X", N, N), gc.tensor("W", 3, 3), gc.tensor("Y")
    y[p, q] += view(x)[p + r - 1, q + s - 1] * w[r, s]
    return y, [x, w]


def largest(view):
    x, y = gc.tensor("X", N, N), gc.tensor("Y")
    y[p, q] = gc.max(view(x)[p + r - 1, q + s - 1], over=(r, s))
    return y, [x]


def average(view):
    x, y = gc.tensor("X", N, N), gc.tensor("Y")
    y[p, q] = gc.mean(view(x)[p + r - 1, q + s - 1], over=(r, s))
    return y, [x]


def bilateral(view):
    """A neighbour counts as much as it is like the middle."""
    x, y = gc.tensor("X", N, N), gc.tensor("Y")
    y[p, q] += gc.exp(-((view(x)[p + r - 1, q + s - 1] - x[p, q]) ** 2))
    return y, [x]


def five_points(view):
    x, y = gc.tensor("X", N, N), gc.tensor("Y")
    near = view(x)
    y[p, q] = 4 * x[p, q] - near[p - 1, q] - near[p + 1, q] - near[p, q - 1] - near[p, q + 1]
    return y, [x]


PROGRAMS = [weighted, largest, average, bilateral, five_points]


def outputs(write, mode):
    y, inputs = write(VIEWS[mode])
    loss = gc.tensor("L")
    loss[()] += y[p, q] ** 2
    return [y, *gc.grad(loss, inputs)]


def rows(nodes) -> Iterator[For]:
    """Loops along rows: the long loops without a long one inside."""
    for node in nodes:
        if isinstance(node, For | If):
            inner = list(rows(node.body))
            yield from inner
            if not inner and isinstance(node, For) and not (node.upper[0] - node.lower[0]).is_Integer:
                yield node


def asks(nodes) -> bool:
    for node in nodes:
        match node:
            case For() if len(node.lower) > 1 or len(node.upper) > 1 or asks(node.body):
                return True
            case If():
                return True
            case Assign() if contains(node.value, Compare):
                return True
            case Store() if any(contains(e, Compare) for e in (node.value, *node.subscripts)):
                return True
    return False


CASES = [(w, m) for w in PROGRAMS for m in VIEWS if not (m == "skip" and w is five_points)]


@pytest.mark.parametrize(("write", "mode"), CASES, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_no_test_in_the_interior(write, mode):
    def steps():
        return schedule(copy_padded(tighten(optimised(collect([write(VIEWS[mode])[0]], "compile").graph))), CPU)[1]

    for step in undistributed(steps):
        found = [loop for loop in rows(step.kernel.body) if read_tensors(loop.body) >= {"X"}] if isinstance(step, Nest) else []
        assert not found or any(not asks(loop.body) for loop in found), step.kernel.loop
        assert len(found) <= 4, "pieces"


@pytest.mark.parametrize(("write", "mode"), [(weighted, "reflect"), (average, "skip")])
def test_every_size(write, mode):
    made = outputs(write, mode)
    programs = [gc.compile(made, target=target) for target in ("cpu", "interpret")]
    least = {"reflect": 2}.get(mode, 1)
    for size in (0, 1, 2, 3, 6, 19):
        if 0 < size < least:
            continue
        random = np.random.default_rng(size)
        shapes = {"X": (size, size), "W": (3, 3)}
        arrays = {name: random.integers(-9, 9, shapes[name]).astype("f4") / 8 for name in programs[0].inputs}
        for got, want in zip(*(f(**arrays) for f in programs), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("view", [gc.reflect, lambda x: gc.wrap(gc.pad(x, 0.25, dims=[2]), dims=[3])], ids=["reflect", "pad and wrap"])
@pytest.mark.parametrize(("stride", "before", "width"), [(1, 1, 3), (2, 2, 5)])
def test_convolutions_of_every_size(view, stride, before, width):
    b, f, c, m = gc.index("b"), gc.index("f", 3), gc.index("c", 2), gc.dim("M")
    p, q, r, s = gc.index("p", N), gc.index("q", m), gc.index("r", width), gc.index("s", 2)
    x, w, y, g = gc.tensor("X", 2, 2, stride * N, m), gc.tensor("W", 3, 2, width, 2), gc.tensor("Y"), gc.tensor("G", 2, 3, N, m)
    y[b, f, p, q] += 2 * view(x)[b, c, stride * p + r - before, q + s - 1] * w[f, c, r, s]
    made = [y, gc.grad(y, w, seed=g)]
    programs = [gc.compile(made, target=target) for target in ("cpu", "interpret")]
    assert all("if" not in k.loop for k in programs[0].kernels if "W" in k.loop), "one product, without conditions"
    for rows, columns in ((0, 3), (3, 0), (3, 2), (5, 7), (17, 16)):
        random = np.random.default_rng(rows)
        shapes = {"X": (2, 2, stride * rows, columns), "W": (3, 2, width, 2), "G": (2, 3, rows, columns)}
        arrays = {name: random.integers(-9, 9, shape).astype("f4") / 8 for name, shape in shapes.items()}
        for got, want in zip(*(f(**arrays) for f in programs), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_what_a_condition_reads_keeps_the_ranges():
    """Found by random programs: the product read a padded copy, and a mask beside it what lies behind the end."""
    X, y, T = gc.tensor("X", 2, 3), gc.tensor("y", 3), gc.tensor("T")
    i, j = gc.index("i"), gc.index("j", 3)
    T[i] += X[j // 2, i] * y[j] * (y[j] <= 0.5)
    loss = gc.tensor("loss")
    loss[()] += T[i] ** 2
    gradient = gc.grad(loss, X)
    arrays = {"X": np.float32([[1, 2, 3], [4, 5, 6]]), "y": np.float32([0.25, -1, 0.5])}
    (got,) = run(gc.compile(gradient), arrays)
    np.testing.assert_allclose(got, gc.compile(gradient, target="interpret")(arrays), rtol=1e-5)
