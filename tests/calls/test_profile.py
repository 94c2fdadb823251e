"""f.profile: a row per kernel, with what the machine can do beside it; nothing is updated."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc


def step():
    n, i, j = gc.indices("n i j")
    x, w, y, loss = gc.tensor("x", gc.dim("N"), 40), gc.parameter("w", 30, 40), *gc.tensors("y loss")
    y[n, j] = gc.tanh(gc.sum(x[n, i] * w[j, i], over=i))
    loss[()] += y[n, j] ** 2
    return gc.compile(loss, updates=gc.optim.sgd(loss, lr=0.1))


def test_profile_of_a_training_step():
    program, x = step(), np.ones((50, 40), "float32")
    state = program.init(seed=1)
    before = state["w"].copy()
    profile = program.profile(state, x=x)
    np.testing.assert_array_equal(state["w"], before)
    assert [row.name for row in profile.rows] == [kernel.name for kernel in program.kernels]
    assert all(kernel.time > 0 for kernel in program.kernels)
    product = next(row for row in profile.rows if row.plan.find("contraction") >= 0)
    assert product.operations == pytest.approx(2 * 50 * 40 * 30, rel=0.1)
    assert product.bytes == 4 * (50 * 40 + 40 * 30 + 50 * 30)
    assert 0 < profile.time <= profile.call
    assert profile.operations > 1e8 and profile.bandwidth > 1e8
    text = str(profile).splitlines()
    assert len(text) == len(profile.rows) + 4 and "of limit" in text[0] and text[-1].startswith("limits:")
    assert program(state, x=x) > 0 and not np.array_equal(state["w"], before)


def test_steps_of_recurrences_are_added_up():
    t, b, i, j = gc.indices("t b i j")
    x, w, h = gc.tensor("x", 6, 2, 24), gc.tensor("w", 24, 24), gc.tensor("h")
    h[t, b, i] = gc.tanh(gc.sum(gc.pad(h, 0, dims=[0])[t - 1, b, j] * w[j, i], over=j) + x[t, b, i])
    profile = gc.compile(h).profile(x=np.ones((6, 2, 24), "float32"), w=np.ones((24, 24), "float32"))
    assert all(row.time > 0 for row in profile.rows)


def test_work_under_conditions_that_leave_one_value() -> None:
    n = gc.dim("N")
    t, i, x, y = *gc.indices("t i"), gc.tensor("x", n, n), gc.tensor("y", n)
    y[i] += gc.where(t <= 0, x[t, i], 0)
    (record,) = (k for k in gc.compile(y).kernels if "t" in k.plan.loop)
    assert record.cost.subs(dict.fromkeys(record.cost.free_symbols, 100)) == 100  # not 100²


def test_operations_are_those_of_the_values():
    """Two per multiply-add, none for a subscript."""
    x, w, y = gc.tensor("X", 30), gc.tensor("w", 5), gc.tensor("Y")
    p, r = gc.index("p", 26), gc.index("r")
    y[p] += x[p + r] * w[r]
    z, i = gc.tensor("Z"), gc.index("i", 30)
    z[i] = gc.where(i // 2 > x[0], 3 * x[i // 2] + 1, x[i])
    counted = {record.loop.partition(":  ")[2][0]: record.cost for record in gc.compile([y, z]).kernels}
    assert counted == {"Y": 2 * 26 * 5, "Z": 2 * 30}, "a product and a sum"
