"""Expressions that are nested deeply are computed in parts: everything behind recurses over expressions, LLVM included."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from graphc.analysis.legality import ensured
from graphc.ir.dtypes import dtype_of, settle
from graphc.ir.expr import Access, Compare, Logical, Where, accesses, deeper, indices_of, postorder, rebuilt
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.origin import Part
from graphc.ir.statement import Statement, revised
from graphc.ir.tensor import Tensor
from graphc.passes.lift import guard

__all__ = ["DEEP", "divide"]

DEEP = 100
"""Nesting up to which expressions stay whole."""
PART = 50
"""Nesting of the parts of others."""

_Path = tuple[tuple[sp.Basic, bool], ...]


def divide(graph: Graph) -> Graph:
    """Give parts of expressions that are nested more than 100 deep tensors of their own: ``y.part``, ``y.part_2`` …

    Takes and returns a graph without nested reductions. What a branch of a condition evaluates is evaluated under that condition.
    """
    if not any(deeper(s.value, DEEP) for s in graph.statements):
        return graph
    worker = _Divider(dict(graph.by_name()), ensured(graph.checks))
    for statement in graph.statements:
        worker.divide(statement)
    return replace(graph, tensors=tuple(worker.tensors.values()), statements=tuple(worker.statements))


class _Divider:
    def __init__(self, tensors: dict[str, Tensor], known: tuple[sp.Expr, ...]) -> None:
        self.tensors, self.known = tensors, known
        self.statements: list[Statement] = []

    def divide(self, statement: Statement) -> None:
        if not deeper(statement.value, DEEP):
            self.statements.append(statement)
            return
        paths = _paths(statement.value)
        done: dict[sp.Basic, sp.Basic] = {}
        depths: dict[sp.Basic, int] = {}
        parts: list[Access] = []
        for node in postorder(statement.value):
            done[node] = rebuilt(node, done)
            depths[node] = 0 if isinstance(node, Access) else 1 + max((depths[a] for a in node.args), default=0)
            path = paths.get(node)
            if depths[node] >= PART and path is not None and node is not statement.value and not isinstance(node, Compare | Logical):
                done[node] = self._part(done[node], [(done[c], truth) for c, truth in path], statement, parts)
                parts.append(done[node])
                depths[node] = 0
        value = done[statement.value]
        told = "an expression that is nested deeply is computed in parts"
        order = tuple(dict.fromkeys((*(a for a in statement.order if a in accesses(value)), *parts)))
        self.statements.append(revised(statement, "divide", told, value=value, order=order))

    def _part(self, value: sp.Expr, path: list[tuple[sp.Basic, bool]], statement: Statement, parts: list[Access]) -> Access:
        for condition, truth in reversed(path):
            value = Where(condition, value, sp.Integer(0)) if truth else Where(condition, sp.Integer(0), value)
        needed = set(indices_of(value))
        ranges = tuple(r for r in statement.ranges if r.index in needed)
        indices = tuple(r.index for r in ranges)
        name = fresh_name(f"{statement.target}.part", self.tensors)
        target = self.tensors[statement.target]
        stored = settle(dtype_of(value, lambda n: self.tensors[n].dtype), target.dtype)
        self.tensors[name] = Tensor(name, tuple(r.upper for r in ranges), stored, "defined", target.group)
        order = tuple(a for a in (*statement.order, *parts) if a in accesses(value))
        domain = tuple(d for d in statement.domain if set(indices_of(d)) <= needed)
        origin = Part("a part of a deep expression", statement)
        part = Statement(name, indices, "=", value, ranges, domain, order, statement.location, origin)
        self.statements.append(guard(part, self.tensors, self.known))
        found: Access = Access(name, *indices)
        return found


def _paths(value: sp.Expr) -> dict[sp.Basic, _Path | None]:
    """The conditions under which each node is evaluated; None where it is under several combinations of them, or a subscript."""
    found: dict[sp.Basic, _Path | None] = {value: ()}
    for node in reversed(postorder(value)):
        path = found.get(node)
        for argument in node.args:
            inner = None if isinstance(node, Access) else path
            if isinstance(node, Where) and path is not None and argument is not node.condition:
                inner = (*path, (node.condition, argument is node.value))
            found[argument] = _either(found[argument], inner) if argument in found else inner
    return found


def _either(a: _Path | None, b: _Path | None) -> _Path | None:
    """Where something is evaluated that is evaluated on two paths."""
    if a == () or b == ():
        return ()
    if a is None or b is None:
        return None
    shared = min(len(a), len(b))
    return a[:shared] if a[:shared] == b[:shared] else None
