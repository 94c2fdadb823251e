"""What the layers share: indices, names, and the checks of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import graphc as gc
from graphc.requests import refusal

__all__ = ["axes", "check_rank", "keys", "per_dimension", "reduced", "refuse"]


def refuse(layer: str, what: str, culprit: str, fix: str) -> gc.ArgumentError:
    """The refusal of an argument of a layer."""
    return refusal(gc.ArgumentError, f"{what} in gc.nn.{layer}.", f"{layer}(…, {culprit})", culprit, fix)


def axes(layer: str, x: gc.Tensor, names: str = "ijklmnop", least: int = 0) -> tuple[Any, ...]:
    """One index per dimension of a tensor that has at least so many."""
    return tuple(gc.index(name) for name in names[: check_rank(layer, x, least)])


def check_rank(layer: str, x: gc.Tensor, least: int, most: int = 8) -> int:
    """The number of dimensions of a tensor.

    Raises:
        ArgumentError: it is no tensor, or the number is not between `least` and `most`.
    """
    if not isinstance(x, gc.Tensor):
        raise refuse(layer, f"{x!r} is no tensor", repr(x), "pass the tensor itself, without subscripts.")
    rank = x.ndim if x.ndim is not None else len(x.shape)
    if not least <= rank <= most:
        wanted = str(least) if least == most else f"{least} or more" if most == 8 else f"{least} to {most}"
        raise refuse(layer, f"{x.name} has {rank} dimensions instead of {wanted}", x.name, f"pass a tensor of {wanted} dimensions.")
    return rank


def per_dimension(layer: str, name: str, value: Any, rank: int, least: int = 1) -> tuple[int, ...]:
    """An argument that is one integer for all dimensions, or one per dimension.

    Raises:
        ArgumentError: it is neither, or less than `least`.
    """
    values = tuple(value) if isinstance(value, tuple | list) else (value,) * rank
    if len(values) != rank or not all(isinstance(v, int) and not isinstance(v, bool) and v >= least for v in values):
        raise refuse(layer, f"{name}={value!r} is neither an integer that is at least {least} nor {rank} of them", f"{name}={value!r}",
                     f"write {name}={max(least, 1)}" + (f", or {name}={(max(least, 1),) * rank}." if rank > 1 else "."))
    return values


def reduced(value: Any, over: Sequence[Any], reduction: str, name: str) -> gc.Tensor:
    """The mean of an expression over its indices, its sum, or the tensor of its values."""
    if reduction not in ("mean", "sum", "none"):
        raise refuse(name, f"reduction={reduction!r} is unknown", f"reduction={reduction!r}", 'use "mean", "sum" or "none".')
    loss = gc.tensor(name)
    if reduction == "none" or not over:
        loss[tuple(over)] = value
    else:
        loss[()] = (gc.mean if reduction == "mean" else gc.sum)(value, over=tuple(over))
    return loss


def keys(key: Any) -> tuple[Any, ...]:
    """What random numbers depend on: a key, or a tuple of a key and numbers; tensors without dimensions by their element."""
    return tuple(part[()] if isinstance(part, gc.Tensor) else part for part in (key if isinstance(key, tuple) else (key,)))
