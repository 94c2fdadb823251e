"""A recurrence is computed where its copy is wanted."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from graphc.ir.expr import Access, Index
from graphc.ir.graph import Graph, reads
from graphc.ir.statement import Statement
from graphc.ir.tree import rewrite

__all__ = ["adopt_copies"]


def adopt_copies(graph: Graph) -> Graph:
    """``for i: Y[i] = X[i]``, all of Y and all of X: the statements that define X define Y, and X is no more.

    `graphc.passes.prune.inline_copies` reads through a copy that nobody wants; here the copy is an output, such as the gradient of an
    input that a recurrence adds to, and its source is not.
    """
    while (copy := next((s for s in graph.statements if _adopts(s, graph)), None)) is not None:
        assert isinstance(copy.value, Access)
        graph = _renamed(graph, copy, copy.value.tensor)
    return graph


def _adopts(copy: Statement, graph: Graph) -> bool:
    source, definitions = copy.value, graph.definitions()
    if not isinstance(source, Access) or copy.op not in ("=", "+=") or copy.domain or copy.reduced or source.subscripts != copy.subscripts:
        return False
    if len(definitions[copy.target]) != 1 or source.tensor in graph.outputs or copy.target not in graph.outputs:
        return False
    if len(set(copy.subscripts)) < len(copy.subscripts) or not definitions.get(source.tensor) or source.tensor == copy.target:
        return False
    old, new = graph.tensor(source.tensor), graph.tensor(copy.target)
    if old.every or old.dtype != new.dtype or old.shape != new.shape or any(not isinstance(s, Index) for s in copy.subscripts):
        return False
    ranges = [copy.range_of(s) for s in copy.subscripts]
    if any(r.lower != 0 or sp.expand(r.upper - e) != 0 for r, e in zip(ranges, new.shape, strict=True)):
        return False
    return any(source.tensor in reads(s) for s in definitions[source.tensor])


def _renamed(graph: Graph, copy: Statement, name: str) -> Graph:
    """The graph without the copy and its source, whose definitions have become the copy's."""

    def rule(part: sp.Basic) -> sp.Basic | None:
        return Access(copy.target, *part.subscripts) if isinstance(part, Access) and part.tensor == name else None

    done: dict[sp.Basic, sp.Basic] = {}
    statements = [
        replace(
            s,
            target=copy.target if s.target == name else s.target,
            value=rewrite(s.value, rule, done),
            subscripts=tuple(rewrite(x, rule, done) for x in s.subscripts),
            order=tuple(rewrite(x, rule, done) for x in s.order),
        )
        for s in graph.statements
        if s is not copy
    ]
    return replace(graph, tensors=tuple(t for t in graph.tensors if t.name != name), statements=tuple(statements))
