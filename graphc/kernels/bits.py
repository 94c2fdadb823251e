"""Lanes: LLVM float values with Python operators, for formulas whose every bit counts.

A formula written on lanes becomes straight-line LLVM IR without branches, calls into libm or
fast-math flags, so that the loop vectoriser can widen the loop around it and nothing may be
reassociated. It works on scalars (inside loops that LLVM vectorises) and on explicit vectors alike.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic

__all__ = ["DOUBLE", "SINGLE", "Format", "Lane", "evaluate", "fused", "on_floats", "select"]


@dataclass(frozen=True, slots=True)
class Format:
    """An IEEE 754 binary format."""

    bits: int
    mantissa: int
    """Stored bits of the significand."""

    @property
    def bias(self) -> int:
        """The exponent field of 1.0."""
        return (1 << (self.bits - self.mantissa - 2)) - 1

    @property
    def one(self) -> int:
        """The bits of 1.0."""
        return self.bias << self.mantissa

    @property
    def sign(self) -> int:
        """The sign bit alone."""
        return 1 << (self.bits - 1)

    @property
    def epsilon(self) -> float:
        """The distance from 1.0 to the next larger number."""
        return 2.0**-self.mantissa

    @property
    def smallest_normal(self) -> float:
        """The smallest positive number of full precision."""
        return 2.0 ** (1 - self.bias)

    @property
    def rounder(self) -> float:
        """Adding this number rounds to an integer, half to even, and leaves it in the low mantissa bits.

        Unlike a conversion to an integer it is defined for every argument, NaN and infinity included.
        """
        return 1.5 * 2.0**self.mantissa


SINGLE = Format(32, 23)
DOUBLE = Format(64, 52)


class _Unflagged(list[str]):
    """The flags of an instruction that Numba's fast-math pass of the calling function must not extend."""

    def append(self, flag: str) -> None:
        """Ignore a flag given to an arithmetic instruction."""

    def add(self, flag: str) -> None:
        """Ignore a flag given to a call."""


class Lane:
    """One float, integer or boolean SSA value, or a vector of them.

    Numbers among the operands become constants of the lane's own type. Integers wrap around;
    `>>` shifts zeros in.
    """

    __slots__ = ("builder", "value")

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value

    @property
    def element(self) -> Any:
        """The LLVM type of a single lane."""
        kind = self.value.type
        return kind.element if isinstance(kind, ir.VectorType) else kind

    @property
    def format(self) -> Format:
        """The IEEE format of a float lane."""
        return SINGLE if isinstance(self.element, ir.FloatType) else DOUBLE

    def constant(self, number: float) -> Lane:
        """A constant of this lane's type."""
        kind = self.value.type
        if not isinstance(kind, ir.VectorType):
            return Lane(self.builder, ir.Constant(kind, number))
        return Lane(self.builder, ir.Constant(kind, [ir.Constant(kind.element, number)] * kind.count))

    def _with_element(self, element: Any) -> Any:
        """This lane's type with another element type."""
        kind = self.value.type
        return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element

    def __bool__(self) -> bool:
        raise TypingError("a condition on lanes has no single truth value: choose between values with it")

    def _binary(self, name: str, other: Lane | float) -> Lane:
        """Emit one two-operand instruction, without fast-math flags."""
        right = other if isinstance(other, Lane) else self.constant(other)
        if isinstance(self.element, ir.IntType):
            return Lane(self.builder, getattr(self.builder, name)(self.value, right.value))
        result = getattr(self.builder, "f" + name)(self.value, right.value)
        result.flags = _Unflagged()
        return Lane(self.builder, result)

    def __add__(self, other: Lane | float) -> Lane:
        return self._binary("add", other)

    def __sub__(self, other: Lane | float) -> Lane:
        return self._binary("sub", other)

    def __mul__(self, other: Lane | float) -> Lane:
        return self._binary("mul", other)

    def __truediv__(self, other: Lane | float) -> Lane:
        return self._binary("div", other)

    def __radd__(self, other: float) -> Lane:
        return self.constant(other) + self

    def __rsub__(self, other: float) -> Lane:
        return self.constant(other) - self

    def __rmul__(self, other: float) -> Lane:
        return self.constant(other) * self

    def __rtruediv__(self, other: float) -> Lane:
        return self.constant(other) / self

    def __neg__(self) -> Lane:
        return Lane(self.builder, self.builder.fneg(self.value))

    def __and__(self, other: Lane | int) -> Lane:
        return self._binary("and_", other)

    def __or__(self, other: Lane | int) -> Lane:
        return self._binary("or_", other)

    def __xor__(self, other: Lane | int) -> Lane:
        return self._binary("xor", other)

    def __lshift__(self, count: int) -> Lane:
        return self._binary("shl", count)

    def __rshift__(self, count: int) -> Lane:
        return self._binary("lshr", count)

    def _compare(self, relation: str, other: Lane | float, ordered: bool = True) -> Lane:
        """A boolean lane; false for NaN if `ordered`, else true for NaN."""
        right = other if isinstance(other, Lane) else self.constant(other)
        emit = self.builder.fcmp_ordered if ordered else self.builder.fcmp_unordered
        result = emit(relation, self.value, right.value)
        result.flags = _Unflagged()
        return Lane(self.builder, result)

    def __lt__(self, other: Lane | float) -> Lane:
        return self._compare("<", other)

    def __le__(self, other: Lane | float) -> Lane:
        return self._compare("<=", other)

    def __gt__(self, other: Lane | float) -> Lane:
        return self._compare(">", other)

    def __ge__(self, other: Lane | float) -> Lane:
        return self._compare(">=", other)

    def equals(self, other: Lane | float) -> Lane:
        """Whether both are equal (`==` itself would break hashing)."""
        return self._compare("==", other)

    def differs(self, other: Lane | float) -> Lane:
        """Whether they are unequal or one is NaN."""
        return self._compare("!=", other, ordered=False)

    def is_nan(self) -> Lane:
        """Whether this is NaN."""
        return self.differs(self)

    def to_bits(self) -> Lane:
        """The bits of a float as an integer of the same width."""
        kind = self._with_element(ir.IntType(self.format.bits))
        return Lane(self.builder, self.builder.bitcast(self.value, kind))

    def to_float(self) -> Lane:
        """The float that an integer's bits are."""
        kind = self._with_element(ir.FloatType() if self.element.width == 32 else ir.DoubleType())
        return Lane(self.builder, self.builder.bitcast(self.value, kind))

    def resized(self, bits: int, signed: bool = False) -> Lane:
        """An integer of another width: cut, or extended by zeros (by its sign if `signed`)."""
        kind, wider = self._with_element(ir.IntType(bits)), self.builder.sext if signed else self.builder.zext
        if bits == self.element.width:
            return self
        return Lane(self.builder, (wider if bits > self.element.width else self.builder.trunc)(self.value, kind))

    def rounded(self, form: Format) -> Lane:
        """The float next to a signed integer."""
        kind = self._with_element(ir.FloatType() if form is SINGLE else ir.DoubleType())
        return Lane(self.builder, self.builder.sitofp(self.value, kind))

    def intrinsic(self, name: str, *others: Lane | float) -> Lane:
        """Call LLVM's `llvm.<name>`, overloaded on this lane's type."""
        operands = [self.value, *(o.value if isinstance(o, Lane) else self.constant(o).value for o in others)]
        kind = self.value.type
        suffix = f"v{kind.count}f{self.format.bits}" if isinstance(kind, ir.VectorType) else f"f{self.format.bits}"
        signature = ir.FunctionType(kind, [kind] * len(operands))
        function = cgutils.get_or_insert_function(self.builder.module, signature, f"llvm.{name}.{suffix}")
        call = self.builder.call(function, operands)
        call.fastmath = _Unflagged()
        return Lane(self.builder, call)

    def absolute(self) -> Lane:
        """|x|."""
        return self.intrinsic("fabs")

    def copysign(self, sign: Lane) -> Lane:
        """|x| with the sign of `sign`."""
        return self.intrinsic("copysign", sign)

    def at_least(self, bound: float) -> Lane:
        """The larger of this and `bound`; NaN stays NaN."""
        return select(self < bound, self.constant(bound), self)

    def at_most(self, bound: float) -> Lane:
        """The smaller of this and `bound`; NaN stays NaN."""
        return select(self > bound, self.constant(bound), self)


def select(condition: Lane, chosen: Lane | float, otherwise: Lane | float) -> Lane:
    """`chosen if condition else otherwise`, lane by lane; at most one of both is a number."""
    model = chosen if isinstance(chosen, Lane) else otherwise
    assert isinstance(model, Lane)
    left, right = (o if isinstance(o, Lane) else model.constant(o) for o in (chosen, otherwise))
    return Lane(condition.builder, condition.builder.select(condition.value, left.value, right.value))


def fused(a: Lane, b: Lane | float, c: Lane | float) -> Lane:
    """a*b + c, rounded once. Processors without FMA (before 2013) get a slow library call."""
    return a.intrinsic("fma", b, c)


def evaluate(coefficients: tuple[float, ...], x: Lane) -> Lane:
    """The polynomial with these coefficients, constant term first, by Horner's rule."""
    *rest, top = coefficients
    if not rest:
        return x.constant(top)
    return functools.reduce(lambda tail, c: fused(tail, x, c), reversed(rest), x.constant(top))


def on_floats(formula: Any) -> Any:
    """Make a formula on one or two lanes callable from compiled code, on float32 or float64 scalars.

    The result has the type of the arguments, which must agree: nothing is promoted silently. The
    formula itself stays reachable as `.formula`, for code generators that apply it to vectors.

    Raises (when called): NotImplementedError from Python; TypingError, at compile time, for other types.
    """

    def check(*arguments: Any) -> Any:
        if arguments[0] not in (types.float32, types.float64) or len(set(arguments)) > 1:
            given = ", ".join(map(str, arguments))
            raise TypingError(f"{formula.__name__} takes float32 or float64 arguments of one type, not ({given})")

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return formula(*(Lane(builder, value) for value in values)).value

        return arguments[0](*arguments), generate

    def of_one(typingctx: Any, x: Any) -> Any:
        return check(x)

    def of_two(typingctx: Any, x: Any, y: Any) -> Any:
        return check(x, y)

    definition = of_one if formula.__code__.co_argcount == 1 else of_two
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(definition, attribute, getattr(formula, attribute))
    stub: Any = intrinsic(definition)
    stub.formula = formula
    return stub
