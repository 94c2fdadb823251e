"""Optimisers written in the notation: each turns a loss into an `updates` dict of loops, with PyTorch's keywords and defaults."""

from graphc.optim.clip import clip_grad_norm, clip_grad_value
from graphc.optim.optimisers import adagrad, adam, adamw, rmsprop, sgd
from graphc.optim.schedules import (
    cosine_annealing_lr,
    exponential_lr,
    linear_lr,
    multi_step_lr,
    one_cycle_lr,
    polynomial_lr,
    sequential_lr,
    step_lr,
)

__all__ = [
    "adagrad",
    "adam",
    "adamw",
    "clip_grad_norm",
    "clip_grad_value",
    "cosine_annealing_lr",
    "exponential_lr",
    "linear_lr",
    "multi_step_lr",
    "one_cycle_lr",
    "polynomial_lr",
    "rmsprop",
    "sequential_lr",
    "sgd",
    "step_lr",
]
