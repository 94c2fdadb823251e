"""Recurrences: tensors that refer to themselves at other elements, and an order of loops in which every read comes after its write.

Allen and Kennedy (ACM TOPLAS 9, 1987): the statements of a strongly connected component get a sequential loop along which every
dependence has one sign; what remains at distance 0 is ordered inside of it, by the same rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import sympy as sp

from graphc.errors import NotationError
from graphc.ir.affine import linear, nonnegative
from graphc.ir.expr import Access, BoundaryAccess, Index, accesses, indices_of
from graphc.ir.graph import Graph, reads
from graphc.ir.show import Order, expression, statement_body
from graphc.ir.statement import Statement

__all__ = ["Scan", "components", "cyclic", "initial_dimension", "margins", "ordered", "shared_dimensions"]

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Scan:
    """A sequential loop: per tensor the dimension it runs along, its direction, and what happens in each step."""

    dimensions: tuple[tuple[str, int], ...]
    descending: bool
    body: tuple[Statement | Scan, ...]


@dataclass(frozen=True, slots=True)
class _Edge:
    """`reader` reads `access` of a tensor of the component."""

    reader: Statement
    access: Access | BoundaryAccess


def strong_components(nodes: Sequence[Key], successors: Callable[[Key], Iterable[Key]]) -> list[list[Key]]:
    """Tarjan's algorithm without recursion; a component comes after those that it reaches."""
    number: dict[Key, int] = {}
    low: dict[Key, int] = {}
    stack: list[Key] = []
    on_stack: set[Key] = set()
    found: list[list[Key]] = []
    for root in nodes:
        if root in number:
            continue
        work = [(root, iter(list(successors(root))))]
        number[root] = low[root] = len(number)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, rest = work[-1]
            following = next(rest, None)
            if following is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    component = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.append(member)
                        if member == node:
                            break
                    found.append(component[::-1])
            elif following not in number:
                number[following] = low[following] = len(number)
                stack.append(following)
                on_stack.add(following)
                work.append((following, iter(list(successors(following)))))
            elif following in on_stack:
                low[node] = min(low[node], number[following])
    return found


def components(graph: Graph) -> list[tuple[str, ...]]:
    """Tensor names in groups that depend on each other, every group after those that it reads."""
    definitions = graph.definitions()
    sources = {name: list(dict.fromkeys(r for s in statements for r in reads(s))) for name, statements in definitions.items()}
    return [tuple(c) for c in strong_components(graph.order(), lambda n: sources[n])]


def cyclic(graph: Graph) -> set[str]:
    """Names of the tensors that depend on themselves."""
    definitions = graph.definitions()
    groups = components(graph)
    return {n for g in groups for n in g if len(g) > 1 or any(n in reads(s) for s in definitions[n])}


def margins(graph: Graph) -> dict[tuple[str, int], tuple[int, int]]:
    """How many rows below 0 and behind the last one of a dimension are given by initial slices such as ``h[-1,i] = …``."""
    found: dict[tuple[str, int], set[sp.Expr]] = {}
    own = {name for name, statements in graph.definitions().items() if any(name in reads(s) for s in statements)} | (
        cyclic(graph) if any(initial_dimension(s, graph) is not None for s in graph.statements) else set()
    )
    for statement in graph.statements:
        dimension = initial_dimension(statement, graph)
        if dimension is not None and statement.target in own:
            found.setdefault((statement.target, dimension), set()).add(sp.expand(statement.subscripts[dimension]))
    result = {}
    for (name, dimension), rows in found.items():
        extent = graph.tensor(name).shape[dimension]
        below = next(k for k in range(len(rows) + 1) if sp.Integer(-k - 1) not in rows)
        above = next(k for k in range(len(rows) + 1) if sp.expand(extent + k) not in rows)
        result[name, dimension] = (below, above)
    return result


def initial_dimension(statement: Statement, graph: Graph) -> int | None:
    """The dimension in which an assignment writes one row outside of its target."""
    if statement.op != "=":
        return None
    shape = graph.tensor(statement.target).shape
    outside = []
    for dimension, (subscript, extent) in enumerate(zip(statement.subscripts, shape, strict=True)):
        if indices_of(subscript):
            continue
        beyond = sp.expand(subscript - extent)
        if (subscript.is_Integer and subscript < 0) or (beyond.is_Integer and beyond >= 0):
            outside.append(dimension)
    return outside[0] if len(outside) == 1 else None


# ------------------------------------------------------------------------------------------------------------------- order


def ordered(statements: Sequence[Statement], names: Iterable[str]) -> tuple[Statement | Scan, ...]:
    """An order of the statements of a component in which every read of one of `names` follows the write.

    Raises:
        NotationError: there is none; the message names the cycle.
    """
    members = set(names)
    edges = [_Edge(s, a) for s in statements for a in _reads_of(s, members)]
    return _arranged(list(statements), edges)


def _reads_of(statement: Statement, names: set[str]) -> list[Access | BoundaryAccess]:
    return [a for part in (statement.value, *statement.subscripts) for a in accesses(part) if a.tensor in names]


def _arranged(statements: list[Statement], edges: list[_Edge]) -> tuple[Statement | Scan, ...]:
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
        result += [_level(members, inner)] if inner else members
    return tuple(result)


def _level(statements: list[Statement], edges: list[_Edge]) -> Scan:
    first = statements[0].target
    rank = len(statements[0].subscripts)
    for dimension in range(rank):
        chosen = _propagated({first: dimension}, statements, edges)
        if chosen is None:
            continue
        for descending in (False, True):
            steps = [_steps_back(e, chosen, descending) for e in edges]
            if all(nonnegative(step, _facts(e)) for e, step in zip(edges, steps, strict=True)):
                rest = [e for e, step in zip(edges, steps, strict=True) if not nonnegative(step - 1, _facts(e))]
                if len(rest) == len(edges):
                    continue
                try:
                    return Scan(tuple(sorted(chosen.items())), descending, _arranged(statements, rest))
                except NotationError:
                    continue
    raise _no_order(statements, edges)


def _propagated(chosen: dict[str, int], statements: list[Statement], edges: list[_Edge]) -> dict[str, int] | None:
    """One dimension per tensor such that every read along it is at a constant distance; None if there is none."""
    targets = {s.target for s in statements}
    grown = True
    while grown:
        grown = False
        for edge in edges:
            reader, access = edge.reader, edge.access
            if reader.target in chosen and access.tensor not in chosen:
                index = reader.subscripts[chosen[reader.target]]
                fits = [d for d, s in enumerate(access.subscripts) if _offset(s, index) is not None]
                if not fits:
                    return None
                chosen[access.tensor] = fits[0]
                grown = True
            elif access.tensor in chosen and reader.target not in chosen:
                subscript = access.subscripts[chosen[access.tensor]]
                fits = [d for d, s in enumerate(reader.subscripts) if isinstance(s, Index) and _offset(subscript, s) is not None]
                if not fits:
                    return None
                chosen[reader.target] = fits[0]
                grown = True
    complete = targets <= set(chosen)
    plain = complete and all(isinstance(s.subscripts[chosen[s.target]], Index) for s in statements)
    return chosen if plain and all(_fixed(e, chosen) for e in edges) else None


def _fixed(edge: _Edge, chosen: dict[str, int]) -> bool:
    dimension = chosen[edge.access.tensor]
    if isinstance(edge.access, BoundaryAccess) and edge.access.modes[dimension] not in ("", "pad", "skip"):
        return False
    return _offset(edge.access.subscripts[dimension], edge.reader.subscripts[chosen[edge.reader.target]]) is not None


def _steps_back(edge: _Edge, chosen: dict[str, int], descending: bool) -> sp.Expr:
    """How many steps before the reader's the element that is read is computed."""
    offset = _offset(edge.access.subscripts[chosen[edge.access.tensor]], edge.reader.subscripts[chosen[edge.reader.target]])
    assert offset is not None
    return offset if descending else -offset


def _facts(edge: _Edge) -> tuple[sp.Expr, ...]:
    return tuple(c for r in edge.reader.ranges for c in r.constraints()) + edge.reader.domain


def _offset(subscript: sp.Expr, index: sp.Expr) -> sp.Expr | None:
    """e if the subscript is ``index + e`` without the index in e."""
    form = linear(subscript)
    if form is None or form.coefficient(index) != 1:
        return None
    rest = sp.expand(subscript - index)
    return None if index in rest.free_symbols else rest


def shared_dimensions(statements: Sequence[Statement], names: Iterable[str]) -> dict[str, int] | None:
    """One dimension per tensor along which the recurrence falls into independent ones; None if there is none."""
    members = set(names)
    edges = [_Edge(s, a) for s in statements for a in _reads_of(s, members)]
    for dimension in range(len(statements[0].subscripts)):
        chosen = _propagated({statements[0].target: dimension}, list(statements), edges)
        if chosen is not None and all(_steps_back(e, chosen, False) == 0 for e in edges):
            return chosen
    return None


def _no_order(statements: list[Statement], edges: list[_Edge]) -> NotationError:
    names = list(dict.fromkeys(e.access.tensor for e in edges))
    at = []
    for edge in edges[:4]:
        at.append((statement_body(edge.reader), expression(edge.access, Order.of(edge.reader)), edge.reader.location))
    cycle = " → ".join([*names, names[0]])
    return NotationError(
        f"There is no order in which the elements of {', '.join(names)} can be computed ({cycle}): no loop along which every read "
        "is of an element that comes before.",
        at=tuple(at),
        fix="read earlier elements only (h[t-1]) or later ones only (h[t+1]), or use another tensor if no recurrence is meant.",
    )
