"""Recurrences in the form that is differentiated and scheduled: plain left sides, initial slices as tensors of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count

import sympy as sp

from graphc.analysis.conditions import pieces
from graphc.analysis.order import ordered
from graphc.analysis.recurrence import components, cyclic, margins, outer_rows, outside
from graphc.errors import NotationError
from graphc.ir.affine import contradictory, linear, nonnegative
from graphc.ir.expr import Access, BoundaryAccess, Compare, Index, Where
from graphc.ir.graph import Graph, fresh_name, reads
from graphc.ir.origin import Part, Rewrite
from graphc.ir.shift import plain, shifted
from graphc.ir.show import statement_body
from graphc.ir.statement import Range, Statement, behind, rename, revised
from graphc.ir.tensor import Tensor
from graphc.ir.tree import altered, indices_of, modes_of, rewrite, substitute

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


_Rows = tuple[tuple[int, sp.Expr], ...]
"""Rows outside of a tensor, by dimension: of a slice one, of a corner several."""


def _separate_slices(graph: Graph, names: set[str]) -> Graph:
    tensors, rows = dict(graph.by_name()), margins(graph)
    slices: dict[str, dict[_Rows, str]] = {}
    statements: list[Statement] = []
    for s in graph.statements:
        if s.target not in names or not outside(s, graph):
            statements.append(s)
            continue
        for part in _corners(s, graph, rows):
            info, fixed = tensors[s.target], tuple(outside(part, graph).items())
            inner = [d for d in range(len(info.shape)) if d not in dict(fixed)]
            known = slices.setdefault(s.target, {})
            if fixed not in known:
                known[fixed] = name = fresh_name(f"{s.target}.first", tensors)
                tensors[name] = Tensor(name, tuple(info.shape[d] for d in inner), info.dtype, "defined", info.group)
            rest = tuple(part.subscripts[d] for d in inner)
            statements.append(replace(part, target=known[fixed], subscripts=rest, origin=Part("the initial slice", s)))
    if not slices:
        return graph
    return replace(graph, tensors=tuple(tensors.values()), statements=tuple(new for s in statements for new in _with_slices(s, slices)))


def _corners(statement: Statement, graph: Graph, rows: Mapping[tuple[str, int], tuple[int, int]]) -> Iterator[Statement]:
    """An initial slice without the corners that it reaches into, and these."""
    fixed = outside(statement, graph)
    for dimension, (subscript, extent) in enumerate(zip(statement.subscripts, graph.tensor(statement.target).shape, strict=True)):
        if dimension in fixed or (statement.target, dimension) not in rows:
            continue
        for row in outer_rows(extent, rows[statement.target, dimension]):
            if not contradictory((*statement.constraints(), sp.expand(subscript - row), sp.expand(row - subscript))):
                yield from _corners(_at_row(statement, dimension, row), graph, rows)
        open_ends = tuple(e for e in (subscript, behind(subscript, extent)) if not nonnegative(e, statement.constraints()))
        statement = replace(statement, domain=statement.domain + open_ends)
    yield statement


def _at_row(statement: Statement, dimension: int, row: sp.Expr) -> Statement:
    """The part of an initial slice that lies in one row of another dimension."""
    form = linear(statement.subscripts[dimension])
    indices = indices_of(statement.subscripts[dimension])
    if form is None or len(indices) != 1 or abs(form.coefficient(indices[0])) != 1:
        body = statement_body(statement)
        raise NotationError(f"The corner of {statement.target} cannot be told from the initial slice that reaches into it.",
                            at=((body, body.split(" = ")[0], statement.location),), fix="give the corner a statement of its own.")
    index = indices[0]
    value = sp.expand(index + form.coefficient(index) * (row - statement.subscripts[dimension]))
    limits = statement.range_of(index)
    moved = rename(replace(statement, ranges=tuple(r for r in statement.ranges if r.index != index)), {index: value})
    ends = tuple(e for c in limits.constraints() if not nonnegative(e := sp.expand(substitute(c, {index: value}))))
    return replace(moved, domain=moved.domain + ends)


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
    return altered(part, subscripts=moved)


def _slice_of(read: Access | BoundaryAccess, name: str, fixed: _Rows) -> sp.Expr:
    """The same read of a slice, which lacks some dimensions."""
    inner = [d for d in range(len(read.subscripts)) if d not in dict(fixed)]
    modes = modes_of(read)
    return altered(read, tensor=name, modes=[modes[d] for d in inner], subscripts=[read.subscripts[d] for d in inner])


def _with_slices(statement: Statement, slices: Mapping[str, dict[_Rows, str]]) -> Iterator[Statement]:
    """The statement with reads of the slices; several where the place that it adds to is read from one."""
    facts = tuple(c for r in statement.ranges for c in r.constraints()) + statement.domain

    def rule(part: sp.Basic) -> sp.Basic | None:
        if not isinstance(part, Access | BoundaryAccess):
            return None
        choice = next((a for a in part.args if isinstance(a, Where)), None)
        if choice is not None:
            given, other = (part.func(*(branch if a is choice else a for a in part.args)) for branch in (choice.value, choice.other))
            return Where(choice.condition, *(rule(read) or read for read in (given, other)))
        return _chosen(part, slices[part.tensor], facts) if part.tensor in slices else None

    value, left = rewrite(statement.value, rule), tuple(rewrite(s, rule) for s in statement.subscripts)
    yield from _by_place(revised(statement, "initial slice", "the first row is a tensor of its own", value=value, subscripts=left))


def _chosen(read: Access | BoundaryAccess, slices: Mapping[_Rows, str], facts: tuple[sp.Expr, ...]) -> sp.Expr:
    """A read, or what it finds in a slice or a corner where its subscripts are outside."""
    dimensions = [d for d, (s, mode) in enumerate(zip(read.subscripts, modes_of(read), strict=True))
                  if linear(s) is not None and not mode and any(d in dict(fixed) for fixed in slices)]

    def found(rest: list[int], fixed: _Rows, facts: tuple[sp.Expr, ...]) -> sp.Expr | None:
        if not rest:
            return read if not fixed else _slice_of(read, slices[fixed], fixed) if fixed in slices else None
        dimension, subscript = rest[0], read.subscripts[rest[0]]
        value = found(rest[1:], fixed, facts)
        for row in dict.fromkeys(r for rows in slices for d, r in rows if d == dimension):
            if nonnegative(subscript - row - 1, facts) or nonnegative(row - subscript - 1, facts):
                continue
            there = found(rest[1:], (*fixed, (dimension, row)), (*facts, sp.expand(subscript - row), sp.expand(row - subscript)))
            if there is not None:
                value = Where(Compare("==", subscript, row), there, sp.Integer(0) if value is None else value)
        return value

    value = found(dimensions, (), facts)
    assert value is not None
    return value


def _by_place(statement: Statement) -> Iterator[Statement]:
    """One statement for each of the places among which its left side chooses."""
    choice = next((s for s in statement.subscripts if isinstance(s, Where)), None)
    if choice is None:
        yield statement
        return
    for branch, truth in ((choice.value, True), (choice.other, False)):
        for piece in pieces(choice.condition, truth) or ():
            subscripts = tuple(branch if s is choice else s for s in statement.subscripts)
            part = replace(statement, subscripts=subscripts, domain=statement.domain + tuple(map(sp.expand, piece)))
            if not contradictory(part.constraints()):
                yield from _by_place(part)
