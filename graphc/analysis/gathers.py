"""Integer inputs whose every element is certainly used as a subscript."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import sympy as sp

from graphc.analysis.conditions import counted_where
from graphc.ir.affine import nonnegative
from graphc.ir.expr import Access, Index, Where
from graphc.ir.graph import Graph
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import postorder

__all__ = ["Gather", "certain_gathers"]


@dataclass(frozen=True, slots=True)
class Gather:
    """Every value of `tensor` must lie inside of dimension `dimension` of `target`, unless loops around are empty.

    `loop` is a statement that needs it. `others` has, for each statement that does, the extents of those of its loops that do not go over
    the tensor: one of them has none that is 0.
    """

    tensor: str
    target: str
    dimension: int
    loop: str
    others: tuple[tuple[sp.Expr, ...], ...]


def certain_gathers(graph: Graph, show: Callable[[Statement], str]) -> tuple[Gather, ...]:
    """Subscripts by whole integer inputs that no condition guards: their values can be tested before anything runs.

    Args:
        graph: canonical.
        show: statement → text.
    """
    infos = graph.by_name()
    found: dict[tuple[str, str, int], Gather] = {}
    for statement in graph.statements:
        if statement.domain:
            continue
        left = () if counted_where(statement.value) else (Access(statement.target, *statement.subscripts),)
        for access in (*left, *(p for p in postorder(_unguarded(statement.value)) if isinstance(p, Access))):
            for dimension, subscript in enumerate(access.subscripts):
                if (
                    isinstance(subscript, Access)
                    and infos[subscript.tensor].is_input
                    and _whole(subscript, statement, infos[subscript.tensor])
                ):
                    key = (subscript.tensor, access.tensor, dimension)
                    around = [sp.expand(r.extent) for r in statement.loops if r.index not in subscript.subscripts]
                    others = tuple(e for e in dict.fromkeys(around) if not nonnegative(sp.expand(e - 1)))
                    before = found.setdefault(key, Gather(*key, show(statement), ()))
                    found[key] = replace(before, others=tuple(dict.fromkeys((*before.others, others))))
    return tuple(found.values())


def _unguarded(value: sp.Expr) -> sp.Basic:
    """The expression without anything that is under a condition."""
    return sp.S.Zero if any(isinstance(p, Where) for p in postorder(value)) else value


def _whole(read: Access, statement: Statement, info: Tensor) -> bool:
    """Whether the loops run over all elements."""
    if len(set(read.subscripts)) != len(read.subscripts):
        return False
    for subscript, extent in zip(read.subscripts, info.shape, strict=True):
        if not isinstance(subscript, Index):
            return False
        r = statement.range_of(subscript)
        if r.lower != 0 or sp.expand(r.upper - extent) != 0:
            return False
    return True
