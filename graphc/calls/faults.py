"""What a call says of a fault that a kernel has found: integers that point outside of a tensor, extrema over nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from graphc.analysis.gathers import Gather
from graphc.analysis.reach import brought, out_of_reach, pointed
from graphc.emit.checks import EmptyRange, GatherCheck
from graphc.errors import ArgumentError, GraphcError
from graphc.interpret import size_value
from graphc.ir.expr import Access
from graphc.ir.graph import Graph
from graphc.ir.origin import Brought
from graphc.ir.statement import Statement
from graphc.ir.tree import contains

__all__ = ["Test", "message", "tested"]

Test = Callable[[Mapping[str, NDArray[Any]], Mapping[str, tuple[int, ...]], Mapping[sp.Basic, int]], GraphcError | None]
"""What is wrong with a call, told by its arrays, shapes and sizes before anything runs."""


def tested(gather: Gather, place: str) -> Test:
    """The complaint about values of an integer input that lie outside of what they are subscripts of; `place` is behind its statement."""

    def test(
        arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]], sizes: Mapping[sp.Basic, int]
    ) -> GraphcError | None:
        array, shape = arrays[gather.tensor], shapes[gather.target]
        if not array.size or (array.min() >= 0 and array.max() < shape[gather.dimension]):
            return None
        if not any(all(size_value(e, sizes) > 0 for e in extents) for extents in gather.others):
            return None
        check = GatherCheck(gather.tensor, gather.target, gather.dimension, gather.loop)
        return _complaint(check, 0, array, shape[gather.dimension], place)

    return test


_EARLIER = " in an earlier call"
"""In messages about calls with arrays on a GPU, which return before they are complete."""


def _outside(array: NDArray[Any], extent: int) -> tuple[int, ...] | None:
    """Where the first value stands that is no subscript of so many elements."""
    found = np.argwhere((array < 0) | (array >= extent))
    return tuple(map(int, found[0])) if len(found) else None


def _complaint(check: GatherCheck, value: int, array: NDArray[Any] | None, extent: int, place: str) -> GraphcError:
    position = None if array is None else _outside(array, extent)
    where, shown = ("", value) if array is None or position is None else ([*position], int(array[position]))
    return ArgumentError(
        f"{check.tensor}{where} is {shown}{_EARLIER * (array is None)}, but it is a subscript of "
        f"dimension {check.dimension} of {check.target}, which has {extent} elements (0 … {extent - 1}).\n\n    {check.loop}{place}",
        fix=f"pass an array {check.tensor} whose values lie in that range." if array is not None
        else f"pass integers for which {check.tensor} lies in that range.",
    )


def _beyond(
    made: Statement, value: int, arrays: Mapping[str, NDArray[Any]], name: str, extent: int, inputs: Collection[str]
) -> GraphcError:
    """The complaint about what lies beyond the reach of a boundary view, in terms of the integers that the view has."""
    origin = made.origin
    assert isinstance(origin, Brought)
    view, dimension = origin.view, origin.dimension
    pointer, where, array = view.subscripts[dimension], None, arrays.get(name)
    given = pointer.tensor in inputs and pointer.tensor in arrays
    if array is not None and (outside := _outside(array, extent)) is not None:
        value = int(array[outside])
        indices = dict(zip(made.subscripts, outside, strict=True)) if array.ndim == len(made.subscripts) else {}
        if all(s.free_symbols <= indices.keys() and not contains(s, Access) for s in pointer.subscripts):
            where = [size_value(s, indices) for s in pointer.subscripts]
    known = given and where is not None
    number = int(arrays[pointer.tensor][tuple(where or ())]) if known else pointed(view.modes[dimension], value, extent)
    return out_of_reach(view, dimension, extent, number, where, origin.source, given, _EARLIER * (not arrays))


def message(
    check: GatherCheck | EmptyRange, place: str, graph: Graph
) -> Callable[[int, Mapping[str, NDArray[Any]], Mapping[str, tuple[int, ...]]], GraphcError]:
    """What a check that has failed says, given the value that it met, and the arrays and shapes of the call.

    Args:
        check: of a kernel.
        place: what stands behind its statement.
        graph: that was scheduled.

    Returns:
        The error to raise; where it is given no arrays, the call was an earlier one.
    """
    if isinstance(check, EmptyRange):
        return lambda value, arrays, shapes: ArgumentError(
            f"An extremum over an empty range has no value{_EARLIER * (not arrays)}.\n\n    {check.loop}{place}",
            fix="give every window at least one element, or use where.",
        )

    made, inputs = brought(graph, check.tensor), {t.name for t in graph.tensors if t.is_input}

    def told(value: int, arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> GraphcError:
        extent = shapes[check.target][check.dimension]
        if made is not None:
            return _beyond(made, value, arrays, check.tensor, extent, inputs)
        return _complaint(check, value, arrays.get(check.tensor), extent, place)

    return told
