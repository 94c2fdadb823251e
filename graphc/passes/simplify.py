"""Sums over indices that do not occur, conditions that always hold, and constants."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import sympy as sp

from graphc.analysis.conditions import pieces
from graphc.ir.affine import nonnegative
from graphc.ir.expr import Logical, Where, all_of, build
from graphc.ir.graph import Graph
from graphc.ir.origin import Rewrite
from graphc.ir.statement import Statement, revised, zeros
from graphc.ir.tree import contains, indices_of, rewrite

__all__ = ["simplify"]


def simplify(graph: Graph) -> Graph:
    """Drop zero contributions, multiply by the extent of a summed index that occurs nowhere, decide conditions that are certain."""
    infos = graph.by_name()
    statements = []
    defined: set[str] = set()
    for s in graph.statements:
        simple = _factored(_decided(s))
        if simple.value == 0 and simple.op in ("=", "+="):
            continue
        statements.append(simple)
        defined.add(s.target)
    for s in graph.statements:
        if s.target not in defined:
            nothing = zeros(s.target, infos[s.target].shape, Rewrite("zero", "every contribution vanishes", s))
            statements.append(s if s == nothing else nothing)
            defined.add(s.target)
    return replace(graph, statements=tuple(statements))


def _factored(statement: Statement) -> Statement:
    if statement.op != "+=" or not statement.reduced:
        return statement
    used = {i for part in (statement.value, *statement.domain) for i in indices_of(part)}
    lonely = [i for i in statement.reduced if i not in used]
    extents = [statement.range_of(i).extent for i in lonely]
    if not lonely or not all(nonnegative(e) for e in extents):
        return statement
    rest = tuple(r for r in statement.ranges if r.index not in lonely)
    return revised(statement, "constant sum", "a sum of equal terms is a product with their number",
                   value=build(lambda: sp.Mul(*extents, statement.value)), ranges=rest)


def _decided(statement: Statement) -> Statement:
    if not contains(statement.value, Where):
        return statement
    return revised(statement, "simplify", "a condition that always holds, or never, disappears",
                   value=_certain(statement.value, statement.constraints()))


@lru_cache(maxsize=20_000)
def _certain(value: sp.Expr, facts: tuple[sp.Expr, ...]) -> sp.Expr:
    """The expression without conditions that the facts decide."""

    def rule(part: sp.Basic) -> sp.Basic | None:
        if isinstance(part, Where):
            for truth, chosen in ((True, part.value), (False, part.other)):
                if _holds(part.condition, truth, facts):
                    return chosen
        if isinstance(part, Logical) and part.op == "and":
            open_tests = [test for test in part.operands if not _holds(test, True, facts)]
            if 0 < len(open_tests) < len(part.operands):
                return all_of(open_tests)
        return None

    return rewrite(value, rule)


def _holds(condition: sp.Expr, truth: bool, facts: tuple[sp.Expr, ...]) -> bool:
    """Whether the facts say that a condition has that value."""
    conjunctions = pieces(condition, truth)
    return conjunctions is not None and len(conjunctions) == 1 and all(nonnegative(c, facts) for c in conjunctions[0])
