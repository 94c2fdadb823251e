"""Expressions from JSON. What is read here can be anything, so every form is tested before a node is made of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import sympy as sp

from graphc.frontend.expression import as_number
from graphc.frontend.functions import as_condition
from graphc.frontend.random import is_whole
from graphc.frontend.reductions import RESERVED
from graphc.frontend.tensor import Tensor
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
    Size,
    Where,
    evaluated,
    unique,
)
from graphc.ir.functions import FUNCTIONS
from graphc.ir.random import RANDOM
from graphc.ir.tree import numeric, postorder
from graphc.serial.checks import Place, listed_items, name_of_index, refuse, shown, text, whole
from graphc.serial.nodes import Json

__all__ = ["NESTED", "Reader"]

NESTED = 100
"""Levels of lists in each other; deeper expressions are written in parts."""

MODES = ("", "pad", "clamp", "wrap", "reflect", "skip")
CONDITIONS = Compare | Logical | Access | BoundaryAccess | Reduce | Where
_UNREAL = (sp.I, sp.zoo, sp.oo, -sp.oo, sp.nan)
LARGEST = sp.Integer(10) ** 300


@dataclass
class Reader:
    """Reads the expressions of one statement, or of one rule.

    Attributes:
        tensors: what may be read.
        functions: names in the text → names here, of the user's functions.
        reductions: the same of reductions.
        arguments: how many arguments the expression has (of a rule; 0 in a statement).
        parts: expressions that have been read already.
        reads: reads in the order of the text, each in front of those in its subscripts.
        bound: indices that reductions bind.
    """

    tensors: Mapping[str, Tensor]
    functions: Mapping[str, str]
    reductions: Mapping[str, str]
    arguments: int = 0
    parts: list[sp.Basic] = field(default_factory=list)
    reads: list[Access | BoundaryAccess] = field(default_factory=list)
    bound: dict[Index, sp.Basic] = field(default_factory=dict)

    # ------------------------------------------------------------------------------------------------------- kinds of values
    def number(self, value: Json, place: Place) -> sp.Expr:
        """An expression with a numeric value; a condition counts as 1 or 0."""
        return as_number(self.read(value, place))

    def condition(self, value: Json, place: Place) -> sp.Basic:
        node = self.read(value, place)
        if not isinstance(node, CONDITIONS) and node not in (sp.true, sp.false):
            refuse("a number stands where a condition is expected", place)
        return node

    def constant(self, value: Json, place: Place) -> sp.Expr:
        """A number, or an infinity."""
        node = self.number(value, place)
        if not numeric(node.xreplace({INFINITY: sp.Integer(1), NAN: sp.Integer(1)})):
            refuse("an expression stands where a number is expected", place)
        return node

    def position(self, value: Json, place: Place, indices: bool = True) -> sp.Expr:
        """An affine expression in indices and sizes, or in sizes alone."""
        node = self._affine(value, place, indices)
        if not is_affine(node) or any(isinstance(part, sp.Integer) and abs(part) >= 2**62 for part in postorder(node)):
            refuse("a position is not affine, or too far away", place)
        return node

    def _affine(self, value: Json, place: Place, indices: bool) -> sp.Expr:
        if len(place) > NESTED:
            refuse("lists are nested too deeply", place[:3])
        if isinstance(value, bool | float) or not isinstance(value, int | str | list) or value == []:
            refuse(f"{shown(value)} stands where a position is expected", place)
        if isinstance(value, int):
            return sp.Integer(whole(value, place, least=1 - 2**63))
        if isinstance(value, str):
            if not indices:
                refuse(f"the index {shown(value)} stands where sizes and numbers are expected", place)
            return Index(name_of_index(value, place))
        head, *rest = value
        if head == "size":
            return Size(name_of_index(listed_items(rest, place, 1, 1)[0], (*place, 1)))
        if head == "+":
            return sp.Add(*(self._affine(v, (*place, k), indices) for k, v in enumerate(listed_items(rest, place, 2), 1)))
        if head == "*":
            factor, other = listed_items(rest, place, 2, 2)
            return sp.Mul(whole(factor, (*place, 1), least=1 - 2**63), self._affine(other, (*place, 2), indices))
        if head in ("//", "%"):
            above, below = listed_items(rest, place, 2, 2)
            divisor = whole(below, (*place, 2), least=1)
            return (FloorDiv if head == "//" else Modulo)(self._affine(above, (*place, 1), indices), divisor)
        refuse(f"{shown(head)} stands where a position is expected", place)

    def subscript(self, value: Json, place: Place) -> sp.Expr:
        """A position, or an element of an integer tensor."""
        if isinstance(value, list) and value[:1] == ["read"]:
            return self.read(value, place)
        return self.position(value, place)

    # ------------------------------------------------------------------------------------------------------------ any of them
    def read(self, value: Json, place: Place) -> sp.Basic:
        """An expression.

        Raises:
            ArgumentError: it has none of the forms of docs/json.md.
        """
        if len(place) > NESTED:
            refuse("lists are nested too deeply", place[:3], 'write parts of an expression under "parts".')
        if isinstance(value, bool):
            return sp.true if value else sp.false
        if isinstance(value, int):
            return self._finite(sp.Integer(value), place)
        if isinstance(value, float):
            return sp.Float(value)
        if isinstance(value, str):
            if self.arguments:
                refuse("a rule has no indices", place)
            return Index(name_of_index(value, place))
        if not isinstance(value, list) or not value or not isinstance(value[0], str) or value[0] not in _FORMS:
            what = shown(value[0]) if isinstance(value, list) and value else shown(value)
            refuse(f"{what} stands where an expression is expected", place)
        return unique(_FORMS[value[0]](self, value, place))

    def reduction(self, name: str, place: Place) -> str:
        """What the reduction is called here."""
        if name not in (*RESERVED, "max_split", "min_split") and name not in self.reductions:
            refuse(f"there is no reduction {shown(name)}", place, 'define it under "reductions".')
        return self.reductions.get(name, name)

    def numbers(self, values: Sequence[Json], place: Place, first: int = 1) -> list[sp.Expr]:
        return [self.number(v, (*place, k)) for k, v in enumerate(values, first)]

    def _finite(self, node: sp.Basic, place: Place) -> sp.Basic:
        """A number within the range of float64, or what is none."""
        if isinstance(node, sp.Number):
            if not node.is_finite or abs(node) > LARGEST or (isinstance(node, sp.Rational) and node.q > LARGEST):
                refuse("a number is too large", place, 'write ["inf"] if infinity is meant.')
        elif any(a in _UNREAL for a in (node, *node.args)):
            refuse("a number is not real", place)
        return node

    # ------------------------------------------------------------------------------------------------------------------ forms
    def _size(self, value: list[Json], place: Place) -> sp.Basic:
        if self.arguments:
            refuse("a rule has no sizes", place)
        return Size(name_of_index(listed_items(value, place, 2, 2)[1], (*place, 1)))

    def _ratio(self, value: list[Json], place: Place) -> sp.Basic:
        _, above, below = listed_items(value, place, 3, 3)
        if any(isinstance(v, bool) or not isinstance(v, int) for v in (above, below)) or below <= 0:
            refuse("a ratio is not one of integers, the second positive", place)
        return self._finite(sp.Rational(above, below), place)

    def _named(self, value: list[Json], place: Place) -> sp.Basic:
        listed_items(value, place, 1, 1)
        return INFINITY if value[0] == "inf" else NAN

    def _argument(self, value: list[Json], place: Place) -> sp.Basic:
        number = whole(listed_items(value, place, 2, 2)[1], (*place, 1))
        if number >= self.arguments:
            refuse(f"there is no argument {number}", place)
        return sp.Symbol(f"argument{number}")

    def _part(self, value: list[Json], place: Place) -> sp.Basic:
        number = whole(listed_items(value, place, 2, 2)[1], (*place, 1))
        if number >= len(self.parts):
            refuse(f"part {number} is not defined before it is used", place)
        return self.parts[number]

    def _arithmetic(self, value: list[Json], place: Place) -> sp.Basic:
        operands = self.numbers(listed_items(value, place, 3)[1:], place)
        return self._finite(evaluated(sp.Add if value[0] == "+" else sp.Mul, *operands), place)

    def _power(self, value: list[Json], place: Place) -> sp.Basic:
        base, exponent = self.numbers(listed_items(value, place, 3, 3)[1:], place)
        if numeric(base) and numeric(exponent):
            if not _small_power(base, exponent):
                refuse("a power of numbers is too large, or not real", place)
        return self._finite(evaluated(sp.Pow, base, exponent), place)

    def _quotient(self, value: list[Json], place: Place) -> sp.Basic:
        if self.arguments:
            refuse("a rule has no indices", place)
        return self.position(value, place)

    def _access(self, value: list[Json], place: Place) -> sp.Basic:
        tensor = self._tensor(value, place, 2)
        here = len(self.reads)
        node = Access(tensor.key, *(self.subscript(v, (*place, k)) for k, v in enumerate(value[2:], 2)))
        return self._noted(node, here)

    def _view(self, value: list[Json], place: Place) -> sp.Basic:
        tensor = self._tensor(value, place, 4)
        here, modes = len(self.reads), listed_items(value[2], (*place, 2), tensor.ndim or 0, tensor.ndim)
        for k, mode in enumerate(modes):
            if mode not in MODES:
                refuse(f"{shown(mode)} is no boundary", (*place, 2, k), 'use one of "", ' + ", ".join(f'"{m}"' for m in MODES[1:]) + ".")
        fill = self.constant(value[3], (*place, 3))
        subscripts = (self.subscript(v, (*place, k)) for k, v in enumerate(value[4:], 4))
        return self._noted(BoundaryAccess(tensor.key, ",".join(modes), fill, *subscripts), here)

    def _tensor(self, value: list[Json], place: Place, first: int) -> Tensor:
        """The tensor that is read, with as many subscripts as dimensions."""
        listed_items(value, place, first)
        tensor = self.tensors.get(text(value[1], (*place, 1)))
        if self.arguments or tensor is None:
            refuse("a rule reads no tensors" if self.arguments else f"there is no tensor {shown(value[1])}", (*place, 1))
        if len(value) - first != tensor.ndim:
            refuse(f"{tensor!r} is read with {len(value) - first} subscript{'s' * (len(value) - first != 1)}", place)
        return tensor

    def _noted(self, node: Access | BoundaryAccess, place: int) -> sp.Basic:
        if node not in self.reads:
            self.reads.insert(place, node)
        return node

    def _call(self, value: list[Json], place: Place) -> sp.Basic:
        name = text(listed_items(value, place, 3)[1], (*place, 1))
        arguments = self.numbers(value[2:], place, 2)
        row = FUNCTIONS.get(self.functions.get(name, name))
        if name in RANDOM:
            if len(arguments) < 2 or not all(map(is_whole, arguments)):
                refuse(f"{name} takes a key and indices, integers all of them", place)
        elif row is None or (row.kind == "user" and name not in self.functions):
            refuse(f"there is no function {shown(name)}", (*place, 1), 'define it under "functions".')
        elif len(arguments) != row.arity:
            refuse(f"{name} takes {row.arity} argument{'s' * (row.arity != 1)}, not {len(arguments)}", place)
        return Call(self.functions.get(name, name), *arguments)

    def _compare(self, value: list[Json], place: Place) -> sp.Basic:
        op = listed_items(value, place, 4, 4)[1]
        if op not in ("<", "<=", ">", ">=", "==", "!="):
            refuse(f"{shown(op)} is no comparison", (*place, 1))
        return Compare(op, *self.numbers(value[2:], place, 2))

    def _logical(self, value: list[Json], place: Place) -> sp.Basic:
        listed_items(value, place, *((2, 2) if value[0] == "not" else (3, None)))
        return Logical(value[0], *(self.condition(v, (*place, k)) for k, v in enumerate(value[1:], 1)))

    def _where(self, value: list[Json], place: Place) -> sp.Basic:
        condition = self.condition(listed_items(value, place, 4, 4)[1], (*place, 1))
        if not (isinstance(condition, Access | BoundaryAccess) and self._type(condition) == "bool"):
            condition = as_condition(condition)
        return Where(condition, *self.numbers(value[2:], place, 2))

    def _type(self, access: Access | BoundaryAccess) -> str | None:
        return next(tensor.declared_dtype for tensor in self.tensors.values() if tensor.key == access.tensor)

    def _reduce(self, value: list[Json], place: Place) -> sp.Basic:
        name = text(listed_items(value, place, 4, 5)[1], (*place, 1))
        if self.arguments:
            refuse("a rule has no reductions", place)
        label = self.reduction(name, (*place, 1))
        indices = [Index(name_of_index(v, (*place, 3, k))) for k, v in enumerate(listed_items(value[3], (*place, 3), 1))]
        domain = [self.position(v, (*place, 4, k)) for k, v in enumerate(listed_items(value[4], (*place, 4)))] if value[4:] else []
        node = self.read(value[2], (*place, 2))
        body = as_condition(node) if name in ("any", "all") else as_number(node)
        made = Reduce(label, body, indices, domain)
        for k, index in enumerate(indices):
            if index in indices[:k] or self.bound.setdefault(index, made) != made:
                refuse(f"the index {index} is bound twice", (*place, 3))
        return made


_FORMS: dict[str, Callable[[Reader, list[Json], Place], sp.Basic]] = {
    "size": Reader._size, "ratio": Reader._ratio, "inf": Reader._named, "nan": Reader._named, "argument": Reader._argument,
    "part": Reader._part, "+": Reader._arithmetic, "*": Reader._arithmetic, "**": Reader._power, "//": Reader._quotient,
    "%": Reader._quotient, "read": Reader._access, "view": Reader._view, "call": Reader._call, "compare": Reader._compare,
    "and": Reader._logical, "or": Reader._logical, "not": Reader._logical, "where": Reader._where, "reduce": Reader._reduce,
}  # fmt: skip


def _small_power(base: sp.Expr, exponent: sp.Expr) -> bool:
    """Whether a power of numbers is real and not so large that it takes time to compute."""
    value, power = float(base), float(exponent)
    if (value == 0 and power < 0) or (value < 0 and not exponent.is_Integer):
        return False
    digits = max(abs(math.log10(abs(value))), len(str(base)) if isinstance(base, sp.Rational) else 1) if value else 0.0
    return digits * abs(power) < 300
