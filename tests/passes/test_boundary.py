import numpy as np
import pytest

import graphc as gc
from graphc.ir.expr import BoundaryAccess
from graphc.ir.tree import contains
from graphc.passes.boundary import lower_boundary
from tests.notation import applied, graph_of, text

N = gc.dim("N")


def window(view, width=3, shift=1):
    p, r = gc.index("p", N), gc.index("r", width)
    x, w, y = gc.tensor("X", N), gc.tensor("W", width), gc.tensor("Y")
    y[p] += view(x)[p + r - shift] * w[r]
    return graph_of(y)


@pytest.mark.parametrize("mode", ["pad", "clamp", "wrap", "reflect", "skip"])
def test_mode(mode, golden):
    after = applied(lower_boundary, window({**vars(gc)}[mode]), {"N": 5})
    assert not any(contains(s.value, BoundaryAccess) for s in after.statements)
    golden(text(after))


@pytest.mark.parametrize("mode", ["pad", "clamp", "wrap", "reflect"])
def test_one_element_beyond_every_edge(mode):
    applied(lower_boundary, window({**vars(gc)}[mode], 3, 1), {"N": 2})


def test_constant(golden):
    golden(text(applied(lower_boundary, window(lambda x: gc.pad(x, -1.5)), {"N": 4})))


def test_each_dimension_by_itself(golden):
    i, j = gc.index("i", 4), gc.index("j", 5)
    x, y = gc.tensor("X", 3, 3), gc.tensor("Y")
    y[i, j] = gc.clamp(gc.pad(x, 0, dims=[0]), dims=[1])[i - 1, j - 1]
    golden(text(applied(lower_boundary, graph_of(y))))


def test_what_is_provably_inside_needs_no_condition():
    i = gc.index("i", 1, N - 1)
    x, y = gc.tensor("X", N), gc.tensor("Y", N)
    y[i] = gc.pad(x, 0)[i - 1] + gc.wrap(x)[i + 1] + gc.pad(x, 0)[i]
    assert text(applied(lower_boundary, graph_of(y), {"N": 5})) == "for i:  Y[i] = X[i-1] + X[i+1] + X[i]"


def test_a_declared_index_is_not_trivially_inside(golden):
    i = gc.index("i", 1, 4)
    x, y = gc.tensor("X", 2), gc.tensor("Y")
    y[i] = gc.pad(x, 7)[i]
    golden(text(applied(lower_boundary, graph_of(y))))


def test_skip_leaves_the_count_of_a_mean(golden):
    p, r = gc.index("p", 4), gc.index("r", 3)
    x, y = gc.tensor("X", 4), gc.tensor("Y")
    y[p] = gc.mean(gc.skip(x)[p + r - 1], over=r)
    golden(text(applied(lower_boundary, graph_of(y))))


@pytest.mark.parametrize("nested", [False, True], ids=["at the top", "in a reduction"])
def test_a_reduction_that_vanishes_takes_its_index_along(nested: bool) -> None:
    """Both branches are the same as soon as the view is known to stay inside; nothing must be summed over the index of the condition."""
    x, y, t = gc.tensor("x", 4, dtype="float64"), gc.tensor("y", 2), gc.tensor("t")
    i, k, m = gc.indices("i k m")
    chosen = gc.where(gc.any(y[k] > 0, over=k), gc.clamp(x)[m if nested else i], x[m if nested else i])
    t[i] += gc.sum(chosen, over=m) * x[i] if nested else chosen
    values = np.arange(1.0, 5)
    expected = values.sum() * values if nested else values
    for target in ("cpu", "interpret"):
        f = gc.compile(t, target=target)
        given = {name: a for name, a in {"x": values, "y": np.ones(2, "float32")}.items() if name in f.inputs}
        np.testing.assert_array_equal(f(**given), expected)
