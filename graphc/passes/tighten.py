"""Ranges as small as the conditions of a statement allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import sympy as sp

from graphc.analysis.recurrence import cyclic
from graphc.ir.affine import linear, nonnegative, span
from graphc.ir.expr import FloorDiv, Index
from graphc.ir.graph import Graph
from graphc.ir.statement import Range, Statement, rename, revised
from graphc.ir.tree import indices_of, postorder, sizes_of

__all__ = ["tighten"]

_LARGE = 8
"""A bound is worth a condition if it is tighter than the range at sizes from this one on."""

_FEW = 3
"""Values of an index for which a loop becomes as many statements."""

_ZERO = sp.Integer(0)

_NESTED = 1
"""Quotients in a bound; conditions that couple several indices give each other ever longer ones."""


def tighten(graph: Graph) -> Graph:
    """``Y[p] += X[0]*W[r]`` where ``p + r ≤ 0`` becomes ``Y[0] += X[0]*W[0]``: what conditions on several indices say about one.

    A condition that leaves an index one value takes its loop away. Contributions at the edges of a boundary view get the loops that they
    need instead of loops over the whole tensor. Only sums are treated that another statement is added to, so that it does not matter
    which of them goes over every element.
    """
    definitions, recurrent = graph.definitions(), cyclic(graph)

    def small(s: Statement) -> bool:
        alone = len(definitions[s.target]) == 1
        return s.op != "+=" or alone or not s.domain or not s.reduced or s.scatters or s.target in recurrent

    return replace(graph, statements=tuple(piece for s in graph.statements for piece in ((s,) if small(s) else _pieces(s))))


def _pieces(statement: Statement) -> list[Statement]:
    """The statement with tight ranges, once for each value of an index of which a line along an edge has few."""
    current = _tightened(statement)
    few = {r.index: values for r in current.loops if not sp.expand(r.extent).is_Integer and (values := _values(current, r.index))}
    if len(few) != 1:
        return [current]
    (index, values), = few.items()
    return [_tightened(_at(current, index, v)) for v in values]


def _tightened(statement: Statement) -> Statement:
    current = statement
    for _ in range(2 * len(statement.loops)):
        tighter = (_with_bound(current, index, lower, bound) for index, lower, bound in _bounds(current))
        changed = next((new for new in tighter if new is not None), None)
        if changed is None:
            break
        current = changed
    for r in current.loops:
        values = _values(current, r.index)
        if len(values) == 1 and sp.expand(r.extent) != 1:
            current = _at(current, r.index, values[0])
    return revised(statement, "tighten", "the loops go where the conditions can hold", **{
        field: getattr(current, field) for field in ("subscripts", "value", "ranges", "domain", "order")})


def _values(statement: Statement, index: Index) -> list[sp.Expr]:
    """The values of an index that conditions allow, if they are few: q = 0 where q ≤ 0."""
    r = statement.range_of(index)
    lower, upper = {r.lower}, {sp.expand(r.upper - 1)}
    for condition in statement.domain:
        form = linear(condition)
        factor = dict(form.terms).get(index, 0) if form is not None else 0
        rest = sp.expand(condition - factor * index)
        if abs(factor) == 1 and not indices_of(rest):
            (lower if factor == 1 else upper).add(sp.expand(-factor * rest))
    pairs = [(low, count) for low in sorted(lower, key=str) for high in upper if (count := sp.expand(high - low + 1)).is_Integer]
    low, count = min(((a, int(n)) for a, n in pairs if not indices_of(a)), key=lambda pair: pair[1], default=(_ZERO, 0))
    return [sp.expand(low + k) for k in range(count)] if count <= _FEW else []


def _at(statement: Statement, index: Index, value: sp.Expr) -> Statement:
    """The statement at one value of an index; what that asks of sizes and of other indices becomes a condition."""
    r = statement.range_of(index)
    kept = tuple(x for x in statement.ranges if x.index != index)
    moved = rename(replace(statement, ranges=kept), {index: value})
    there = [sp.expand(value - r.lower), sp.expand(r.upper - 1 - value)]
    box = tuple(c for x in moved.loops for c in x.constraints())
    domain = tuple(d for d in dict.fromkeys([*map(sp.expand, moved.domain), *there]) if not nonnegative(d, box))
    return replace(moved, subscripts=tuple(map(sp.expand, moved.subscripts)), domain=domain)


def _bounds(statement: Statement) -> Iterator[tuple[Index, bool, sp.Expr]]:
    """The least (or largest) value of an index that a condition allows for some values of the others."""
    limits = {r.index: r.ends for r in statement.loops}
    for condition in statement.domain:
        form = linear(condition)
        if form is None or any(not a.is_Symbol for a, _ in form.terms):
            continue
        for atom, factor in form.terms:
            if atom in limits:
                most = span(condition - factor * atom, limits)[1]
                bound = sp.expand(-FloorDiv(most, factor) if factor > 0 else FloorDiv(most, -factor))
                if sum(isinstance(part, FloorDiv) for part in postorder(bound)) <= _NESTED:
                    yield atom, factor > 0, bound


def _with_bound(statement: Statement, index: Index, lower: bool, bound: sp.Expr) -> Statement | None:
    """The statement with a bound of an index, if that is news."""
    r = statement.range_of(index)
    old = r.lower if lower else r.upper - 1
    better = sp.expand(bound - old if lower else old - bound)
    others = tuple(c for other in statement.loops if other.index != index for c in other.constraints())
    if not nonnegative(better - 1, tuple(sp.expand(z - _LARGE) for z in sizes_of(better))):
        return None
    if not nonnegative(better, others):
        condition = sp.expand(index - bound if lower else bound - index)
        if nonnegative(condition, statement.constraints()) and condition in statement.domain:
            return None
        return replace(statement, domain=(*statement.domain, condition))
    tight = Range(index, bound, r.upper) if lower else Range(index, r.lower, sp.expand(bound + 1))
    narrowed = replace(statement, ranges=tuple(tight if x.index == index else x for x in statement.ranges))
    if sp.expand(tight.extent) == 1:
        kept = tuple(x for x in narrowed.ranges if x.index != index)
        mapping: dict[sp.Basic, sp.Expr] = {index: tight.lower}
        moved = rename(replace(narrowed, ranges=kept), mapping)
        narrowed = replace(moved, subscripts=tuple(map(sp.expand, moved.subscripts)), domain=tuple(map(sp.expand, moved.domain)))
    box = tuple(c for x in narrowed.loops for c in x.constraints())
    return replace(narrowed, domain=tuple(d for d in dict.fromkeys(narrowed.domain) if not nonnegative(d, box)))
