"""Every access of a statement, with what is known where it is evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp

from graphc.analysis.conditions import known_on
from graphc.ir.expr import Access, BoundaryAccess, Reduce, Where
from graphc.ir.statement import Statement

__all__ = ["Touch", "touches"]


@dataclass(frozen=True, slots=True)
class Touch:
    """An access together with the inequalities that hold wherever it is evaluated."""

    access: Access | BoundaryAccess
    facts: tuple[sp.Expr, ...]
    written: bool = False


def touches(statement: Statement) -> Iterator[Touch]:
    """Every access of a statement, its left side first, each with what is known where it happens."""
    base = statement.constraints()
    yield Touch(Access(statement.target, *statement.subscripts), base, True)
    for part in (*statement.subscripts, statement.value):
        yield from _walk(part, base, statement)


_Path = tuple[tuple[sp.Basic, bool], ...]
"""Conditions and their values."""


def _walk(root: sp.Basic, base: tuple[sp.Expr, ...], statement: Statement) -> Iterator[Touch]:
    """Without recursion; what is read under the same conditions twice comes once."""
    stack: list[tuple[sp.Basic, tuple[sp.Expr, ...], _Path]] = [(root, base, ())]
    seen: set[tuple[sp.Basic, tuple[sp.Expr, ...], _Path]] = set()
    while stack:
        entry = stack.pop()
        if entry in seen:
            continue
        seen.add(entry)
        node, facts, path = entry
        below: list[tuple[sp.Basic, tuple[sp.Expr, ...], _Path]]
        if isinstance(node, Where):
            branches = ((node.value, True), (node.other, False))
            below = [(node.condition, facts, path), *((b, facts, (*path, (node.condition, truth))) for b, truth in branches)]
        elif isinstance(node, Reduce):
            inner = tuple(c for i in node.indices for c in statement.range_of(i).constraints())
            below = [(node.body, facts + inner + node.domain, path)]
        else:
            below = [(argument, facts, path) for argument in node.args]
        if isinstance(node, Access | BoundaryAccess):
            yield Touch(node, known_on(path, facts) if path else facts)
        stack += reversed(below)
