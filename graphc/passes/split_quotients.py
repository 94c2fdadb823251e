"""Quotients and remainders become loops of their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import lru_cache

import sympy as sp

from graphc.analysis.legality import ensured
from graphc.analysis.recurrence import cyclic
from graphc.ir.affine import contradictory, linear, nonnegative, span
from graphc.ir.expr import FloorDiv, Index, Modulo
from graphc.ir.graph import Graph
from graphc.ir.origin import Rewrite
from graphc.ir.show import expression
from graphc.ir.statement import Range, Statement, fresh_index, rename
from graphc.ir.tree import contains, indices_of, postorder, rewrite
from graphc.passes.guard import guard

__all__ = ["split_quotients"]


def split_quotients(graph: Graph) -> Graph:
    """``X.grad[p//2] += G[p]`` becomes ``X.grad[y] += G[2*y+r]`` with r < 2: the two parts of an index get loops of their own.

    That is done for quotients and remainders on the left side, which then is affine, and for those of summed indices alone. An index
    without unit coefficient, as in ``X.grad[2*p//3]``, stays, on the points where ``0 ≤ 2*p - 3*y < 3``. Reads that cannot be
    proved with the new indices are guarded. Statements that are seen to have no points when their indices are split go, unless they are
    the last of their tensor.
    """
    recurrent = cyclic(graph)
    tensors, known = graph.by_name(), ensured(graph.checks)
    left = Counter(s.target for s in graph.statements)
    statements = []
    for statement in graph.statements:
        split = statement
        if statement.op in ("=", "+=") and statement.target not in recurrent and not statement.scatters:
            split = _split(statement)
        if split is not statement:
            split = guard(split, tensors, known)
        if split is not statement and left[split.target] > 1 and contradictory(split.constraints()):
            left[split.target] -= 1
        else:
            statements.append(split)
    return replace(graph, statements=tuple(statements))


def _split(statement: Statement) -> Statement:
    while (quotient := _next(statement)) is not None:
        statement = _without(statement, quotient.numerator, quotient.divisor)
    if statement.op == "=" and statement.reduced:
        # An index whose value follows from the left side through conditions alone: a sum of one term each.
        return replace(statement, op="+=")
    return statement


def _next(statement: Statement) -> FloorDiv | Modulo | None:
    """The quotient to be removed next: an innermost one, with the largest divisor for its numerator."""
    reduced = set(statement.reduced)
    found = [q for s in statement.subscripts for q in _quotients(s)]
    found += [q for part in (statement.value, *statement.domain) for q in _quotients(part) if set(indices_of(q)) <= reduced]
    simple = [q for q in found if linear(q.numerator) is not None and not any(_quotients(a) for a in q.args)]
    if not simple:
        return None
    same = [q for q in simple if not indices_of(sp.expand(q.numerator - simple[0].numerator))]
    return max(same, key=lambda q: q.divisor)


def _quotients(node: sp.Basic) -> list[FloorDiv | Modulo]:
    if not contains(node, (FloorDiv, Modulo)):
        return []
    return [part for part in postorder(node) if isinstance(part, FloorDiv | Modulo) and indices_of(part)]


def _without(statement: Statement, numerator: sp.Expr, divisor: int) -> Statement:
    """A new index for ``numerator // divisor``, and one for the remainder instead of an index that stands there with coefficient 1."""
    form = linear(numerator)
    assert form is not None
    limits = {r.index: r for r in statement.ranges}
    least, most = span(numerator, {i: r.ends for i, r in limits.items()})
    units = [a for a, c in form.terms if abs(c) == 1 and isinstance(a, Index)]
    known = min(units, key=lambda i: (i not in statement.free, [*limits].index(i)), default=None)
    place = known if known is not None else next(a for a, _ in form.terms if isinstance(a, Index))
    whole = fresh_index(statement, f"{place}1")
    part = fresh_index(statement, f"{place}2")
    new = [Range(whole, FloorDiv(least, divisor), FloorDiv(most, divisor) + 1)]
    if known is None:
        rest = sp.expand(numerator - divisor * whole)
        mapping: dict[sp.Basic, sp.Expr] = {FloorDiv(numerator, divisor): whole, Modulo(numerator, divisor): rest}
        bounds: tuple[sp.Expr, ...] = (rest, sp.expand(divisor - 1 - rest))
        kept = statement.ranges
    else:
        sign = form.coefficient(known)
        rest = part
        mapping = {known: sp.expand(sign * (divisor * whole + part - (numerator - sign * known)))}
        bounds = tuple(sp.expand(c.xreplace(mapping)) for c in limits[known].constraints())
        new.append(Range(part, sp.Integer(0), sp.Integer(divisor)))
        kept = tuple(r for r in statement.ranges if r.index != known)
    position = [*limits].index(place)
    moved = rename(replace(statement, ranges=kept), mapping)
    rule = f"{expression(numerator)} = {expression(divisor * whole + rest)}"
    domain, origin = (*moved.domain, *bounds), Rewrite("quotient", rule, statement)
    return _settled(replace(moved, ranges=(*kept[:position], *new, *kept[position:]), domain=domain, origin=origin))


def _settled(statement: Statement) -> Statement:
    """Quotients whose value follows from the ranges and conditions replaced by it, conditions that follow from the ranges dropped."""
    inside, everything = tuple(c for r in statement.ranges for c in r.constraints()), statement.constraints()
    certain = inside + tuple(d for d in statement.domain if not _quotients(d))  # what has no quotients does not prove itself
    domain = (sp.expand(_known(d, certain)) for d in statement.domain)
    return replace(
        statement,
        subscripts=tuple(sp.expand(_known(s, everything)) for s in statement.subscripts),
        value=_known(statement.value, everything),
        domain=tuple(d for d in dict.fromkeys(domain) if not nonnegative(d, inside)),
        order=tuple(_known(a, everything) for a in statement.order),
    )


@lru_cache(maxsize=20_000)
def _known(node: sp.Basic, facts: tuple[sp.Expr, ...]) -> sp.Basic:
    """The expression without quotients of numerators that lie in ``0 … divisor-1`` where the facts hold."""
    if not contains(node, (FloorDiv, Modulo)):
        return node

    def rule(part: sp.Basic) -> sp.Basic | None:
        if not isinstance(part, FloorDiv | Modulo):
            return None
        n, d = part.numerator, part.divisor
        if nonnegative(n, facts) and nonnegative(d - 1 - n, facts):
            return sp.Integer(0) if isinstance(part, FloorDiv) else n
        return None

    return rewrite(node, rule)
