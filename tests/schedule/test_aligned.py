"""Loops of one step that differ in where they begin become one."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from tests import unjitted

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


@pytest.mark.parametrize("steps", [1, 2, 21, 40])
def test_a_condition_that_keeps_a_write_inside_stays_around_it(steps):
    """The recurrence has 20 steps more than c has rows."""
    x, W, s, c = gc.tensor("x", T, B, H), gc.tensor("W", H, H), gc.tensor("s", T, B, H), gc.tensor("c", T, B, H)
    before, at = gc.pad(s, 0, dims=[0]), gc.pad(c, 0, dims=[0])
    c[t, b, k] = x[t, b, k] + gc.sum(before[t - 21, b, j] * W[j, k], over=j)
    s[t, b, k] = gc.tanh(at[t + 20, b, k])
    r = np.random.default_rng(steps)
    arrays = {"x": r.standard_normal((steps, 2, 3), "float32"), "W": r.standard_normal((3, 3), "float32")}
    wanted = gc.compile([s, c], target="interpret")(**arrays)
    for got, expected in zip(unjitted.run(gc.compile([s, c]), arrays), wanted, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_integers_are_looked_up_in_the_steps_that_use_them():
    x, W, s, c = gc.tensor("x", T, B, H), gc.tensor("W", H, H), gc.tensor("s", T, B, H), gc.tensor("c", T, B, H)
    at, u, late, t0 = gc.tensor("at", T, H, dtype="int64"), gc.tensor("u", T, B, H), gc.index("late", 20, T), gc.index("t0", 0, T)
    c[t0, b, k] = x[t0, b, k] + gc.sum(gc.pad(s, 0, dims=[0])[t0 - 21, b, j] * W[j, k], over=j)
    u[late, b, at[late, k]] += c[late, b, k] * x[late, b, k]
    s[t0, b, k] = gc.tanh(u[t0, b, k])
    arrays = {"x": np.ones((25, 2, 3), "f"), "W": np.eye(3, dtype="f"), "at": np.full((25, 3), 9)}
    arrays["at"][20:] = 1
    found = gc.compile(s)(**arrays)
    assert (found[20:, :, 1] != 0).all()
    np.testing.assert_allclose(found, gc.compile(s, target="interpret")(**arrays), rtol=1e-5)
