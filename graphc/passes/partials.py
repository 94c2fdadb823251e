"""Derivatives of scalar expressions by one sweep over their nodes: what reverse and forward mode share.

A condition stays around the derivative of its branches, so that what is not taken is not evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sympy as sp

from graphc.ir.expr import Access, BoundaryAccess, Call, Compare, Index, Logical, Where, build
from graphc.ir.functions import FUNCTIONS
from graphc.ir.tree import contains, postorder, substitute

__all__ = ["partials", "tangent", "under_condition"]

_ONE, _ZERO = sp.Integer(1), sp.Integer(0)


def partials(value: sp.Expr, targets: Sequence[sp.Expr], known: Mapping[sp.Basic, sp.Expr]) -> dict[sp.Expr, sp.Expr]:
    """∂value/∂t for every target sub-expression, by one reverse sweep over the expression.

    Args:
        value: an expression without reductions.
        targets: sub-expressions that are treated as independent variables.
        known: values that have been computed already and replace a recomputation.
    """
    return _sweep(value, set(targets), known, list(targets))


def tangent(value: sp.Expr, directions: Mapping[sp.Expr, sp.Expr], known: Mapping[sp.Basic, sp.Expr]) -> sp.Expr:
    """``Σ ∂value/∂t · directions[t]``, by one forward sweep over the expression.

    Args:
        value: an expression without reductions.
        directions: what each varying sub-expression is changed by.
        known: values that have been computed already and replace a recomputation.
    """
    found: dict[sp.Basic, sp.Expr] = {}
    for node in postorder(value):
        if node in directions:
            found[node] = directions[node]
        elif isinstance(node, Where):
            found[node] = Where(node.condition, found.get(node.value, _ZERO), found.get(node.other, _ZERO))
        elif any(argument in found for argument in node.args):
            terms = [_chained(found[a], local) for a, local in _locals(node, known) if found.get(a, _ZERO) != 0 and local != 0]
            if terms:
                found[node] = _added(terms)
    return found.get(value, _ZERO)


def _sweep(value: sp.Expr, targets: set[sp.Expr], known: Mapping[sp.Basic, sp.Expr], order: list[sp.Expr]) -> dict[sp.Expr, sp.Expr]:
    adjoint: dict[sp.Basic, list[sp.Expr]] = {value: [_ONE]}
    result: dict[sp.Expr, list[sp.Expr]] = {}
    relevant: dict[sp.Basic, bool] = {}
    nodes = list(postorder(value))
    for node in nodes:
        relevant[node] = node in targets or any(relevant[a] for a in node.args)
    for node in reversed(nodes):
        if node not in adjoint or not relevant[node]:
            continue
        total = _added(adjoint.pop(node))
        if node in targets:
            result.setdefault(node, []).append(total)
            continue
        if isinstance(node, Where):
            for branch, wrapped in ((node.value, True), (node.other, False)):
                for target, partial in _sweep(branch, targets, known, order).items():
                    product = _chained(total, partial)
                    pair = (product, _ZERO) if wrapped else (_ZERO, product)
                    result.setdefault(target, []).append(Where(node.condition, *pair))
            continue
        for argument, local in _locals(node, known):
            if relevant[argument] and local != 0:
                adjoint.setdefault(argument, []).append(_chained(total, local))
    return {t: _added(result[t]) for t in order if t in result}


def _chained(total: sp.Expr, local: sp.Expr) -> sp.Expr:
    """``total · local``; a total that is a choice already occurs once, so that choices of choices grow as their depth, not as 2 to it."""
    if isinstance(total, Where) and (choice := _choice(local)) is not None:
        condition, number = choice
        return Where(condition, _scaled(total, number), _ZERO)
    return under_condition(local, lambda p: _scaled(total, p))


def _scaled(total: sp.Expr, local: sp.Expr) -> sp.Expr:
    return under_condition(total, lambda t: build(lambda: t * local)) if isinstance(total, Where) else build(lambda: total * local)


def _choice(local: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
    """``where(c, a, where(d, b, 0))`` with numbers a and b as ``where(c or d, number, 0)``: the condition and the number."""
    if not isinstance(local, Where) or not isinstance(local.other, Where):
        return None
    a, b, rest = local.value, local.other.value, local.other.other
    if not (a.is_Number and b.is_Number and rest == 0):
        return None
    return Logical("or", local.condition, local.other.condition), Where(local.condition, a, b)


def _added(terms: list[sp.Expr]) -> sp.Expr:
    """The sum of contributions; conditions with equal tests are joined so that they stay lazy."""
    rest = list(terms)
    first = rest[0]
    for other in rest[1:]:
        if isinstance(first, Where) and isinstance(other, Where) and first.condition == other.condition:
            first = Where(first.condition, _added([first.value, other.value]), _added([first.other, other.other]))
        else:
            first = build(lambda a=first, b=other: a + b)  # type: ignore[misc]
    return first


def _locals(node: sp.Basic, known: Mapping[sp.Basic, sp.Expr]) -> list[tuple[sp.Basic, sp.Expr]]:
    """(argument, ∂node/∂argument) pairs."""
    y: sp.Expr = known.get(node, node)
    if isinstance(node, sp.Add):
        return [(a, _ONE) for a in node.args]
    if isinstance(node, sp.Mul):
        return [(a, build(lambda k=k: sp.Mul(*node.args[:k], *node.args[k + 1 :]))) for k, a in enumerate(node.args)]  # type: ignore[misc]
    if isinstance(node, sp.Pow):
        return _power_locals(node, y)
    if isinstance(node, Call):
        row = FUNCTIONS[node.function]
        if row.derivative is not None:
            return [(a, build(lambda r=rule: r(*node.arguments, y))) for a, rule in zip(node.arguments, row.derivative, strict=True)]  # type: ignore[misc]
        assert row.expansion is not None
        symbols = [sp.Symbol(f"_argument{k}") for k in range(row.arity)]
        body = build(lambda: row.expansion(*symbols))  # type: ignore[misc]
        slopes = _sweep(body, set(symbols), {}, list(symbols))
        back = dict(zip(symbols, node.arguments, strict=True))
        return [(a, substitute(slopes.get(s, _ZERO), back)) for s, a in zip(symbols, node.arguments, strict=True)]
    if isinstance(node, Compare | Logical | Index) or not node.args:
        return []
    return [(a, _ZERO) for a in node.args]


def _power_locals(node: sp.Pow, y: sp.Expr) -> list[tuple[sp.Basic, sp.Expr]]:
    """The same of a power: ``a**0`` does not change with a, not even at a = 0, nor ``0**b`` with b ≥ 0."""
    base, exponent = node.base, node.exp
    if y is not node and exponent == sp.Rational(1, 2):
        slope = build(lambda: 1 / (2 * y))
    elif y is not node and exponent == -1:
        slope = build(lambda: -(y**2))
    elif y is not node and exponent == sp.Rational(-1, 2):
        slope = build(lambda: -y / (2 * base))
    else:
        slope = build(lambda: exponent * base ** (exponent - 1))
    if exponent.is_number:
        return [(base, slope)]
    grows = build(lambda: y * Call("log", base))
    if not base.is_nonzero:
        grows = Where(Logical("and", Compare("==", base, _ZERO), Compare(">=", exponent, _ZERO)), _ZERO, grows)
    constant = Compare("==", exponent, _ZERO)
    if contains(exponent, (Access, BoundaryAccess)):  # which may be varied: the slope in it must stay
        constant = Logical("and", constant, Compare("==", base, _ZERO))
    return [(base, Where(constant, _ZERO, slope)), (exponent, grows)]


def under_condition(partial: sp.Expr, function: Callable[[sp.Expr], sp.Expr]) -> sp.Expr:
    """Apply a product inside of a lazy condition: ``where(c, g·p, 0)``, so that what is not taken is not evaluated."""
    if isinstance(partial, Where):
        return Where(partial.condition, under_condition(partial.value, function), under_condition(partial.other, function))
    return _ZERO if partial == 0 else function(partial)
