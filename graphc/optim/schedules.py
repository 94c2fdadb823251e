"""Learning rates that change: functions of the number of steps that have been taken, to be passed as ``lr=``.

A schedule is any function from that number, an expression, to an expression: ``lr=lambda step: 0.1/(1 + step)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import graphc as gc

__all__ = ["cosine_annealing_lr", "exponential_lr", "linear_lr", "multi_step_lr", "polynomial_lr", "step_lr"]

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
    return lambda step: lr * gc.power(gamma, gc.floor(step / step_size))


def multi_step_lr(lr: float, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """`lr`, times `gamma` for each of the `milestones` that the number of steps has reached."""
    return lambda step: lr * gc.power(gamma, sum(gc.where(step >= milestone, 1, 0) for milestone in milestones))


def exponential_lr(lr: float, gamma: float) -> Schedule:
    """`lr`, times `gamma` after every step."""
    return lambda step: lr * gc.power(gamma, step)


def cosine_annealing_lr(lr: float, T_max: int, eta_min: float = 0.0) -> Schedule:
    """From `lr` to `eta_min` along half a period of the cosine, in `T_max` steps."""
    return lambda step: eta_min + (lr - eta_min) * (1 + gc.cos(math.pi / T_max * step)) / 2


def linear_lr(lr: float, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5) -> Schedule:
    """From ``lr*start_factor`` to ``lr*end_factor`` along a line, in `total_iters` steps: a warm-up."""
    slope = (end_factor - start_factor) / total_iters
    return lambda step: lr * (start_factor + slope * gc.minimum(step, total_iters))


def polynomial_lr(lr: float, total_iters: int = 5, power: float = 1.0) -> Schedule:
    """From `lr` to 0 as ``(1 - step/total_iters)**power``."""
    return lambda step: lr * gc.power(1 - gc.minimum(step, total_iters) / total_iters, power)
