"""A loss beside its gradient is summed row by row, in one pass over what both read."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from graphc.passes.row_sums import row_sums
from tests.notation import canonical, graph_of, text

N, M = gc.dims("N M")
n, j = gc.indices("n j")


def weighted(rows=N, columns=M):
    """A weighted sum, and a map over the same rows."""
    x, t, y, total = gc.tensor("x", rows, columns), gc.tensor("t", rows, columns), *gc.tensors("y total")
    y[n, j] = 2 * x[n, j] + t[n, j]
    total[()] += x[n, j] * t[n, j]
    return y, total


def test_sums_beside_maps_over_the_same_rows():
    found = text(row_sums(canonical(graph_of(*weighted()))))
    assert "total.rows[n] += t[n,j]*x[n,j]" in found.replace("x[n,j]*t[n,j]", "t[n,j]*x[n,j]")
    assert "total[()] += total.rows[n]" in found


def test_short_rows_and_sums_of_one_index_stay():
    for outputs in (weighted(columns=100),):
        graph = canonical(graph_of(*outputs))
        assert row_sums(graph) == graph
    x, y, total = gc.tensor("x", N), *gc.tensors("y total")
    y[n] = 2 * x[n]
    total[()] += x[n]
    graph = canonical(graph_of(y, total))
    assert row_sums(graph) == graph


def hinge(rows=N, columns=M):
    """The hinge of all classes but the right one, and its gradient."""
    scores, label, loss = gc.tensor("scores", rows, columns), gc.tensor("label", rows, dtype="int64"), gc.tensor("loss")
    loss[()] += gc.where(j == label[n], 0, gc.relu(scores[n, j] - scores[n, label[n]] + 1))
    return [loss, gc.grad(loss, scores)]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 16), (5, 129), (0, 3), (3, 0), (64, 65)])
def test_values(rows, columns):
    random = np.random.default_rng(rows * columns)
    scores = random.normal(size=(rows, columns))
    label = random.integers(0, max(columns, 1), rows)
    loss, slope = gc.compile(hinge(), precision="float64")(scores=scores, label=label)
    if not columns:
        assert loss == 0
        return
    margin = scores - scores[np.arange(rows), label][:, None] + 1
    wrong = np.arange(columns) != label[:, None]
    inside = wrong & (margin > 0)
    expected = inside.astype(float)
    expected[np.arange(rows), label] -= inside.sum(1)
    np.testing.assert_allclose(loss, margin[inside].sum(), rtol=1e-12)
    np.testing.assert_array_equal(slope, expected)


def test_one_loop_over_a_row_without_branches():
    source = gc.compile(hinge(64, 1000)).source
    fast = source[source.index("if 0 <= ") : source.index("if not (0 <= ")]
    assert fast.count("for j in range") == 2, "before the label and behind it"
    assert "==" not in fast
    assert " if " not in fast[10:]


def test_a_label_outside_is_an_error_only_if_a_term_uses_it():
    program = gc.compile(hinge())
    scores = np.zeros((2, 3), "f")
    with pytest.raises(gc.ArgumentError, match="3"):
        program(scores=scores, label=np.array([0, 3]))
    program(scores=np.zeros((2, 0), "f"), label=np.array([0, 3]))
