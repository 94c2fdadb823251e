"""The derivative of one symbolic scalar with respect to symbols; the derivatives of functions are SymPy's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import sympy as sp

from graphc.ir.expr import Call
from graphc.ir.tree import postorder

__all__ = ["gradient"]

_X, _Y = sp.symbols("x y", real=True)

_MEANING: dict[str, sp.Expr] = {
    "exp": sp.exp(_X), "expm1": sp.exp(_X) - 1, "log": sp.log(_X), "log1p": sp.log(1 + _X), "sin": sp.sin(_X), "cos": sp.cos(_X),
    "tan": sp.tan(_X), "tanh": sp.tanh(_X), "sigmoid": 1 / (1 + sp.exp(-_X)), "softplus": sp.log(1 + sp.exp(_X)), "erf": sp.erf(_X),
    "atan2": sp.atan2(_X, _Y), "hypot": sp.sqrt(_X**2 + _Y**2), "stop_gradient": sp.Integer(0),
}
"""The functions of graphc in those of SymPy; a stopped value does not change."""


@cache
def _rules(name: str) -> tuple[sp.Expr, ...]:
    """The partial derivatives of a function, as expressions in _X and _Y."""

    def written(node: sp.Basic) -> sp.Expr:
        if isinstance(node, sp.Function):
            return Call(type(node).__name__, *map(written, node.args))
        return node.func(*map(written, node.args)) if node.args else node

    return tuple(written(sp.diff(_MEANING[name], s)) for s in ((_X, _Y) if name in ("atan2", "hypot") else (_X,)))


def gradient(output: sp.Expr, symbols: Sequence[sp.Expr]) -> list[sp.Expr]:
    """The derivatives of a scalar with respect to symbols or reads, in one reverse sweep.

    >>> x, y = sp.symbols("x y")
    >>> gradient(x**2 * y + Call("exp", x), [x, y])
    [2*x*y + Call(exp, x), x**2]
    """
    nodes = postorder(output)
    leaves = set(symbols)
    depends: set[sp.Basic] = set(symbols)
    for node in nodes:
        if node not in leaves and any(part in depends for part in node.args):
            depends.add(node)
    received: dict[sp.Basic, list[sp.Expr]] = {output: [sp.Integer(1)]}
    for node in reversed(nodes):
        if node not in depends or node in leaves or node not in received:
            continue
        adjoint = sp.Add(*received.pop(node))
        for part, factor in _partials(node, depends):
            received.setdefault(part, []).append(sp.Mul(adjoint, factor))
    return [sp.Add(*received.get(s, ())) for s in symbols]


def _partials(node: sp.Basic, depends: set[sp.Basic]) -> list[tuple[sp.Basic, sp.Expr]]:
    if isinstance(node, sp.Add):
        return [(part, sp.Integer(1)) for part in node.args if part in depends]
    if isinstance(node, sp.Mul):
        return [(part, sp.Mul(*node.args[:k], *node.args[k + 1 :])) for k, part in enumerate(node.args) if part in depends]
    if isinstance(node, sp.Pow):
        found = [(node.base, node.exp * sp.Pow(node.base, node.exp - 1))] if node.base in depends else []
        return found + ([(node.exp, node * Call("log", node.base))] if node.exp in depends else [])
    assert isinstance(node, Call)
    values = dict(zip((_X, _Y), node.arguments, strict=False))
    return [(part, rule.xreplace(values)) for part, rule in zip(node.arguments, _rules(node.function), strict=True) if part in depends]
