"""Statements beside a recurrence that is to be checkpointed go over its rows, so that they can be computed step by step with it."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import sympy as sp

from graphc.analysis.timeline import Timeline, timeline
from graphc.ir.expr import Access, Index
from graphc.ir.graph import Graph
from graphc.ir.origin import Rewrite
from graphc.ir.statement import Range, Statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import rewrite
from graphc.passes.row_sums import summed_by_rows

__all__ = ["by_rows"]


def by_rows(graph: Graph) -> Graph:
    """What reads or writes the row ``h[T-1]`` becomes a loop over t with one iteration; ``L[()] += h[t,i]**2`` a sum of ``L.rows[t]``.

    Only where a tensor has been marked by `graphc.checkpoint`.
    """
    marked = next((t.name for t in graph.tensors if t.every), None)
    line = timeline(graph, marked) if marked is not None else None
    if line is None:
        return graph
    tensors = dict(graph.by_name())
    statements: list[Statement] = []
    for s in graph.statements:
        row = line.constant(s)
        if row is not None and (s.op in ("=", "+=") or s.target in line.dimensions):
            s = _spread(s, row, line)
        statements += _summed_by_rows(s, line, tensors)
    return replace(graph, tensors=tuple(tensors.values()), statements=tuple(statements))


def _spread(statement: Statement, row: sp.Expr, line: Timeline) -> Statement:
    """One row as the one iteration of a loop over all of them."""
    used = {str(r.index) for r in statement.ranges}
    index = Index(next(name for k in count() if (name := f"t{k or ''}") not in used))

    def at(subscripts: tuple[sp.Expr, ...], name: str) -> tuple[sp.Expr, ...]:
        dimension = line.dimensions[name]
        return (*subscripts[:dimension], index, *subscripts[dimension + 1 :])

    def rule(part: sp.Basic) -> sp.Basic | None:
        known = isinstance(part, Access) and part.tensor in line.dimensions
        return Access(part.tensor, *at(part.subscripts, part.tensor)) if known else None

    return replace(
        statement,
        op="+=" if statement.target not in line.dimensions else statement.op,
        subscripts=at(statement.subscripts, statement.target) if statement.target in line.dimensions else statement.subscripts,
        value=rewrite(statement.value, rule),
        ranges=(Range(index, sp.Integer(0), line.steps), *statement.ranges),
        domain=(*statement.domain, sp.expand(index - row), sp.expand(row - index)),
        order=(),
        origin=Rewrite("one row", f"a loop over {index} with one iteration", statement),
    )


def _summed_by_rows(statement: Statement, line: Timeline, tensors: dict[str, Tensor]) -> list[Statement]:
    """A sum of everything as a sum of each row, and the sum of these: the rows of one step are at hand together."""
    index, target = line.index(statement), statement.target
    if index is None or tensors[target].shape or statement.op != "+=" or statement.scatters or target in line.dimensions:
        return [statement]
    return summed_by_rows(statement, index, line.steps, tensors)
