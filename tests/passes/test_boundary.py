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


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_skip_in_a_branch(target: str) -> None:
    """The branch that is not taken drops nothing, and what a condition keeps inside is no view."""
    N, (m, j) = gc.dim("N"), gc.indices("m j")
    x, chosen = gc.tensor("x", N), gc.tensor("chosen", N, dtype="int64")
    first, product, loss, looked, largest = gc.tensors("first product loss looked largest")
    first[m] += gc.where(m > 0, gc.skip(x)[m - 1], 5.0) * (1 + 0 * x[m])
    product[()] = gc.prod(gc.where(x[m] > 3, 9.0, gc.skip(x)[m + 2]), over=m)
    loss[()] += gc.where(x[m] < 2, x[m] ** 2, gc.skip(x)[m + 1] * x[m])
    looked[j] += gc.where(chosen[j] >= 0, gc.skip(x)[chosen[j]] + 1, 5.0)
    largest[()] = gc.max(gc.where(m > 0, gc.skip(x)[m - 1], 9.0 * x[m]), over=m)
    f = gc.compile([first, product, loss, looked, largest, gc.grad(loss, x)], target=target)
    got = f(x=np.arange(1, 5, dtype="float32"), chosen=np.array([-1, 2, 9, 0]))
    want = [[5, 1, 2, 3], 3 * 4 * 9, 1 + 6 + 12, [5, 4, 0, 2], 9, [2, 3, 6, 3]]
    for ours, exact in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, exact)


def test_skip_in_a_branch_of_what_has_no_neutral_term() -> None:
    j = gc.index("j")
    x, y = gc.tensor("x", gc.dim("N")), gc.tensor("y")
    y[()] = gc.max(gc.where(x[j] > 3, 7.0, gc.skip(x)[j + 1]), over=j)
    with pytest.raises(gc.NotationError, match="drops a term in a branch of a condition, which max cannot leave out"):
        gc.compile(y)
