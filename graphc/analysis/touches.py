"""Every access of a statement, with what is known where it is evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from graphc.analysis.conditions import known_on
from graphc.ir.expr import Access, BoundaryAccess, Reduce, Where
from graphc.ir.statement import Statement

__all__ = ["Path", "Touch", "places", "touches"]


Path = tuple[tuple[sp.Basic, bool], ...]
"""Conditions and their values."""


@dataclass(frozen=True, slots=True)
class Touch:
    """An access together with the inequalities that hold wherever it is evaluated, and the conditions under which it is."""

    access: Access | BoundaryAccess
    facts: tuple[sp.Expr, ...]
    written: bool = False
    path: Path = ()


def touches(statement: Statement) -> Iterator[Touch]:
    """Every access of a statement, its left side first, each with what is known where it happens."""
    yield Touch(Access(statement.target, *statement.subscripts), statement.constraints(), True)
    for part in (*statement.subscripts, statement.value):
        for access, around, path in places(part):
            facts = _within(statement, around)
            yield Touch(access, known_on(path, facts) if path else facts, path=path)


_Place = tuple[sp.Basic, tuple[Reduce, ...], Path]
"""A node, the reductions around it, and the conditions under which it is evaluated."""


@lru_cache(maxsize=20_000)
def places(root: sp.Basic) -> tuple[_Place, ...]:
    """Where the reads of an expression stand, found without recursion; what is read under the same conditions twice comes once."""
    stack: list[_Place] = [(root, (), ())]
    seen: set[_Place] = set()
    found: list[_Place] = []
    while stack:
        entry = stack.pop()
        if entry in seen:
            continue
        seen.add(entry)
        node, around, path = entry
        if isinstance(node, Access | BoundaryAccess):
            found.append(entry)
        below: list[_Place]
        if isinstance(node, Where):
            branches = ((node.value, True), (node.other, False))
            below = [(node.condition, around, path), *((b, around, (*path, (node.condition, truth))) for b, truth in branches)]
        elif isinstance(node, Reduce):
            below = [(node.body, (*around, node), path)]
        else:
            below = [(argument, around, path) for argument in node.args]
        stack += reversed(below)
    return tuple(found)


def _within(statement: Statement, around: tuple[Reduce, ...]) -> tuple[sp.Expr, ...]:
    """What is known inside of nested reductions of a statement."""
    facts = statement.constraints()
    for node in around:
        facts += tuple(c for i in node.indices for c in statement.range_of(i).constraints()) + node.domain
    return facts
