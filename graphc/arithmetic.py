"""The numbers that the interpreter computes with: functions, comparisons and reductions of Python's floats or complex numbers."""

from __future__ import annotations

import cmath
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from graphc.errors import ArgumentError
from graphc.ir.dtypes import is_float
from graphc.ir.expr import INFINITY, NAN
from graphc.ir.random import draw, normal32, normal64, polar, uniform32, uniform64
from graphc.ir.show import statement_body
from graphc.ir.statement import Statement

__all__ = ["COMPLEX", "NUMBERS", "Arithmetic", "Empty", "real"]


class Empty(ArgumentError):
    """An extremum over an empty range; a fault only if somebody reads it."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What the scalars are: Python numbers, unless somebody evaluates a graph in others (`graphc.exact`).

    Attributes:
        constant: a number of an expression as a scalar.
        functions: scalar functions by name; the others are evaluated by their expansions. "sqrt" and "rsqrt", where there are such, are
            the powers 1/2 and -1/2: at -inf and -0 they are other numbers than C's power. "power" is one that is no integer's.
        add, multiply: of any number of scalars.
        quotient, power: of two scalars.
        compare: operators of comparisons.
        combine: a reduction by name, of terms and their positions.
        stored: a value as an element of a tensor of a dtype.
    """

    constant: Callable[[sp.Basic], Any]
    functions: Mapping[str, Callable[..., Any]]
    add: Callable[..., Any]
    multiply: Callable[..., Any]
    quotient: Callable[[Any, Any], Any]
    power: Callable[[Any, Any], Any]
    compare: Mapping[str, Callable[[Any, Any], bool]]
    combine: Callable[[str, list[Any], list[int], Statement], Any]
    stored: Callable[[str, Any], Any]


def _limited(x: Any) -> Any:
    """An integer beyond all floats as an infinity."""
    try:
        float(real(x))
    except OverflowError:
        return math.inf if x > 0 else -math.inf
    return x


def _any_size(function: Callable[..., Any], beyond: Callable[..., float] | None = None) -> Callable[..., Any]:
    """A function of integers of any size, which are infinite where it computes with floats.

    Args:
        function: of numbers.
        beyond: what it is where the result is larger than all floats; an error otherwise.
    """

    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except OverflowError:
            limited = [*map(_limited, arguments)]
            if limited != [*arguments]:
                return call(*limited)
            if beyond is None:
                raise
            return beyond(*arguments)

    return call


def _guarded(function: Callable[..., float], pole: float | None = None) -> Callable[..., float]:
    """A function of `math` that returns NaN or infinity instead of raising, and -inf at its pole."""

    def call(*arguments: float) -> float:
        try:
            return function(*arguments)
        except (ValueError, ZeroDivisionError):
            return -math.inf if arguments[0] == pole else math.nan

    return _any_size(call, lambda *_: math.inf)


def _sigmoid(x: Any) -> Any:
    if isinstance(x, complex):
        return 1 / (1 + cmath.exp(-x))
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x)) if x < 0 else math.nan


def _softplus(x: Any) -> Any:
    if isinstance(x, complex):
        return cmath.log(1 + cmath.exp(x)) if x.real < 30 else x + cmath.exp(-x)
    return max(x, 0.0) + math.log1p(math.exp(-abs(x))) if x == x else math.nan


def _pick(first: bool, a: Any, b: Any) -> Any:
    return a if first else b


def real(x: Any) -> Any:
    return x.real if isinstance(x, complex) else x


def _erf(x: Any) -> Any:
    if isinstance(x, complex):
        # first-order expansion along the imaginary axis: exact to rounding for a complex step
        return complex(math.erf(x.real), 2 / math.sqrt(math.pi) * math.exp(-x.real * x.real) * x.imag)
    return math.erf(x)


def _either(real: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: other(*args) if any(isinstance(a, complex) for a in args) else real(*args)


def _sign(x: Any) -> float:
    value = real(x)
    sign = (value > 0) - (value < 0)
    return math.nan if value != value else sign if isinstance(value, int) else float(sign)


def _rounded(function: Callable[[float], Any]) -> Callable[..., float]:
    return lambda x: x if isinstance(x, int) else float(function(real(x))) if math.isfinite(real(x)) else real(x)


def _half(a: Any, b: Any) -> Any:
    """One of two equal numbers; its complex step is the mean of both, as their derivative is."""
    if isinstance(a, complex) or isinstance(b, complex):
        return complex(real(a), (complex(a).imag + complex(b).imag) / 2)
    return a


def _magnitude(x: Any) -> Any:
    if isinstance(x, complex) and x.real == 0:
        return 0j  # the derivative there is 0
    return x if real(x) >= 0 else -x


def _largest(a: Any, b: Any) -> Any:
    return a if a != a else b if b != b else _half(a, b) if real(a) == real(b) else _pick(real(a) > real(b), a, b)


def _smallest(a: Any, b: Any) -> Any:
    return a if a != a else b if b != b else _half(a, b) if real(a) == real(b) else _pick(real(a) < real(b), a, b)


def _root(x: Any) -> Any:
    return x**0.5 if isinstance(x, complex) else math.sqrt(x) if x >= 0 else math.nan


def _drawn(number: Callable[[int], Any]) -> Callable[..., float]:
    """A random number of a key and indices."""
    return lambda key, *indices: float(number(functools.reduce(draw, map(int, indices), int(key))))


_SCALAR: dict[str, Callable[..., Any]] = {
    "exp": _either(_guarded(math.exp), cmath.exp),
    "expm1": _either(
        _guarded(math.expm1), lambda x: cmath.exp(x) - 1 if abs(x) > 1e-4 else complex(math.expm1(x.real), math.exp(x.real) * x.imag)
    ),
    "log": _either(_guarded(math.log, 0), cmath.log),
    "log1p": _either(_guarded(math.log1p, -1), lambda x: complex(math.log1p(x.real), x.imag / (1 + x.real))),
    "sin": _either(_guarded(math.sin), cmath.sin),
    "cos": _either(_guarded(math.cos), cmath.cos),
    "tan": _either(_guarded(math.tan), cmath.tan),
    "tanh": _either(math.tanh, cmath.tanh),
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "erf": _erf,
    "sqrt": _root,
    "rsqrt": lambda x: _quotient(1.0, _root(x)),
    "stop_gradient": real,
    "abs": _magnitude,
    "sign": _sign,
    "floor": _rounded(math.floor),
    "ceil": _rounded(math.ceil),
    "round": _rounded(round),
    "difference": lambda a, b: a - b,
    "maximum": _largest,
    "minimum": _smallest,
    "uniform32": _drawn(uniform32),
    "uniform64": _drawn(uniform64),
    "normal32": _drawn(lambda bits: normal32(polar(bits))),
    "normal64": _drawn(lambda bits: normal64(polar(bits))),
    "hypot": _either(math.hypot, lambda a, b: cmath.sqrt(a * a + b * b)),
    "atan2": _either(
        math.atan2,
        lambda a, b: (
            complex(math.atan2(real(a), real(b)), 0)
            + 1j * ((real(b) * complex(a).imag - real(a) * complex(b).imag) / (real(a) ** 2 + real(b) ** 2))
        ),
    ),
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: real(a) < real(b),
    "<=": lambda a, b: real(a) <= real(b),
    ">": lambda a, b: real(a) > real(b),
    ">=": lambda a, b: real(a) >= real(b),
    "==": lambda a, b: real(a) == real(b),
    "!=": lambda a, b: real(a) != real(b),
}


def _beyond_power(base: Any, exponent: Any) -> float:
    return -math.inf if real(base) < 0 and real(exponent) % 2 == 1 else math.inf


@functools.partial(_any_size, beyond=_beyond_power)
def _power(base: Any, exponent: Any) -> Any:
    try:
        if isinstance(base, complex) or isinstance(exponent, complex):
            return complex(base) ** exponent
        result = base**exponent if float(exponent).is_integer() and exponent >= 0 else float(base) ** exponent
        return math.nan if isinstance(result, complex) else result
    except ZeroDivisionError:
        return math.copysign(math.inf, base) if exponent % 2 == 1 else math.inf


def _real_power(base: Any, exponent: Any) -> Any:
    """A power that is a float: an integer exponent may be any."""
    return _power(base, exponent if isinstance(exponent, complex) else float(exponent))


_SCALAR = {name: _any_size(function) for name, function in (_SCALAR | {"power": _real_power}).items()}


@_any_size
def _add(*values: Any) -> Any:
    return sum(values[1:], values[0])


@_any_size
def _multiply(*values: Any) -> Any:
    return math.prod(values)


@_any_size
def _quotient(top: Any, value: Any) -> Any:
    try:
        return top / value
    except ZeroDivisionError:
        return math.nan if real(top) == 0 or top != top else math.copysign(math.inf, real(top)) * math.copysign(1, real(value))


def _constant(node: sp.Basic) -> Any:
    if node in (sp.true, sp.false):
        return bool(node)
    if node in (INFINITY, NAN):
        return math.inf if node == INFINITY else math.nan
    return int(node) if isinstance(node, sp.Integer) else float(node)


def _sum(terms: list[Any]) -> Any:
    try:
        return math.fsum(terms) if terms and all(isinstance(t, float) and math.isfinite(t) for t in terms) else _add(0, *terms)
    except OverflowError:
        return _add(*terms)


def _combine(op: str, terms: list[Any], positions: list[int], statement: Statement) -> Any:
    if op == "sum":
        return _sum(terms)
    if op == "prod":
        return _multiply(*terms)
    if op == "any":
        return any(terms)
    if op == "all":
        return all(terms)
    if op == "mean":
        return _quotient(_add(0, *terms), len(terms)) if terms else math.nan
    if op == "logsumexp":
        return _logsumexp(*terms)
    if not terms:
        raise Empty(
            f"{op.removesuffix('_split')} over an empty range has no value.\n\n    {statement_body(statement)}\n  at {statement.location}",
            fix="pass arrays that are not empty.",
        )
    sign = -1 if "min" in op or op == "infimum" else 1
    best = 0
    for k in range(1, len(terms)):
        current, candidate = real(terms[best]), real(terms[k])
        if current == current and (candidate != candidate or sign * candidate > sign * current):
            best = k
    return positions[best] if op.startswith("arg") else terms[best]


@_any_size
def _logsumexp(*terms: Any) -> Any:
    if not terms:
        return -math.inf
    top = max((real(t) for t in terms), key=lambda t: (t != t, t))
    if math.isinf(top) or top != top:
        return top
    total = sum(cmath.exp(t - top) if isinstance(t, complex) else math.exp(t - top) for t in terms)
    return top + (cmath.log(total) if isinstance(total, complex) else math.log(total))


def _stored(dtype: str, value: Any) -> Any:
    """The value as an element: integers wrap round, and a float beyond 64 bits is the least of them, as the kernels for the CPU have it."""
    value = real(value)
    if dtype == "bool":
        return bool(value)
    if is_float(dtype):
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(_limited(value)).astype(dtype).item()
    whole = value if isinstance(value, int) else int(value) if -(2.0**63) <= value < 2.0**63 else -(2**63)
    least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    return (whole - least) % (most - least + 1) + least


def _stored_complex(dtype: str, value: Any) -> Any:
    return complex(value) if is_float(dtype) else _stored(dtype, value)


NUMBERS = Arithmetic(
    _constant, _SCALAR, _add, _multiply, _quotient, _power, _COMPARE, _combine, _stored,
)
"""Python's floats, rounded to the dtype when they are stored."""

COMPLEX = replace(NUMBERS, stored=_stored_complex)
"""The same with float tensors kept complex."""
