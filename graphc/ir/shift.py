"""Left sides ``index ± constant`` made plain by renaming the index."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from graphc.ir.affine import linear, nonnegative
from graphc.ir.expr import Index
from graphc.ir.origin import Solution
from graphc.ir.statement import Range, Statement, rename
from graphc.ir.tensor import Tensor
from graphc.ir.tree import indices_of

__all__ = ["shifted"]


def shifted(statement: Statement, target: Tensor) -> Statement:
    """The statement with ``index ± constant`` on the left solved for the index, where that index stands nowhere else on the left."""
    for dimension, subscript in enumerate(statement.subscripts):
        if isinstance(subscript, Index) or not indices_of(subscript):
            continue
        form = linear(subscript)
        if form is None:
            continue
        inside = [a for a, _ in form.terms if isinstance(a, Index)]
        elsewhere = {i for d, s in enumerate(statement.subscripts) if d != dimension for i in indices_of(s)}
        if (
            len(inside) != 1
            or abs(form.coefficient(inside[0])) != 1
            or inside[0] in elsewhere
            or not all(a.is_Symbol for a, _ in form.terms)
        ):
            continue
        statement = _solved(statement, dimension, inside[0], form.coefficient(inside[0]), target.shape[dimension])
    return statement


def _solved(statement: Statement, dimension: int, index: Index, sign: int, extent: sp.Expr) -> Statement:
    old = statement.range_of(index)
    rest = sp.expand(statement.subscripts[dimension] - sign * index)
    solution = sp.expand(sign * (index - rest))
    bounds = tuple(sp.expand(c.xreplace({index: solution})) for c in old.constraints())
    others = tuple(r for r in statement.ranges if r.index != index)
    position = [r.index for r in statement.ranges].index(index)
    moved = rename(replace(statement, ranges=others), {index: solution})
    fresh = Range(index, sp.Integer(0), extent)
    kept = tuple(b for b in bounds if not nonnegative(b, fresh.constraints()))
    return replace(
        moved,
        subscripts=(*moved.subscripts[:dimension], index, *moved.subscripts[dimension + 1 :]),
        ranges=(*others[:position], fresh, *others[position:]),
        domain=tuple(map(sp.expand, moved.domain)) + kept,
        origin=Solution(statement, statement.subscripts[dimension], index, index, solution),
    )
