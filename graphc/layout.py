"""What a generated module needs to know about sizes: shapes, offset tables of contractions, amount of work."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from graphc.emit.cpu import CpuModule
from graphc.interpret import size_value
from graphc.ir.graph import Graph
from graphc.ir.nest import Contract, Group
from graphc.runtime.cpu import Layout

__all__ = ["layout_of", "needs_of"]


def layout_of(graph: Graph, module: CpuModule) -> Callable[[Mapping[sp.Basic, int]], Layout]:
    """A function from the values of the sizes to the arrays of one call."""
    tensors = graph.by_name()

    def layout(sizes: Mapping[sp.Basic, int]) -> Layout:
        shapes = {name: tuple(size_value(e, sizes) for e in tensors[name].shape) for name in module.arrays}
        tables: list[NDArray[Any]] = []
        for step in module.contractions:
            tables += _tables(step, shapes, sizes)
        operations = sum(float(size_value(k.cost, sizes)) for k in module.kernels)
        return Layout(shapes, tuple(tables), tuple(sizes[s] for s in module.sizes), operations)

    return layout


def needs_of(
    graph: Graph, module: CpuModule, arrays: Sequence[tuple[str, str, str]], in_place: Container[str]
) -> Callable[[Mapping[sp.Basic, int]], dict[str, int]]:
    """A function from the values of the sizes to what a call allocates: bytes by tensor, and the offset tables together."""
    tensors = graph.by_name()
    made = [(name, np.dtype(dtype).itemsize) for name, dtype, role in arrays if role != "input" and name not in in_place]

    def needs(sizes: Mapping[sp.Basic, int]) -> dict[str, int]:
        found = {name: itemsize * math.prod(size_value(e, sizes) for e in tensors[name].shape) for name, itemsize in made}
        tables = sum(
            operands * math.prod(max(size_value(e, sizes), 0) for e in group.extents)
            for step in module.contractions
            for group, operands in ((step.batch, 3), (step.rows, 2), (step.columns, 2), (step.depth, 2))
        )
        return found | {"offset tables of contractions": 8 * tables} if tables else found

    return needs


def _tables(step: Contract, shapes: Mapping[str, tuple[int, ...]], sizes: Mapping[sp.Basic, int]) -> list[NDArray[Any]]:
    """Element offsets of batch, rows, columns and depth in the operands that contain them."""
    strides = [_strides(shapes[name]) for name in step.operands]
    start = [
        sum(size_value(c, sizes) * s for c, s in zip(constant, stride, strict=True))
        for constant, stride in zip(step.constants, strides, strict=True)
    ]
    tables = []
    for group, operands in ((step.batch, (0, 1, 2)), (step.rows, (0, 1)), (step.columns, (0, 2)), (step.depth, (1, 2))):
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
