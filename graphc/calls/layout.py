"""What a generated module needs to know about sizes: shapes, offset tables of contractions, amount of work."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from graphc.calls.memory import TABLES
from graphc.emit.cpu import CpuModule
from graphc.emit.cuda import CudaModule
from graphc.interpret import size_value
from graphc.ir.graph import Graph
from graphc.ir.nest import Contract, Group
from graphc.kernels.choice import Planned
from graphc.runtime import cuda
from graphc.runtime.cpu import Layout

__all__ = ["cuda_layout", "layout_of", "needs_of", "offset_loops"]


LINE, WORTH = 64, 4096
"""Temporaries begin at multiples of so many bytes; those that are smaller than the other number share their memory with none."""

SEGMENT = 256
"""The same on a GPU, where addresses are as aligned as those of the driver."""


def layout_of(graph: Graph, module: CpuModule, temporaries: Sequence[str]) -> Callable[[Mapping[sp.Basic, int]], Layout]:
    """A function from the values of the sizes to the arrays of one call."""
    tensors = graph.by_name()
    itemsizes = {name: np.dtype(tensors[name].dtype).itemsize for name in module.arrays}

    def layout(sizes: Mapping[sp.Basic, int]) -> Layout:
        shapes = {name: tuple(size_value(e, sizes) for e in tensors[name].shape) for name in module.arrays}
        planned = tuple(
            Planned.of(
                (step.operands[1], step.operands[2]), tensors[step.writes].dtype, _tables(step, shapes, sizes), products=step.inner is None
            )
            for step in module.contractions
        )
        operations = sum(float(size_value(k.cost, sizes)) for k in module.kernels)
        places, room = _places({name: itemsizes[name] * math.prod(shapes[name]) for name in temporaries}, module.lives)
        return Layout(shapes, planned, tuple(sizes[s] for s in module.sizes), operations, places, room)

    return layout


def cuda_layout(
    graph: Graph, module: CudaModule, kept: Sequence[str]
) -> Callable[[Mapping[sp.Basic, int]], cuda.Layout]:
    """A function from the values of the sizes to what one call on a GPU needs; `kept` are arrays that stay with the program."""
    tensors = graph.by_name()
    last = max((last for _, last in module.lives.values()), default=0)
    lives = {name: (first, last if name in graph.outputs else end) for name, (first, end) in module.lives.items()}

    def layout(sizes: Mapping[sp.Basic, int]) -> cuda.Layout:
        shapes = {name: tuple(size_value(e, sizes) for e in tensors[name].shape) for name in module.arrays}
        bytes_ = {name: np.dtype(tensors[name].dtype).itemsize * math.prod(shapes[name]) for name in kept}
        return cuda.Layout(shapes, tuple(sizes[s] for s in module.sizes), *_places(bytes_, lives, SEGMENT))

    return layout


def _places(bytes_: Mapping[str, int], lives: Mapping[str, tuple[int, int]], line: int = LINE) -> tuple[dict[str, int], int]:
    """Where arrays begin in one block of memory, and its length: those that are never needed at the same time may share bytes.

    The largest first, each at the lowest place that is free during its life: "greedy by size" of Pisarchyk and Lee, "Efficient memory
    management for deep neural net inference", 2020, section 5.

    >>> _places({"a": 5000, "b": 5000, "c": 5000}, {"a": (0, 1), "b": (1, 2), "c": (2, 2)})
    ({'a': 0, 'b': 5056, 'c': 0}, 10112)
    """
    places: dict[str, int] = {}
    placed: list[tuple[int, int, int, int]] = []
    for name in sorted((n for n in bytes_ if bytes_[n] >= WORTH), key=lambda n: -bytes_[n]):
        size, (first, last) = -(-bytes_[name] // line) * line, lives[name]
        place = 0
        for start, end, born, gone in placed:
            if start >= place + size:
                break
            if born <= last and first <= gone:
                place = max(place, end)
        places[name] = place
        insort(placed, (place, place + size, first, last))
    room = max((end for _, end, _, _ in placed), default=0)
    for name in bytes_:
        if name not in places:
            places[name], room = room, room + -(-bytes_[name] // line) * line
    return places, room


def needs_of(
    graph: Graph, module: CpuModule, arrays: Sequence[tuple[str, str, str]], in_place: Container[str]
) -> Callable[[Mapping[sp.Basic, int]], tuple[dict[str, int], int]]:
    """A function from the values of the sizes to what a call allocates: bytes by tensor, the offset tables together, and how many of all
    these bytes are counted several times because temporaries share them."""
    tensors = graph.by_name()
    made = [(name, np.dtype(dtype).itemsize) for name, dtype, role in arrays if role != "input" and name not in in_place]
    temporaries = [name for name, _, role in arrays if role == "temporary"]

    def needs(sizes: Mapping[sp.Basic, int]) -> tuple[dict[str, int], int]:
        found = {name: itemsize * math.prod(size_value(e, sizes) for e in tensors[name].shape) for name, itemsize in made}
        alone = {name: found[name] for name in temporaries}
        shared = max(0, sum(alone.values()) - _places(alone, module.lives)[1])
        tables = sum(
            len(operands) * math.prod(max(size_value(e, sizes), 0) for e in group.extents)
            for step in module.contractions
            for group, operands in _moved(step)
        )
        return (found | {TABLES: 8 * tables} if tables else found), shared

    return needs


def _moved(step: Contract) -> tuple[tuple[Group, tuple[int, ...]], ...]:
    """Batch, rows, columns and depth, each with the operands that it moves; a third factor lies as the result does."""
    here = tuple(range(3, len(step.operands)))
    return (step.batch, (0, 1, 2, *here)), (step.rows, (0, 1, *here)), (step.columns, (0, 2, *here)), (step.depth, (1, 2))


def offset_loops(
    step: Contract, shapes: Mapping[str, tuple[sp.Expr, ...]]
) -> Iterator[tuple[Group, list[tuple[sp.Expr, list[tuple[sp.Expr, sp.Expr]]]]]]:
    """What the offset tables of a contraction are made of, as expressions in sizes: for batch, rows, columns and depth, and each operand
    in which they occur, the first offset, and the count and step of each loop, the last one innermost."""
    strides = [[sp.Mul(*shapes[name][d + 1 :]) for d in range(len(shapes[name]))] for name in step.operands]
    for group, operands in _moved(step):
        found = []
        for k in operands:
            start = sp.Add(*(c * s for c, s in zip(step.constants[k], strides[k], strict=True))) if group is step.batch else sp.Integer(0)
            loops = []
            for extent, lower, coefficients in zip(group.extents, group.lowers, group.coefficients[k], strict=True):
                along = sp.Add(*(c * s for c, s in zip(coefficients, strides[k], strict=True)))
                start += lower * along
                loops.append((extent, along))
            found.append((start, loops))
        yield group, found


def _tables(step: Contract, shapes: Mapping[str, tuple[int, ...]], sizes: Mapping[sp.Basic, int]) -> list[NDArray[Any]]:
    """Element offsets of batch, rows, columns and depth in the operands that contain them."""
    strides = [_strides(shapes[name]) for name in step.operands]
    start = [
        sum(size_value(c, sizes) * s for c, s in zip(constant, stride, strict=True))
        for constant, stride in zip(step.constants, strides, strict=True)
    ]
    tables = []
    for group, operands in _moved(step):
        rows = [_offsets(group, k, strides[k], sizes) for k in operands]
        if group is step.batch:
            rows = [row + start[k] for row, k in zip(rows, operands, strict=True)]
        tables.append(np.ascontiguousarray(np.stack(rows), dtype=np.int64))
    return tables


def _offsets(group: Group, operand: int, strides: tuple[int, ...], sizes: Mapping[sp.Basic, int]) -> NDArray[Any]:
    total = np.zeros(1, np.int64)
    for extent, lower, coefficients in zip(group.extents, group.lowers, group.coefficients[operand], strict=True):
        step = sum(c * s for c, s in zip(coefficients, strides, strict=True))
        first = size_value(lower, sizes)
        total = (total[:, None] + step * np.arange(first, first + max(size_value(extent, sizes), 0), dtype=np.int64)[None, :]).reshape(-1)
    return total


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1] * len(shape)
    for d in range(len(shape) - 2, -1, -1):
        strides[d] = strides[d + 1] * shape[d + 1]
    return tuple(strides)
