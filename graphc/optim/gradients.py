"""What optimisers take: a loss, or gradients by parameter."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import graphc as gc
from graphc.requests import refusal

__all__ = ["check_number", "gradients", "subscripts"]


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


def check_number(verb: str, name: str, value: Any, least: float = 0.0, below: float = float("inf"), *, positive: bool = False) -> None:
    """Refuse what is no number in [least, below), or is `least` if it has to be `positive`.

    Raises:
        ArgumentError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= float(value) < below or (positive and value == least):
        limits = f" that is {'greater than' if positive else 'at least'} {least:g}" if least > float("-inf") else ""
        limits += "" if below == float("inf") else f" and less than {below:g}"
        raise refusal(gc.ArgumentError, f"{name}={value!r} of gc.optim.{verb} is no number{limits}.",
                      f"{verb}(…, {name}={value!r})", f"{name}={value!r}", f"give a number{limits}.")
