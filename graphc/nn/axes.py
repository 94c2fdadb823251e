"""What the layers share: indices, names, and the checks of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

import graphc as gc
from graphc.requests import refusal

__all__ = [
    "axes", "check_extent", "check_groups", "check_integers", "check_rank", "check_shape", "dimension", "extents",
    "keys", "listed", "per_dimension", "reduced", "refuse",
]


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


def _given(name: str, tensor: gc.Tensor) -> str:
    """An argument as it was passed."""
    return name if tensor.name == name else f"{name}={tensor.name}"


def check_shape(layer: str, name: str, tensor: gc.Tensor, wanted: Sequence[Any], beside: gc.Tensor) -> None:
    """Refuse an argument whose shape does not go with another tensor; what is not known as an integer is compared later.

    Args:
        layer, name: of the function and of the argument.
        tensor: what was passed; one that is still to be defined is not refused.
        wanted: an extent per dimension; a text where there is no restriction.
        beside: the tensor that the extents come from.

    Raises:
        ArgumentError: it is no tensor, or has another shape.
    """
    if isinstance(tensor, gc.Tensor) and tensor.ndim is None and not tensor.statements:
        return  # to be defined by statements that follow
    check_rank(layer, tensor, 0)
    clash = any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(tensor.shape, wanted, strict=False))
    if clash or len(tensor.shape) != len(wanted):
        shape = f"({', '.join(map(str, wanted))}{',' * (len(wanted) == 1)})"
        given = _given(name, tensor)
        raise refuse(layer, f"{given}{repr(tensor).removeprefix(tensor.name)} does not have the shape {shape} that goes with {beside!r}",
                     given, "pass a tensor of that shape.")


def check_integers(layer: str, name: str, tensor: gc.Tensor) -> None:
    """Refuse labels, tokens and keys that are no integers.

    Raises:
        ArgumentError: the tensor has another dtype.
    """
    if "int" not in tensor.dtype:
        given = _given(name, tensor)
        raise refuse(layer, f"{given} has the dtype {tensor.dtype} instead of integers", given,
                     f'declare it with integers: gc.tensor("{tensor.name}", …, dtype="int64").')


def check_groups(layer: str, groups: Any, name: str = "groups", /, **divided: Any) -> int:
    """The number of groups, which divides what is divided into groups.

    Raises:
        ArgumentError: it is none, or does not.
    """
    counts, given = " and ".join(f"{extent} {kind}" for kind, extent in divided.items()), f"{name}={groups!r}"
    if isinstance(groups, bool) or not isinstance(groups, Integral) or groups < 1:
        raise refuse(layer, f"{given} is no positive integer", given, f"give an integer that divides {counts}.")
    if any(isinstance(e, Integral) and e % groups for e in divided.values()):
        raise refuse(layer, f"{given} does not divide {counts}", given,
                     f"give a positive integer that divides {'both' if len(divided) > 1 else 'it'}.")
    return int(groups)


def check_extent(layer: str, name: str, value: Any) -> None:
    """Refuse what is neither a positive integer nor a size.

    Raises:
        ArgumentError: it is neither.
    """
    fraction = isinstance(value, bool) or (isinstance(value, Real) and not isinstance(value, Integral))
    if fraction or value is None or isinstance(value, str | list | tuple | gc.Tensor) or (isinstance(value, Integral) and value < 1):
        raise refuse(layer, f"{name}={value!r} is no positive integer", f"{name}={value!r}", "give a positive integer, or a size.")


def extents(layer: str, name: str, value: Any) -> tuple[Any, ...]:
    """An argument that is one extent or several, each a positive integer or a size.

    Raises:
        ArgumentError: it has none, or something else.
    """
    value = listed(value)
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    if not values:
        raise refuse(layer, f"{name}={value!r} has no extents", f"{name}={value!r}", "give a positive integer, or several.")
    for extent in values:
        check_extent(layer, name, extent)
    return values


def listed(value: Any) -> Any:
    """An array as lists, anything else as it is."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def dimension(layer: str, x: gc.Tensor, dim: Any, name: str = "dim") -> int:
    """A dimension of a tensor, counted from 0; negative ones count from the end.

    Raises:
        ArgumentError: there is none of that number.
    """
    rank = check_rank(layer, x, 1)
    if isinstance(dim, bool) or not isinstance(dim, Integral) or not -rank <= int(dim) < rank:
        raise refuse(layer, f"{name}={dim!r} is none of the {rank} dimensions of {x!r}", f"{name}={dim!r}",
                     f"give an integer from {-rank} to {rank - 1}.")
    return int(dim) % rank


def per_dimension(layer: str, name: str, value: Any, rank: int, least: int = 1) -> tuple[int, ...]:
    """An argument that is one integer for all dimensions, or one per dimension.

    Raises:
        ArgumentError: it is neither, or less than `least`.
    """
    value = listed(value)
    values = tuple(value) if isinstance(value, tuple | list) else (value,) * rank
    if len(values) != rank or not all(isinstance(v, Integral) and not isinstance(v, bool) and int(v) >= least for v in values):
        raise refuse(layer, f"{name}={value!r} is neither an integer that is at least {least} nor {rank} of them", f"{name}={value!r}",
                     f"write {name}={max(least, 1)}" + (f", or {name}={(max(least, 1),) * rank}." if rank > 1 else "."))
    return tuple(map(int, values))


def reduced(layer: str, value: Any, over: Sequence[Any], reduction: str, name: str) -> gc.Tensor:
    """The mean of an expression over its indices, its sum, or the tensor of its values."""
    if reduction not in ("mean", "sum", "none"):
        raise refuse(layer, f"reduction={reduction!r} is unknown", f"reduction={reduction!r}", 'use "mean", "sum" or "none".')
    loss = gc.tensor(name)
    if reduction == "none" or not over:
        loss[tuple(over)] = value
    else:
        loss[()] = (gc.mean if reduction == "mean" else gc.sum)(value, over=tuple(over))
    return loss


def keys(key: Any) -> tuple[Any, ...]:
    """What random numbers depend on: a key, or a tuple of a key and numbers; tensors without dimensions by their element."""
    return tuple(part[()] if isinstance(part, gc.Tensor) else part for part in (key if isinstance(key, tuple) else (key,)))
