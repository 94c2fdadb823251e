"""Affine scatters become gathers."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from graphc.analysis.injectivity import injective
from graphc.analysis.legality import ensured, in_range
from graphc.analysis.recurrence import cyclic
from graphc.ir.affine import linear, nonnegative
from graphc.ir.expr import Index, accesses, indices_of
from graphc.ir.graph import Graph
from graphc.ir.origin import Solution
from graphc.ir.shift import shifted
from graphc.ir.statement import Range, Statement, behind, rename, revised
from graphc.ir.tensor import Tensor

__all__ = ["gather"]

_LETTERS = (("x",), ("y", "x"), ("z", "y", "x"))


def gather(graph: Graph) -> Graph:
    """Solve left subscripts such as ``X.grad[p+r] += …`` for an index, so that each element is summed by one iteration.

    A left side that is injective already stays (its loops are race-free). Otherwise, per subscript, the index with a unit
    coefficient and the largest extent is solved for: ``p = x - r`` with ``0 ≤ x - r < P``; where there is none, the scatter stays
    and its loops are run one after the other. A tensor that depends on itself is solved for in any case: its order is found among
    plain left sides.
    """
    infos, known, recurrent = graph.by_name(), ensured(graph.checks), cyclic(graph)
    aligned = (shifted(s, infos[s.target]) if s.op == "+=" and s.target in recurrent else s for s in graph.statements)
    return replace(graph, statements=tuple(
        _gathered(_confined(s, infos[s.target], known), infos[s.target], s.target in recurrent) if s.op == "+=" else s for s in aligned))


def _confined(statement: Statement, target: Tensor, known: tuple[sp.Expr, ...]) -> Statement:
    facts = statement.constraints() + known
    extra = [bound for subscript, extent in zip(statement.subscripts, target.shape, strict=True)
             if linear(subscript) is not None and not in_range(subscript, extent, facts)
             for bound in (subscript, behind(subscript, extent)) if not nonnegative(bound, facts)]
    return revised(statement, "inside", f"only elements that {statement.target} has", domain=statement.domain + tuple(extra))


def _gathered(statement: Statement, target: Tensor, recurrent: bool) -> Statement:
    if statement.scatters or all(s.is_Symbol or not indices_of(s) for s in statement.subscripts):
        return statement
    left = [r for r in statement.ranges if r.index in statement.free]
    if not recurrent and injective(statement.subscripts, left, statement.domain):
        return statement
    open_dimensions = [d for d, s in enumerate(statement.subscripts) if not s.is_Symbol and indices_of(s)]
    letters = list(_LETTERS[min(len(open_dimensions), 3) - 1])
    for dimension in open_dimensions:
        solved = _solved(statement, dimension, target.shape[dimension], letters.pop(0) if letters else "x")
        if solved is not None:
            statement = solved
    return statement


def _solved(statement: Statement, dimension: int, extent: sp.Expr, letter: str) -> Statement | None:
    subscript = statement.subscripts[dimension]
    form = linear(subscript)
    if form is None:
        return None
    elsewhere = {i for d, s in enumerate(statement.subscripts) if d != dimension for i in indices_of(s)}
    inner = {i for a, _ in form.terms if not a.is_Symbol for i in indices_of(a)}
    units = [a for a, c in form.terms if isinstance(a, Index) and abs(c) == 1 and a not in elsewhere and a not in inner]
    if not units:
        return None
    index = max(units, key=lambda i: _weight(statement.range_of(i)))
    sign = form.coefficient(index)
    fresh = _fresh_index(statement, letter)
    solution = sp.expand(sign * (fresh - (subscript - sign * index)))
    old = statement.range_of(index)
    others = tuple(r for r in statement.ranges if r.index != index)
    position = [r.index for r in statement.ranges].index(index)
    bounds = tuple(sp.expand(c.xreplace({index: solution})) for c in old.constraints())
    moved = rename(replace(statement, ranges=others), {index: solution})
    ranges = (*others[:position], Range(fresh, sp.Integer(0), extent), *others[position:])
    facts = (*(c for r in ranges for c in r.constraints()), *bounds)
    kept = tuple(d for d in map(sp.expand, moved.domain) if not nonnegative(d, facts))
    return replace(
        moved,
        subscripts=(*moved.subscripts[:dimension], fresh, *moved.subscripts[dimension + 1 :]),
        ranges=ranges,
        domain=kept + bounds,
        origin=Solution(statement, subscript, fresh, index, solution),
    )


def _weight(r: Range) -> tuple[int, int]:
    """Symbolic extents count as large."""
    extent = sp.expand(r.extent)
    return (0, int(extent)) if extent.is_Integer else (1, 0)


def _fresh_index(statement: Statement, letter: str) -> Index:
    used = {str(r.index) for r in statement.ranges} | {str(s) for e in statement.subscripts for s in e.free_symbols}
    used |= {statement.target, *(a.tensor for a in accesses(statement.value))}
    used |= {name.removesuffix(".grad") for name in used}
    name, count = letter, 1
    while name in used:
        count += 1
        name = f"{letter}{count}"
    fresh: Index = Index(name)
    return fresh


