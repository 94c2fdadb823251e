"""Optimisers as compiled programs."""

from __future__ import annotations

import numpy as np

import graphc as gc


def test_compiled_steps_are_the_interpreted_ones() -> None:
    i = gc.index("i")
    w, x, loss = gc.parameter("w", 5, init="normal"), gc.tensor("x", 5), gc.tensor("loss")
    loss[()] += (w[i] - x[i]) ** 2
    updates = gc.optim.adam(gc.optim.clip_grad_norm(loss, 1.0), gc.optim.cosine_annealing_lr(0.1, 10))
    states = []
    for target in ("cpu", "interpret"):
        step = gc.compile(loss, updates=updates, target=target)
        states.append(step.init(seed=1))
        for _ in range(3):
            step(states[-1], x=np.arange(5, dtype="float32"))
    assert states[0]["adam.step"] == 3
    for name, array in states[0].items():
        np.testing.assert_allclose(array, states[1][name], rtol=1e-5, atol=1e-6)


def test_two_optimisers_in_one_step() -> None:
    i = gc.index("i")
    a, b, loss = gc.parameter("a", 3, init="ones"), gc.parameter("b", 3, init="ones"), gc.tensor("loss")
    loss[()] += a[i] ** 2 * b[i]
    da, db = gc.grad(loss, [a, b])
    updates = gc.optim.adam({a: da}, 0.1, name="descent") | gc.optim.adam({b: db}, 0.1, maximize=True, name="ascent")
    step = gc.compile(loss, updates=updates, target="interpret")
    state = step.init()
    step(state)
    assert {"descent.step", "ascent.step"} < set(state)
    np.testing.assert_allclose([state["a"], state["b"]], [[0.9] * 3, [1.1] * 3], rtol=1e-5)
