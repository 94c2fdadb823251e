"""Reductions other than sums: where they start, how a value enters them, and whether they may be empty."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from graphc.ir.affine import linear, nonnegative
from graphc.ir.dtypes import is_float, is_integer
from graphc.ir.expr import INFINITY, Call, Choice, Compare, Index, Logical, Where
from graphc.ir.nest import Assign, If, Local, Node
from graphc.ir.reductions import EXTREMES, REDUCTIONS, combined, extreme
from graphc.ir.statement import Statement
from graphc.ir.tree import indices_of

__all__ = ["never_empty", "selection"]

_ZERO, _ONE = sp.Integer(0), sp.Integer(1)


def selection(
    statement: Statement, dtype: str, stored: str, order: Sequence[Index], branches: bool = True
) -> tuple[tuple[Node, ...], tuple[Node, ...], sp.Expr]:
    """Start, update and result of a reduction that is computed in one type and stored in another.

    The place of an extreme value is the first one in the order of the statement, whatever the `order` of the loops. Without `branches`,
    vectors can look for it.
    """
    op, value = statement.op.replace("_split", ""), statement.value
    best, here = Local("best"), Local("here")
    if op in ("any", "all"):
        return (
            (Assign(best, sp.false if op == "any" else sp.true, "bool"),),
            (Assign(best, Logical("or" if op == "any" else "and", best, value), "bool"),),
            best,
        )
    if op in REDUCTIONS:
        return (Assign(best, REDUCTIONS[op].identity, dtype),), (Assign(best, combined(op, best, value), dtype),), best
    if op == "prod":
        return (Assign(best, _ONE, dtype),), (Assign(best, best * value, dtype),), best
    sign = "<" if "min" in op else ">"
    dtype = stored if op in EXTREMES and is_float(stored) and not is_float(dtype) else dtype  # integers have no infinity to begin with
    start = Assign(best, extreme(op, stored if is_integer(dtype) else dtype) if op in EXTREMES else _farthest(op, dtype), dtype)
    if op in ("max", "min", *EXTREMES):
        return (start,), (Assign(best, Call("minimum" if op in ("min", "infimum") else "maximum", best, value), dtype),), best
    place, first = Local("place"), Local("unset")
    position: sp.Expr = _ZERO
    for index in statement.reduced:
        r = statement.range_of(index)
        position = sp.expand(position * r.extent + index - r.lower)
    earlier: tuple[sp.Expr, ...] = ()
    if tuple(order) != statement.reduced:
        both = Logical("and", Compare("!=", here, here), Compare("!=", best, best))
        same = Logical("or", Compare("==", here, best), both) if is_float(dtype) else Compare("==", here, best)
        earlier = (Logical("and", same, Compare("<", position, place)),)
    if not branches and is_float(dtype) and not statement.domain:
        better = Local("better")
        opposite = Compare(">=" if sign == "<" else "<=", here, best)
        follows = Logical("and", Logical("not", opposite), Compare("==", best, best))  # a NaN comes before all, and stays
        if earlier:
            follows = Logical("or", follows, *earlier)
        choosing: tuple[Node, ...] = (
            Assign(here, value, dtype), Assign(better, follows, "bool"), Assign(best, Choice(better, here, best), dtype),
            Assign(place, Where(better, position, place), "int64"),
        )  # fmt: skip
        return (start, Assign(place, _ZERO, "int64")), choosing, place
    unordered = (Logical("and", Compare("!=", here, here), Compare("==", best, best)),) if is_float(dtype) else ()
    better = Logical("or", first, Compare(sign, here, best), *unordered, *earlier)
    update = (
        Assign(here, value, dtype),
        If(better, (Assign(best, here, dtype), Assign(place, position, "int64"), Assign(first, sp.false, "bool"))),
    )
    return (start, Assign(place, _ZERO, "int64"), Assign(first, sp.true, "bool")), update, place


def _farthest(op: str, dtype: str) -> sp.Expr:
    """The value that every other one replaces."""
    if is_float(dtype):
        return INFINITY if "min" in op else -INFINITY
    if dtype == "bool":
        return sp.true if "min" in op else sp.false
    return sp.Integer(2**63 - 1) if "min" in op else sp.Integer(-(2**63))


def never_empty(statement: Statement) -> bool:
    """Whether the reduced indices provably have a value at every point of the left side, if their ranges are not empty."""
    reduced = set(statement.reduced)
    facts = [c for r in statement.loops if r.index not in reduced for c in r.constraints()]
    facts += [statement.range_of(i).extent - 1 for i in reduced]
    limits: dict[Index, tuple[list[sp.Expr], list[sp.Expr]]] = {}
    for index in reduced:
        low, high = statement.range_of(index).constraints()
        limits[index] = ([index - low], [index + high])
    for condition in statement.domain:
        inside = [i for i in indices_of(condition) if i in reduced]
        form = linear(condition)
        if not inside:
            facts.append(condition)
            continue
        if len(inside) > 1 or form is None or abs(form.coefficient(inside[0])) != 1:
            return False
        factor = form.coefficient(inside[0])
        rest = sp.expand(condition - factor * inside[0])
        limits[inside[0]][factor < 0].append(-rest if factor > 0 else rest)
    return all(nonnegative(sp.expand(high - low), facts) for lows, highs in limits.values() for low in lows for high in highs)
