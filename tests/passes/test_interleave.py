"""Recurrences that are independent of each other are computed side by side."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

B, I, J = gc.dims("B I J")
b, i, j, t = gc.indices("b i j t")


def table(dear: bool = True):
    """The cheapest way, or the soft one, through the tables of a batch."""
    x, y, cost, loss = gc.tensor("x", B, I), gc.tensor("y", B, J), *gc.tensors("cost loss")
    far = gc.pad(cost, 9, dims=[1, 2])
    up, left = far[b, i - 1, j], far[b, i, j - 1]
    soft = up - gc.softplus(up - left) if dear else gc.minimum(up, left)
    cost[b, i, j] = (x[b, i] - y[b, j]) ** 2 + gc.where((i == 0) & (j == 0), 0, soft)
    loss[()] += cost[b, I - 1, J - 1]
    return x, y, cost, loss


def agree(outputs, tolerance=2e-5, threads=None, **arrays):
    f = gc.compile(outputs, threads=threads)
    for got, wanted in zip(f(**arrays), gc.compile(outputs, target="interpret")(**arrays), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
    return f


@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (17, 2), (40, 2)])
@pytest.mark.parametrize("dear", [True, False])
def test_tables_of_a_batch(batch, threads, dear):
    r = np.random.default_rng(batch)
    x, y, _, loss = table(dear)
    arrays = {"x": r.standard_normal((batch, 5), "float32"), "y": r.standard_normal((batch, 4), "float32")}
    f = agree([loss, *(gc.grad(loss, [x, y]) if dear else [])], threads=threads, **arrays)
    assert "cost_interleaved[i, j, b] = " in f.source or "cost_interleaved[i % 2, j, b] = " in f.source
    assert ("x_grad_interleaved" in f.source) == dear


def test_a_table_that_is_a_result_is_copied_where_the_work_is_worth_it():
    r = np.random.default_rng(0)
    arrays = {"x": r.standard_normal((9, 5), "float32"), "y": r.standard_normal((9, 4), "float32")}
    _, _, cost, loss = table()
    assert "interleaved" in agree([cost, loss], **arrays).source
    _, _, cost, loss = table(dear=False)
    assert "interleaved" not in agree([cost, loss], **arrays).source


def series(function, wanted):
    """A recurrence along the last dimension of a batch of series."""
    x, h, loss = gc.tensor("x", B, J), *gc.tensors("h loss")
    h[b, t] = function(gc.pad(h, 0, dims=[1])[b, t - 1] + x[b, t])
    loss[()] += h[b, t] ** 2
    return [loss, gc.grad(loss, x), *([h] if wanted else [])]


def test_series():
    x = np.random.default_rng(3).standard_normal((18, 7), "float32")
    assert "h_interleaved[t, b] = " in agree(series(lambda z: gc.tanh(z) * gc.sigmoid(z), wanted=True), x=x).source


def test_a_cheap_recurrence_stays():
    assert "interleaved" not in gc.compile(series(lambda z: z / 2, wanted=False)).source


def test_few_series_stay():
    x, h = gc.tensor("x", 4, J), gc.tensor("h")
    h[b, t] = gc.tanh(gc.sigmoid(gc.pad(h, 0, dims=[1])[b, t - 1]) + x[b, t])
    assert "interleaved" not in gc.compile(h).source


def test_products_stay():
    W, x, h = gc.tensor("W", J, J), gc.tensor("x", I, B, J), gc.tensor("h")
    h[t, b, j] = gc.tanh(gc.sum(W[j, i] * gc.pad(h, 0, dims=[0])[t - 1, b, i], over=i) + x[t, b, j])
    assert "interleaved" not in gc.compile(h).source
