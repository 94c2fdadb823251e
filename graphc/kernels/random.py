"""The random numbers of `graphc.ir.random`, bit by bit, as straight-line integer code that LLVM vectorises.

No function here branches or calls a library: a loop over `uniform32(draw(key, i))` becomes vector instructions on 32-bit lanes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from graphc.kernels.bits import DOUBLE, SINGLE, Lane

__all__ = ["draw", "normal32", "normal64", "uniform32", "uniform64"]

_LOG = (617792563, 1431655771, 477216784, 212096053, 106105756, 56594017, 30795159, 17574312, 13202552, 7864605)
_SINE = (1686629706, -1387196611, 342265593, -40150590, 2605700)
_LOG_2 = 1488522236


def _bits_of(result: Any) -> Any:
    """Make a formula on one 64-bit integer lane callable from compiled code; its result has the given type."""

    def decorate(formula: Any) -> Any:
        def definition(typingctx: Any, bits: Any) -> Any:
            _check(formula, bits)

            def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                return formula(Lane(builder, values[0])).value

            return result(types.int64), generate

        return _named(definition, formula)

    return decorate


def _named(definition: Any, formula: Any) -> Any:
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(definition, attribute, getattr(formula, attribute))
    return intrinsic(definition)


def _check(formula: Any, *arguments: Any) -> None:
    if not all(isinstance(a, types.Integer) for a in arguments):
        raise TypingError(f"{formula.__name__} takes integers, not ({', '.join(map(str, arguments))})")


def _on_words(formula: Any) -> Any:
    """Make a formula on two 64-bit integer lanes callable from compiled code."""

    def definition(typingctx: Any, key: Any, index: Any) -> Any:
        _check(formula, key, index)

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return formula(*(Lane(builder, value) for value in values)).value

        return types.int64(types.int64, types.int64), generate

    return _named(definition, formula)


@_on_words
def draw(key: Lane, index: Lane) -> Lane:
    """64 random bits of a key and an index: Threefry-2x32 with 20 rounds."""
    k0, k1 = key.resized(32), (key >> 32).resized(32)
    k2 = k0 ^ k1 ^ 0x1BD11BDA
    x0, x1 = index.resized(32) + k0, (index >> 32).resized(32) + k1
    for n in range(1, 6):
        for turn in (13, 15, 26, 6) if n & 1 else (17, 29, 16, 24):
            x0 = x0 + x1
            x1 = ((x1 << turn) | (x1 >> 32 - turn)) ^ x0
        k0, k1, k2 = k1, k2, k0
        x0, x1 = x0 + k0, x1 + k1 + n
    return (x1.resized(64) << 32) | x0.resized(64)


@_bits_of(types.float32)
def uniform32(bits: Lane) -> Lane:
    """The first 24 bits as a number in [0, 1)."""
    return (bits >> 40).resized(32).rounded(SINGLE) * 2.0**-24


@_bits_of(types.float64)
def uniform64(bits: Lane) -> Lane:
    """The first 53 bits as a number in [0, 1)."""
    return (bits >> 11).rounded(DOUBLE) * 2.0**-53


def _scaled(q: Lane, h: Lane) -> Lane:
    """q h / 2^32, rounded down, of signed 32-bit integers."""
    return (q.resized(64, signed=True) * h.resized(64, signed=True) >> 32).resized(32)


def _polynomial(coefficients: tuple[int, ...], h: Lane) -> Lane:
    value = h.constant(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = _scaled(value, h) + coefficient
    return value


def _polar(bits: Lane) -> tuple[Lane, Lane, Lane]:
    """-2^31 log u of 64 bits, 2^31 v and 2^31 sin(pi v/2)/(2v) of 32 bits."""
    builder = bits.builder
    x = (bits >> 32).resized(32) | 1
    n = Lane(builder, builder.ctlz(x.value, ir.Constant(ir.IntType(1), 1)))
    h = Lane(builder, builder.shl(x.value, n.value)) << 1
    h = h.constant(0x7FFFFFFF) - h
    length = n.resized(64) * _LOG_2 + _polynomial(_LOG, h).resized(64)
    turn = bits.resized(32) | 1
    wide = turn.resized(64, signed=True)
    return length, turn, _polynomial(_SINE, (wide * wide >> 31).resized(32))


@_bits_of(types.float32)
def normal32(bits: Lane) -> Lane:
    """A normally distributed number."""
    length, turn, sine = _polar(bits)
    radius = ((length >> 5).resized(32).rounded(SINGLE) * 2.0**-25).intrinsic("sqrt")
    return radius * turn.rounded(SINGLE) * (sine.rounded(SINGLE) * 2.0**-61)


@_bits_of(types.float64)
def normal64(bits: Lane) -> Lane:
    """A normally distributed number."""
    length, turn, sine = _polar(bits)
    radius = (length.rounded(DOUBLE) * 2.0**-30).intrinsic("sqrt")
    return radius * turn.rounded(DOUBLE) * (sine.rounded(DOUBLE) * 2.0**-61)
