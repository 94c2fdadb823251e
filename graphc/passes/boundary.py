"""Boundary views become conditions around plain reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sympy as sp

from graphc.analysis.conditions import cases
from graphc.analysis.legality import in_range
from graphc.analysis.touches import Path
from graphc.errors import NotationError
from graphc.ir.expr import Access, BoundaryAccess, Compare, Reduce, Where, all_of
from graphc.ir.graph import Graph
from graphc.ir.show import expression, statement_body
from graphc.ir.statement import Statement, behind, revised
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, altered, contains, modes_of, postorder, rewrite
from graphc.passes.skips import NEUTRAL, skipping, without

__all__ = ["lower_boundary"]


_RULES = {
    "pad": "pad(X, c)[s] = X[s] inside, c outside", "clamp": "clamp(X)[s] = X at the nearest edge outside",
    "wrap": "wrap(X)[s] = X[s ± N] outside", "reflect": "reflect(X)[s] = X[-s] below, X[2*N-2-s] above",
    "skip": "skip(X)[s] drops the term outside",
}


def lower_boundary(graph: Graph) -> Graph:
    """Replace every boundary view: ``pad(X, c)[s]`` by ``where(0 ≤ s < N, X[s], c)``, and so on; ``skip`` narrows the domain of
    the reduction around it.

    Raises:
        NotationError: a skipped read stands in no reduction.
    """
    tensors = graph.by_name()
    return replace(graph, statements=tuple(_lowered(s, tensors) for s in graph.statements))


def _lowered(statement: Statement, tensors: Mapping[str, Tensor]) -> Statement:
    if not contains(statement.value, BoundaryAccess):
        return statement
    facts = tuple(c for r in statement.ranges for c in r.constraints())

    def rule(part: sp.Basic) -> sp.Basic | None:
        if isinstance(part, Reduce):
            body, domain = _without_skips(part.body, part.op, statement, tensors, facts)
            return Reduce(part.op, body, part.indices, part.domain + domain) if body != part.body else None
        if isinstance(part, BoundaryAccess) and "skip" not in part.modes:
            return _conditional(part, tensors, facts)
        return None

    value, domain = _without_skips(rewrite(statement.value, rule), statement.op, statement, tensors, facts)
    if domain and statement.op == "=":
        culprit = next(part for part in postorder(statement.value) if isinstance(part, BoundaryAccess) and "skip" in part.modes)
        raise NotationError("gc.skip drops a term of a reduction, and there is none around it.",
                            at=((statement_body(statement), expression(culprit), statement.location),),
                            fix="use += or a reduction such as gc.max around it, or gc.pad for a value outside.")
    order = tuple(Access(a.tensor, *a.subscripts) for a in statement.order)
    modes = dict.fromkeys(mode for part in accesses(statement.value) for mode in modes_of(part) if mode)
    told = ", ".join(_RULES[mode] for mode in modes)
    return revised(statement, "boundary", told, value=value, domain=statement.domain + domain, order=order)


def _without_skips(
    body: sp.Expr, op: str, statement: Statement, tensors: Mapping[str, Tensor], facts: tuple[sp.Expr, ...]
) -> tuple[sp.Expr, tuple[sp.Expr, ...]]:
    """The body of a reduction with skipping views read plainly, and where that is allowed.

    In a branch of a condition, a view skips where the branch is taken: the term is neutral there.

    Raises:
        NotationError: there is no neutral term.
    """
    domain: dict[sp.Expr, None] = {}
    conditional: dict[BoundaryAccess, list[Path]] = {}
    for view, path in skipping(body):
        if path:
            conditional.setdefault(view, []).append(path)
        else:
            domain |= dict.fromkeys(c for s, e in _open(view, tensors, facts) for c in (s, behind(s, e)))
    known = (*facts, *domain)
    reduction = "sum" if op == "+=" else op
    dropped: list[tuple[Path, list[sp.Expr]]] = []
    padded: set[BoundaryAccess] = set()
    for view, paths in conditional.items():
        for path in paths:
            left = [(s, e) for s, e in _open(view, tensors, known) if not all(in_range(s, e, case) for case in cases(path, known))]
            if op == "=":
                domain |= dict.fromkeys(s for s, _ in left)
            elif left and reduction not in NEUTRAL:
                raise NotationError(f"{expression(view)} drops a term in a branch of a condition, which {reduction} cannot leave out.",
                                    at=((statement_body(statement), expression(view), statement.location),),
                                    fix="use gc.pad with a value that leaves the result as it is.")
            elif left:
                dropped.append((path, [t for s, e in left for t in (Compare("<=", sp.Integer(0), s), Compare("<", s, e))]))
                padded.add(view)

    def rule(part: sp.Basic) -> sp.Basic | None:
        if not (isinstance(part, BoundaryAccess) and "skip" in part.modes):
            return None
        mode = "pad" if part in padded else ""
        rest = altered(part, modes=[mode if own == "skip" else own for own in part.modes])
        return _conditional(rest, tensors, facts)

    term = body
    for path, inside in dropped:
        term = without(term, reduction, path, inside)
    return rewrite(term, rule), tuple(domain)


def _open(view: BoundaryAccess, tensors: Mapping[str, Tensor], facts: tuple[sp.Expr, ...]) -> list[tuple[sp.Expr, sp.Expr]]:
    """Subscripts with which a view may skip, and the extents of their dimensions."""
    dimensions = zip(view.modes, view.subscripts, tensors[view.tensor].shape, strict=True)
    return [(s, e) for mode, s, e in dimensions if mode == "skip" and not in_range(s, e, facts)]


def _conditional(view: BoundaryAccess, tensors: Mapping[str, Tensor], facts: tuple[sp.Expr, ...]) -> sp.Expr:
    """The view as nested conditions, one dimension at a time; a subscript that is inside on all loops needs none."""
    subscripts = list(view.subscripts)
    tests: list[sp.Expr] = []
    moves: list[tuple[int, str, sp.Expr]] = []
    for dimension, (mode, subscript, extent) in enumerate(zip(view.modes, view.subscripts, tensors[view.tensor].shape, strict=True)):
        if not mode or in_range(subscript, extent, facts):
            continue
        if mode == "pad":
            tests += [Compare("<=", sp.Integer(0), subscript), Compare("<", subscript, extent)]
        else:
            moves.append((dimension, mode, extent))
    return Where(all_of(tests), _moved(view.tensor, subscripts, moves), view.fill)


def _moved(tensor: str, subscripts: list[sp.Expr], moves: list[tuple[int, str, sp.Expr]]) -> sp.Expr:
    if not moves:
        return Access(tensor, *subscripts)
    (dimension, mode, extent), rest = moves[0], moves[1:]
    inside = subscripts[dimension]
    below, above = {
        "clamp": (sp.Integer(0), extent - 1),
        "wrap": (inside + extent, inside - extent),
        "reflect": (-inside, 2 * extent - 2 - inside),
    }[mode]

    def at(position: sp.Expr) -> sp.Expr:
        return _moved(tensor, [*subscripts[:dimension], sp.expand(position), *subscripts[dimension + 1 :]], rest)

    beyond = Where(Compare(">=", inside, extent), at(above), at(inside))
    return Where(Compare("<", inside, sp.Integer(0)), at(below), beyond)
