"""Integers that point farther outside of a tensor than its boundary view reaches."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.errors import ArgumentError
from graphc.ir.expr import Access, BoundaryAccess
from graphc.ir.graph import Graph
from graphc.ir.origin import Brought, Rewrite
from graphc.ir.show import statement_body
from graphc.ir.statement import Statement

__all__ = ["brought", "out_of_reach", "pointed"]

_BEYOND = {"wrap": "period", "reflect": "reflection"}


def brought(graph: Graph, name: str) -> Statement | None:
    """The statement that says where integers come to lie in a boundary view, if that is what the tensor holds; as it was made."""
    first = next((s for s in graph.statements if s.target == name), None)
    while first is not None and isinstance(first.origin, Rewrite):
        first = first.origin.source
    return first if first is not None and isinstance(first.origin, Brought) else None


def pointed(mode: str, place: int, extent: int) -> int:
    """The integer that a view has brought to a place that is outside still.

    >>> pointed("wrap", 6, 3), pointed("reflect", -5, 3)
    (9, 9)
    """
    if mode == "wrap":
        return place + extent if place > 0 else place - extent
    return 2 * extent - 2 - place if place < 0 else -place


def out_of_reach(
    view: BoundaryAccess, dimension: int, extent: int, value: int, where: Sequence[int] | None, statement: Statement, given: bool = True,
    when: str = "",
) -> ArgumentError:
    """The error for an integer that lies too far outside.

    Args:
        view: a read whose subscript is an element of an integer tensor in this dimension.
        dimension, extent: of the tensor that is read.
        value: the integer.
        where: its place in the integer tensor, if that is known.
        statement: that the user has written.
        given: whether the integers are an argument.
        when: in which call, if it is not this one.
    """
    subscript, mode = view.subscripts[dimension], view.modes[dimension]
    assert isinstance(subscript, Access)
    element = f"{subscript.tensor}{list(where) if where else ''}"
    low, high = (-extent, 2 * extent - 1) if mode == "wrap" else (1 - extent, 2 * extent - 2)
    line = f"\n  at {statement.location}" if statement.location else ""
    integers = f"an array {subscript.tensor} whose values lie" if given else f"integers for which {subscript.tensor} lies"
    return ArgumentError(
        f"{element} is {value}{when}, more than one {_BEYOND[mode]} outside of dimension {dimension} of {view.tensor}, which has {extent} "
        f"elements (0 … {extent - 1}): gc.{mode} does not reach that far.\n\n    {statement_body(statement)}{line}",
        fix=f"pass {integers} in {low} … {high}.",
    )
