"""Boundary views of recurrences read the rows that are there: those of the tensor, and those that initial slices give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sympy as sp

from graphc.analysis.recurrence import cyclic, margins
from graphc.analysis.touches import touches
from graphc.ir.affine import linear, nonnegative
from graphc.ir.expr import Access, BoundaryAccess, Compare, Where, all_of
from graphc.ir.graph import Graph
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import altered, contains, rewrite

__all__ = ["read_rows"]

_Margins = Mapping[tuple[str, int], tuple[int, int]]


def read_rows(graph: Graph) -> Graph:
    """Views of recurrent tensors without the modes that do nothing: where every read is of a row that is there.

    ``u[t,x] = u[t-1,x] + pad(u, 0)[t-1,x-1]`` with ``u[-1,x] = …`` pads the second dimension only. Where some reads lie beyond the initial
    rows, a padded one is ``where(0 ≤ t-1, h[t-2], 0)``, and a clamped one reads the last row that is there.
    """
    viewing = [s for s in graph.statements if contains(s.value, BoundaryAccess)]
    names = cyclic(graph) if viewing else set()
    if not names:
        return graph
    tensors, rows = graph.by_name(), margins(graph)
    made = {id(s): _reading(s, names, tensors, rows) for s in viewing}
    return replace(graph, statements=tuple(made.get(id(s), s) for s in graph.statements))


def _reading(statement: Statement, names: set[str], tensors: Mapping[str, Tensor], rows: _Margins) -> Statement:
    facts: dict[BoundaryAccess, list[tuple[sp.Expr, ...]]] = {}
    for touch in touches(statement):
        if isinstance(touch.access, BoundaryAccess) and touch.access.tensor in names:
            facts.setdefault(touch.access, []).append(touch.facts)
    plain = {view: _without_idle_modes(view, known, tensors[view.tensor].shape, rows) for view, known in facts.items()}
    reads = {view: _kept_on_rows(read, known, tensors[view.tensor].shape, rows)
             for (view, read), known in zip(plain.items(), facts.values(), strict=True)}
    if all(view is read for view, read in reads.items()):
        return statement
    value = rewrite(statement.value, lambda part: reads.get(part) if isinstance(part, BoundaryAccess) else None)
    order = tuple(plain.get(a, a) if isinstance(a, BoundaryAccess) else a for a in statement.order)
    return replace(statement, value=value, order=order)


def _ends(view: BoundaryAccess, dimension: int, shape: tuple[sp.Expr, ...], rows: _Margins) -> tuple[sp.Expr, sp.Expr]:
    """The first row of a dimension and the last one, those of initial slices included."""
    below, above = rows.get((view.tensor, dimension), (0, 0))
    return sp.Integer(-below), sp.expand(shape[dimension] + above - 1)


def _beyond(subscript: sp.Expr, ends: tuple[sp.Expr, sp.Expr], known: list[tuple[sp.Expr, ...]]) -> tuple[bool, bool]:
    """Whether the subscript may lie below the first row, and behind the last one."""
    below, behind = (not all(nonnegative(sp.expand(e), facts) for facts in known) for e in (subscript - ends[0], ends[1] - subscript))
    return below, behind


def _without_idle_modes(
    view: BoundaryAccess, known: list[tuple[sp.Expr, ...]], shape: tuple[sp.Expr, ...], rows: _Margins
) -> Access | BoundaryAccess:
    """The view without the modes of dimensions in which it stays on the rows that are there."""
    modes = ["" if mode and linear(s) is not None and not any(_beyond(s, _ends(view, d, shape, rows), known)) else mode
             for d, (mode, s) in enumerate(zip(view.modes, view.subscripts, strict=True))]
    if tuple(modes) == view.modes:
        return view
    return _plain(altered(view, modes=modes))


def _plain(view: BoundaryAccess) -> Access | BoundaryAccess:
    """The view, or the access that it is without any mode."""
    access: Access | BoundaryAccess = view if any(view.modes) else Access(view.tensor, *view.subscripts)
    return access


def _kept_on_rows(
    read: Access | BoundaryAccess, known: list[tuple[sp.Expr, ...]], shape: tuple[sp.Expr, ...], rows: _Margins
) -> sp.Expr:
    """The read with conditions in place of the modes of dimensions that have initial rows."""
    if not isinstance(read, BoundaryAccess) or "skip" in read.modes:
        return read
    tests: list[sp.Expr] = []
    limits: list[tuple[int, sp.Expr, str]] = []
    modes = list(read.modes)
    for d, (mode, subscript) in enumerate(zip(read.modes, read.subscripts, strict=True)):
        if mode not in ("pad", "clamp") or (read.tensor, d) not in rows or linear(subscript) is None:
            continue
        modes[d], ends = "", _ends(read, d, shape, rows)
        sides = [(end, op) for end, op, may in zip(ends, "<>", _beyond(subscript, ends, known), strict=True) if may]
        if mode == "pad":
            tests += [Compare(op, subscript, end).negated() for end, op in sides]
        else:
            limits += [(d, end, op) for end, op in sides]
    if not tests and not limits:
        return read
    return Where(all_of(tests), _limited(_plain(altered(read, modes=modes)), limits), read.fill)


def _limited(read: Access | BoundaryAccess, limits: list[tuple[int, sp.Expr, str]]) -> sp.Expr:
    """The read at the nearest rows that are there, of dimensions in which it may lie beyond the first or the last one."""
    if not limits:
        return read
    (dimension, end, op), rest = limits[0], limits[1:]
    others = [limit for limit in rest if limit[0] != dimension]
    nearest = altered(read, subscripts=(*read.subscripts[:dimension], end, *read.subscripts[dimension + 1 :]))
    return Where(Compare(op, read.subscripts[dimension], end), _limited(nearest, others), _limited(read, rest))
