"""Every access of a statement, with what is known where it is evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp

from graphc.analysis.conditions import implied
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
    for subscript in statement.subscripts:
        yield from _walk(subscript, base, statement)
    yield from _walk(statement.value, base, statement)


def _walk(node: sp.Basic, facts: tuple[sp.Expr, ...], statement: Statement) -> Iterator[Touch]:
    if isinstance(node, Where):
        yield from _walk(node.condition, facts, statement)
        yield from _walk(node.value, facts + implied(node.condition, True, facts), statement)
        yield from _walk(node.other, facts + implied(node.condition, False, facts), statement)
        return
    if isinstance(node, Reduce):
        inner = tuple(c for i in node.indices for c in statement.range_of(i).constraints())
        yield from _walk(node.body, facts + inner + node.domain, statement)
        return
    if isinstance(node, Access | BoundaryAccess):
        yield Touch(node, facts)
    for argument in node.args:
        yield from _walk(argument, facts, statement)
