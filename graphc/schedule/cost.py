"""Work of a statement."""

from __future__ import annotations

import sympy as sp

from graphc.ir.affine import linear
from graphc.ir.expr import Access, BoundaryAccess, Call, Compare
from graphc.ir.functions import FUNCTIONS
from graphc.ir.random import RANDOM
from graphc.ir.statement import Range, Statement
from graphc.ir.tree import contains, indices_of

__all__ = ["cost"]


def cost(statement: Statement) -> sp.Expr:
    """Scalar operations of the whole nest, the least box assumed that conditions on single indices leave; a copy counts as one.

    Those of subscripts are not counted, nor of conditions on indices: they find an element and do not compute it.
    """
    operations, seen, left = 0, set[sp.Basic](), [statement.value]
    while left:
        node = left.pop()
        if node in seen or isinstance(node, Access | BoundaryAccess) or (isinstance(node, Compare) and not contains(node, Access)):
            continue
        seen.add(node)
        left += node.args
        if isinstance(node, sp.Add | sp.Mul):
            operations += len(node.args) - 1
        elif isinstance(node, Call):
            row = FUNCTIONS.get(node.function)
            operations += row.cost if row else 60 * (len(node.arguments) - 1) if node.function in RANDOM else 1
        elif isinstance(node, sp.Pow):
            operations += 4
    operations += statement.op != "="
    return sp.Mul(*(_count(r, statement) for r in statement.loops)) * max(1, operations)


def _count(r: Range, statement: Statement) -> sp.Expr:
    """The number of values of an index: a number, where it has as many for all sizes."""
    lows, highs = [r.lower], [sp.expand(r.upper - 1)]
    for condition in statement.domain:
        form = linear(condition)
        if form is not None and indices_of(condition) == (r.index,) and abs(form.coefficient(r.index)) == 1:
            rest = sp.expand(condition - form.coefficient(r.index) * r.index)
            (lows if form.coefficient(r.index) > 0 else highs).append(-rest if form.coefficient(r.index) > 0 else rest)
    known = [sp.expand(high - low + 1) for low in lows for high in highs]
    return min((sp.Max(e, 0) for e in known if e.is_Integer), default=r.extent)
