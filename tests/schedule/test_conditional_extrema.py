"""Reductions under conditions on their left indices are computed row by row, as those without conditions are."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

L, K, M = gc.dims("L K M")
q, k, c = gc.indices("q k c")
CONDITIONS = {
    "outer": lambda: q > 0, "inner": lambda: k > 1, "both": lambda: k <= q, "quotient": lambda: (q // 2 + k) % 3 == 1,
    "none": lambda: q < 0, "two": lambda: (q > 0) & (k < K - 1),
}
REDUCTIONS = {"max": gc.max, "min": gc.min, "prod": gc.prod, "logsumexp": gc.logsumexp, "argmax": gc.argmax}


def program(condition, reduction):
    e, a = gc.tensor("E", L, M, dtype="float64"), gc.tensor("A", M, K, dtype="float64")
    y, loss = gc.tensors("y loss")
    y[q, k] = gc.where(condition(), reduction(e[q, c] + a[c, k], over=c), -3)
    loss[()] += gc.sin(y[q, k])
    return [y, *gc.grad(loss, [e, a])]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_values_and_gradients(condition, reduction):
    made = program(CONDITIONS[condition], REDUCTIONS[reduction])
    fast, slow = (gc.compile(made, target=target) for target in ("cpu", "interpret"))
    for sizes in ((1, 1, 1), (3, 5, 2), (2, 17, 4), (4, 3, 9)):
        random = np.random.default_rng(sizes)
        arrays = {"E": random.standard_normal((sizes[0], sizes[2])), "A": random.standard_normal((sizes[2], sizes[1]))}
        if sizes[0] > 2:
            arrays["E"][1, 0] = np.nan
        for got, want in zip(fast(arrays), slow(arrays), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


def test_rows_of_results_grow_in_place():
    source = gc.compile(program(CONDITIONS["outer"], gc.max)[0]).source
    assert "maximum(y_max[q, k]" in source


@pytest.mark.parametrize("reduction", ["max", "min", "argmax"])
@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_an_empty_range_has_no_value_where_the_condition_holds(reduction, target):
    e, y = gc.tensor("E", L, M, dtype="float64"), gc.tensor("y")
    y[q] = gc.where(q > 0, REDUCTIONS[reduction](e[q, c], over=c), 0)
    f = gc.compile(y, target=target)
    assert np.array_equal(f(E=np.zeros((1, 0))), [0])
    with pytest.raises(gc.ArgumentError, match="over an empty range has no value"):
        f(E=np.zeros((2, 0)))


@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_a_row_of_results_over_an_empty_range(target):
    f = gc.compile(program(CONDITIONS["outer"], gc.max)[0], target=target)
    assert np.array_equal(f(E=np.zeros((1, 0)), A=np.zeros((0, 2))), [[-3, -3]])
    assert f(E=np.zeros((3, 0)), A=np.zeros((0, 0))).shape == (3, 0)
    with pytest.raises(gc.ArgumentError, match="over an empty range has no value"):
        f(E=np.zeros((2, 0)), A=np.zeros((0, 2)))


def test_viterbi():
    """The first step has no step before it."""
    e, a, v, best = gc.tensor("E", L, K, dtype="float64"), gc.tensor("A", K, K, dtype="float64"), gc.tensor("v"), gc.tensor("best")
    t, i, j = gc.index("t", L), gc.index("i"), gc.index("j", K)
    v[t, i] = e[t, i] + gc.where(t > 0, gc.max(v[t - 1, j] + a[j, i], over=j), 0)
    best[()] = gc.max(v[L - 1, i], over=i)
    random = np.random.default_rng(0)
    given = {"E": random.standard_normal((6, 5)), "A": random.standard_normal((5, 5))}
    got, slope = gc.compile([best, gc.grad(best, e)])(given)
    scores = given["E"][0]
    for row in given["E"][1:]:
        scores = row + (scores[:, None] + given["A"]).max(0)
    assert np.isclose(got, scores.max())
    assert np.array_equal(slope.sum(1), np.ones(6))
