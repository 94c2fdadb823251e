"""Expressions as typed Python text for Numba: no constant, index or integer ever widens a float32 computation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import sympy as sp

from graphc.emit.names import safe
from graphc.emit.syntax import PYTHON, SHORT, Syntax
from graphc.errors import InternalError
from graphc.ir.dtypes import exceeds_64_bits, is_float, is_integer, promote
from graphc.ir.expr import INFINITY, NAN, Access, Call, Choice, Compare, FloorDiv, Index, Logical, Modulo, Size, Where
from graphc.ir.nest import Local
from graphc.ir.random import RANDOM
from graphc.ir.show import Order, split_fraction
from graphc.ir.tree import accesses, contains

__all__ = ["SHORT", "Typed", "Writer"]

_OR, _AND, _NOT, _COMPARE, _SUM, _QUOTIENT, _PRODUCT, _UNARY, _ATOM = 1, 2, 3, 4, 10, 19, 20, 25, 40
"""How strongly operators bind; // and % stand in parentheses wherever another factor or a sign is next to them."""

FLOAT_CALLS = {"abs": "absolute", "round": "round_"}
"""Names that differ from the notation's."""
_INTEGER_CALLS = {"abs": "abs", "maximum": "max", "minimum": "min"}
_ROUNDED = ("floor", "ceil", "round")
_WHOLE = {"float32": "f32(8388608.0)", "float64": "f64(4503599627370496.0)"}


@dataclass(frozen=True, slots=True)
class Typed:
    """Text, how strongly it binds, and its type ("weak_int", "weak_float" for constants and indices).

    `power` is the expression if it is an integer that may need more than 64 bits although each of its indices does not.
    """

    text: str
    strength: int
    dtype: str
    power: sp.Expr | None = None

    def at(self, least: int) -> str:
        return self.text if self.strength >= least else f"({self.text})"


@dataclass
class Writer:
    """Writes expressions.

    Attributes:
        dtype_of: element type of a tensor.
        name_of: variable of a tensor.
        size_of: variable of a size, or of a loop around the kernel; it may have the name of a tensor.
        subscript_check: text of a checked subscript: (text, tensor, dimension) → text.
        order: the order of factors and terms.
        spelling: texts of elementary functions: name → template of the arguments ``{0}``, ``{1}``, the type ``{float}`` and the least
            number from which all are whole, ``{whole}``; by default a call of the name.
        widened: types whose elements become int64 when they are read: Numba computes with unsigned integers without a sign.
        locals: types of the scalar variables.
        syntax: of the language.
        used: names of elementary functions that were written.
        floating: type of floats in which indices are computed as numbers; "" for integers.
    """

    dtype_of: Callable[[str], str]
    name_of: Callable[[str], str]
    size_of: Callable[[str], str]
    subscript_check: Callable[[str, Access, int], str]
    order: Order = field(default_factory=Order)
    spelling: Mapping[str, str] = field(default_factory=dict)
    widened: frozenset[str] = frozenset({"uint8"})
    syntax: Syntax = PYTHON
    locals: dict[sp.Basic, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    floating: str = ""

    # ------------------------------------------------------------------------------------------------- integers
    def integer(self, node: sp.Basic) -> str:
        """A subscript or a bound."""
        return self._integer(node)[0]

    def _integer(self, node: sp.Basic) -> tuple[str, int]:
        if isinstance(node, sp.Integer):
            return str(int(node)), _ATOM if node >= 0 else _UNARY - 10
        if node.is_Symbol:
            return self.symbol(node), _ATOM
        if isinstance(node, FloorDiv | Modulo):
            template = self.syntax.floor_divide if isinstance(node, FloorDiv) else self.syntax.modulo
            least, strength = (0, _ATOM) if template.endswith(")") else (_PRODUCT, _QUOTIENT)
            return template.format(_wrap(self._integer(node.numerator), least), node.divisor), strength
        if isinstance(node, Call) and node.function == "split":
            block, extent, blocks = (_wrap(self._integer(a), _PRODUCT + 1) for a in node.arguments)
            return f"{block} * {extent} {self.syntax.divide} {blocks}", _QUOTIENT
        if isinstance(node, Access):
            return self.read(node), _ATOM
        if isinstance(node, sp.Add):
            text = ""
            for term in self.order.terms(node.args):
                coefficient, _rest = term.as_coeff_Mul()
                negative = coefficient < 0
                inner = self._integer(-term if negative else term)
                shown = _wrap(inner, _SUM + 1 if text or not negative else _PRODUCT)
                text = (f"{text} - {shown}" if negative else f"{text} + {shown}") if text else (f"-{shown}" if negative else shown)
            return text, _SUM
        if isinstance(node, sp.Mul) and node.args[0] == -1:
            return f"-{_wrap(self._integer(-node), _PRODUCT)}", _UNARY - 10
        if isinstance(node, sp.Mul):
            return " * ".join(_wrap(self._integer(f), _PRODUCT) for f in self.order.factors(node.args)), _PRODUCT
        if isinstance(node, sp.Pow) and isinstance(node.exp, sp.Integer) and node.exp > 0:
            return " * ".join([_wrap(self._integer(node.base), _PRODUCT + 1)] * int(node.exp)), _PRODUCT
        if isinstance(node, sp.Max | sp.Min):
            return self.syntax.extreme(isinstance(node, sp.Max), [self.integer(a) for a in sorted(node.args, key=str)]), _ATOM
        raise InternalError(f"{node} is not an integer expression.")

    def symbol(self, node: sp.Basic) -> str:
        return self.size_of(str(node)) if isinstance(node, Size) else safe(str(node))

    def subscripts(self, access: Access) -> str:
        parts = []
        for dimension, subscript in enumerate(access.subscripts):
            text = self.integer(subscript)
            parts.append(self.subscript_check(text, access, dimension) if accesses(subscript) else text)
        return ", ".join(parts) or "()"

    def read(self, access: Access) -> str:
        return f"{self.name_of(access.tensor)}[{self.subscripts(access)}]"

    # --------------------------------------------------------------------------------------------------- values
    def value(self, node: sp.Basic, dtype: str) -> str:
        """The expression as a value of a strong type."""
        return self.cast(self.typed(node, dtype), dtype).text

    def cast(self, part: Typed, dtype: str) -> Typed:
        """The same value in another type."""
        if part.dtype == dtype or (part.dtype == "weak_int" and is_integer(dtype)):
            return part
        if part.power is not None and is_float(dtype):
            return self.cast(replace(self, floating=dtype).typed(part.power, dtype), dtype)
        if dtype == "bool":
            return Typed(f"{part.at(_SUM)} != 0", _COMPARE, "bool")
        if part.dtype == "bool" and is_integer(dtype):
            return Typed(self.syntax.conditional.format(part.text, "1", "0"), _ATOM, "int64")
        if part.dtype == "bool":
            one, zero = self.syntax.number(dtype, "1.0"), self.syntax.number(dtype, "0.0")
            return Typed(self.syntax.conditional.format(part.text, one, zero), _ATOM, dtype)
        kind = "int64" if is_integer(dtype) else dtype
        if self.syntax.whole and is_integer(dtype) and is_float(part.dtype):
            return Typed(self.syntax.whole.format(part.text), _ATOM, kind)
        return Typed(self.syntax.converted(kind, part.text, part.strength == _ATOM), _ATOM, kind)

    def typed(self, node: sp.Basic, wanted: str) -> Typed:
        """The expression; `wanted` is the type that weak floats take."""
        match node:
            case Access():
                dtype, text = self.dtype_of(node.tensor), self.read(node)
                return Typed(self.syntax.converted("int64", text, True) if dtype in self.widened else text, _ATOM, _wide(dtype))
            case Local():
                return Typed(node.name, _ATOM, self.locals[node])
            case Index() | Size() | FloorDiv() | Modulo():
                text, strength = self._integer(node)
                if self.floating:
                    return Typed(self.syntax.converted(self.floating, text, strength == _ATOM), _ATOM, self.floating)
                return Typed(text, strength, "weak_int")
            case sp.Integer():
                return Typed(self.syntax.integer(int(node)), _ATOM if node >= 0 else _UNARY - 10, "weak_int")
            case sp.Number():
                return self._constant(repr(float(node)), wanted)
            case Where():
                return self._where(node, wanted)
            case Compare():
                return self._compare(node, wanted)
            case Logical():
                return self._logical(node, wanted)
            case Call():
                return self._call(node, wanted)
            case sp.Pow() | sp.Mul() | sp.Add():
                written = {sp.Pow: self._power, sp.Mul: self._product, sp.Add: self._sum}[node.func](node, wanted)
                return replace(written, power=node) if written.dtype in ("weak_int", "int64") and exceeds_64_bits(node) else written
        if node in (INFINITY, NAN):
            kind = _float(wanted)
            name = "INFINITY" if node == INFINITY else "NAN"
            return Typed(name if kind == "float32" else self.syntax.converted(kind, name, True), _ATOM, kind)
        if node in (sp.true, sp.false):
            return Typed(self.syntax.words[str(bool(node)).lower()], _ATOM, "bool")
        raise InternalError(f"There is no text for {type(node).__name__} {node}.")

    def _constant(self, text: str, wanted: str) -> Typed:
        kind = _float(wanted)
        if text in ("inf", "-inf"):  # a product or sum of the user's constants
            return self.typed(INFINITY, kind) if text == "inf" else Typed(f"-{self.typed(INFINITY, kind).text}", _UNARY - 10, kind)
        return Typed(self.syntax.number(kind, text), _ATOM, kind)

    def _joint(self, parts: list[Typed], wanted: str, floating: bool = False) -> str:
        joint = promote(*(p.dtype for p in parts), *(["weak_float"] if floating else []))
        if joint == "weak_float":
            return _float(wanted)
        return {"weak_int": "int64", "weak_bool": "bool"}.get(joint, joint)

    def _where(self, node: Where, wanted: str) -> Typed:
        condition = self.value(node.condition, "bool")
        branches = [self.typed(b, wanted) for b in (node.value, node.other)]
        joint = _float(wanted) if is_float(wanted) and not all(p.dtype == "bool" for p in branches) else self._joint(branches, wanted)
        value, other = (self.cast(b, joint).text for b in branches)
        if isinstance(node, Choice) and is_float(joint):
            name = f"choose{self.syntax.suffixes[joint]}"
            self.used.add(name)
            return Typed(f"{self.syntax.prefix}{name}({condition}, {value}, {other})", _ATOM, joint)
        return Typed(self.syntax.conditional.format(condition, value, other), _ATOM, joint)

    def _compare(self, node: Compare, wanted: str) -> Typed:
        sides = [self.typed(s, wanted) for s in (node.left, node.right)]
        large = all(s.dtype == "weak_int" or s.power is not None for s in sides) and any(s.power is not None for s in sides)
        joint = "float64" if large else self._joint(sides, "float32" if not is_float(wanted) else wanted)
        left, right = (self.cast(s, joint) for s in sides)
        return Typed(f"{left.at(_SUM)} {node.op} {right.at(_SUM)}", _COMPARE, "bool")

    def _logical(self, node: Logical, wanted: str) -> Typed:
        parts = [self.cast(self.typed(o, wanted), "bool") for o in node.operands]
        if node.op == "not":
            binds = self.syntax.not_binds
            return Typed(f"{self.syntax.words['not']}{parts[0].at(_ATOM if binds else _COMPARE)}", _ATOM if binds else _NOT, "bool")
        strength = _AND if node.op == "and" else _OR
        least = _NOT if strength == _AND or self.syntax.not_binds else _AND  # C's compilers warn where "and" stands bare in "or"
        return Typed(f" {self.syntax.words[node.op]} ".join(p.at(least) for p in parts), strength, "bool")

    def _call(self, node: Call, wanted: str) -> Typed:
        if node.function == "plus":
            parts = [self.typed(a, wanted) for a in node.arguments]
            first, second = (self.cast(p, wanted) for p in parts)
            return Typed(f"{first.text} + {second.at(_SUM + 1)}", _SUM, wanted)
        if node.function in RANDOM:
            return self._random(node)
        parts = [self.typed(a, wanted) for a in node.arguments]
        large = is_float(wanted) and any(p.power is not None for p in parts)
        if node.function in _INTEGER_CALLS and not large and all(not is_float(p.dtype) for p in parts):
            name = self.syntax.prefix + _INTEGER_CALLS[node.function]
            parts = [self._widened(p, a) for p, a in zip(parts, node.arguments, strict=True)]
            return Typed(f"{name}({', '.join(p.text for p in parts)})", _ATOM, "int64")
        if node.function in _ROUNDED and not is_float(parts[0].dtype):
            return parts[0]
        if node.function == "sign" and not is_float(parts[0].dtype):
            return parts[0] if parts[0].dtype == "bool" else self.typed(_sign(node.arguments[0]), wanted)
        joint = self._joint(parts, wanted, floating=True)
        return self._elementary(FLOAT_CALLS.get(node.function, node.function), parts, joint)

    def _widened(self, part: Typed, node: sp.Basic) -> Typed:
        """An integer as one of 64 bits: Numba has sums and products in them, but changes signs in the type that it finds."""
        read = (*(self.dtype_of(a.tensor) for a in accesses(node)), *(self.locals[s] for s in node.free_symbols if s in self.locals))
        if not is_integer(part.dtype) or not any(is_integer(kind) and kind not in ("int64", *self.widened) for kind in read):
            return part
        return Typed(self.syntax.converted("int64", part.text, part.strength == _ATOM), _ATOM, "int64")

    def _random(self, node: Call) -> Typed:
        """A random number: every index draws the bits that are the key of the next one."""
        bits, *indices = (self._wide_integer(a) for a in node.arguments)
        for index in indices:
            bits = f"{self.syntax.prefix}draw({bits}, {index})"
        self.used |= {"draw", node.function}
        template = self.spelling.get(node.function, f"{self.syntax.prefix}{node.function}({{0}})")
        return Typed(template.format(bits), _ATOM, RANDOM[node.function])

    def _wide_integer(self, node: sp.Basic) -> str:
        """An integer of 64 bits, also where it is read from a tensor of smaller ones."""
        narrow = any(self.dtype_of(a.tensor) != "int64" for a in accesses(node))
        return self.syntax.converted("int64", self.integer(node), False) if narrow else self.integer(node)

    def _elementary(self, name: str, parts: list[Typed], dtype: str) -> Typed:
        """The call of an elementary function of floats, in the target's spelling."""
        own = f"{name}{self.syntax.suffixes[dtype]}"
        self.used.add(own)
        texts = [self.cast(p, dtype).text for p in parts]
        template = self.spelling.get(name, f"{self.syntax.prefix}{own}({', '.join(f'{{{k}}}' for k in range(len(texts)))})")
        return Typed(template.format(*texts, float=SHORT[dtype], whole=_WHOLE[dtype]), _ATOM, dtype)

    def _power(self, node: sp.Pow, wanted: str) -> Typed:
        if isinstance(node.exp, sp.Number) and node.exp < 0:
            return self._product(node, wanted)
        base = self.typed(node.base, wanted)
        if isinstance(node.exp, sp.Integer) and 0 < node.exp <= 8:
            kind = "int64" if base.dtype in ("weak_int", "bool") else base.dtype
            text = self.cast(base, kind).at(_PRODUCT + 1)
            return Typed(" * ".join([text] * int(node.exp)), _PRODUCT, kind)
        if isinstance(node.exp, sp.Integer) and not is_float(base.dtype) and not is_float(wanted):
            return Typed(self.syntax.power.format(self.cast(base, "int64").at(_ATOM), node.exp), _UNARY, "int64")
        joint = self._joint([base], wanted, floating=True)
        if node.exp == sp.Rational(1, 2):
            return self._elementary("sqrt", [base], joint)
        if node.exp == sp.Rational(3, 2) and not contains(node.base, (Call, Where, sp.Pow)):
            return self._three_halves(self.cast(base, joint), joint)
        exponent = self.typed(node.exp, joint)
        joint = self._joint([base, exponent], wanted, floating=True)
        return self._elementary("power", [base, exponent], joint)

    def _three_halves(self, base: Typed, joint: str) -> Typed:
        """The power 3/2 as ``x * sqrt(x)``, which vectors of any loop can compute; at -inf it is inf as `power` is, not NaN."""
        infinity = self.typed(INFINITY, joint)
        root = self._elementary("sqrt", [base], joint).at(_PRODUCT + 1)
        product = Typed(f"{base.at(_PRODUCT)} * {root}", _PRODUCT, joint)
        return Typed(self.syntax.conditional.format(f"{base.at(_SUM)} == -{infinity.text}", infinity.text, product.text), _ATOM, joint)

    def _product(self, node: sp.Expr, wanted: str) -> Typed:
        number, rest = node.as_coeff_Mul() if isinstance(node, sp.Mul) else (sp.Integer(1), node)
        above, below = split_fraction(rest)
        factors = self.order.factors(above)
        tops = [self.typed(f, wanted) for f in factors]
        bottoms = [self.typed(f, wanted) for f in self.order.factors(below)]
        floating = bool(bottoms) or not isinstance(number, sp.Integer)
        joint = _counted(self._joint([*tops, *bottoms], wanted, floating))
        sign, whole = "", joint
        if joint == "float32" and not _LEAST <= abs(float(number)) <= _MOST:  # a factor of the user's was not so small or large
            joint = "float64"
        if number == -1 and tops:
            sign = "-"
            tops[0] = self._widened(tops[0], factors[0])
        elif number != 1:
            literal = self._constant(repr(float(number)), joint) if is_float(joint) else Typed(str(int(number)), _ATOM, "weak_int")
            tops.insert(0, literal)
        if not tops:
            tops = [self._constant("1.0", joint)]
        text = " * ".join(self.cast(t, joint).at(_PRODUCT) for t in tops)
        for bottom in bottoms:
            text += f" / {self.cast(bottom, joint).at(_PRODUCT + 1)}"
        product = Typed(sign + text, _UNARY - 10 if sign else _PRODUCT if len(tops) + len(bottoms) > 1 else tops[0].strength, joint)
        return product if joint == whole else self.cast(product, whole)

    def _sum(self, node: sp.Add, wanted: str) -> Typed:
        terms = list[tuple[bool, Typed]]()
        for term in self.order.terms(node.args):
            coefficient, _ = term.as_coeff_Mul()
            negative = bool(coefficient < 0)
            typed = self.typed(-term if negative else term, wanted)
            terms.append((negative, self._widened(typed, term) if negative and not terms else typed))
        joint = _counted(self._joint([t for _, t in terms], wanted))
        text = ""
        for negative, term in terms:
            shown = self.cast(term, joint).at(_SUM + 1 if text or not negative else _PRODUCT)
            text = f"{text} {'-' if negative else '+'} {shown}" if text else (f"-{shown}" if negative else shown)
        return Typed(text, _SUM, joint)


_LEAST, _MOST = 2.0**-126, (2 - 2.0**-23) * 2.0**127
"""Normal numbers of float32."""


def _sign(value: sp.Expr) -> sp.Expr:
    """The sign of an integer, of which a float would not hold every digit."""
    return Call("maximum", Call("minimum", value, sp.Integer(1)), sp.Integer(-1))


def _wrap(part: tuple[str, int], least: int) -> str:
    return part[0] if part[1] >= least else f"({part[0]})"


def _float(wanted: str) -> str:
    return wanted if wanted in ("float32", "float64") else "float32"


def _counted(dtype: str) -> str:
    """Sums and products of truth values are integers."""
    return "int64" if dtype == "bool" else dtype


def _wide(dtype: str) -> str:
    """Small integers are computed as int64."""
    return "int64" if is_integer(dtype) else dtype
