"""Symbolic scalars on one side of every kink: conditions are decided at a point, what is left is smooth.

At a kink itself the scalar is the smooth function that has the stated value and the stated derivative there (``maximum(a, b)`` is
``(a + b)/2`` where a = b), so that the derivative of the expansion is the one that the documentation promises.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import sympy as sp

from graphc.exact.point import FUNCTIONS, Point, Undefined
from graphc.ir.dtypes import is_float
from graphc.ir.expr import INFINITY, NAN, Call
from graphc.ir.random import draw, normal32, normal64, polar, uniform32, uniform64
from graphc.ir.statement import Statement

__all__ = ["Exact", "scalar"]

_NAMED = {
    math.sqrt(0.5): sp.sqrt(sp.Rational(1, 2)), 2 / math.sqrt(math.pi): 2 / sp.sqrt(sp.pi),
    1 / math.sqrt(2 * math.pi): 1 / sp.sqrt(2 * sp.pi),
}
"""Constants that the expressions of graphc contain as rounded numbers."""

_AT_INFINITY: dict[str, tuple[Any, Any]] = {
    "exp": (0, math.inf), "expm1": (-1, math.inf), "tanh": (-1, 1), "sigmoid": (0, 1), "softplus": (0, math.inf), "erf": (-1, 1),
    "relu": (0, math.inf), "sign": (-1, 1), "stop_gradient": (-math.inf, math.inf),
}


def _infinite(value: Any) -> bool:
    return isinstance(value, float) and math.isinf(value)


def _drawn(number: Callable[[int], Any]) -> Callable[..., sp.Expr]:
    """A random number of a key and indices: exactly the rational number that the float is, in the program and in its gradient."""
    return lambda key, *indices: sp.Rational(float(number(functools.reduce(draw, map(int, indices), int(key)))))


_RANDOM = {
    "uniform32": _drawn(uniform32), "uniform64": _drawn(uniform64),
    "normal32": _drawn(lambda bits: normal32(polar(bits))), "normal64": _drawn(lambda bits: normal64(polar(bits))),
}


class Exact:
    """The operations, for `graphc.arithmetic.Arithmetic`.

    Attributes:
        decisions: how each condition that was met came out: what tells one smooth piece of the program from another.
        rounded: whether a constant of the program is no rational number of few digits.
        ties: whether a condition was met with equality.
    """

    def __init__(self, point: Point) -> None:
        self.point = point
        self.decisions: list[int] = []
        self.rounded = self.ties = False
        self._signs: dict[Any, int] = {}

    # ------------------------------------------------------------------------------------------------- decisions
    def sign(self, value: Any) -> int:
        """The sign of a scalar at the point, remembered as a decision unless it is a number."""
        if isinstance(value, bool | int | float) or (isinstance(value, sp.Basic) and value.is_Number):
            return self.point.sign(value)
        if value not in self._signs:
            self._signs[value] = found = self.point.sign(value)
            self.decisions.append(found)
            self.ties |= not found
        return self._signs[value]

    def order(self, a: Any, b: Any) -> int:
        if _infinite(a) or _infinite(b):
            return 0 if a == b else self.point.sign(a) if _infinite(a) else -self.point.sign(b)
        return 0 if a is b else self.sign(self.add(a, self.multiply(-1, b)))

    # ------------------------------------------------------------------------------------------------ operations
    def constant(self, node: sp.Basic) -> Any:
        if node in (sp.true, sp.false):
            return bool(node)
        if node == INFINITY:
            return math.inf
        if node == NAN:
            raise Undefined
        if isinstance(node, sp.Float):
            if float(node) in _NAMED:
                return _NAMED[float(node)]
            self.rounded = True
            return sp.Rational(repr(float(node)))
        return int(node) if isinstance(node, sp.Integer) else node

    def add(self, *values: Any) -> Any:
        infinite = [v for v in values if _infinite(v)]
        if infinite:
            if sum(infinite) != sum(infinite):
                raise Undefined
            return sum(infinite)
        return sum(values) if all(isinstance(v, int) for v in values) else sp.Add(*map(scalar, values))

    def multiply(self, *values: Any) -> Any:
        if any(map(_infinite, values)):
            sign = math.prod(self.point.sign(v) for v in values)
            if not sign:
                raise Undefined
            return sign * math.inf
        return math.prod(values) if all(isinstance(v, int) for v in values) else sp.Mul(*map(scalar, values))

    def quotient(self, top: Any, value: Any) -> Any:
        return self.multiply(top, self.power(value, -1))

    def power(self, base: Any, exponent: Any) -> Any:
        if _infinite(exponent) or (_infinite(base) and not isinstance(exponent, int)):
            raise Undefined
        if _infinite(base):
            return 0 if exponent < 0 else base**exponent
        if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
            return base**exponent
        base, exponent = scalar(base), scalar(exponent)
        if base == 0 and not exponent.is_positive:
            raise Undefined
        return sp.Pow(base, exponent)

    def combine(self, op: str, terms: list[Any], positions: list[int], statement: Statement) -> Any:
        if op == "sum":
            return self.add(0, *terms)
        if op == "prod":
            return self.multiply(1, *terms)
        if op == "mean" and terms:
            return self.quotient(self.add(*terms), len(terms))
        if op == "logsumexp":
            finite = [t for t in terms if t != -math.inf]
            return self.function("log", self.add(*(self.function("exp", t) for t in finite))) if finite else -math.inf
        if op.removeprefix("arg").removesuffix("_split") in ("max", "min", "supremum") and terms:
            return self._extremum(op, terms, positions)
        if op in ("any", "all"):
            return any(terms) if op == "any" else all(terms)
        raise Undefined

    def _extremum(self, op: str, terms: list[Any], positions: list[int]) -> Any:
        sign, best = -1 if "min" in op else 1, 0
        for k in range(1, len(terms)):
            if sign * self.order(terms[k], terms[best]) > 0:
                best = k
        if op.endswith("_split"):
            tied = [t for t in terms if self.order(t, terms[best]) == 0]
            return self.quotient(self.add(*tied), len(tied))
        return positions[best] if op.startswith("arg") else terms[best]

    def stored(self, dtype: str, value: Any) -> Any:
        if is_float(dtype):
            return value
        whole = value if isinstance(value, bool | int) else int(self.point.value(value))
        return bool(whole) if dtype == "bool" else int(whole)

    # ------------------------------------------------------------------------------------------------- functions
    def function(self, name: str, *arguments: Any) -> Any:
        if any(map(_infinite, arguments)):
            return self._at_infinity(name, *arguments)
        if name == "stop_gradient" and isinstance(arguments[0], int):
            return arguments[0]
        return Call(name, *map(scalar, arguments))

    def _at_infinity(self, name: str, *arguments: Any) -> Any:
        if name == "log" and arguments[0] > 0:
            return math.inf
        if name not in _AT_INFINITY:
            raise Undefined
        return _AT_INFINITY[name][arguments[0] > 0]

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Every function that has no expansion in others, and those whose kinks an expansion would not show."""
        smooth = {name: (lambda *a, n=name: self.function(n, *a)) for name in FUNCTIONS}
        return {
            **smooth, **_RANDOM, "abs": self._abs, "sign": self._sign, "floor": self._rounded(math.floor), "ceil": self._rounded(math.ceil),
            "round": self._rounded(round), "maximum": lambda a, b: self._larger(a, b, 1), "minimum": lambda a, b: self._larger(a, b, -1),
            "difference": lambda a, b: self.add(a, self.multiply(-1, b)), "hypot": self._hypot, "clip": self._clip,
            "relu": lambda x: x if self.order(x, 0) > 0 else 0,
            "leaky_relu": lambda x, a: x if self.order(x, 0) > 0 else self.multiply(a, x),
            "elu": lambda x, a: x if self.order(x, 0) > 0 else self.multiply(a, self.function("expm1", x)),
        }

    def _abs(self, x: Any) -> Any:
        return self.multiply(self.order(x, 0), x)

    def _sign(self, x: Any) -> Any:
        return self.order(x, 0)

    def _rounded(self, function: Callable[[Any], int]) -> Callable[[Any], Any]:
        def call(x: Any) -> Any:
            if isinstance(x, int) or _infinite(x):
                return x
            whole = self.point.integer(x, function)
            self.decisions.append(whole)
            return whole

        return call

    def _larger(self, a: Any, b: Any, sign: int) -> Any:
        order = sign * self.order(a, b)
        if order == 0 and a is not b and a != b:
            return self.quotient(self.add(a, b), 2)
        return a if order >= 0 else b

    def _hypot(self, a: Any, b: Any) -> Any:
        return 0 if self.order(a, 0) == 0 and self.order(b, 0) == 0 else self.function("hypot", a, b)

    def _clip(self, x: Any, low: Any, high: Any) -> Any:
        if self.order(x, high) > 0:
            return high
        return low if self.order(x, low) < 0 else x


def scalar(value: Any) -> sp.Expr:
    """A scalar of any kind as an expression."""
    return sp.Integer(int(value)) if isinstance(value, bool | int) else sp.Rational(repr(value)) if isinstance(value, float) else value
