"""The scalar functions: one row each, with derivative, kink, and what they stand for.

A derivative is a function of the arguments and of the value ``y`` that has been computed already, so that the backward
program can reuse it (``sigmoid`` gives ``y*(1-y)``). Values at kinks are stated in the rows and printed in the documentation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp

from graphc.ir.expr import Access, Call, Compare, Logical, Where, build
from graphc.ir.tree import rewrite

__all__ = ["FUNCTIONS", "Function", "expand_call", "expanded", "maximum", "minimum"]

Rule = Callable[..., sp.Expr]

_HALF = sp.Rational(1, 2)
_ZERO, _ONE = sp.Integer(0), sp.Integer(1)


@dataclass(frozen=True, slots=True)
class Function:
    """One scalar function.

    Attributes:
        name: as written in the notation.
        arity: number of arguments.
        derivative: one rule per argument, each called with (arguments…, y); None differentiates the expansion instead.
        expansion: the function in terms of others, used where a target has no spelling of its own.
        kink: what the derivative is where it does not exist, for the documentation.
        kind: "float" (the result is a float), "same" (the arguments' promoted type), "integer".
        cost: rough number of floating-point operations of one evaluation.
    """

    name: str
    arity: int
    derivative: tuple[Rule, ...] | None = None
    expansion: Rule | None = None
    kink: str = ""
    kind: str = "float"
    cost: int = 10


def maximum(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    return Call("maximum", a, b)


def minimum(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    return Call("minimum", a, b)


def _share(smaller: sp.Expr, larger: sp.Expr) -> sp.Expr:
    """1 where smaller < larger, ½ where they are equal, 0 elsewhere."""
    return Where(Compare("<", smaller, larger), _ONE, Where(Compare("==", smaller, larger), _HALF, _ZERO))


def _zero(*_: sp.Expr) -> sp.Expr:
    return _ZERO


def _hypot(numerator: sp.Expr, y: sp.Expr) -> sp.Expr:
    return Where(Compare("==", y, _ZERO), _ZERO, numerator / y)


def _angle(numerator: sp.Expr, a: sp.Expr, b: sp.Expr) -> sp.Expr:
    return Where(Logical("and", Compare("==", a, _ZERO), Compare("==", b, _ZERO)), _ZERO, numerator / (a**2 + b**2))


_SQRT_HALF = sp.Float(math.sqrt(0.5))
_TWO_OVER_SQRT_PI = sp.Float(2 / math.sqrt(math.pi))
_INV_SQRT_2PI = sp.Float(1 / math.sqrt(2 * math.pi))


def _normal_cdf(x: sp.Expr) -> sp.Expr:
    return _HALF * (_ONE + Call("erf", _SQRT_HALF * x))


_ROWS = (
    Function("exp", 1, (lambda x, y: y,)),
    Function("expm1", 1, (lambda x, y: y + 1,)),
    Function("log", 1, (lambda x, y: 1 / x,)),
    Function("log1p", 1, (lambda x, y: 1 / (1 + x),)),
    Function("sin", 1, (lambda x, y: Call("cos", x),)),
    Function("cos", 1, (lambda x, y: -Call("sin", x),)),
    Function("tan", 1, (lambda x, y: 1 + y**2,)),
    Function("tanh", 1, (lambda x, y: 1 - y**2,)),
    Function("sigmoid", 1, (lambda x, y: y * (1 - y),)),
    Function("softplus", 1, (lambda x, y: Call("sigmoid", x),)),
    Function("erf", 1, (lambda x, y: _TWO_OVER_SQRT_PI * Call("exp", -(x**2)),)),
    Function("abs", 1, (lambda x, y: Call("sign", x),), kink="0 at x = 0", kind="same", cost=1),
    Function("sign", 1, (_zero,), kink="0 everywhere", kind="same", cost=1),
    Function("floor", 1, (_zero,), kink="0 everywhere", kind="same", cost=1),
    Function("ceil", 1, (_zero,), kink="0 everywhere", kind="same", cost=1),
    Function("round", 1, (_zero,), kink="0 everywhere; halves round to even", kind="same", cost=1),
    Function(
        "relu",
        1,
        (lambda x, y: Where(Compare(">", y if isinstance(y, Access) else x, _ZERO), _ONE, _ZERO),),
        lambda x: maximum(x, _ZERO),
        "0 at x = 0",
        "same",
        1,
    ),
    Function(
        "leaky_relu",
        2,
        (lambda x, a, y: Where(Compare(">", x, _ZERO), _ONE, a), lambda x, a, y: Where(Compare(">", x, _ZERO), _ZERO, x)),
        lambda x, a: Where(Compare(">", x, _ZERO), x, a * x),
        "the slope of the negative side at x = 0",
        "float",
        2,
    ),
    Function(
        "elu",
        2,
        (
            lambda x, a, y: Where(Compare(">", x, _ZERO), _ONE, y + a),
            lambda x, a, y: Where(Compare(">", x, _ZERO), _ZERO, Call("expm1", x)),
        ),
        lambda x, a: Where(Compare(">", x, _ZERO), x, a * Call("expm1", x)),
        "alpha at x = 0",
    ),
    Function(
        "gelu", 1, (lambda x, y: _normal_cdf(x) + x * _INV_SQRT_2PI * Call("exp", -(x**2) / 2),), lambda x: x * _normal_cdf(x), cost=20
    ),
    Function("silu", 1, (lambda x, y: Call("sigmoid", x) * (1 + x * (1 - Call("sigmoid", x))),), lambda x: x * Call("sigmoid", x)),
    Function("maximum", 2, (lambda a, b, y: _share(b, a), lambda a, b, y: _share(a, b)), None, "½ each where a = b", "same", 1),
    Function("minimum", 2, (lambda a, b, y: _share(a, b), lambda a, b, y: _share(b, a)), None, "½ each where a = b", "same", 1),
    Function(
        "clip",
        3,
        (
            lambda x, a, b, y: Where(Logical("and", Compare("<=", a, x), Compare("<=", x, b)), _ONE, _ZERO),
            lambda x, a, b, y: Where(Compare("<", x, a), _ONE, _ZERO),
            lambda x, a, b, y: Where(Compare(">", x, b), _ONE, _ZERO),
        ),
        lambda x, a, b: minimum(maximum(x, a), b),
        "1 on both edges",
        "same",
        2,
    ),
    Function("hypot", 2, (lambda a, b, y: _hypot(a, y), lambda a, b, y: _hypot(b, y)), None, "0 at a = b = 0"),
    Function("atan2", 2, (lambda a, b, y: _angle(b, a, b), lambda a, b, y: _angle(-a, a, b)), None, "0 at a = b = 0"),
    Function("stop_gradient", 1, (_zero,), lambda x: x, "0 everywhere by definition", "same", 0),
)

FUNCTIONS: dict[str, Function] = {row.name: row for row in _ROWS}


def expand_call(call: Call) -> sp.Expr:
    """The call in terms of other functions; the call itself where its row has no expansion."""
    row = FUNCTIONS[call.function]
    return call if row.expansion is None else row.expansion(*call.arguments)


def expanded(value: sp.Expr) -> sp.Expr:
    """The value in functions that every target has: ``relu(x)`` becomes ``maximum(x, 0)``."""

    def rule(part: sp.Basic) -> sp.Basic | None:
        if isinstance(part, Call) and part.function in FUNCTIONS and FUNCTIONS[part.function].expansion is not None:
            return rewrite(build(lambda: expand_call(part)), rule)
        return None

    return rewrite(value, rule)
