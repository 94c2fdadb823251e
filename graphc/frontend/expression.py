"""The objects that the notation is made of: thin wrappers around expression nodes that capture Python's operators."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import sympy as sp

from graphc.errors import NotationError
from graphc.frontend.location import here
from graphc.ir.affine import is_affine
from graphc.ir.expr import (
    Access, BoundaryAccess, Call, Compare, FloorDiv, Index, Logical, Modulo, Reduce, Size, Where, build, constant, contains,
)
from graphc.ir.show import expression

if TYPE_CHECKING:
    from graphc.frontend.tensor import Tensor

__all__ = ["Expr", "IndexVariable", "combine", "display", "is_number", "wrap"]

_EMPTY: Mapping[Any, Any] = MappingProxyType({})


def display(node: sp.Basic) -> str:
    """The text of a node with the marks removed that keep equal names apart internally."""
    return plain(expression(node))


def plain(text: str) -> str:
    return re.sub(r"[#@]\d+", "", text)


def is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating)


class Expr:
    """A scalar expression over indices, sizes and tensor elements.

    It is built by Python's operators and by the functions of graphc; it has no value, so it can be neither tested, nor iterated,
    nor passed to NumPy.
    """

    __slots__ = ("bound", "node", "ranges", "reads")

    def __init__(
        self,
        node: sp.Expr,
        reads: Mapping[Any, Tensor] = _EMPTY,
        ranges: Mapping[Index, tuple[sp.Expr, sp.Expr]] = _EMPTY,
        bound: frozenset[Index] = frozenset(),
    ) -> None:
        self.node, self.reads, self.ranges, self.bound = node, reads, ranges, bound

    def __repr__(self) -> str:
        return display(self.node)

    def __hash__(self) -> int:
        return hash(self.node)

    # ------------------------------------------------------------------------------------------------ arithmetic
    def __add__(self, other: Any) -> Expr:
        return combine(lambda a, b: a + b, self, other)

    def __radd__(self, other: Any) -> Expr:
        return combine(lambda a, b: a + b, other, self)

    def __sub__(self, other: Any) -> Expr:
        return combine(lambda a, b: a - b, self, other)

    def __rsub__(self, other: Any) -> Expr:
        return combine(lambda a, b: a - b, other, self)

    def __mul__(self, other: Any) -> Expr:
        return combine(lambda a, b: a * b, self, other)

    def __rmul__(self, other: Any) -> Expr:
        return combine(lambda a, b: a * b, other, self)

    def __truediv__(self, other: Any) -> Expr:
        return combine(_divide, self, other)

    def __rtruediv__(self, other: Any) -> Expr:
        return combine(_divide, other, self)

    def __pow__(self, other: Any) -> Expr:
        return combine(_power, self, other)

    def __rpow__(self, other: Any) -> Expr:
        return combine(_power, other, self)

    def __neg__(self) -> Expr:
        return combine(lambda a: -a, self)

    def __pos__(self) -> Expr:
        return self

    def __abs__(self) -> Expr:
        return combine(lambda a: Call("abs", a), self)

    def __floordiv__(self, other: Any) -> Expr:
        return _quotient(FloorDiv, "//", self, other)

    def __mod__(self, other: Any) -> Expr:
        return _quotient(Modulo, "%", self, other)

    # ------------------------------------------------------------------------------------------------ conditions
    def __lt__(self, other: Any) -> Expr:
        return combine(lambda a, b: Compare("<", a, b), self, other)

    def __le__(self, other: Any) -> Expr:
        return combine(lambda a, b: Compare("<=", a, b), self, other)

    def __gt__(self, other: Any) -> Expr:
        return combine(lambda a, b: Compare(">", a, b), self, other)

    def __ge__(self, other: Any) -> Expr:
        return combine(lambda a, b: Compare(">=", a, b), self, other)

    def __eq__(self, other: Any) -> Expr:  # type: ignore[override]
        return combine(lambda a, b: Compare("==", a, b), self, other)

    def __ne__(self, other: Any) -> Expr:  # type: ignore[override]
        return combine(lambda a, b: Compare("!=", a, b), self, other)

    def __and__(self, other: Any) -> Expr:
        return combine(lambda a, b: Logical("and", a, b), self, other, conditions=True)

    def __rand__(self, other: Any) -> Expr:
        return combine(lambda a, b: Logical("and", a, b), other, self, conditions=True)

    def __or__(self, other: Any) -> Expr:
        return combine(lambda a, b: Logical("or", a, b), self, other, conditions=True)

    def __ror__(self, other: Any) -> Expr:
        return combine(lambda a, b: Logical("or", a, b), other, self, conditions=True)

    def __invert__(self) -> Expr:
        return combine(lambda a: Logical("not", a), self, conditions=True)

    # ------------------------------------------------------------------------------------------------- refusals
    def _refuse(self, what: str, fix: str) -> NoReturn:
        text = repr(self)
        raise NotationError(f"{text} {what}: it stands for a number that exists only when the program runs.", at=((text, text, here()),), fix=fix)

    def __bool__(self) -> bool:
        self._refuse("cannot be tested by if, and, or, not, or a chained comparison", "use gc.where(condition, a, b), and & | ~ between conditions.")

    def __iter__(self) -> NoReturn:
        self._refuse("cannot be iterated or summed by Python", "write the loop as an index: gc.sum(X[i], over=i).")

    def __len__(self) -> int:
        self._refuse("has no length", "sizes are the symbols of gc.dims, or tensor.shape.")

    def __float__(self) -> float:
        self._refuse("cannot become a Python number", "use graphc's own functions (gc.exp, gc.sqrt, …) instead of math or float().")

    __int__ = __index__ = __complex__ = __float__  # type: ignore[assignment]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **_: Any) -> Expr:
        operator = _UFUNCS.get(ufunc.__name__) if method == "__call__" and len(inputs) == 2 else None
        if operator is not None and all(isinstance(i, Expr) or is_number(i) for i in inputs):
            return operator(*(i if isinstance(i, Expr) else Expr(constant(i)) for i in inputs))
        names = {"absolute": "abs", "power": "power", "rint": "round"}
        name = names.get(ufunc.__name__, ufunc.__name__)
        self._refuse(f"cannot be given to np.{ufunc.__name__}", f"use gc.{name} if graphc has it, and tensors instead of NumPy arrays.")

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse("cannot become a NumPy array", "compile the program with gc.compile and call it with arrays.")


_UFUNCS: dict[str, Callable[[Expr, Expr], Expr]] = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b, "true_divide": lambda a, b: a / b,
    "divide": lambda a, b: a / b, "power": lambda a, b: a**b, "less": lambda a, b: a < b, "less_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b, "greater_equal": lambda a, b: a >= b, "equal": lambda a, b: a == b, "not_equal": lambda a, b: a != b,
}


class IndexVariable(Expr):
    """A loop index; ``gc.index("p", 1, 28)`` declares its half-open range."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return str(self.node)


def wrap(value: Any) -> Expr:
    """The operand as an expression; NotationError for what has no meaning in the notation."""
    if isinstance(value, Expr):
        return value
    if is_number(value):
        return Expr(constant(value))
    name = getattr(value, "name", None)
    if type(value).__name__ == "Tensor" and name is not None:
        dimensions = value.ndim
        example = "()" if dimensions == 0 else ", ".join("ijklmn"[:dimensions]) if dimensions else "i, …"
        raise NotationError(
            f"The tensor {name} is used without subscripts.", at=((name, name, here()),), fix=f"say which element: {name}[{example}]."
        )
    if isinstance(value, np.ndarray):
        raise NotationError(
            "A NumPy array cannot stand in a program: a program is written in terms of tensors, and arrays are given when it is called.",
            at=(("array of shape " + str(value.shape), "", here()),), fix='declare gc.tensor("X", …) and pass the array as X=array.',
        )
    raise NotationError(f"{value!r} of type {type(value).__name__} cannot stand in an expression.", at=(("", "", here()),),
                        fix="use numbers, indices, sizes and tensor elements.")


def combine(function: Callable[..., Any], *operands: Any, conditions: bool = False) -> Expr:
    """Apply a constructor of nodes to operands, keeping what is known about them."""
    wrapped = [wrap(operand) for operand in operands]
    nodes = [w.node if conditions else _as_number(w.node) for w in wrapped]
    if conditions:
        for w in wrapped:
            if not isinstance(w.node, Compare | Logical | Access | BoundaryAccess | Reduce | Where) and w.node not in (sp.true, sp.false):
                w._refuse("is not a condition", "compare it with something (x > 0) before combining it with & | ~.")
    return Expr(build(lambda: function(*nodes)), *merged(wrapped))


def merged(parts: Iterable[Expr]) -> tuple[Mapping[Any, Tensor], Mapping[Index, tuple[sp.Expr, sp.Expr]], frozenset[Index]]:
    """The reads, declared ranges and bound indices of several expressions together."""
    reads: dict[Any, Tensor] = {}
    ranges: dict[Index, tuple[sp.Expr, sp.Expr]] = {}
    bound: frozenset[Index] = frozenset()
    for part in parts:
        reads.update(part.reads)
        for index, limits in part.ranges.items():
            if ranges.setdefault(index, limits) != limits:
                first, second = (f"gc.index({str(index)!r}, {display(a)}, {display(b)})" for a, b in (ranges[index], limits))
                raise NotationError(f"The index {index} is declared twice with different ranges: {first} and {second}.",
                                    at=((str(index), str(index), here()),), fix="give one of the two another name.")
        bound |= part.bound
    return reads, ranges, bound


def _as_number(node: sp.Expr) -> sp.Expr:
    if isinstance(node, Compare | Logical) or node in (sp.true, sp.false):
        return Where(node, sp.Integer(1), sp.Integer(0))
    return node


def _divide(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    if b.is_number and b == 0:
        raise NotationError("Division by the constant 0.", at=((f"{display(a)}/0", "/0", here()),), fix="divide by something else.")
    return a / b


def _power(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    if isinstance(b, sp.Float):
        twice = 2 * float(b)
        if twice == int(twice) and abs(twice) < 1e6:
            b = sp.Rational(int(twice), 2)
    return a**b


def _quotient(kind: Any, sign: str, left: Expr, right: Any) -> Expr:
    divisor = constant(right) if is_number(right) else wrap(right).node
    if not (isinstance(divisor, sp.Integer) and divisor > 0) or contains(left.node, Access) or not is_affine(left.node):
        text = f"{display(left.node)}{sign}{display(divisor)}"
        raise NotationError(
            f"{sign} is defined for an affine expression in indices and sizes and a positive integer literal.", at=((text, text, here()),),
            fix="use gc.floor(a / b) for the values of tensors.",
        )
    return Expr(kind(left.node, divisor), left.reads, left.ranges, left.bound)


def is_index_expression(node: sp.Basic) -> bool:
    return not contains(node, (Access, BoundaryAccess, Reduce, Call)) and contains(node, (Index, Size))
