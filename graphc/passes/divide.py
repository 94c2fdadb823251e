"""Expressions that are nested deeply are computed in parts: everything behind recurses over expressions, LLVM included."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from graphc.analysis.legality import ensured
from graphc.ir.expr import Access, Compare, Logical, rebuilt
from graphc.ir.graph import Graph
from graphc.ir.statement import Statement, revised
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, deeper, postorder
from graphc.passes.part import part, paths

__all__ = ["DEEP", "divide"]

DEEP = 100
"""Nesting up to which expressions stay whole."""
PART = 50
"""Nesting of the parts of others."""
_WHY = "a part of a deep expression"


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
        around = paths(statement.value)
        done: dict[sp.Basic, sp.Basic] = {}
        depths: dict[sp.Basic, int] = {}
        parts: list[Access] = []
        for node in postorder(statement.value):
            done[node] = rebuilt(node, done)
            depths[node] = 0 if isinstance(node, Access) else 1 + max((depths[a] for a in node.args), default=0)
            path = around.get(node)
            if depths[node] >= PART and path is not None and node is not statement.value and not isinstance(node, Compare | Logical):
                changed = tuple((done[c], truth) for c, truth in path)
                made, done[node] = part(done[node], changed, statement, "part", _WHY, parts, self.tensors, self.known)
                self.statements.append(made)
                parts.append(done[node])
                depths[node] = 0
        value = done[statement.value]
        told = "an expression that is nested deeply is computed in parts"
        order = tuple(dict.fromkeys((*(a for a in statement.order if a in accesses(value)), *parts)))
        self.statements.append(revised(statement, "divide", told, value=value, order=order))
