"""The objects that the notation is made of: thin wrappers around expression nodes that capture Python's operators."""

from __future__ import annotations

import operator
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import sympy as sp

from graphc.errors import NotationError
from graphc.frontend.location import here
from graphc.frontend.unindexed import AbsentError, Unindexed, is_number, number_in, shown
from graphc.ir.affine import is_affine
from graphc.ir.expr import (
    INFINITY,
    NAN,
    Access,
    BoundaryAccess,
    Call,
    Compare,
    FloorDiv,
    Index,
    Logical,
    Modulo,
    Reduce,
    Where,
    build_from,
    constant,
)
from graphc.ir.functions import FUNCTIONS
from graphc.ir.show import expression
from graphc.ir.tree import contains

if TYPE_CHECKING:
    from graphc.frontend.tensor import Tensor

__all__ = [
    "Expr", "IndexVariable", "Types", "as_number", "combine", "display", "is_number", "joined", "merged", "plain", "real_power", "shown",
    "wrap",
]

Types = frozenset[str | sp.Basic]
"""Types, some weak, and reads of tensors whose types may not be known yet; "sum" stands for that of sums of them."""

_INTEGER: Types = frozenset({"weak_int"})
_FRACTION: Types = frozenset({"weak_float"})
_CONDITION: Types = frozenset({"bool"})
_EMPTY: Mapping[Any, Any] = MappingProxyType({})
_LARGEST_INTEGER = 2**63 - 1


def display(node: sp.Basic) -> str:
    """The text of a node with the marks removed that keep equal names apart internally."""
    return plain(expression(node))


def plain(text: str) -> str:
    return re.sub(r"[#@]\d+", "", text)


def _no_operator(sign: str, swapped: bool = False) -> Callable[[Expr, Any], NoReturn]:
    def refuse(self: Expr, other: Any) -> NoReturn:
        left, right = (other, self) if swapped else (self, other)
        fix = {"@": "write a product of matrices as a sum: U[b,i] += X[b,j]*A[j,i].",
               "^": "write a power as x**2, an exclusive or of conditions as (a & ~b) | (~a & b)."}
        text = f"{_operand(left, sign)} {sign} {_operand(right, sign)}"
        raise NotationError(f"Expressions have no operator {sign}.", at=((text, sign, here()),),
                            fix=fix.get(sign, "write a product with a power of 2."))

    return refuse


class Expr:
    """A scalar expression over indices, sizes and tensor elements.

    It is built by Python's operators and by the functions of graphc; it has no value, so it can be neither tested, nor iterated,
    nor passed to NumPy.

    Attributes:
        node: what SymPy has made of it.
        reads: the elements that it was built of, with their tensors.
        ranges: declared ranges of its indices.
        bound: the indices that its reductions bind.
        types: what its type is the common one of, as it was written: ``K/K`` is a float, although the node is 1.
    """

    __slots__ = ("bound", "node", "ranges", "reads", "types")

    def __init__(
        self,
        node: sp.Expr,
        reads: Mapping[Any, Tensor] = _EMPTY,
        ranges: Mapping[Index, tuple[sp.Expr, sp.Expr]] = _EMPTY,
        bound: frozenset[Index] = frozenset(),
        types: Types | None = None,
    ) -> None:
        self.node, self.reads, self.ranges, self.bound = node, reads, ranges, bound
        self.types = types_of(node) if types is None else types

    def __repr__(self) -> str:
        return display(self.node)

    def __hash__(self) -> int:
        return hash(self.node)

    # ------------------------------------------------------------------------------------------------ arithmetic
    def __add__(self, other: Any) -> Expr:
        return combine(operator.add, self, other, form="{} + {}")

    def __radd__(self, other: Any) -> Expr:
        return combine(operator.add, other, self, form="{} + {}")

    def __sub__(self, other: Any) -> Expr:
        return combine(operator.sub, self, other, form="{} - {}")

    def __rsub__(self, other: Any) -> Expr:
        return combine(operator.sub, other, self, form="{} - {}")

    def __mul__(self, other: Any) -> Expr:
        return combine(operator.mul, self, other, form="{}*{}")

    def __rmul__(self, other: Any) -> Expr:
        return combine(operator.mul, other, self, form="{}*{}")

    def __truediv__(self, other: Any) -> Expr:
        return combine(_divide, self, other, form="{}/{}", kind="weak_float")

    def __rtruediv__(self, other: Any) -> Expr:
        return combine(_divide, other, self, form="{}/{}", kind="weak_float")

    def __pow__(self, other: Any) -> Expr:
        return combine(real_power, self, other, form="{}**{}")

    def __rpow__(self, other: Any) -> Expr:
        return combine(real_power, other, self, form="{}**{}")

    def __neg__(self) -> Expr:
        return combine(operator.neg, self)

    def __pos__(self) -> Expr:
        return self

    def __abs__(self) -> Expr:
        return combine(lambda a: Call("abs", a), self, kind=None)

    def __floordiv__(self, other: Any) -> Expr:
        return _quotient(FloorDiv, "//", self, other)

    def __rfloordiv__(self, other: Any) -> Expr:
        return _quotient(FloorDiv, "//", other, self)

    def __mod__(self, other: Any) -> Expr:
        return _quotient(Modulo, "%", self, other)

    def __rmod__(self, other: Any) -> Expr:
        return _quotient(Modulo, "%", other, self)

    # ------------------------------------------------------------------------------------------------ conditions
    def __lt__(self, other: Any) -> Expr:
        return combine(lambda a, b: Compare("<", a, b), self, other, form="{} < {}", gives=_CONDITION)

    def __le__(self, other: Any) -> Expr:
        return combine(lambda a, b: Compare("<=", a, b), self, other, form="{} <= {}", gives=_CONDITION)

    def __gt__(self, other: Any) -> Expr:
        return combine(lambda a, b: Compare(">", a, b), self, other, form="{} > {}", gives=_CONDITION)

    def __ge__(self, other: Any) -> Expr:
        return combine(lambda a, b: Compare(">=", a, b), self, other, form="{} >= {}", gives=_CONDITION)

    def __eq__(self, other: Any) -> Expr:  # type: ignore[override]
        return combine(lambda a, b: Compare("==", a, b), self, other, form="{} == {}", gives=_CONDITION)

    def __ne__(self, other: Any) -> Expr:  # type: ignore[override]
        return combine(lambda a, b: Compare("!=", a, b), self, other, form="{} != {}", gives=_CONDITION)

    def __and__(self, other: Any) -> Expr:
        return _logical("and", "{} & {}", self, other)

    def __rand__(self, other: Any) -> Expr:
        return _logical("and", "{} & {}", other, self)

    def __or__(self, other: Any) -> Expr:
        return _logical("or", "{} | {}", self, other)

    def __ror__(self, other: Any) -> Expr:
        return _logical("or", "{} | {}", other, self)

    def __invert__(self) -> Expr:
        return _logical("not", "~{}", self)

    # ------------------------------------------------------------------------------------------------- refusals
    def _refuse(self, what: str, fix: str) -> NoReturn:
        text = repr(self)
        raise NotationError(f"{text} {what}: it stands for a number that exists only when the program runs.", at=((text, text, here()),),
                            fix=fix)

    def __bool__(self) -> bool:  # noqa: PLE0304
        self._refuse("cannot be tested by Python (if, while, and, or, not, in, a < b < c, max, min)",
                     "use gc.where(condition, a, b), gc.maximum, gc.minimum, or & | ~ with parentheses: (x > 0) & (x < 1).")

    def __iter__(self) -> NoReturn:
        self._refuse("cannot be iterated or summed by Python", "write the loop as an index: gc.sum(X[i], over=i).")

    def __len__(self) -> int:  # noqa: PLE0303
        self._refuse("has no length", "sizes are the symbols of gc.dims, or tensor.shape.")

    def __float__(self) -> float:
        self._refuse("cannot become a Python number",
                     "use graphc's own functions (gc.exp, gc.sqrt, gc.floor, …) instead of math or float().")

    def __round__(self, *_: Any) -> NoReturn:
        self._refuse("cannot become a Python number", "use gc.round, gc.floor or gc.ceil.")

    __int__ = __index__ = __complex__ = __float__

    def __getitem__(self, key: Any) -> NoReturn:
        self._refuse("takes no further subscripts", "write all subscripts in one pair of brackets: X[i,j] instead of X[i][j].")

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        self.__getitem__(key)
        raise AssertionError

    __matmul__, __lshift__, __rshift__, __xor__ = (_no_operator(sign) for sign in ("@", "<<", ">>", "^"))
    __rmatmul__, __rlshift__, __rrshift__, __rxor__ = (_no_operator(sign, True) for sign in ("@", "<<", ">>", "^"))

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_") or name in Expr.__slots__:
            raise AttributeError(name)
        text = f"{self!r}.{name}"
        raise AbsentError(f"{self!r} is one number and has no attribute {name}.", at=((text, "." + name, here()),),
                          fix="use the functions of graphc: gc.sum(X[i,j], over=j), gc.exp(X[i,j]); swap subscripts for a transpose.")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **_: Any) -> Expr:
        operands = [wrap(value, lambda: f"np.{ufunc.__name__}({', '.join(map(shown, inputs))})") for value in inputs]
        operator = _UFUNCS.get(ufunc.__name__) if method == "__call__" and len(inputs) == 2 else None
        if operator is not None:
            return operator(*operands)
        if method == "reduce":
            name = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"}.get(ufunc.__name__, ufunc.__name__)
            self._refuse(f"cannot be reduced by NumPy (np.{name})", f"use gc.{name}({self!r}, over=i) with the index that is reduced.")
        name = {"absolute": "abs", "rint": "round", "arctan2": "atan2"}.get(ufunc.__name__, ufunc.__name__)
        fix = f"use gc.{name}." if name in (*FUNCTIONS, "sqrt") else "use the functions of graphc, or define one with gc.function."
        self._refuse(f"cannot be given to np.{ufunc.__name__}", fix)

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse("cannot become a NumPy array", "compile the program with gc.compile and call it with arrays.")


_UFUNCS: dict[str, Callable[[Expr, Expr], Expr]] = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b, "true_divide": lambda a, b: a / b,
    "divide": lambda a, b: a / b, "power": lambda a, b: a**b, "less": lambda a, b: a < b, "less_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b, "greater_equal": lambda a, b: a >= b, "equal": lambda a, b: a == b, "not_equal": lambda a, b: a != b,
    "bitwise_and": lambda a, b: a & b, "bitwise_or": lambda a, b: a | b, "bitwise_xor": lambda a, b: a ^ b,
    "floor_divide": lambda a, b: a // b, "remainder": lambda a, b: a % b,
}


class IndexVariable(Expr):
    """A loop index; ``gc.index("p", 1, 28)`` declares its half-open range."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return str(self.node)


def wrap(value: Any, context: Callable[[], str] | None = None) -> Expr:
    """The operand as an expression; NotationError for what has no meaning in the notation.

    Args:
        value: what the user wrote.
        context: gives the text around it, for the error message.
    """
    if isinstance(value, Expr):
        return value
    value = number_in(value)
    if is_number(value):
        if not isinstance(value, float | np.floating) and abs(int(value)) > _LARGEST_INTEGER:
            largest = abs(int(value)) > sys.float_info.max
            raise NotationError(f"The integer {value} does not fit into 64 bits.",
                                at=((context() if context else shown(value), str(value), here()),),
                                fix="use a smaller number: it is larger than all floats." if largest
                                else f"write it as a float: {float(value)!r}.")
        return Expr(constant(value))
    text = context() if context else shown(value)
    at = ((text, shown(value), here()),)
    if isinstance(value, Unindexed):
        value._misused(text)
    if isinstance(value, np.ndarray):
        raise NotationError(
            "A NumPy array cannot stand in a program: a program is written in terms of tensors, and arrays are given when it is called.",
            at=at, fix='declare gc.tensor("X", …) and pass the array as X=array; write a number as a number (array.item()).',
        )
    raise NotationError(f"{shown(value)} of type {type(value).__name__} cannot stand in an expression.", at=at,
                        fix="use numbers, indices, sizes and tensor elements.")


def _operand(value: Any, form: str) -> str:
    text = shown(value)
    loose = isinstance(value, Expr) and isinstance(value.node, sp.Add | Compare | Logical) and form != "{}" and not form[0].isalpha()
    return f"({text})" if loose else text


def combine(
    function: Callable[..., Any], *operands: Any, form: str = "{}", kind: str | None = "weak_int", gives: Types | None = None
) -> Expr:
    """Apply a constructor of nodes to operands, keeping what is known about them.

    Args:
        function: takes and returns nodes.
        operands: what the user wrote.
        form: writes them in an error message.
        kind: a type that the result has in common with the operands; arithmetic makes integers of truth values.
        gives: the type of the result if the operands do not matter for it.
    """
    wrapped = [wrap(operand, lambda: form.format(*(_operand(o, form) for o in operands))) for operand in operands]
    if gives is None:
        gives = joined(wrapped, kind)
        if function is real_power and not (isinstance(wrapped[1].node, sp.Integer) and wrapped[1].node >= 0):
            gives |= _FRACTION
    return Expr(build_from(function, *(as_number(w.node) for w in wrapped)), *merged(wrapped), gives)


def types_of(node: sp.Basic) -> Types:
    """What the type of something that is no operation is."""
    match node:
        case Access():
            return frozenset({Access(node.tensor)})
        case BoundaryAccess():
            return frozenset({node})
        case Compare() | Logical():
            return _CONDITION
        case sp.Number() if not isinstance(node, sp.Integer):
            return _FRACTION
    return _CONDITION if node in (sp.true, sp.false) else _FRACTION if node in (INFINITY, -INFINITY, NAN) else _INTEGER


def joined(parts: Iterable[Expr], kind: str | None = None) -> Types:
    """The types of parts that have one in common, which is at least `kind`."""
    return frozenset().union(*(part.types for part in parts), () if kind is None else (kind,))


def _logical(op: str, form: str, *operands: Any) -> Expr:
    def context() -> str:
        return form.format(*(_operand(o, form) for o in operands))

    wrapped = [wrap(operand, context) for operand in operands]
    for part in wrapped:
        if not isinstance(part.node, Compare | Logical | Access | BoundaryAccess | Reduce | Where) and part.node not in (sp.true, sp.false):
            raise NotationError(f"{part!r} is not a condition.", at=((context(), _operand(part, form), here()),),
                                fix="compare it with something, in parentheses, before combining it with & | ~: (x > 0) & (x < 1).")
    return Expr(Logical(op, *(w.node for w in wrapped)), *merged(wrapped), _CONDITION)


def merged(parts: Iterable[Expr]) -> tuple[Mapping[Any, Tensor], Mapping[Index, tuple[sp.Expr, sp.Expr]], frozenset[Index]]:
    """The reads, declared ranges and bound indices of several expressions together."""
    reads: dict[Any, Tensor] = {}
    ranges: dict[Index, tuple[sp.Expr, sp.Expr]] = {}
    bound: frozenset[Index] = frozenset()
    for part in parts:
        reads.update(part.reads)
        for index, limits in part.ranges.items():
            if ranges.setdefault(index, limits) != limits:
                first, second = (f"index({str(index)!r}, {display(a)}, {display(b)})" for a, b in (ranges[index], limits))
                raise NotationError(f"The index {index} is declared twice with different ranges: {first} and {second}.",
                                    at=((str(index), str(index), here()),), fix="give one of the two another name.")
        bound |= part.bound
    return reads, ranges, bound


def as_number(node: sp.Expr) -> sp.Expr:
    """A condition as 1 or 0; anything else unchanged."""
    if isinstance(node, Compare | Logical) or node in (sp.true, sp.false):
        return Where(node, sp.Integer(1), sp.Integer(0))
    return node


def _divide(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    if isinstance(b, sp.Number) and b.is_zero:
        text = f"{display(a)}/{display(b)}"
        raise NotationError("Division by the constant 0.", at=((text, "/" + display(b), here()),),
                            fix="divide by something else; the float infinity is float(\"inf\").")
    return a / b


def real_power(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """``a**b``; exponents that are multiples of ½ become exact.

    Raises:
        NotationError: SymPy finds that the value is not real.
    """
    if isinstance(b, sp.Float):
        twice = 2 * float(b)
        if abs(twice) < 1e6 and twice == int(twice):
            b = sp.Rational(int(twice), 2)
    result = a**b
    if result.has(sp.Abs):  # SymPy knows that indices are real
        result = result.replace(sp.Abs, lambda part: Call("abs", part))
    if result.has(sp.I, sp.zoo, sp.nan):
        text = display(sp.Pow(a, b, evaluate=False))
        raise NotationError(f"{text} is not a real number.", at=((text, text, here()),), fix="check the sign of the base.")
    return result


def _quotient(kind: Any, sign: str, left: Any, right: Any) -> Expr:
    text = f"{_operand(left, sign)}{sign}{_operand(right, sign)}"
    above, below = wrap(left, lambda: text), wrap(right, lambda: text)
    divisor = below.node
    if isinstance(divisor, sp.Integer) and divisor > 0 and not contains(above.node, Access) and is_affine(above.node):
        return Expr(kind(above.node, divisor), above.reads, above.ranges, above.bound, _INTEGER)
    fix = "write the divisor as a positive integer; sizes and indices cannot divide."
    if contains(above.node, (Access, BoundaryAccess)) or not is_affine(above.node):
        fix = f"use gc.floor for values: {'gc.floor(a/b)' if sign == '//' else 'a - b*gc.floor(a/b)'}."
    raise NotationError(f"{sign} is defined for affine expressions in indices and sizes, divided by positive integers.",
                        at=((text, text, here()),), fix=fix)
