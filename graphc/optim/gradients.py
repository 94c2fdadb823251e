"""What optimisers take: a loss, or gradients by parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import graphc as gc
from graphc.requests import refusal

__all__ = ["gradients", "subscripts"]


def subscripts(tensor: gc.Tensor) -> tuple[Any, ...]:
    """One index per dimension."""
    return tuple(gc.index(name) for name in "ijklmnpq"[: tensor.ndim])


def gradients(loss: Any, verb: str) -> dict[gc.Tensor, gc.Tensor]:
    """The gradient of each parameter that the loss depends on; a dict of gradients stays what it is.

    Raises:
        ArgumentError: it depends on none, or is neither a tensor nor such a dict.
    """
    if isinstance(loss, gc.Tensor):
        found = gc.parameters(loss)
        if not found:
            raise refusal(gc.ArgumentError, f"{loss.name} depends on no parameter that gc.optim.{verb} could change.",
                          f"{verb}({loss.name}, …)", loss, 'declare what is trained with gc.parameter("W", …), or pass {W: dW}.')
        return dict(zip(found, gc.grad(loss, found), strict=True))
    if not isinstance(loss, Mapping) or not loss or not all(isinstance(t, gc.Tensor) for pair in loss.items() for t in pair):
        raise refusal(gc.ArgumentError, f"gc.optim.{verb} takes a scalar tensor, or a dict from parameters to their gradients.",
                      f"{verb}({loss!r}, …)", repr(loss), "pass the loss L, or {W: dW} with dW = gc.grad(L, W).")
    return dict(loss)
