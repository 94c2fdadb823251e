"""Optimisers as compiled programs."""

from __future__ import annotations

import numpy as np
import pytest

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


def test_infinite_norm_clips_nothing() -> None:
    w, loss, i = gc.parameter("w", 5), gc.tensor("loss"), gc.index("i")
    loss[()] += w[i] ** 2
    assert gc.loops(*gc.optim.clip_grad_norm(loss, float("inf")).values()) == gc.loops(gc.grad(loss, w))


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


@pytest.mark.parametrize(("share", "steps"), [(0.03, 30), (0.0, 10), (0.3, 10), (0.25, 27)])
def test_one_cycle_is_that_of_pytorch(share: float, steps: int) -> None:
    torch = pytest.importorskip("torch")
    step, rate = gc.tensor("step", (), dtype="int64"), gc.tensor("rate", dtype="float64")
    rate[()] = gc.optim.one_cycle_lr(0.1, steps, share)(step[()])
    program = gc.compile(rate, target="interpret")
    reference = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(reference, 0.1, steps, pct_start=share, cycle_momentum=False)
    for k in range(steps):
        assert program(step=k) == pytest.approx(reference.param_groups[0]["lr"], rel=1e-9)
        reference.step()
        if k < steps - 1:
            schedule.step()


def test_one_cycle_that_begins_with_its_first_step() -> None:
    step, rate = gc.tensor("step", (), dtype="int64"), gc.tensor("rate", dtype="float64")
    rate[()] = gc.optim.one_cycle_lr(0.1, 10, 0.1)(step[()])
    assert [float(gc.compile(rate, target="interpret")(step=k)) for k in (0, 9)] == pytest.approx([0.004, 4e-7])
