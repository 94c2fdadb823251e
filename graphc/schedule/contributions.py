"""Several contributions to the same elements as one statement, so that a step of a recurrence goes over a row once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import sympy as sp

from graphc.analysis.order import Scan
from graphc.ir.affine import linear, nonnegative
from graphc.ir.expr import Compare, Index, Where, all_of, build_from
from graphc.ir.statement import Range, Statement, rename
from graphc.ir.tensor import Tensor
from graphc.ir.tree import indices_of

__all__ = ["FEW", "joined"]

FEW = 4
"""Elements of a row at which a contribution may be missing, or steps: the others go through a loop without a test."""


def joined(items: Sequence[Statement | Scan], dimensions: Mapping[str, int], tensors: Mapping[str, Tensor]) -> tuple[Statement | Scan, ...]:
    """The items of a step, those that add to the same row and need no loop of their own as one.

    Args:
        items: statements, and inner loops, in order.
        dimensions: along which the steps go, by tensor.
        tensors: by name.

    Returns:
        The items; a joined one stands where its last part stood, and its parts have become branches where they are not everywhere.
    """
    parts: dict[str, list[Statement]] = {}
    for item in items:
        if isinstance(item, Statement) and _simple(item, dimensions[item.target], tensors[item.target].shape):
            parts.setdefault(item.target, []).append(item)
    last = {id(found[-1]): found for found in parts.values()}
    dropped = {id(s) for found in parts.values() for s in found[:-1]}
    return tuple(
        _sum(last[id(item)], tensors[item.target].shape) if isinstance(item, Statement) and len(last.get(id(item), ())) > 1 else item
        for item in items
        if id(item) not in dropped
    )


def _simple(statement: Statement, dimension: int, shape: tuple[sp.Expr, ...]) -> bool:
    """Whether the statement adds one value to every element of a row, but for a few."""
    subscripts = statement.subscripts
    if statement.reduced or statement.scatters or statement.op not in ("=", "+="):
        return False
    if not all(isinstance(s, Index) for s in subscripts) or len(set(subscripts)) < len(subscripts):
        return False
    extents = dict(zip(subscripts, shape, strict=True))
    conditions = [*statement.domain, *(c for s in subscripts for c in statement.range_of(s).constraints())]
    return all(_nearly(c, extents, subscripts[dimension]) for c in conditions)


def _nearly(condition: sp.Expr, extents: Mapping[sp.Expr, sp.Expr], along: sp.Expr) -> bool:
    """Whether the condition concerns the step alone or fails for a few values of one index."""
    indices = indices_of(condition)
    if set(indices) <= {along}:
        return True
    form = linear(condition)
    if len(indices) > 1 or form is None or abs(form.coefficient(indices[0])) != 1:
        return False
    (index,) = indices
    rest = sp.expand(condition - form.coefficient(index) * index)
    missing = -rest if form.coefficient(index) > 0 else extents[index] - 1 - rest
    return nonnegative(sp.expand(FEW - missing))


def _sum(parts: Sequence[Statement], shape: tuple[sp.Expr, ...]) -> Statement:
    """One statement for all of them."""
    last = parts[-1]
    full = tuple(Range(i, sp.Integer(0), e) for i, e in zip(last.subscripts, shape, strict=True) if isinstance(i, Index))
    implied = {c for r in full for c in r.constraints()}
    terms: list[sp.Expr] = []
    for part in parts:
        s = rename(part, dict(zip(part.subscripts, last.subscripts, strict=True)))
        found = dict.fromkeys(sp.expand(c) for c in (*s.domain, *(c for r in s.ranges for c in r.constraints())))
        tests = [Compare(">=", c, sp.Integer(0)) for c in found if c not in implied]
        condition = all_of(tests)
        terms.append(Where(condition, s.value, sp.Integer(0)))
    value = build_from(lambda *values: sp.Add(*values), *terms)
    return replace(last, op="+=", value=value, ranges=full, domain=())
