"""Outputs that only copy a recurrence are computed by it."""

from __future__ import annotations

import numpy as np

import graphc as gc

N, T = gc.dims("N T")
i, t = gc.indices("i t")


def sums(view):
    x, G, s, L = gc.tensor("x", T, N), gc.tensor("G", T, N), *gc.tensors("s L")
    s[t, i] = view(s)[t, i - 1] + x[t, i]
    L[()] += s[t, i] * G[t, i]
    return x, s, L


def test_the_gradient_of_a_cumulative_sum_is_accumulated_in_place():
    x, _, L = sums(lambda s: gc.pad(s, 0, dims=[1]))
    f = gc.compile(gc.grad(L, x))
    assert "s_grad" not in f.source.split("def program")[0].split('"""')[2]
    g = np.arange(8.0, dtype="float32").reshape(2, 4)
    np.testing.assert_array_equal(f(G=g), np.cumsum(g[:, ::-1], 1)[:, ::-1])


def test_a_source_that_is_wanted_itself_stays():
    _, s, _ = sums(lambda s: gc.pad(s, 0, dims=[1]))
    y = gc.tensor("y")
    y[t, i] = s[t, i]
    g = np.arange(8.0, dtype="float32").reshape(2, 4)
    first, second = gc.compile([s, y])(x=g)
    np.testing.assert_array_equal(first, second)
    assert not np.shares_memory(first, second)


def test_several_copies_are_adopted_one_after_the_other():
    i = gc.index("i")
    x, w, h, L = gc.tensor("x", gc.dim("N")), gc.tensor("w", gc.dim("N")), gc.tensor("h"), gc.tensor("L")
    h[i] = h[i - 1] + x[i]
    h[-1] = 1
    L[()] += w[i] * h[i]
    dx, dw = gc.compile(gc.grad(L, [x, w]))(x=np.ones(3, "f"), w=np.ones(3, "f"))
    np.testing.assert_array_equal(dx, [3, 2, 1])
    np.testing.assert_array_equal(dw, [2, 3, 4])
