"""Affine scatters become gathers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from math import gcd

import sympy as sp

from graphc.analysis.injectivity import injective
from graphc.analysis.legality import ensured, in_range
from graphc.analysis.recurrence import cyclic
from graphc.ir.affine import linear, nonnegative, span
from graphc.ir.expr import FloorDiv, Index
from graphc.ir.graph import Graph
from graphc.ir.origin import Origin, Rewrite, Solution
from graphc.ir.shift import shifted
from graphc.ir.show import expression
from graphc.ir.statement import Range, Statement, behind, fresh_index, rename, revised
from graphc.ir.tensor import Tensor
from graphc.ir.tree import indices_of
from graphc.passes.guard import guard

__all__ = ["gather"]

_LETTERS = (("x",), ("y", "x"), ("z", "y", "x"))

_INTRICATE = 128
"""Coefficients from here on come of solutions put into solutions: their loops visit next to no points, and few proofs about them end."""


def gather(graph: Graph) -> Graph:
    """Solve left subscripts such as ``X.grad[p+r] += …`` for an index, so that each element is summed by one iteration.

    A left side that is injective already stays (its loops are race-free). Otherwise, subscript by subscript, the loops change their
    variables so that the left side becomes triangular (a Hermite normal form): the index with a unit coefficient and the largest
    extent is solved for, ``p = x - r`` with ``0 ≤ x - r < P``. Where there is none, ``2*p + 3*r = x`` has the solutions
    ``p = 3*k - x``, ``r = x - 2*k``; and ``4*p + 2*r`` is ``2*x``. Quotients on the left, and subscripts whose solution has large
    coefficients, stay a scatter, whose loops are run one after the other. A tensor that depends on itself is solved for in any case: its
    order is found among plain left sides. Reads that cannot be proved with the new indices are guarded.
    """
    infos, known, recurrent = graph.by_name(), ensured(graph.checks), cyclic(graph)
    aligned = (shifted(s, infos[s.target]) if s.op == "+=" and s.target in recurrent else s for s in graph.statements)
    return replace(graph, statements=tuple(
        _gathered(_confined(s, infos[s.target], known), infos, known, s.target in recurrent) if s.op == "+=" else s for s in aligned))


def _confined(statement: Statement, target: Tensor, known: tuple[sp.Expr, ...]) -> Statement:
    facts = statement.constraints() + known
    extra = [bound for subscript, extent in zip(statement.subscripts, target.shape, strict=True)
             if linear(subscript) is not None and not in_range(subscript, extent, facts)
             for bound in (subscript, behind(subscript, extent)) if not nonnegative(bound, facts)]
    return revised(statement, "inside", f"only elements that {statement.target} has", domain=statement.domain + tuple(extra))


def _gathered(statement: Statement, tensors: Mapping[str, Tensor], known: tuple[sp.Expr, ...], recurrent: bool) -> Statement:
    if statement.scatters or all(s.is_Symbol or not indices_of(s) for s in statement.subscripts):
        return statement
    left = [r for r in statement.ranges if r.index in statement.free]
    if any(_quotients(s) for s in statement.subscripts) or (not recurrent and injective(statement.subscripts, left, statement.domain)):
        return statement
    given = statement
    open_dimensions = [d for d, s in enumerate(statement.subscripts) if not s.is_Symbol and indices_of(s)]
    letters = list(_LETTERS[min(len(open_dimensions), 3) - 1])
    solved = {s for s in statement.subscripts if isinstance(s, Index)}
    for dimension in sorted(open_dimensions, key=lambda d: _shares(statement, d)):
        letter = letters.pop(0) if letters else "x"
        statement = _solved(statement, dimension, tensors[statement.target].shape[dimension], letter, solved)
        solved |= set(indices_of(statement.subscripts[dimension]))
    if not recurrent and _intricate(statement) and not _intricate(given):
        return given
    return statement if recurrent or statement is given else guard(statement, tensors, known)


def _intricate(statement: Statement) -> bool:
    forms = (linear(part) for part in (*statement.subscripts, *statement.domain))
    return any(abs(c) >= _INTRICATE for form in forms if form is not None for a, c in form.terms if isinstance(a, Index))


def _quotients(subscript: sp.Expr) -> bool:
    form = linear(subscript)
    return form is None or any(not a.is_Symbol and indices_of(a) for a, _ in form.terms)


def _shares(statement: Statement, dimension: int) -> bool:
    """Whether every index of the subscript occurs in another one too: such a subscript is treated last."""
    elsewhere = {i for d, s in enumerate(statement.subscripts) if d != dimension for i in indices_of(s)}
    return set(indices_of(statement.subscripts[dimension])) <= elsewhere


def _solved(statement: Statement, dimension: int, extent: sp.Expr, letter: str, taken: set[Index]) -> Statement:
    """The subscript in terms of one new index, and of indices that other subscripts determine."""
    subscript = statement.subscripts[dimension]
    coefficients = _coefficients(subscript, taken)
    common = gcd(*coefficients.values())
    while coefficients and all(abs(c) != common for c in coefficients.values()):
        statement = _combined(statement, coefficients)
        subscript = statement.subscripts[dimension]
        coefficients = _coefficients(subscript, taken)
    if not coefficients:
        return statement
    elsewhere = {i for d, s in enumerate(statement.subscripts) if d != dimension for i in indices_of(s)}
    candidates = [i for i, c in coefficients.items() if abs(c) == common]
    index = max(candidates, key=lambda i: (i not in elsewhere, *_weight(statement.range_of(i))))
    fresh = fresh_index(statement, letter)
    if common == 1:
        return _changed(statement, index, subscript, Range(fresh, sp.Integer(0), extent))
    moving = sp.Add(*(c * i for i, c in coefficients.items()))
    whole = sp.expand(moving / common)
    rest = sp.expand(subscript - common * whole)
    if indices_of(rest):
        least, most = span(whole, {r.index: r.ends for r in statement.ranges})
    else:
        least, most = -FloorDiv(rest, common), FloorDiv(extent - 1 - rest, common)
    return _changed(statement, index, whole, Range(fresh, least, most + 1))


def _coefficients(subscript: sp.Expr, taken: set[Index]) -> dict[Index, int]:
    form = linear(subscript)
    assert form is not None
    return {a: c for a, c in form.terms if isinstance(a, Index) and a not in taken}


def _changed(statement: Statement, index: Index, value: sp.Expr, fresh: Range) -> Statement:
    """The index solved from ``value = fresh``, in which its coefficient is ±1."""
    form = linear(value)
    assert form is not None
    sign = form.coefficient(index)
    solution = sp.expand(sign * (fresh.index - (value - sign * index)))
    return _substituted(statement, {index: solution}, (fresh,), Solution(statement, value, fresh.index, index, solution))


def _combined(statement: Statement, coefficients: dict[Index, int]) -> Statement:
    """``a·i + b·j`` written as ``g·n``: all solutions are i = u·n + b/g·k, j = v·n - a/g·k with u·a + v·b = g."""
    i, j = min(combinations(coefficients, 2), key=lambda pair: gcd(*(coefficients[x] for x in pair)))
    a, b = coefficients[i], coefficients[j]
    u, v, g = (int(x) for x in sp.gcdex(a, b))
    limits = {r.index: r.ends for r in statement.ranges}
    n, k = fresh_index(statement, "n"), fresh_index(statement, "k")
    whole, along = sp.expand((a * i + b * j) / g), v * i - u * j
    ranges = []
    for name, value in ((n, whole), (k, along)):
        least, most = span(value, limits)
        ranges.append(Range(name, least, most + 1))
    mapping = {i: u * n + b // g * k, j: v * n - a // g * k}
    solved = ", ".join(f"{old} = {expression(new)}" for old, new in mapping.items())
    rule = f"{expression(whole)} = {n} has the solutions {solved}"
    return _substituted(statement, mapping, tuple(ranges), Rewrite("all solutions", rule, statement))


def _substituted(statement: Statement, mapping: dict[sp.Basic, sp.Expr], new: tuple[Range, ...], origin: Origin) -> Statement:
    """Other loop variables: the ranges of the old ones become conditions."""
    place = next(iter(mapping))
    bounds = tuple(sp.expand(c.xreplace(mapping)) for i in mapping for c in statement.range_of(i).constraints())
    position = [r.index for r in statement.ranges].index(place)
    before = tuple(r for r in statement.ranges[:position] if r.index not in mapping)
    after = tuple(r for r in statement.ranges[position:] if r.index not in mapping)
    moved = rename(replace(statement, ranges=(*before, *after)), mapping)
    ranges = (*before, *new, *after)
    box = tuple(c for r in ranges for c in r.constraints())
    kept = tuple(d for d in map(sp.expand, moved.domain) if not nonnegative(d, (*box, *bounds)))
    bounds = tuple(b for b in bounds if not nonnegative(b, (*box, *kept)))
    return replace(
        moved,
        subscripts=tuple(map(sp.expand, moved.subscripts)),
        ranges=ranges,
        domain=kept + bounds,
        origin=origin,
    )


def _weight(r: Range) -> tuple[int, int]:
    """Symbolic extents count as large."""
    extent = sp.expand(r.extent)
    return (0, int(extent)) if extent.is_Integer else (1, 0)
