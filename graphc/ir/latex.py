r"""Expressions and statements as LaTeX.

An adjoint is written with a bar, the convention of the literature on automatic differentiation (Griewank and Walther, Evaluating
Derivatives, 2008): ``A.grad[j,i]`` becomes ``\bar{A}_{j,i}``, which nests for second derivatives and leaves room for subscripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import sympy as sp
from sympy.logic.boolalg import Boolean

from graphc.ir.expr import INFINITY, NAN, Access, BoundaryAccess, Call, Compare, FloorDiv, Index, Logical, Modulo, Reduce, Where
from graphc.ir.show import DEEP, Order, conditions, number, split_fraction, spoken
from graphc.ir.statement import Range, Statement
from graphc.ir.tree import contains, deeper, depths, indices_of, postorder

__all__ = ["expression_latex", "name_latex", "statement_latex"]

_SUM, _PRODUCT, _POWER, _ATOM = 10, 20, 30, 40

_GREEK = frozenset((
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi", "pi", "rho",
    "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi",
    "Psi", "Omega",
))
_FUNCTIONS = {
    "sigmoid": r"\sigma", "exp": r"\exp", "log": r"\log", "sin": r"\sin", "cos": r"\cos", "tan": r"\tan", "tanh": r"\tanh",
    "maximum": r"\max", "minimum": r"\min",
}
_ENCLOSED = {
    "abs": r"\left|%s\right|", "floor": r"\left\lfloor %s \right\rfloor", "ceil": r"\left\lceil %s \right\rceil", "sqrt": r"\sqrt{%s}",
}
_REDUCTIONS = {
    "sum": r"\sum", "prod": r"\prod", "max": r"\max", "min": r"\min", "argmax": r"\operatorname*{arg\,max}",
    "argmin": r"\operatorname*{arg\,min}", "any": r"\bigvee", "all": r"\bigwedge",
}
_RELATIONS = {"<": "<", "<=": r"\le", ">": ">", ">=": r"\ge", "==": "=", "!=": r"\ne"}


def name_latex(name: str) -> str:
    r"""The name of a tensor, an index or a size.

    >>> print(name_latex("A"), name_latex("sigma"), name_latex("conv1.weight.grad"))
    A \sigma \overline{\mathrm{conv1.weight}}
    """
    adjoint = re.fullmatch(r"(.+)\.grad(?:_(\d+))?", name)
    if adjoint:
        inner, count = adjoint.groups()
        accent = r"\bar" if len(inner.split(".grad")[0]) == 1 or inner in _GREEK else r"\overline"
        return f"{accent}{{{name_latex(inner)}}}" + (f"^{{({count})}}" if count else "")
    if name in _GREEK:
        return f"\\{name}"
    return name if len(name) == 1 else f"\\mathrm{{{_escaped(name)}}}"


def expression_latex(node: sp.Basic, order: Order | None = None) -> str:
    r"""An expression.

    >>> i = Index("i")
    >>> print(expression_latex(Access("Y", i) * (1 - Access("Y", i)) / 2))
    \frac{Y_{i} \left(1 - Y_{i}\right)}{2}
    """
    return _Writer(order or Order()).whole(node)[0]


def statement_latex(item: Statement, contributes: bool = False) -> str:
    r"""A statement as an equation, with ``&`` before its sign; what is summed gets a sum sign.

    Args:
        item: the statement.
        contributes: whether other statements add to the same elements, so that it is written with ``+=``.
    """
    writer = _Writer(Order.of(item))
    left = writer.indexed(name_latex(item.target), item.subscripts)
    summed = {"+=": "sum"}.get(item.op, item.op)
    domain = list(item.domain)
    value, strength = writer.whole(item.value)
    if item.op != "=" and item.reduced:
        inside = [d for d in domain if set(indices_of(d)) & set(item.reduced)]
        domain = [d for d in domain if d not in inside]
        value = writer.reduction(summed, value, strength, [item.range_of(i) for i in item.reduced], inside)
    # A loop index that occurs on the left in a compound subscript may reach one element several times.
    many = item.op == "+=" and any(indices_of(s) and not isinstance(s, Index) for s in item.subscripts)
    sign = r"\mathrel{+}=" if contributes or many else "="
    limits = [text for text in (*map(_limits, (r for r in item.ranges if r.index in item.free)), writer.guards(domain)) if text]
    return f"{left} &{sign} {value}" + (rf" \quad\text{{for }} {', '.join(limits)}" if limits else "")


class _Writer:
    """Text and binding strength of every kind of node; `order` arranges terms and factors as in the loop notation."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.known: dict[sp.Basic, tuple[str, int]] = {}

    def whole(self, node: sp.Basic) -> tuple[str, int]:
        """However deeply it is nested."""
        if deeper(node, DEEP):
            self.known = {}
            for part, depth in depths(postorder(node)).items():
                if depth % DEEP == 0 and isinstance(part, sp.Expr | Boolean):
                    self.known[part] = self.show(part)
        return self.show(node)

    def show(self, node: sp.Basic) -> tuple[str, int]:
        if node in self.known:
            return self.known[node]
        match node:
            case Access():
                return self.indexed(name_latex(node.tensor), node.subscripts), _ATOM
            case BoundaryAccess():
                return self.boundary(node), _ATOM
            case Call():
                return self.call(node)
            case Where():
                return self.cases(node), _ATOM
            case Reduce():
                return self.nested(node), _PRODUCT
            case Compare() | Logical():
                return self.condition(node), 5
            case FloorDiv():
                return rf"\left\lfloor {self.show(node.numerator)[0]}/{node.divisor} \right\rfloor", _ATOM
            case Modulo():
                return rf"{self.wrapped(node.numerator, _PRODUCT)} \bmod {node.divisor}", _SUM
            case sp.Add():
                return self.sum(node), _SUM
            case sp.Pow():
                return self.power(node)
            case sp.Mul() | sp.Rational():
                return self.product(node)
            case sp.Number():
                return _decimal(node)
            case sp.Symbol():
                return {INFINITY: r"\infty", NAN: r"\mathrm{nan}"}.get(node) or _symbol(str(node.name)), _ATOM
        return {sp.true: r"\top", sp.false: r"\bot"}.get(node) or sp.latex(node), _ATOM

    def wrapped(self, node: sp.Basic, least: int) -> str:
        text, strength = self.show(node)
        return text if strength >= least else rf"\left({text}\right)"

    def indexed(self, name: str, subscripts: Iterable[sp.Basic]) -> str:
        inner = ",".join(self.show(s)[0].replace(" + ", "+").replace(" - ", "-") for s in subscripts)
        return f"{name}_{{{inner}}}" if inner else name

    def boundary(self, node: BoundaryAccess) -> str:
        text = name_latex(node.tensor)
        for mode in dict.fromkeys(m for m in node.modes if m):
            fill = f"_{{{self.show(node.fill)[0]}}}" if mode == "pad" else ""
            text = rf"\operatorname{{{mode}}}{fill}({text})"
        return self.indexed(text, node.subscripts)

    def call(self, node: Call) -> tuple[str, int]:
        arguments = [self.show(a)[0] for a in node.arguments]
        if node.function in _ENCLOSED:
            return _ENCLOSED[node.function] % arguments[0], _ATOM
        head = _FUNCTIONS.get(node.function) or rf"\operatorname{{{_escaped(spoken(node))}}}"
        return rf"{head}\left({', '.join(arguments)}\right)", _ATOM

    def cases(self, node: Where) -> str:
        return (rf"\begin{{cases}} {self.show(node.value)[0]} & {self.condition(node.condition)} \\ "
                rf"{self.show(node.other)[0]} & \text{{otherwise}} \end{{cases}}")

    def condition(self, node: sp.Basic) -> str:
        if isinstance(node, Compare):
            return f"{self.wrapped(node.left, _SUM)} {_RELATIONS[node.op]} {self.wrapped(node.right, _SUM)}"
        if isinstance(node, Logical):
            if node.op == "not":
                return rf"\lnot\left({self.condition(node.operands[0])}\right)"
            sign = r" \land " if node.op == "and" else r" \lor "
            return sign.join(rf"\left({self.condition(o)}\right)" if isinstance(o, Logical) else self.condition(o) for o in node.operands)
        return self.show(node)[0]

    def nested(self, node: Reduce) -> str:
        text, strength = self.show(node.body)
        return self.reduction(node.op, text, strength, node.indices, node.domain)

    def reduction(self, op: str, body: str, strength: int, over: Iterable[Index | Range], domain: Iterable[sp.Expr]) -> str:
        r"""``\sum_{j} body``; the limits of an index are only written where it does not start at 0."""
        ranges = list(over)
        below = [",".join(_symbol(str(r.index if isinstance(r, Range) else r)) for r in ranges)]
        below += [text for text in (*(_limits(r) for r in ranges if isinstance(r, Range)), self.guards(domain)) if text]
        script = below[0] if len(below) == 1 else r"\substack{" + r" \\ ".join(below) + "}"
        head = _REDUCTIONS.get(op) or rf"\operatorname*{{{op}}}"
        return rf"{head}_{{{script}}} {body}" if strength >= _PRODUCT else rf"{head}_{{{script}}} \left({body}\right)"

    def guards(self, domain: Iterable[sp.Expr]) -> str:
        shown = ", ".join(conditions(domain, self.order))
        return shown.replace("<=", r" \le ").replace("==", " = ").replace("<", " < ").replace("*", r" ")

    def sum(self, node: sp.Add) -> str:
        text = ""
        for term in self.order.terms(node.args):
            minus = _negative(term)
            shown = self.wrapped(-term if minus else term, _SUM + 1)
            text = f"{text} {'-' if minus else '+'} {shown}" if text else ("-" + shown if minus else shown)
        return text

    def power(self, node: sp.Pow) -> tuple[str, int]:
        if node.exp == sp.Rational(1, 2):
            return rf"\sqrt{{{self.show(node.base)[0]}}}", _ATOM
        if isinstance(node.exp, sp.Number) and node.exp < 0:
            return self.product(node)
        return f"{self.wrapped(node.base, _ATOM)}^{{{self.show(node.exp)[0]}}}", _POWER

    def product(self, node: sp.Expr) -> tuple[str, int]:
        if isinstance(node, sp.Integer):
            return str(int(node)), _ATOM if node >= 0 else _SUM
        if _negative(node):
            return "-" + self.wrapped(-node, _PRODUCT), _SUM
        above, below = split_fraction(node)
        top = self.factors(above)
        return (top, _PRODUCT) if not below else (rf"\frac{{{top}}}{{{self.factors(below)}}}", _POWER)

    def factors(self, parts: list[sp.Basic]) -> str:
        if len(parts) == 1:
            return self.show(parts[0])[0]
        arranged = self.order.factors(parts)
        arranged.sort(key=lambda part: contains(part, Reduce))
        return " ".join(self.wrapped(part, _PRODUCT + 1) for part in arranged) or "1"


def _limits(r: Range) -> str:
    """What has to be said about a range that does not start at 0."""
    if r.lower == 0:
        return ""
    return rf"{expression_latex(r.lower)} \le {_symbol(str(r.index))} < {expression_latex(r.upper)}"


def _symbol(name: str) -> str:
    """An index or a size; the number that tells it from another one of its name is a subscript."""
    base, _, count = name.partition("_")
    return f"{name_latex(base)}_{{{count}}}" if count.isdecimal() and (len(base) == 1 or base in _GREEK) else name_latex(name)


def _negative(node: sp.Basic) -> bool:
    factor = node.as_coeff_Mul()[0] if isinstance(node, sp.Expr) else node
    return isinstance(factor, sp.Number) and bool(factor < 0)


def _escaped(name: str) -> str:
    return name.replace("_", r"\_")


def _decimal(value: sp.Number) -> tuple[str, int]:
    text = number(value)
    mantissa, found, exponent = text.partition("e")
    shown = rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if found else text
    return shown, _SUM if text.startswith("-") else _POWER if found else _ATOM
