"""Conditions on indices narrow loops instead of being tested in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import sympy as sp

from graphc.analysis.conditions import Conjunction, counted_where, implied, pieces
from graphc.ir.affine import nonnegative
from graphc.ir.expr import Access, Logical, Where, all_of, build
from graphc.ir.graph import Graph
from graphc.ir.origin import Rewrite
from graphc.ir.statement import Statement, revised, zeros
from graphc.ir.tree import contains

__all__ = ["narrow"]


def narrow(graph: Graph) -> Graph:
    """Split statements at conditions on indices: ``Y[p] += where(0 ≤ p-1, X[p-1], 0)*w`` becomes ``Y[p] += X[p-1]*w`` on p ≥ 1.

    Only sums and assignments are split (into pieces with disjoint domains); conditions that hold on the whole domain disappear.
    """
    statements = [_counted(piece) for statement in graph.statements for piece in _split(statement)]
    infos, defined = graph.by_name(), {s.target for s in statements}
    for s in graph.statements:
        if s.target not in defined:
            statements.append(zeros(s.target, infos[s.target].shape, Rewrite("zero", "every contribution vanishes", s)))
            defined.add(s.target)
    return replace(graph, statements=tuple(statements))


def _split(statement: Statement) -> list[Statement]:
    if not contains(statement.value, Where):
        return [statement]
    if statement.op == "+=" and isinstance(statement.value, sp.Add) and any(_hoistable(t, statement) for t in statement.value.args):
        terms = [revised(statement, "split", "a sum of terms is a statement per term", value=term) for term in statement.value.args]
        return [piece for term in terms for piece in _split(term)]
    hoisted = _hoisted(statement.value, statement)
    if hoisted is None:
        products = _distributed(statement)
        return [piece for product in products for piece in _split(product)] if products else [statement]
    result = []
    positive, negative, value, other = hoisted
    for conjunction, chosen in (*((c, value) for c in positive), *((c, other) for c in negative)):
        if chosen == 0:
            continue
        facts = statement.constraints()
        extra = _irredundant(conjunction, facts)
        if any(nonnegative(-c - 1, facts) for c in extra):
            continue
        box = tuple(c for r in statement.loops for c in r.constraints())
        kept = tuple(d for d in statement.domain if not extra or not nonnegative(d, (*box, *extra)))
        result += _split(revised(statement, "narrow", "a condition on indices limits the loops", value=chosen, domain=kept + extra))
    return result


def _counted(statement: Statement) -> Statement:
    """A sum that goes where integers of a tensor point, on the points at which its term may be other than 0; others may have no place."""
    if statement.op != "+=" or not any(isinstance(s, Access) for s in statement.subscripts):
        return statement
    facts = statement.constraints()
    extra = _irredundant(tuple(c for test in counted_where(statement.value) for c in implied(test, True, facts)), facts)
    return revised(statement, "narrow", "what adds nothing limits the loops", domain=(*statement.domain, *extra)) if extra else statement


def _distributed(statement: Statement) -> list[Statement]:
    """``Y[i] += a*(where(t == 0, x, 0) + where(t == 1, y, 0))`` as a statement per term, each with a loop of its own."""
    factors = sp.Mul.make_args(statement.value)
    total = next((f for f in factors if isinstance(f, sp.Add) and all(_hoistable(t, statement) for t in f.args)), None)
    if statement.op != "+=" or total is None:
        return []
    rest = [f for f in factors if f is not total]
    told = "a product with conditions is a statement per condition"
    return [revised(statement, "split", told, value=_product(rest, term)) for term in total.args]


def _irredundant(conjunction: Conjunction, facts: tuple[sp.Expr, ...]) -> Conjunction:
    kept = list(conjunction)
    for c in conjunction:
        if nonnegative(c, (*facts, *(k for k in kept if k is not c))):
            kept.remove(c)
    return tuple(kept)


def _hoistable(term: sp.Expr, statement: Statement) -> bool:
    return _hoisted(term, statement) is not None


_Cases = tuple[tuple[Conjunction, ...], tuple[Conjunction, ...], sp.Expr, sp.Expr]


def _hoisted(term: sp.Expr, statement: Statement) -> _Cases | None:
    """The term as ``value`` on some conjunctions and ``other`` on the rest, if an index condition is a factor of it.

    In a sum it may stand behind conditions on values: what they leave out adds nothing, whichever is asked first.
    """
    if statement.op == "+=":
        return _cases(term) or _cases(_index_conditions_first(term))
    return _cases(term) if statement.op == "=" else None


@lru_cache(maxsize=20_000)
def _cases(term: sp.Expr) -> _Cases | None:
    for factor in sp.Mul.make_args(term):
        if isinstance(factor, Where):
            positive, negative = pieces(factor.condition), pieces(factor.condition, False)
            if positive is not None and negative is not None:
                rest = [f for f in sp.Mul.make_args(term) if f is not factor]
                inside, outside = factor.value, factor.other
                return positive, negative, _product(rest, inside), _product(rest, outside)
    return None


@lru_cache(maxsize=20_000)
def _index_conditions_first(term: sp.Expr) -> sp.Expr:
    """``where(m[i] > 0, where(i > 0, x, y), 0)`` as ``where(i > 0, where(m[i] > 0, x, 0), where(m[i] > 0, y, 0))``."""
    for factor in sp.Mul.make_args(term):
        around: list[tuple[sp.Expr, bool]] = []
        inner = factor
        while isinstance(inner, Where) and pieces(inner.condition) is None and sp.S.Zero in (inner.value, inner.other):
            condition, truth = inner.condition, inner.other == 0
            inner = inner.value if truth else inner.other
            both = truth and isinstance(condition, Logical) and condition.op == "and"
            known = [c for c in condition.operands if pieces(c) is not None] if both else []
            around.append((all_of(c for c in condition.operands if c not in known) if known else condition, truth))
            if known:
                inner = Where(all_of(known), inner, sp.S.Zero)
        if around and isinstance(inner, Where) and pieces(inner.condition) is not None:
            value, other = (_inside(around, branch) for branch in (inner.value, inner.other))
            return _product([f for f in sp.Mul.make_args(term) if f is not factor], Where(inner.condition, value, other))
    return term


def _inside(around: Sequence[tuple[sp.Expr, bool]], value: sp.Expr) -> sp.Expr:
    """The value under conditions that have to hold, or not to hold; 0 elsewhere."""
    for condition, truth in reversed(around if value != 0 else ()):
        value = Where(condition, value, sp.S.Zero) if truth else Where(condition, sp.S.Zero, value)
    return value


def _product(factors: list[sp.Expr], last: sp.Expr) -> sp.Expr:
    return build(lambda: sp.Mul(*factors, last)) if factors else last
