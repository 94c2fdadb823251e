"""Learning rates that change: functions of the number of steps that have been taken, to be passed as ``lr=``.

A schedule is any function from that number, an expression, to an expression: ``lr=lambda step: 0.1/(1 + step)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import graphc as gc
from graphc.requests import check_number, refusal

__all__ = [
    "cosine_annealing_lr", "exponential_lr", "linear_lr", "multi_step_lr", "one_cycle_lr", "polynomial_lr", "sequential_lr", "step_lr",
]

Schedule = Callable[[Any], Any]


def step_lr(lr: float, step_size: int, gamma: float = 0.1) -> Schedule:
    """`lr`, times `gamma` after every `step_size` steps.

    >>> import graphc as gc
    >>> L, w = gc.tensor("L"), gc.parameter("w", ())
    >>> L[()] = w[()]**2
    >>> print(gc.loops(*gc.optim.sgd(L, lr=gc.optim.step_lr(0.1, 30)).values()))  # doctest: +ELLIPSIS
    sgd.lr[()] = 0.1*0.1**floor(sgd.step[()]/30)
    ...
    """
    check_number("optim.step_lr", "lr", lr)
    _check_steps("step_lr", "step_size", step_size)
    check_number("optim.step_lr", "gamma", gamma)
    return lambda step: lr * gc.power(gamma, gc.floor(step / step_size))


def multi_step_lr(lr: float, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """`lr`, times `gamma` for each of the `milestones` that the number of steps has reached."""
    check_number("optim.multi_step_lr", "lr", lr)
    _check_milestones("multi_step_lr", milestones)
    check_number("optim.multi_step_lr", "gamma", gamma)
    return lambda step: lr * gc.power(gamma, sum(gc.where(step >= milestone, 1, 0) for milestone in milestones))


def exponential_lr(lr: float, gamma: float) -> Schedule:
    """`lr`, times `gamma` after every step."""
    check_number("optim.exponential_lr", "lr", lr)
    check_number("optim.exponential_lr", "gamma", gamma)
    return lambda step: lr * gc.power(gamma, step)


def cosine_annealing_lr(lr: float, T_max: int, eta_min: float = 0.0) -> Schedule:
    """From `lr` to `eta_min` along half a period of the cosine, in `T_max` steps."""
    check_number("optim.cosine_annealing_lr", "lr", lr)
    _check_steps("cosine_annealing_lr", "T_max", T_max)
    return lambda step: eta_min + (lr - eta_min) * (1 + gc.cos(math.pi / T_max * step)) / 2


def linear_lr(lr: float, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5) -> Schedule:
    """From ``lr*start_factor`` to ``lr*end_factor`` along a line, in `total_iters` steps: a warm-up."""
    check_number("optim.linear_lr", "lr", lr)
    _check_steps("linear_lr", "total_iters", total_iters)
    check_number("optim.linear_lr", "start_factor", start_factor)
    check_number("optim.linear_lr", "end_factor", end_factor)
    slope = (end_factor - start_factor) / total_iters
    return lambda step: lr * (start_factor + slope * gc.minimum(step, total_iters))


def polynomial_lr(lr: float, total_iters: int = 5, power: float = 1.0) -> Schedule:
    """From `lr` to 0 as ``(1 - step/total_iters)**power``."""
    check_number("optim.polynomial_lr", "lr", lr)
    _check_steps("polynomial_lr", "total_iters", total_iters)
    check_number("optim.polynomial_lr", "power", power)
    return lambda step: lr * gc.power(1 - gc.minimum(step, total_iters) / total_iters, power)


def one_cycle_lr(
    max_lr: float, total_steps: int, pct_start: float = 0.3, div_factor: float = 25.0, final_div_factor: float = 1e4
) -> Schedule:
    """From ``max_lr/div_factor`` up to `max_lr` and down to ``max_lr/(div_factor·final_div_factor)``, on cosines (Smith and Topin, 2017).

    The way up takes ``pct_start·total_steps - 1`` steps; where that is negative, the first step is on the way down already, as in PyTorch.
    """
    check_number("optim.one_cycle_lr", "max_lr", max_lr)
    _check_steps("one_cycle_lr", "total_steps", total_steps)
    check_number("optim.one_cycle_lr", "pct_start", pct_start, below=1)
    check_number("optim.one_cycle_lr", "div_factor", div_factor, positive=True)
    check_number("optim.one_cycle_lr", "final_div_factor", final_div_factor, positive=True)
    first, last = max_lr / div_factor, max_lr / div_factor / final_div_factor
    up = pct_start * total_steps - 1
    down = total_steps - 1 - up

    def between(start: float, end: float, share: Any) -> Any:
        return end + (start - end) / 2 * (1 + gc.cos(math.pi * share))

    def rate(step: Any) -> Any:
        falling = between(max_lr, last, gc.minimum((step - up) / down, 1))
        return falling if up < 0 else gc.where(step <= up, between(first, max_lr, step / up if up else 0), falling)

    return rate


def sequential_lr(schedules: Sequence[Schedule], milestones: Sequence[int]) -> Schedule:
    """One schedule after the other: each counts its steps from its milestone on. A warm-up, then a cosine:

    >>> import graphc as gc
    >>> rate = gc.optim.sequential_lr([gc.optim.linear_lr(0.1, 0.01, 1, 10), gc.optim.cosine_annealing_lr(0.1, 90)], [10])
    >>> r, step = gc.tensor("r", dtype="float64"), gc.tensor("step", (), dtype="int64")
    >>> r[()] = rate(step[()])
    >>> [round(float(gc.compile(r, target="interpret")(step=s)), 4) for s in (0, 10, 55, 100)]
    [0.001, 0.1, 0.05, 0.0]
    """
    _check_milestones("sequential_lr", milestones)
    if len(schedules) != len(milestones) + 1 or not all(map(callable, schedules)):
        raise refusal(gc.ArgumentError, f"gc.optim.sequential_lr has {len(schedules)} schedules and {len(milestones)} milestones.",
                      f"sequential_lr(…, {milestones!r})", repr(milestones), "give one schedule more than milestones.")

    def rate(step: Any) -> Any:
        value = schedules[0](step)
        for schedule, milestone in zip(schedules[1:], milestones, strict=True):
            value = gc.where(step < milestone, value, schedule(step - milestone))
        return value

    return rate


def _check_steps(schedule: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        culprit = f"{name}={value!r}"
        raise refusal(gc.ArgumentError, f"{culprit} of gc.optim.{schedule} is no number of steps.", f"{schedule}(…, {culprit})", culprit,
                      "give a positive integer.")


def _check_milestones(schedule: str, milestones: Any) -> None:
    counts = isinstance(milestones, Sequence) and all(isinstance(m, Integral) for m in milestones)
    if not counts or sorted(milestones) != list(milestones):
        raise refusal(gc.ArgumentError, f"milestones={milestones!r} of gc.optim.{schedule} are not numbers of steps in ascending order.",
                      f"{schedule}(…, milestones={milestones!r})", f"milestones={milestones!r}", "write milestones=[30, 60].")
