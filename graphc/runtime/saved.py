"""What a saved program calls besides the kernels: arguments, buffers, offset tables and errors.

A saved program contains a copy of the parts that it needs, so they use NumPy and the team of threads only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.kernels.choice import estimated
from graphc.runtime.cpu import REMEMBERED, SMALL
from graphc.runtime.pool import Team, default_team

__all__ = [
    "argument", "borrowed", "fit", "give_back", "judge", "offsets", "planned", "refusal", "remembered", "separate", "team_for", "unshared",
    "updated", "within", "write_back",
]

Array = NDArray[Any]


def argument(name: str, value: Any, dtype: str, dimensions: int) -> Array:
    """The argument as a C-contiguous array, without a copy where it is one; Python numbers and lists are converted.

    Raises ValueError for another dtype or number of dimensions.
    """
    if value is None:
        raise ValueError(f"{name} is missing")
    array = np.asarray(value)
    if not hasattr(value, "dtype") and np.can_cast(array.dtype, dtype, "same_kind"):
        array = np.asarray(value, dtype)
    if array.dtype != dtype:
        raise ValueError(f"{name} has dtype {array.dtype} instead of {dtype}")
    if array.ndim != dimensions:
        raise ValueError(f"{name} has shape {array.shape} instead of {dimensions} dimensions")
    return array if array.flags.c_contiguous and array.flags.aligned else np.require(array, requirements=["C", "A"])


def updated(name: str, state: Any, dtype: str, dimensions: int) -> Array:
    """The array of `state` that the program changes, or a C-contiguous copy of it.

    Raises ValueError as `argument` does, and for what cannot be changed.
    """
    value = state.get(name)
    if value is not None and not (isinstance(value, np.ndarray) and value.flags.writeable):
        raise ValueError(f"{name} is updated, so it must be a writable array in the dictionary given first")
    return argument(name, value, dtype, dimensions)


def unshared(array: Array, *written: Array) -> Array:
    """The array, or a copy of it if it shares memory with one that is written before the last read."""
    return array.copy() if any(np.may_share_memory(array, other) for other in written) else array


def separate(arrays: dict[str, Array]) -> None:
    """Raise ValueError if two of the C-contiguous arrays that are updated share memory."""
    spans = sorted((array.ctypes.data, array.nbytes, name) for name, array in arrays.items() if array.size)
    for (start, size, one), (other_start, _, other) in pairwise(spans):
        if start + size > other_start:
            raise ValueError(f"{one} and {other} are both updated, but they share memory")


def write_back(state: dict[str, Array], arrays: dict[str, Array]) -> None:
    """Copy new values into the arrays of `state`, except those that are there already."""
    for name, array in arrays.items():
        if array is not state[name]:
            state[name][...] = array


def fit(name: str, array: Array, shape: tuple[int, ...], meaning: str) -> None:
    """Raise ValueError unless the array has this shape; `meaning` is the shape in the names of the sizes."""
    if array.shape != shape:
        values = "" if meaning == str(shape) else f" = {shape}"
        raise ValueError(f"{name} has shape {array.shape} instead of {meaning}{values}")


def refusal(message: str, **sizes: int) -> ValueError:
    """The error for sizes with which the program cannot run."""
    values = ", ".join(f"{name} = {value}" for name, value in sizes.items())
    return ValueError(f"{message}\n  In this call {values}." if values else message)


def within(name: str, subscripts: Array, target: str, dimension: int, extent: int, loop: str) -> None:
    """Raise ValueError unless all values are subscripts of that dimension of `target`; nothing has been computed yet."""
    if subscripts.size and (subscripts.min() < 0 or subscripts.max() >= extent):
        raise _stray(name, subscripts, 0, target, dimension, extent, loop)


def judge(status: Array, *checks: str | tuple[str, Array | None, str, Array, int, str]) -> None:
    """Raise ValueError if a member of the team has met a subscript out of range or an empty reduction.

    ``status`` is [1 + number of the check or 0, value]; a check is a message or (name and array of the subscripts, name and array
    that they point into, its dimension, the loop).
    """
    if not status[0]:
        return
    check = checks[int(status[0]) - 1]
    if isinstance(check, str):
        raise ValueError(check)
    name, subscripts, target, array, dimension, loop = check
    raise _stray(name, subscripts, int(status[1]), target, dimension, array.shape[dimension], loop)


def _stray(name: str, subscripts: Array | None, value: int, target: str, dimension: int, extent: int, loop: str) -> ValueError:
    """The error for a subscript out of range: the first in the array, or `value`."""
    place = ""
    if subscripts is not None:
        wrong = np.argwhere((subscripts < 0) | (subscripts >= extent))
        if len(wrong):
            value, place = int(subscripts[tuple(wrong[0])]), str(wrong[0].tolist()) if subscripts.ndim else ""
    return ValueError(
        f"{name}{place} is {value}, but it is a subscript of dimension {dimension} of {target}, which has {extent} elements\n  {loop}"
    )


def offsets(*operands: tuple[int, tuple[tuple[int, int], ...]]) -> NDArray[np.int64]:
    """A table for `contract`: per operand a row of element offsets.

    An operand is (first offset, loops), a loop (count, step); the last loop is the innermost.

    >>> offsets((0, ((2, 10), (3, 1))))
    array([[ 0,  1,  2, 10, 11, 12]])
    """
    rows = []
    for start, loops in operands:
        row = np.array([start], np.int64)
        for count, step in loops:
            row = (row[:, None] + step * np.arange(count, dtype=np.int64)).reshape(-1)
        rows.append(row)
    return np.array(rows, np.int64)


def planned(dtype: str, *tables: NDArray[np.int64], products: bool = True) -> tuple[NDArray[np.int64], ...]:
    """The offset tables of a contraction, of products or another function, and how it is computed."""
    itemsize = np.dtype(dtype).itemsize
    return (*tables, estimated(tables, itemsize, products).numbers(tables, itemsize))


remembered = lru_cache(REMEMBERED)
"""Decorator of functions of the sizes: the latest results are kept."""


def borrowed(buffers: dict[tuple[int, ...], list[list[Array]]], sizes: tuple[int, ...], make: Callable[..., list[Array]]) -> list[Array]:
    """Temporaries that an earlier call with these sizes has given back, or new ones."""
    try:
        return buffers[sizes].pop()
    except (KeyError, IndexError):
        return make(*sizes)


def give_back(buffers: dict[tuple[int, ...], list[list[Array]]], sizes: tuple[int, ...], temporaries: list[Array]) -> None:
    """Keep temporaries for the next call; those of the oldest sizes are forgotten."""
    buffers.setdefault(sizes, []).append(temporaries)
    if len(buffers) > REMEMBERED:
        buffers.pop(next(iter(buffers)), None)


def team_for(operations: float, threads: int = 0) -> Team:
    """Who runs a program of so many scalar operations: one thread if they are few, else `threads` or the default team."""
    return _team(1) if operations < SMALL else _team(threads) if threads else default_team()


@cache
def _team(threads: int) -> Team:
    return Team(threads)
