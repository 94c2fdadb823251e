"""Left sides of recurrences made plain: each subscript is an index."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import sympy as sp

from graphc.ir.affine import linear, nonnegative
from graphc.ir.expr import Access, BoundaryAccess, FloorDiv, Index
from graphc.ir.origin import Rewrite, Solution
from graphc.ir.show import expression
from graphc.ir.statement import Range, Statement, fresh_index, rename
from graphc.ir.tensor import Tensor
from graphc.ir.tree import altered, indices_of, rewrite

__all__ = ["plain", "shifted"]


def shifted(statement: Statement, target: Tensor) -> Statement:
    """The statement with ``index ± constant`` on the left solved for the index, where that index stands nowhere else on the left
    but in what integer tensors are asked for."""
    for dimension, subscript in enumerate(statement.subscripts):
        if isinstance(subscript, Index) or not indices_of(subscript):
            continue
        form = linear(subscript)
        if form is None:
            continue
        inside = [a for a, _ in form.terms if isinstance(a, Index)]
        plainly = [s for d, s in enumerate(statement.subscripts) if d != dimension and not isinstance(s, Access)]
        elsewhere = {i for s in plainly for i in indices_of(s)}
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


def plain(statement: Statement, target: Tensor, names: Collection[str]) -> Statement:
    """The statement with an index of its own for each affine subscript on the left that is none yet.

    ``h[t-1,t] += h[t,i]`` becomes ``h[x,t] += h[x+1,i]`` on the points where ``x = t-1``, and ``h[p//2] += h[p]`` the same sum on those
    where ``0 ≤ p - 2*x < 2``. What is read of the tensors `names` at a constant distance still is. An assignment whose left side loses
    an index in this way becomes a sum of one term for each element.
    """
    for dimension, subscript in enumerate(statement.subscripts):
        if not isinstance(subscript, Index) and indices_of(subscript) and linear(subscript) is not None:
            statement = _renewed(statement, dimension, target.shape[dimension], names)
    return statement


def _renewed(statement: Statement, dimension: int, extent: sp.Expr, names: Collection[str]) -> Statement:
    subscript, index = statement.subscripts[dimension], fresh_index(statement, "x")

    def rule(part: sp.Basic) -> sp.Basic | None:
        if not (isinstance(part, Access | BoundaryAccess) and part.tensor in names and dimension < len(part.subscripts)):
            return None
        distance = sp.expand(part.subscripts[dimension] - subscript)
        if not distance.is_Integer:
            return None
        moved = (*part.subscripts[:dimension], index + distance, *part.subscripts[dimension + 1 :])
        return altered(part, subscripts=moved)

    made = replace(
        statement,
        subscripts=(*statement.subscripts[:dimension], index, *statement.subscripts[dimension + 1 :]),
        value=rewrite(statement.value, rule),
        ranges=(Range(index, sp.Integer(0), extent), *statement.ranges),
        domain=(*statement.domain, *_equal(index, subscript)),
        order=tuple(rewrite(a, rule) for a in statement.order),
        origin=Rewrite("plain left side", f"{expression(subscript)} = {index}", statement),
    )
    return replace(made, op="+=") if made.op == "=" and made.reduced else made


def _equal(index: Index, subscript: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """What is ≥ 0 where the index is the subscript; without a quotient if that is ``±(e // k)`` and terms without any."""
    form = linear(subscript)
    assert form is not None
    quotients = [(a, c) for a, c in form.terms if not a.is_Symbol]
    if len(quotients) == 1 and isinstance(quotients[0][0], FloorDiv) and abs(quotients[0][1]) == 1:
        quotient, sign = quotients[0]
        left = quotient.numerator - quotient.divisor * sign * (index - (subscript - sign * quotient))
        return sp.expand(left), sp.expand(quotient.divisor - 1 - left)
    return sp.expand(index - subscript), sp.expand(subscript - index)
