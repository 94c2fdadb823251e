"""Values of symbolic scalars at a point, to fifty digits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import sympy as sp

from graphc.ir.expr import Call

__all__ = ["DIGITS", "Point", "Undefined"]

DIGITS = 50
_CONTEXT = mpmath.MPContext()
_CONTEXT.dps = DIGITS + 10


class Undefined(Exception):
    """A scalar has no real value at the point."""


def _functions(m: Any) -> dict[str, Callable[..., Any]]:
    return {
        "exp": m.exp, "expm1": m.expm1, "log": m.log, "log1p": lambda x: m.log(1 + x), "sin": m.sin, "cos": m.cos, "tan": m.tan,
        "tanh": m.tanh, "sigmoid": lambda x: 1 / (1 + m.exp(-x)), "softplus": lambda x: m.log(1 + m.exp(x)), "erf": m.erf,
        "atan2": m.atan2, "hypot": m.hypot, "stop_gradient": lambda x: x,
    }


_VALUES = _functions(_CONTEXT)
FUNCTIONS = frozenset(_VALUES)
"""Scalar functions that stay symbolic; every other one is written in terms of them."""


class Point:
    """Numbers for symbols, or for reads of single elements.

    >>> x = sp.Symbol("x")
    >>> print(Point({x: sp.Rational(1, 3)}).value(x * 3))
    1.0
    """

    def __init__(self, values: Mapping[sp.Expr, sp.Rational]) -> None:
        self._known: dict[sp.Basic, Any] = {symbol: _number(value) for symbol, value in values.items()}

    def value(self, node: Any) -> Any:
        """The value of a scalar.

        Raises:
            Undefined: it is not real, or it does not exist.
        """
        if isinstance(node, bool | int | float):
            if node != node:
                raise Undefined
            return _CONTEXT.mpf(node)
        known = self._known
        stack = [node]
        while stack:
            current = stack[-1]
            if current in known:
                stack.pop()
                continue
            waiting = [part for part in current.args if isinstance(part, sp.Expr) and part not in known]
            if waiting:
                stack.extend(waiting)
                continue
            known[current] = self._apply(current)
            stack.pop()
        if known[node] is None:
            raise Undefined
        return known[node]

    def _apply(self, node: sp.Basic) -> Any:
        """The value of a node whose arguments are known; None where it has none."""
        parts = [self._known[part] for part in node.args if isinstance(part, sp.Expr)]
        if any(part is None for part in parts):
            return None
        try:
            if isinstance(node, sp.Number | sp.NumberSymbol):
                result = _number(node)
            elif isinstance(node, sp.Add):
                result = _CONTEXT.fsum(parts)
            elif isinstance(node, sp.Mul):
                result = _CONTEXT.fprod(parts)
            elif isinstance(node, sp.Pow):
                result = parts[0] ** (int(node.exp) if node.exp.is_Integer else parts[1])
            elif isinstance(node, Call):
                result = _VALUES[node.function](*parts)
            else:
                return None
        except (ZeroDivisionError, ValueError, OverflowError):
            return None
        return result if isinstance(result, _CONTEXT.mpf) and _CONTEXT.isfinite(result) else None

    def sign(self, node: Any) -> int:
        """-1, 0 or 1; a number that is smaller than rounding is 0."""
        if isinstance(node, float) and math.isinf(node):
            return 1 if node > 0 else -1
        value = self.value(node)
        return 0 if self.vanishes(value) else 1 if value > 0 else -1

    def integer(self, node: Any, function: Callable[[Any], int]) -> int:
        """A scalar rounded by `function`, unless it is an integer up to rounding."""
        value = self.value(node)
        nearest = int(_CONTEXT.nint(value))
        return nearest if self.vanishes(value - nearest) else int(function(value))

    @staticmethod
    def vanishes(value: Any) -> bool:
        """Whether a value is no larger than rounding."""
        return bool(abs(value) < _CONTEXT.mpf(10) ** (-DIGITS + 10))


def _number(node: Any) -> Any:
    if isinstance(node, sp.Rational):
        return _CONTEXT.mpf(int(node.p)) / int(node.q)
    if isinstance(node, sp.Number) and not node.is_finite:
        return None
    return _CONTEXT.mpf(sp.N(node, DIGITS + 10)._mpf_)
