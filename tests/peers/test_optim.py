"""Optimisers, schedules and clipping against torch.optim, in float64 through the interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gc

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install graphc[torch]")

pytestmark = pytest.mark.peers
optim = gc.optim


def model(dtype: str = "float64") -> tuple[gc.Tensor, dict[str, np.ndarray]]:
    """A logistic loss with a weight that does not matter at all."""
    b, i = gc.indices("b i")
    x, w, loss = gc.tensor("x", gc.dim("N"), 3, dtype=dtype), gc.parameter("w", 3, dtype=dtype), gc.tensor("loss")
    c = gc.parameter("c", (), dtype=dtype, init="ones")
    loss[()] = gc.mean(gc.softplus(gc.sum(x[b, i] * w[i], over=i) + c[()]), over=b) + gc.sum(0.1 * w[i] ** 2, over=i)
    random = np.random.default_rng(0)
    return loss, {"x": random.normal(size=(5, 3)).astype(dtype), "w": random.normal(size=3).astype(dtype), "c": np.array(0.5, dtype)}


def torch_steps(arrays: dict[str, np.ndarray], make: Callable[..., Any], count: int, after: Callable[..., Any] | None = None) -> list[Any]:
    x, w, c = (torch.tensor(arrays[n], requires_grad=n != "x") for n in "xwc")
    optimiser = make([w, c])
    optimiser, schedule = optimiser if isinstance(optimiser, tuple) else (optimiser, None)
    for _ in range(count):
        optimiser.zero_grad()
        loss = torch.nn.functional.softplus(x @ w + c).mean() + 0.1 * (w**2).sum()
        loss.backward()
        if after:
            after([w, c])
        optimiser.step()
        if schedule:
            schedule.step()
    return [w.detach().numpy(), c.detach().numpy()]


def graphc_steps(loss: gc.Tensor, updates: dict[Any, Any], arrays: dict[str, np.ndarray], count: int, **more: Any) -> list[Any]:
    step = gc.compile(loss, updates=updates, target="interpret")
    state = step.init(seed=0) | {n: arrays[n].copy() for n in "wc"}
    for _ in range(count):
        step(state, x=arrays["x"], **more)
    return [state["w"], state["c"]]


def agree(mine: list[Any], theirs: list[Any], tolerance: float = 1e-9) -> None:
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


CASES = [
    ("sgd", "SGD", {"lr": 0.1}),
    ("sgd", "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("sgd", "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("sgd", "SGD", {"momentum": 0.9, "dampening": 0.5}),
    ("adagrad", "Adagrad", {}),
    ("adagrad", "Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2}),
    ("rmsprop", "RMSprop", {}),
    ("rmsprop", "RMSprop", {"lr": 1e-3, "alpha": 0.9, "eps": 1e-7, "momentum": 0.5, "centered": True, "weight_decay": 0.1}),
    ("adam", "Adam", {}),
    ("adam", "Adam", {"betas": (0.8, 0.95), "eps": 1e-7, "weight_decay": 0.1, "amsgrad": True}),
    ("adam", "Adam", {"betas": (0.0, 0.9)}),
    ("adamw", "AdamW", {"lr": 0.01}),
    ("adamw", "AdamW", {"weight_decay": 0.5, "amsgrad": True, "maximize": True}),
]


@pytest.mark.parametrize(("mine", "theirs", "arguments"), CASES, ids=lambda a: ",".join(a) if isinstance(a, dict) else a)
def test_optimiser(mine: str, theirs: str, arguments: dict[str, Any]) -> None:
    loss, arrays = model()
    expected = torch_steps(arrays, lambda p: getattr(torch.optim, theirs)(p, **arguments), 20)
    agree(graphc_steps(loss, getattr(optim, mine)(loss, **arguments), arrays, 20), expected)


FLOAT32 = [*CASES[:3], CASES[4], CASES[5], CASES[6], CASES[8], CASES[9], CASES[11]]


@pytest.mark.parametrize(("mine", "theirs", "arguments"), FLOAT32, ids=lambda a: ",".join(a) if isinstance(a, dict) else a)
def test_200_steps_in_float32(mine: str, theirs: str, arguments: dict[str, Any]) -> None:
    loss, arrays = model("float32")
    expected = torch_steps(arrays, lambda p: getattr(torch.optim, theirs)(p, **arguments), 200)
    agree(graphc_steps(loss, getattr(optim, mine)(loss, **arguments), arrays, 200), expected, 1e-5)


SCHEDULES = [
    ("step_lr", "StepLR", {"step_size": 3, "gamma": 0.5}),
    ("multi_step_lr", "MultiStepLR", {"milestones": [2, 5]}),
    ("exponential_lr", "ExponentialLR", {"gamma": 0.9}),
    ("cosine_annealing_lr", "CosineAnnealingLR", {"T_max": 9, "eta_min": 0.01}),
    ("linear_lr", "LinearLR", {}),
    ("polynomial_lr", "PolynomialLR", {"total_iters": 6, "power": 2.0}),
    ("one_cycle_lr", "OneCycleLR", {"total_steps": 10, "pct_start": 0.4, "cycle_momentum": False}),
]


@pytest.mark.parametrize(("mine", "theirs", "arguments"), SCHEDULES, ids=[s[0] for s in SCHEDULES])
def test_schedule(mine: str, theirs: str, arguments: dict[str, Any]) -> None:
    def make(parameters: Any) -> tuple[Any, Any]:
        optimiser = torch.optim.SGD(parameters, 0.5)
        first = {"max_lr": 0.5} if mine == "one_cycle_lr" else {}
        return optimiser, getattr(torch.optim.lr_scheduler, theirs)(optimiser, **first, **arguments)

    loss, arrays = model()
    known = {name: value for name, value in arguments.items() if name != "cycle_momentum"}
    updates = optim.sgd(loss, lr=getattr(optim, mine)(0.5, **known))
    agree(graphc_steps(loss, updates, arrays, 9), torch_steps(arrays, make, 9))


def test_schedules_one_after_the_other() -> None:
    def make(parameters: Any) -> tuple[Any, Any]:
        optimiser, lr = torch.optim.SGD(parameters, 0.5), torch.optim.lr_scheduler
        parts = [lr.LinearLR(optimiser, 0.1, 1.0, 3), lr.CosineAnnealingLR(optimiser, 6)]
        return optimiser, lr.SequentialLR(optimiser, parts, [3])

    loss, arrays = model()
    rate = optim.sequential_lr([optim.linear_lr(0.5, 0.1, 1.0, 3), optim.cosine_annealing_lr(0.5, 6)], [3])
    agree(graphc_steps(loss, optim.sgd(loss, lr=rate), arrays, 9), torch_steps(arrays, make, 9))


def test_rate_as_argument() -> None:
    loss, arrays = model()
    updates = optim.adam(loss, gc.tensor("lr", (), dtype="float64"))
    agree(graphc_steps(loss, updates, arrays, 5, lr=0.01), torch_steps(arrays, lambda p: torch.optim.Adam(p, 0.01), 5))


@pytest.mark.parametrize("limit", [0.3, 100.0])
def test_clip_norm(limit: float) -> None:
    loss, arrays = model()
    expected = torch_steps(arrays, lambda p: torch.optim.SGD(p, 0.5), 5, lambda p: torch.nn.utils.clip_grad_norm_(p, limit))
    agree(graphc_steps(loss, optim.sgd(optim.clip_grad_norm(loss, limit), 0.5), arrays, 5), expected)


def test_clip_value() -> None:
    loss, arrays = model()
    expected = torch_steps(arrays, lambda p: torch.optim.SGD(p, 0.5), 5, lambda p: torch.nn.utils.clip_grad_value_(p, 0.1))
    agree(graphc_steps(loss, optim.sgd(optim.clip_grad_value(loss, 0.1), 0.5), arrays, 5), expected)
