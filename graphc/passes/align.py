"""Recurrences in the form that is differentiated and scheduled: plain left sides, initial slices as tensors of their own."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import sympy as sp

from graphc.analysis.order import ordered
from graphc.analysis.recurrence import components, cyclic, initial_dimension
from graphc.errors import NotationError
from graphc.ir.affine import linear, nonnegative
from graphc.ir.expr import Access, BoundaryAccess, Compare, Index, Where
from graphc.ir.graph import Graph, fresh_name, reads
from graphc.ir.origin import Part, Rewrite
from graphc.ir.shift import plain, shifted
from graphc.ir.statement import Range, Statement, revised
from graphc.ir.tensor import Tensor
from graphc.ir.tree import indices_of, rewrite

__all__ = ["align_recurrences"]


def align_recurrences(graph: Graph) -> Graph:
    """``h[t+1,i] = f(h[t,i])`` becomes ``h[t,i] = f(h[t-1,i])``; the slice ``h[-1,i] = e`` becomes ``h.first[i] = e``, which is read
    where the subscript is -1; the row ``h[0,i] = g(c[0,i])`` of a recurrence becomes ``h[t,i] = g(c[t,i])`` on t = 0. A recurrence that
    has no order otherwise gets plain left sides: ``h[t-1,t] += h[t,i]`` becomes ``h[x,t] += h[x+1,i]`` on x = t-1.

    Raises:
        NotationError: a recurrence has no order.
    """
    names = cyclic(graph)
    if not names:
        return graph
    graph = _separate_slices(graph, names)
    names = cyclic(graph)
    graph = replace(graph, statements=tuple(shifted(s, graph.tensor(s.target)) if s.target in names else s for s in graph.statements))
    graph = replace(graph, statements=tuple(_spread(s, graph, names) for s in graph.statements))
    return _in_order(graph, names)


def _in_order(graph: Graph, names: set[str]) -> Graph:
    """The graph with plain left sides for the recurrences that have an order only then."""
    definitions = graph.definitions()
    made: dict[int, Statement] = {}
    for group in components(graph):
        moving = [s for n in group for s in definitions[n] if set(reads(s)) & set(group)]
        try:
            if moving:
                ordered(moving, group)
        except NotationError as error:
            others = [s if s.scatters else plain(s, graph.tensor(s.target), names) for s in moving]
            try:
                ordered(others, group)
            except NotationError:
                raise error from None
            made.update(zip(map(id, moving), others, strict=True))
    return replace(graph, statements=tuple(made.get(id(s), s) for s in graph.statements)) if made else graph


def _separate_slices(graph: Graph, names: set[str]) -> Graph:
    tensors = dict(graph.by_name())
    slices: dict[str, list[tuple[int, sp.Expr, str]]] = {}
    statements: list[Statement] = []
    for s in graph.statements:
        dimension = initial_dimension(s, graph) if s.target in names else None
        if dimension is None:
            statements.append(s)
            continue
        info = tensors[s.target]
        name = fresh_name(f"{s.target}.first", tensors)
        shape = (*info.shape[:dimension], *info.shape[dimension + 1 :])
        tensors[name] = Tensor(name, shape, info.dtype, "defined", info.group)
        slices.setdefault(s.target, []).append((dimension, s.subscripts[dimension], name))
        rest = (*s.subscripts[:dimension], *s.subscripts[dimension + 1 :])
        statements.append(replace(s, target=name, subscripts=rest, origin=Part("the initial slice", s)))
    if not slices:
        return graph
    return replace(graph, tensors=tuple(tensors.values()), statements=tuple(_with_slices(s, slices) for s in statements))


def _spread(statement: Statement, graph: Graph, names: set[str]) -> Statement:
    """A row at a constant subscript as the one iteration of a loop, so that it takes part in the order of the other rows."""
    if statement.target not in names or not set(reads(statement)) & names:
        return statement
    for dimension, row in enumerate(statement.subscripts):
        if indices_of(row) or linear(row) is None:
            continue
        extent = graph.tensor(statement.target).shape[dimension]
        used = {str(r.index) for r in statement.ranges}
        index = Index(next(name for k in count() if (name := f"t{k or ''}") not in used))
        value = rewrite(statement.value, lambda part: _moved(part, names, sp.expand(index - row)))  # noqa: B023
        statement = replace(
            statement,
            subscripts=(*statement.subscripts[:dimension], index, *statement.subscripts[dimension + 1 :]),
            value=value,
            ranges=(Range(index, sp.Integer(0), extent), *statement.ranges),
            domain=(*statement.domain, sp.expand(index - row), sp.expand(row - index)),
            origin=Rewrite("one row", f"a loop over {index} with one iteration", statement),
        )
    return statement


def _moved(part: sp.Basic, names: set[str], nothing: sp.Expr) -> sp.Basic | None:
    """A read of a recurrent tensor with `nothing`, which is 0, added to its first constant subscript."""
    if not (isinstance(part, Access | BoundaryAccess) and part.tensor in names):
        return None
    constant = next((d for d, s in enumerate(part.subscripts) if not indices_of(s) and linear(s) is not None), None)
    if constant is None:
        return None
    moved = tuple(sp.expand(s + nothing) if d == constant else s for d, s in enumerate(part.subscripts))
    return Access(part.tensor, *moved) if isinstance(part, Access) else BoundaryAccess(part.tensor, part.args[1], part.fill, *moved)


def _slice_of(read: Access | BoundaryAccess, name: str, dimension: int) -> sp.Expr:
    """The same read of a slice, which lacks one dimension."""
    rest = (*read.subscripts[:dimension], *read.subscripts[dimension + 1 :])
    if isinstance(read, Access):
        return Access(name, *rest)
    modes = (*read.modes[:dimension], *read.modes[dimension + 1 :])
    return BoundaryAccess(name, ",".join(modes), read.fill, *rest)


def _with_slices(statement: Statement, slices: dict[str, list[tuple[int, sp.Expr, str]]]) -> Statement:
    facts = tuple(c for r in statement.ranges for c in r.constraints()) + statement.domain

    def rule(part: sp.Basic) -> sp.Basic | None:
        if not (isinstance(part, Access | BoundaryAccess) and part.tensor in slices):
            return None
        value: sp.Expr = part
        for dimension, row, name in slices[part.tensor]:
            subscript = part.subscripts[dimension]
            if nonnegative(subscript - row - 1, facts) or nonnegative(row - subscript - 1, facts):
                continue
            if isinstance(part, BoundaryAccess) and part.modes[dimension]:
                continue
            value = Where(Compare("==", subscript, row), _slice_of(part, name, dimension), value)
        return value

    return revised(statement, "initial slice", "the first row is a tensor of its own", value=rewrite(statement.value, rule))
