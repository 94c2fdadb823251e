"""Expressions and statements as text in loop notation."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256

import sympy as sp
from sympy.logic.boolalg import Boolean

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
)
from graphc.ir.random import RANDOM
from graphc.ir.statement import Statement
from graphc.ir.tree import accesses, deeper, depths, indices_of, numeric, postorder

__all__ = ["DEEP", "Order", "expression", "number", "split_fraction", "spoken", "statement", "statement_body"]

_SUM, _QUOTIENT, _PRODUCT, _UNARY, _POWER, _ATOM = 10, 19, 20, 25, 30, 40
"""How strongly operators bind; // and % stand in parentheses wherever a factor or a sign is next to them."""
DEEP = 50
"""Nesting beyond which the texts of parts are kept, so that nothing recurses deeply."""


def number(value: sp.Expr) -> str:
    """A number that Python reads back exactly."""
    if isinstance(value, sp.Integer):
        return str(int(value))
    if isinstance(value, sp.Rational):
        return f"{int(value.p)}/{int(value.q)}"
    return repr(float(value))


def spoken(call: Call) -> str:
    """The name of a function as the user writes it, whatever type a random number has."""
    return call.function.removesuffix("32").removesuffix("64") if call.function in RANDOM else call.function


@lru_cache(maxsize=100_000)
def _key(node: sp.Basic) -> str:
    """A text that decides between what is read at the same place."""
    if node.is_Symbol:
        return str(node)
    return _digest(node) if deeper(node, DEEP) else sp.srepr(node)


def _digest(node: sp.Basic) -> str:
    """A text that tells structures apart, made without recursion."""
    found: dict[sp.Basic, str] = {}
    for part in postorder(node):
        text = f"{type(part).__name__}({','.join(found[a] for a in part.args)})" if part.args else sp.srepr(part)
        found[part] = sha256(text.encode()).hexdigest()
    return found[node]


@dataclass(frozen=True, slots=True)
class _Tie:
    """Compares by `_key`, which is slow and seldom needed."""

    node: sp.Basic

    def __lt__(self, other: _Tie) -> bool:
        return _key(self.node) < _key(other.node)


@dataclass(frozen=True)
class Order:
    """The order in which factors and terms are written: by first read in the source, then by loop order of their indices; terms of
    which neither is known by falling coefficient (``49*f + 7*y + x``). `places` are all subscripts, which conditions are written with."""

    reads: Mapping[sp.Basic, int] = field(default_factory=dict)
    indices: Mapping[sp.Basic, int] = field(default_factory=dict)
    places: Collection[sp.Expr] = ()
    known: dict[sp.Basic, tuple[str, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, statement: Statement) -> Order:
        return cls(
            {access: position for position, access in reversed(list(enumerate(statement.order)))},
            {r.index: position for position, r in enumerate(statement.ranges)},
            {*statement.subscripts, *(s for a in accesses(statement.value) for s in a.subscripts)},
        )

    def rank(self, node: sp.Basic) -> tuple[int, int, int, _Tie]:
        """Smaller is written first; numbers come before everything in products and after everything in sums (the callers see to it)."""
        best_read = min((self.reads.get(a, 5000) for a in accesses(node)), default=9000)
        best_index = min((self.indices.get(s, 500) for s in indices_of(node)), default=900)
        return best_read, 0 if isinstance(node, Access) else 1, best_index, _Tie(node)

    def factors(self, args: Iterable[sp.Basic]) -> list[sp.Basic]:
        return sorted(args, key=lambda a: (not numeric(a), *self.rank(a)))

    def terms(self, args: Iterable[sp.Basic]) -> list[sp.Basic]:
        def place(term: sp.Basic) -> tuple[bool | int | str | sp.Expr, ...]:
            *position, key = self.rank(term)
            return numeric(term), *position, _size_of_factor(term), key

        arranged = sorted(args, key=place)
        first_positive = next((k for k, term in enumerate(arranged) if not _negative(term)), 0)
        arranged.insert(0, arranged.pop(first_positive))
        return arranged


_NO_ORDER = Order()


def _size_of_factor(term: sp.Basic) -> sp.Expr:
    """What sorts the terms of a subscript by falling coefficient; 0 for other terms."""
    return -abs(term.as_coeff_Mul()[0]) if isinstance(term, sp.Expr) and not accesses(term) else sp.Integer(0)


def _negative(node: sp.Basic) -> bool:
    if isinstance(node, sp.Number):
        return bool(node < 0)
    return isinstance(node, sp.Mul) and isinstance(node.args[0], sp.Number) and bool(node.args[0] < 0)


def split_fraction(product: sp.Mul | sp.Pow | sp.Rational) -> tuple[list[sp.Basic], list[sp.Basic]]:
    """Factors of numerator and denominator (``x**-2`` and the ``q`` of ``p/q`` go below)."""
    above: list[sp.Basic] = []
    below: list[sp.Basic] = []
    for factor in sp.Mul.make_args(product):
        if isinstance(factor, sp.Rational) and not isinstance(factor, sp.Integer):
            if factor.p != 1:
                above.append(sp.Integer(factor.p))
            below.append(sp.Integer(factor.q))
        elif isinstance(factor, sp.Pow) and isinstance(factor.exp, sp.Number) and factor.exp < 0:
            below.append(evaluated(sp.Pow, factor.base, -factor.exp))
        else:
            above.append(factor)
    return above, below


def expression(node: sp.Basic, order: Order = _NO_ORDER) -> str:
    """The text of an expression in loop notation.

    >>> i = Index("i")
    >>> expression(Access("Y", i) * (1 - Access("Y", i)))
    'Y[i]*(1 - Y[i])'
    """
    if deeper(node, DEEP):
        order = replace(order, known={})
        for part, depth in depths(postorder(node)).items():
            if depth % DEEP == 0 and isinstance(part, sp.Expr | Boolean):
                order.known[part] = _show(part, order)
    return _show(node, order)[0]


def _wrap(part: tuple[str, int], least: int) -> str:
    return part[0] if part[1] >= least else f"({part[0]})"


def _subscripts(subscripts: Iterable[sp.Basic], order: Order) -> str:
    return ",".join(_show(s, order)[0].replace(" ", "") for s in subscripts) or "()"


def _sum(node: sp.Add, order: Order) -> tuple[str, int]:
    text = ""
    for term in order.terms(node.args):
        negative = _negative(term)
        shown = _wrap(_show(-term if negative else term, order), _SUM + 1 if text or not negative else _PRODUCT)
        text = f"{text} {'-' if negative else '+'} {shown}" if text else ("-" + shown if negative else shown)
    return text, _SUM


def _product(node: sp.Expr, order: Order) -> tuple[str, int]:
    if _negative(node) and not isinstance(node, sp.Number):
        return "-" + _wrap(_show(-node, order), _PRODUCT), _UNARY - 10
    above, below = split_fraction(node)
    top = "*".join(_wrap(_show(f, order), _PRODUCT + 1) for f in order.factors(above)) or "1"
    for factor in order.factors(below):
        top += "/" + _wrap(_show(factor, order), _PRODUCT + 1)
    return top, _PRODUCT


def _power(node: sp.Pow, order: Order) -> tuple[str, int]:
    if node.exp == sp.Rational(1, 2):
        return f"sqrt({_show(node.base, order)[0]})", _ATOM
    if isinstance(node.exp, sp.Number) and node.exp < 0:
        return _product(node, order)
    return f"{_wrap(_show(node.base, order), _POWER + 1)}**{_wrap(_show(node.exp, order), _POWER)}", _POWER


def _boundary(node: BoundaryAccess, order: Order) -> str:
    names = [mode for mode in node.modes if mode]
    text = node.tensor
    for mode in dict.fromkeys(names):
        dims = [d for d, m in enumerate(node.modes) if m == mode]
        extra = f", {_show(node.fill, order)[0]}" if mode == "pad" else ""
        if len(dims) < len(node.modes):
            extra += f", dims={dims}"
        text = f"{mode}({text}{extra})"
    return f"{text}[{_subscripts(node.subscripts, order)}]"


def _show(node: sp.Basic, order: Order) -> tuple[str, int]:
    """Text and binding strength."""
    if node in order.known:
        return order.known[node]
    match node:
        case Access():
            return f"{node.tensor}[{_subscripts(node.subscripts, order)}]", _ATOM
        case BoundaryAccess():
            return _boundary(node, order), _ATOM
        case Call():
            return f"{spoken(node)}({', '.join(_show(a, order)[0] for a in node.arguments)})", _ATOM
        case Where():
            return f"where({', '.join(_show(a, order)[0] for a in node.args)})", _ATOM
        case Reduce():
            over = ",".join(str(i) for i in node.indices)
            guard = f" if {' and '.join(conditions(node.domain, order))}" if node.domain else ""
            return f"{node.op}({_show(node.body, order)[0]}, over={over if len(node.indices) == 1 else f'({over})'}{guard})", _ATOM
        case Compare():
            return f"{_wrap(_show(node.left, order), _SUM)} {node.op} {_wrap(_show(node.right, order), _SUM)}", 5
        case Logical():
            if node.op == "not":
                return f"~({_show(node.operands[0], order)[0]})", _UNARY
            sign = " & " if node.op == "and" else " | "
            return sign.join(f"({_show(o, order)[0]})" for o in node.operands), 4
        case FloorDiv():
            return f"{_wrap(_show(node.numerator, order), _PRODUCT)}//{node.divisor}", _QUOTIENT
        case Modulo():
            return f"{_wrap(_show(node.numerator, order), _PRODUCT)}%{node.divisor}", _QUOTIENT
        case sp.Add():
            return _sum(node, order)
        case sp.Pow():
            return _power(node, order)
        case sp.Mul():
            return _product(node, order)
        case sp.Number():
            text = number(node)
            return text, _PRODUCT if "/" in text else (_UNARY - 10 if text.startswith("-") else _ATOM)
        case sp.Symbol():
            return str(node.name), _ATOM
    if node in (sp.true, sp.false):
        return str(bool(node)), _ATOM
    if node in (INFINITY, NAN):
        return str(node), _ATOM
    return str(node), _ATOM


def conditions(domain: Iterable[sp.Expr], order: Order = _NO_ORDER) -> list[str]:
    """Inequalities as text; a pair ``e ≥ 0``, ``n - 1 - e ≥ 0`` is written ``0<=e<n`` if e is a subscript, if e has
    no constant term, or no index with a unit coefficient; otherwise solved for the innermost such index, ``i-2<=j<=i+1``."""
    left = list(domain)
    shown = []
    while left:
        first = left.pop(0)
        moving = any(isinstance(s, Index) for s in first.free_symbols)
        both = (o for o in left if moving and not any(isinstance(s, Index) for s in sp.expand(first + o).free_symbols))
        partner = next(both, None)
        if partner is not None:
            left.remove(partner)
            text = _pair(first, partner, order)
        else:
            positive = sp.Add(*(t for t in sp.Add.make_args(sp.expand(first)) if not _negative(t)))
            negative = sp.expand(positive - first)
            text = f"{_show(negative, order)[0]}<={_show(positive, order)[0]}"
        shown.append(text.replace(" ", ""))
    return shown


def _pair(first: sp.Expr, partner: sp.Expr, order: Order) -> str:
    middle = min((first, partner), key=lambda e: (e not in order.places, _sized(e), abs(e.as_coeff_Add()[0]), _leading_sign(e, order)))
    upper = sp.expand(first + partner + 1)
    if upper == 1:
        return f"{_show(middle, order)[0]}==0"
    terms = dict((t.as_coeff_Mul()[::-1]) for t in sp.Add.make_args(sp.expand(middle)))
    units = [i for i, c in terms.items() if isinstance(i, Index) and abs(c) == 1]
    if middle in order.places or middle.as_coeff_Add()[0] == 0 or len([t for t in terms if t.has(Index)]) < 2 or not units:
        return f"0<={_show(middle, order)[0]}<{_show(upper, order)[0]}"
    inner = max(units, key=lambda i: order.indices.get(i, 0))
    rest = sp.expand(inner - terms[inner] * middle)
    ends = sorted((rest, sp.expand(rest + terms[inner] * (upper - 1))), key=lambda e: (e == rest) != (terms[inner] > 0))
    return "<=".join(_show(e, order)[0] for e in (ends[0], inner, ends[1]))


def _sized(node: sp.Expr) -> bool:
    """Whether sizes occur: of the two halves of a pair, the one without them is the subscript itself."""
    return any(isinstance(s, Size) for s in node.free_symbols)


def _leading_sign(node: sp.Expr, order: Order) -> bool:
    """Whether the first index in loop order has a negative coefficient."""
    terms = [t for t in sp.Add.make_args(sp.expand(node)) if any(isinstance(s, Index) for s in t.free_symbols)]
    first = min(terms, key=lambda t: min(order.indices.get(s, 500) for s in t.free_symbols), default=sp.Integer(0))
    return _negative(first)


def statement_body(item: Statement) -> str:
    """``U[b,i] += X[b,j]*A[j,i]``: a statement without its loops."""
    order = Order.of(item)
    left = f"{item.target}[{_subscripts(item.subscripts, order)}]"
    value = expression(item.value, order)
    if item.op in ("=", "+="):
        return f"{left} {item.op} {value}"
    over = ",".join(str(i) for i in item.reduced)
    return f"{left} = {item.op}({value}, over={over if len(item.reduced) == 1 else f'({over})'})"


def statement(item: Statement) -> str:
    """``for b,i,j:  U[b,i] += X[b,j]*A[j,i]``."""
    looped = [r for r in item.loops if item.op in ("=", "+=") or r.index in item.free]
    guard = f" if {' and '.join(conditions(item.domain, Order.of(item)))}" if item.domain else ""
    if not looped:
        return f"{f'{guard.strip()}:  ' if guard else ''}{statement_body(item)}"
    return f"for {','.join(str(r.index) for r in looped)}{guard}:  {statement_body(item)}"
