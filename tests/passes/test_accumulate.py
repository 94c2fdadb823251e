"""Sums that a tensor of a recurrence is a sum of are accumulated in it."""

from __future__ import annotations

import numpy as np

import graphc as gc

T, B, H = gc.dims("T B H")
t, b, i, j = gc.indices("t b i j")


def elman(wanted=()):
    """A recurrent net whose pre-activations have a name."""
    x, W, V, c = gc.tensor("x", T, B, H), gc.tensor("W", H, H), gc.tensor("V", H, H), gc.tensor("c", H)
    z, h, loss = gc.tensors("z h loss")
    z[t, b, i] = gc.sum(x[t, b, j] * W[j, i], over=j) + gc.sum(gc.pad(h, 0, dims=[0])[t - 1, b, j] * V[j, i], over=j) + c[i]
    h[t, b, i] = gc.tanh(z[t, b, i])
    loss[()] += h[t, b, i] ** 2
    return [loss, *gc.grad(loss, [W, V, c, x])]


def test_the_products_of_a_step_are_added_to_one_tensor():
    outputs = elman()
    f = gc.compile(outputs)
    assert "z_sum" not in f.source
    assert f.source.count("wait(sync, team)\n        first, last") == 2, "one kernel behind the product of a step, forward and backward"
    r = np.random.default_rng(0)
    arrays = {n: r.standard_normal(s, "float32") / 2 for n, s in {"x": (3, 5, 9), "W": (9, 9), "V": (9, 9), "c": (9,)}.items()}
    for got, wanted in zip(f(**arrays), gc.compile(outputs, target="interpret")(**arrays), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_a_sum_that_something_else_reads_stays():
    x, V = gc.tensor("x", T, B, H), gc.tensor("V", H, H)
    p, z, h, y = gc.tensor("p", T, B, H), *gc.tensors("z h y")
    p[t, b, i] += gc.pad(h, 0, dims=[0])[t - 1, b, j] * V[j, i]
    z[t, b, i] = p[t, b, i] + x[t, b, i]
    h[t, b, i] = gc.tanh(z[t, b, i])
    y[t, b, i] = p[t, b, i] * h[t, b, i]
    assert "p = view_at" in gc.compile([h, y]).source
    assert "p = view_at" not in gc.compile([h, z]).source
