"""Ranges begin at 0 or later: temporaries of later passes have one element per value of an index."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from graphc.ir.affine import nonnegative
from graphc.ir.expr import Reduce
from graphc.ir.graph import Graph
from graphc.ir.show import expression
from graphc.ir.statement import Range, Statement, rename, revised
from graphc.ir.tree import contains, indices_of, rewrite

__all__ = ["from_zero"]


def from_zero(graph: Graph) -> Graph:
    """``Y[i+2] = X[i+2]`` for -2 ≤ i < 3 becomes ``Y[i] = X[i]`` for 0 ≤ i < 5, for every index that is not known to be ≥ 0."""
    return replace(graph, statements=tuple(map(_from_zero, graph.statements)))


def _from_zero(statement: Statement) -> Statement:
    moved = [r for r in statement.ranges if r.lower != 0 and not nonnegative(r.lower)]
    if not moved:
        return statement
    mapping: dict[sp.Basic, sp.Expr] = {r.index: r.index + r.lower for r in moved}
    plain = tuple(Range(r.index, sp.Integer(0), sp.expand(r.extent)) if r in moved else r for r in statement.ranges)
    new = rename(replace(statement, ranges=()), mapping)
    told = ", ".join(f"{r.index} from {expression(r.lower)} on becomes {r.index} from 0 on" for r in moved)
    return revised(
        statement, "from_zero", told, subscripts=new.subscripts, value=_bound(new.value), ranges=plain, order=tuple(map(_bound, new.order)),
        domain=tuple(map(sp.expand, new.domain)),
    )


def _bound(node: sp.Expr) -> sp.Expr:
    """The expression whose reductions have indices again where an index with an offset has taken their place."""
    if not contains(node, Reduce):
        return node

    def rule(part: sp.Basic) -> sp.Basic | None:
        if not isinstance(part, Reduce) or all(i.is_Symbol for i in part.args[2]):
            return None
        return Reduce(part.op, part.body, [indices_of(i)[0] for i in part.args[2]], part.domain)

    return rewrite(node, rule)
