"""An order of loops in which every read of a recurrence comes after the write.

Allen and Kennedy (ACM TOPLAS 9, 1987): the statements of a strongly connected component get a sequential loop along which no
dependence points ahead; what remains at distance 0 is ordered inside of it, by the same rule. Where a dependence points ahead but no
cycle does, tensors enter the loop some steps apart: the shifts solve difference constraints (Bellman and Ford).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from graphc.analysis.recurrence import strong_components
from graphc.analysis.touches import touches
from graphc.errors import NotationError
from graphc.ir.affine import linear, nonnegative
from graphc.ir.expr import Access, BoundaryAccess, Index
from graphc.ir.show import Order, expression, statement_body
from graphc.ir.statement import Statement
from graphc.ir.tree import modes_of

__all__ = ["Scan", "ordered", "shared_dimensions"]

_NEAREST, _FARTHEST = 1, -8
"""Distances that are no constants are bounded from below by one of these."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A sequential loop, and what happens in each step.

    Attributes:
        dimensions: per tensor the dimension that the loop runs along; where a loop around goes along it already, the element that it
            has fixed is computed in one step of this one.
        offsets: per tensor what its subscript in that dimension is ahead of the loop's variable.
        descending: whether the loop runs from the last step to the first.
        body: statements and loops, one after the other.
    """

    dimensions: tuple[tuple[str, int], ...]
    offsets: tuple[tuple[str, int], ...]
    descending: bool
    body: tuple[Statement | Scan, ...]


@dataclass(frozen=True, slots=True)
class _Edge:
    """`reader` reads `access` of a tensor of the component where every expression of `facts` is ≥ 0."""

    reader: Statement
    access: Access | BoundaryAccess
    facts: tuple[sp.Expr, ...]

    def distance(self, chosen: dict[str, int]) -> sp.Expr:
        """How far behind the element that is written the one that is read lies, along the chosen dimensions."""
        written = self.reader.subscripts[chosen[self.reader.target]]
        return sp.expand(written - self.access.subscripts[chosen[self.access.tensor]])


def ordered(statements: Sequence[Statement], names: Iterable[str]) -> tuple[Statement | Scan, ...]:
    """An order of the statements of a component in which every read of one of `names` follows the write.

    Raises:
        NotationError: there is none; the message names the cycle.
    """
    return _arranged(list(statements), _edges(statements, names))


def shared_dimensions(statements: Sequence[Statement], names: Iterable[str]) -> dict[str, int] | None:
    """One dimension per tensor along which the recurrence falls into independent ones; None if there is none."""
    return next(_independent(statements, _edges(statements, names)), None)


def _independent(statements: Sequence[Statement], edges: list[_Edge]) -> Iterator[dict[str, int]]:
    """Dimensions, one per tensor, along which no read moves."""
    for dimension in range(len(statements[0].subscripts)):
        for chosen in _assignments({statements[0].target: dimension}, statements, edges):
            if all(e.distance(chosen) == 0 for e in edges):
                yield chosen


def _edges(statements: Sequence[Statement], names: Iterable[str]) -> list[_Edge]:
    members = set(names)
    return [_Edge(s, t.access, t.facts) for s in statements for t in touches(s) if not t.written and t.access.tensor in members]


def _arranged(
    statements: list[Statement], edges: list[_Edge], fixed: frozenset[tuple[str, int]] = frozenset()
) -> tuple[Statement | Scan, ...]:
    """Statements in an order, and loops where they depend on each other; `fixed` are the dimensions that the loops around go along."""
    positions = {id(s): k for k, s in enumerate(statements)}
    writers: dict[str, list[int]] = {}
    for k, s in enumerate(statements):
        writers.setdefault(s.target, []).append(k)
    before: dict[int, list[int]] = {k: [] for k in range(len(statements))}
    for edge in edges:
        before[positions[id(edge.reader)]] += writers.get(edge.access.tensor, [])
    result: list[Statement | Scan] = []
    for group in strong_components(range(len(statements)), lambda k: before[k]):
        members = [statements[k] for k in sorted(group)]
        targets = {s.target for s in members}
        inner = [e for e in edges if any(e.reader is s for s in members) and e.access.tensor in targets]
        result += [_level(members, inner, fixed)] if inner else members
    return tuple(result)


def _level(statements: list[Statement], edges: list[_Edge], fixed: frozenset[tuple[str, int]]) -> Scan:
    first = statements[0]
    idle = frozenset(place for chosen in _independent(statements, edges) for place in chosen.items())
    for taken in dict.fromkeys((fixed, fixed | idle)):
        for dimension in _free(first.target, len(first.subscripts), taken):
            for chosen in _assignments({first.target: dimension}, statements, edges, taken):
                for descending in (False, True):
                    found = _carried(statements, edges, chosen, descending, fixed)
                    if found is not None:
                        return found
    raise _no_order(statements, edges)


def _free(name: str, rank: int, taken: frozenset[tuple[str, int]]) -> list[int]:
    """The dimensions of a tensor that no loop around goes along, or those along which something moves. An element without one is computed
    in one step of the loop inside."""
    return [d for d in range(rank) if (name, d) not in taken] or list(range(rank))


def _carried(
    statements: list[Statement], edges: list[_Edge], chosen: dict[str, int], descending: bool, fixed: frozenset[tuple[str, int]]
) -> Scan | None:
    """The loop along the chosen dimensions, if no cycle of reads points ahead of it and the rest can be ordered inside."""
    steps = [-e.distance(chosen) if descending else e.distance(chosen) for e in edges]
    least = [_least(step, e.facts) for e, step in zip(edges, steps, strict=True)]
    shifts = _shifts(edges, [x for x in least if x is not None]) if None not in least else None
    if shifts is None:
        return None
    rest = []
    for edge, step, bound in zip(edges, steps, least, strict=True):
        apart = shifts[edge.reader.target] - shifts[edge.access.tensor]
        if bound is not None and bound + apart < 1:
            rest.append(replace(edge, facts=(*edge.facts, sp.expand(-step - apart))))
    if len(rest) == len(edges):
        return None
    try:
        body = _arranged(statements, rest, fixed | {*chosen.items()})
    except NotationError:
        return None
    offsets = {name: shift if descending else -shift for name, shift in shifts.items()}
    largest = max(offsets.values())
    return Scan(tuple(sorted(chosen.items())), tuple(sorted((n, o - largest) for n, o in offsets.items())), descending, body)


def _least(distance: sp.Expr, facts: tuple[sp.Expr, ...]) -> int | None:
    """A lower bound of a distance."""
    if distance.is_Integer:
        return int(distance)
    return next((c for c in range(_NEAREST, _FARTHEST - 1, -1) if nonnegative(distance - c, facts)), None)


def _shifts(edges: list[_Edge], least: list[int]) -> dict[str, int] | None:
    """Steps by which each tensor is computed late, so that ``distance + shift(reader) - shift(read) ≥ 0``; None if a cycle forbids it."""
    shifts = {name: 0 for e in edges for name in (e.reader.target, e.access.tensor)}
    for _ in range(len(shifts) + 1):
        changed = False
        for edge, bound in zip(edges, least, strict=True):
            latest = shifts[edge.reader.target] + bound
            if shifts[edge.access.tensor] > latest:
                shifts[edge.access.tensor] = latest
                changed = True
        if not changed:
            return shifts
    return None


def _assignments(
    chosen: dict[str, int], statements: Sequence[Statement], edges: list[_Edge], fixed: frozenset[tuple[str, int]] = frozenset()
) -> Iterator[dict[str, int]]:
    """Ways to choose one dimension per tensor, those with reads at constant distances first."""
    for edge in edges:
        reader, access = edge.reader, edge.access
        if reader.target in chosen and access.tensor not in chosen:
            index = reader.subscripts[chosen[reader.target]]
            free = _free(access.tensor, len(access.subscripts), fixed)
            for d in [d for d in free if _constant_apart(access.subscripts[d], index)] or free:
                yield from _assignments({**chosen, access.tensor: d}, statements, edges, fixed)
            return
        if access.tensor in chosen and reader.target not in chosen:
            subscript = access.subscripts[chosen[access.tensor]]
            free = _free(reader.target, len(reader.subscripts), fixed)
            for d in [d for d in free if _constant_apart(subscript, reader.subscripts[d])] or free:
                yield from _assignments({**chosen, reader.target: d}, statements, edges, fixed)
            return
    complete = all(s.target in chosen and isinstance(s.subscripts[chosen[s.target]], Index) for s in statements)
    if complete and all(_affine(e, chosen[e.access.tensor]) for e in edges):
        yield chosen


def _constant_apart(subscript: sp.Expr, index: sp.Expr) -> bool:
    return isinstance(index, Index) and bool(sp.expand(subscript - index).is_Integer)


def _affine(edge: _Edge, dimension: int) -> bool:
    return modes_of(edge.access)[dimension] in ("", "pad", "skip") and linear(edge.access.subscripts[dimension]) is not None


# ------------------------------------------------------------------------------------------------------------------ no order


def _no_order(statements: list[Statement], edges: list[_Edge]) -> NotationError:
    names = list(dict.fromkeys(e.access.tensor for e in edges))
    cycles = _conflict(statements, edges)
    shown = list(dict.fromkeys(e for cycle in cycles for e in cycle))
    needs = [
        f"{expression(Access(e.reader.target, *e.reader.subscripts))} needs {expression(e.access, Order.of(e.reader))}" for e in shown
    ]
    at = tuple((statement_body(e.reader), expression(e.access, Order.of(e.reader)), e.reader.location) for e in shown[:6])
    if _certain(cycles, statements, edges):
        return NotationError(
            f"There is no order in which the elements of {', '.join(names)} can be computed: {', '.join(needs)}. "
            "There is no loop along which every read is of an element that comes before.",
            at=at,
            fix="read earlier elements only (h[t-1]) or later ones only (h[t+1]), or use another tensor if no recurrence is meant.",
        )
    return NotationError(
        f"No order is found in which the elements of {', '.join(names)} can be computed: {', '.join(needs)}. "
        "There is no loop along which every read is provably of an element that comes before.",
        at=at,
        fix="along one dimension, read at subscripts that are always smaller, or always larger, than those written: h[t-1], or h[t//2] "
        'with t = gc.index("t", 1, N); or use another tensor if no recurrence is meant.',
    )


def _conflict(statements: list[Statement], edges: list[_Edge]) -> list[list[_Edge]]:
    """A cycle of reads that leads back to where it started, or one that leads ahead and one that leads back."""
    cycles = sorted((_cycle(e, edges) for e in edges), key=len)
    first = statements[0]
    for dimension in range(len(first.subscripts)):
        for chosen in _assignments({first.target: dimension}, statements, edges):
            totals = [sp.expand(sp.Add(*(e.distance(chosen) for e in cycle))) for cycle in cycles]
            still = next((c for c, total in zip(cycles, totals, strict=True) if total == 0), None)
            if still is not None:
                return [still]
            ahead = next((c for c, total in zip(cycles, totals, strict=True) if total.is_negative), None)
            back = next((c for c, total in zip(cycles, totals, strict=True) if total.is_positive), None)
            if ahead is not None and back is not None:
                return [back, ahead]
    return cycles[:1]


def _certain(cycles: list[list[_Edge]], statements: list[Statement], edges: list[_Edge]) -> bool:
    """Whether the cycles forbid every order: one leads back in each dimension, or there is only one dimension for two directions."""
    first = statements[0]
    ways = [c for d in range(len(first.subscripts)) for c in _assignments({first.target: d}, statements, edges)]
    if len(cycles) == 1:
        return bool(ways) and all(sp.expand(sp.Add(*(e.distance(chosen) for e in cycles[0]))) == 0 for chosen in ways)
    return all(len(s.subscripts) == 1 for s in statements)


def _cycle(edge: _Edge, edges: list[_Edge]) -> list[_Edge]:
    """The shortest cycle through a read."""
    paths: dict[str, list[_Edge]] = {edge.access.tensor: [edge]}
    waiting = deque(paths)
    while edge.reader.target not in paths:
        name = waiting.popleft()
        for other in edges:
            if other.reader.target == name and other.access.tensor not in paths:
                paths[other.access.tensor] = [*paths[name], other]
                waiting.append(other.access.tensor)
    return paths[edge.reader.target]
