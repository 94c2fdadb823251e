"""Loops of one step that differ in where they begin become one."""

from __future__ import annotations

import numpy as np

import graphc as gc

T, B, H = gc.dims("T B H")
t, b, k, j = gc.indices("t b k j")
i = gc.index("i", H)


def gated():
    """Half of what a product computes is a gate of the other half."""
    x, V = gc.tensor("x", T, B, 2 * H), gc.tensor("V", H, 2 * H)
    z, h, loss = gc.tensors("z h loss")
    z[t, b, k] = x[t, b, k] + gc.sum(gc.pad(h, 0, dims=[0])[t - 1, b, j] * V[j, k], over=j)
    h[t, b, i] = gc.sigmoid(z[t, b, i]) * gc.tanh(z[t, b, i + H])
    loss[()] += h[t, b, i] ** 2
    return [loss, *gc.grad(loss, [x, V])]


def test_both_halves_of_a_gradient_are_computed_in_one_loop():
    outputs = gated()
    f = gc.compile(outputs)
    kernel = f.source[f.source.index("def scan_1"):].split("@njit")[0]
    code = [line for line in kernel.splitlines() if not line.strip().startswith("#")]
    assert sum(line.count("tanh(") for line in code) == 1, "the function of a gate is shared by the halves"
    assert any("[t, b, i + H] += " in line for line in code)
    r = np.random.default_rng(0)
    arrays = {"x": r.standard_normal((4, 3, 18), "float32"), "V": r.standard_normal((9, 18), "float32") / 2}
    for got, wanted in zip(f(**arrays), gc.compile(outputs, target="interpret")(**arrays), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
