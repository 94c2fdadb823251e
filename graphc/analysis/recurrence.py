"""Recurrences: which tensors refer to themselves, and the slices that start them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import sympy as sp

from graphc.ir.expr import BoundaryAccess
from graphc.ir.graph import Graph, reads
from graphc.ir.statement import Statement
from graphc.ir.tree import indices_of

__all__ = ["components", "cyclic", "hidden_slices", "initial_dimension", "margins", "outside", "outer_rows", "strong_components"]

Key = TypeVar("Key")


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


def outer_rows(extent: sp.Expr, margin: tuple[int, int]) -> list[sp.Expr]:
    """The rows of a dimension that are given by initial slices."""
    below, above = margin
    return [*(sp.Integer(-k - 1) for k in range(below)), *(sp.expand(extent + k) for k in range(above))]


def outside(statement: Statement, graph: Graph) -> dict[int, sp.Expr]:
    """The rows outside of its target that an assignment writes: its constant subscripts below 0 or behind the end, by dimension."""
    found: dict[int, sp.Expr] = {}
    if statement.op == "=":
        for dimension, (subscript, extent) in enumerate(zip(statement.subscripts, graph.tensor(statement.target).shape, strict=True)):
            beyond = sp.expand(subscript - extent)
            if not indices_of(subscript) and ((subscript.is_Integer and subscript < 0) or (beyond.is_Integer and beyond >= 0)):
                found[dimension] = sp.expand(subscript)
    return found


def initial_dimension(statement: Statement, graph: Graph) -> int | None:
    """The dimension in which an assignment writes one row outside of its target; None for a corner, which lies outside in several."""
    rows = outside(statement, graph)
    return next(iter(rows)) if len(rows) == 1 else None


def hidden_slices(graph: Graph) -> Iterator[tuple[Statement, BoundaryAccess, int]]:
    """Initial slices that nothing reads because every moving read of the tensor goes through a boundary view of that dimension, with such
    a read and the dimension."""
    slices = [(s, dimension) for s in graph.statements if (dimension := initial_dimension(s, graph)) is not None]
    for s, dimension in slices:
        found = [a for other in graph.statements for a in other.accesses if a.tensor == s.target]
        moving = [a for a in found if indices_of(a.subscripts[dimension])]
        views = [a for a in moving if isinstance(a, BoundaryAccess) and a.modes[dimension]]
        if views and len(views) == len(moving) == len(found):
            yield s, views[0], dimension
