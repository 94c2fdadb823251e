"""Indices that may be negative: what is stored for each of their values begins at 0."""

import numpy as np
import pytest

import graphc as gc
from graphc.passes.from_zero import from_zero
from tests.notation import applied, graph_of, text

x, y = gc.tensor("x", 8), gc.tensor("y", 5)
i, j = gc.index("i", -2, 3), gc.index("j", 3)
y[i + 2] = 2 * gc.exp(gc.sum(x[i + j + 2], over=j)) + i
X = np.linspace(0, 0.7, 8).astype("f")
WANT = [2 * np.exp(X[k : k + 3].sum()) + k - 2 for k in range(5)]


def test_ranges_begin_at_zero():
    assert text(applied(from_zero, graph_of(y), {})).strip() == "for i:  y[i] = 2*exp(sum(x[i+j], over=j)) + i - 2"


@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_a_nested_reduction_over_negative_indices(target):
    np.testing.assert_allclose(gc.compile(y, target=target)(x=X), WANT, rtol=1e-6)
    loss = gc.tensor("loss")
    loss[()] += gc.sin(y[i + 2])
    assert gc.check_grad(loss, x, order=2, x=X.astype("float64")) < 1e-9


def test_a_bound_index_that_may_be_negative():
    k = gc.index("k", -1, 2)
    z = gc.tensor("z")
    z[()] = gc.max(gc.exp(gc.sum(x[k + j + 1], over=j)) - k, over=k)
    np.testing.assert_allclose(gc.compile(z)(x=X), max(np.exp(X[k : k + 3].sum()) - k + 1 for k in range(3)), rtol=1e-6)


def test_a_range_that_begins_at_a_difference_of_sizes():
    n, m = gc.dims("n m")
    a, b, r = gc.tensor("a", n), gc.tensor("b", m), gc.tensor("r", n + m - 1)
    s, t = gc.index("s", 1 - m, n), gc.index("t", m)
    r[s + m - 1] = gc.sigmoid(gc.sum(gc.pad(a, 0)[s + t] * b[t], over=t))
    left, right = np.float32([1, 2, 3]), np.float32([0.5, -1])
    want = 1 / (1 + np.exp(-np.correlate(left, right, "full")))
    for target in ("cpu", "interpret"):
        np.testing.assert_allclose(gc.compile(r, target=target)(a=left, b=right), want, rtol=1e-6)
