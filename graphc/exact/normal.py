"""A normal form of symbolic scalars: quotients of polynomials in symbols, exponentials, logarithms and roots.

A difference whose numerator is the empty polynomial is 0 for all values. The converse does not hold: what the normal form does not
prove may still be true (Richardson, J. Symbolic Logic 33, 1968: there is no form that decides everything).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import sympy as sp

from graphc.ir.expr import Call

__all__ = ["Normaliser", "TooLarge"]

Monomial = tuple[tuple[int, int], ...]
"""(generator, power) in the order of generators; powers may be negative."""

Polynomial = dict[Monomial, Fraction]
Key = frozenset[tuple[Monomial, Fraction]]


class TooLarge(Exception):
    """The normal form would take more products than allowed."""


@dataclass(frozen=True)
class Quotient:
    """``numerator / Π factor^power``."""

    numerator: Polynomial
    denominator: Mapping[Key, int] = field(default_factory=dict)

    def key(self) -> Any:
        return frozenset(self.numerator.items()), frozenset(self.denominator.items())


Terms = tuple[Quotient, ...]
"""A sum of quotients whose denominators have different factors: brought to one denominator only where that is needed."""

_ONE: Polynomial = {(): Fraction(1)}


class Normaliser:
    """Turns scalars into quotients; what has been seen is kept.

    Args:
        budget: products of terms that may be computed in all; a tenth of it for one scalar.
    """

    def __init__(self, budget: int = 80_000) -> None:
        self._left, self._share = budget, budget // 10
        self._stop = 0
        self._generators: dict[Any, int] = {}
        self._reductions: dict[int, tuple[int, Quotient]] = {}
        """Generators with g^n = quotient: roots and sines."""
        self._logarithms: dict[int, Quotient] = {}
        self._known: dict[sp.Basic, Terms] = {}

    def zero(self, scalar: sp.Expr) -> bool:
        """Whether a scalar is proved to be 0 for all values of its symbols.

        >>> x = sp.Symbol("x")
        >>> y = Call("sigmoid", x)
        >>> Normaliser().zero(y * (1 - y) - Call("exp", -x) / (1 + Call("exp", -x))**2)
        True

        Raises:
            TooLarge: the budget is used up.
        """
        self._stop = max(self._left - self._share, 0)
        terms = [self._reduced(term) for term in self.of(scalar)]
        return not any(term.numerator for term in terms) or (len(terms) > 1 and not self._reduced(self.whole(terms)).numerator)

    # ------------------------------------------------------------------------------------------------ expressions
    def of(self, scalar: sp.Basic) -> Terms:
        stack = [scalar]
        while stack:
            node = stack[-1]
            waiting = [part for part in node.args if isinstance(part, sp.Expr) and part not in self._known]
            if waiting:
                stack.extend(waiting)
                continue
            if node not in self._known:
                self._known[node] = self._of(node, [self._known[part] for part in node.args if isinstance(part, sp.Expr)])
            stack.pop()
        return self._known[scalar]

    def _of(self, node: sp.Basic, parts: list[Terms]) -> Terms:
        if isinstance(node, sp.Rational):
            return (_number(Fraction(int(node.p), int(node.q))),)
        if isinstance(node, sp.Add):
            return self._sums([term for part in parts for term in part])
        if isinstance(node, sp.Mul):
            return self._distributed(parts)
        if isinstance(node, sp.Pow) and isinstance(node.exp, sp.Integer) and 0 < node.exp < 8:
            return self._distributed([parts[0]] * int(node.exp))
        wholes = [self.whole(part) for part in parts]
        if isinstance(node, sp.Pow) and isinstance(node.exp, sp.Rational):
            return (self.power(wholes[0], Fraction(int(node.exp.p), int(node.exp.q))),)
        if isinstance(node, sp.Pow):
            return (self.exponential(self.product([wholes[1], self.logarithm(wholes[0])])),)
        return (self._call(node.function, wholes) if isinstance(node, Call) else self._generator(node),)

    def _sums(self, terms: Iterable[Quotient]) -> Terms:
        """Terms whose denominators have equal factors are added."""
        groups: dict[frozenset[Key], list[Quotient]] = {}
        for term in terms:
            groups.setdefault(frozenset(term.denominator), []).append(term)
        found = [self.whole(group) for group in groups.values()]
        return tuple(term for term in found if term.numerator) or (_number(0),)

    def _distributed(self, parts: list[Terms]) -> Terms:
        made: Terms = (_number(1),)
        for part in parts:
            made = self._sums([self.product([a, b]) for a in made for b in part])
        return made

    def _call(self, name: str, parts: list[Quotient]) -> Quotient:
        x, one = parts[0], _number(1)
        if name in ("exp", "expm1"):
            e = self.exponential(x)
            return e if name == "exp" else self.whole([e, _number(-1)])
        if name in ("log", "log1p", "softplus"):
            inner = x if name == "log" else self.whole([one, self.exponential(x) if name == "softplus" else x])
            return self.logarithm(inner)
        if name in ("sigmoid", "tanh"):
            e = self.exponential(x if name == "sigmoid" else self.product([_number(2), x]))
            top = e if name == "sigmoid" else self.whole([e, _number(-1)])
            return self.product([top, self.power(self.whole([e, one]), Fraction(-1))])
        if name == "hypot":
            return self.power(self.whole([self.product([p, p]) for p in parts]), Fraction(1, 2))
        if name == "tan":
            return self.product([self._call("sin", parts), self.power(self._call("cos", parts), Fraction(-1))])
        if name == "stop_gradient":
            return x
        found = self._generator((name, *(p.key() for p in parts)))
        if name == "sin":
            cosine = self._call("cos", parts)
            square = self.whole([one, self.product([_number(-1), cosine, cosine])])
            self._reductions[next(iter(found.numerator))[0][0]] = (2, square)
        return found

    def _generator(self, key: Any) -> Quotient:
        return _power_of(self._generators.setdefault(key, len(self._generators)), 1)

    def exponential(self, x: Quotient) -> Quotient:
        """``exp(x)``; a sum becomes a product, ``exp(n·log(q))`` becomes ``q^n``."""
        x = self._reduced(x)
        if x.denominator:
            return self._generator(("exp", x.key()))
        factors = []
        for monomial, c in x.numerator.items():
            logarithm = self._logarithms.get(monomial[0][0]) if len(monomial) == 1 and monomial[0][1] == 1 else None
            if logarithm is not None and c.denominator == 1:
                factors.append(self.power(logarithm, c))
            else:
                g = self._generator(("exp", monomial, c.denominator)).numerator
                factors.append(_power_of(next(iter(g))[0][0], c.numerator))
        return self.product(factors)

    def logarithm(self, x: Quotient) -> Quotient:
        found = self._generator(("log", self._reduced(x).key()))
        self._logarithms[next(iter(found.numerator))[0][0]] = x
        return found

    # ------------------------------------------------------------------------------------------------- arithmetic
    def whole(self, parts: Iterable[Quotient]) -> Quotient:
        """The sum as one quotient."""
        parts = list(parts)
        if len(parts) == 1:
            return parts[0]
        common: dict[Key, int] = {}
        for part in parts:
            for factor, power in part.denominator.items():
                common[factor] = max(power, common.get(factor, 0))
        total: Polynomial = {}
        for part in parts:
            top = part.numerator
            for factor, power in common.items():
                for _ in range(power - part.denominator.get(factor, 0)):
                    top = self._times(top, dict(factor))
            for monomial, c in top.items():
                total[monomial] = total.get(monomial, Fraction(0)) + c
        total = {m: c for m, c in total.items() if c}
        return Quotient(total, common if total else {})

    def product(self, parts: Iterable[Quotient]) -> Quotient:
        top, below = _ONE, dict[Key, int]()
        for part in parts:
            top = self._times(top, part.numerator)
            for factor, power in part.denominator.items():
                below[factor] = below.get(factor, 0) + power
        key = frozenset(top.items())
        if key in below:
            top, below = _ONE, {f: p - (f == key) for f, p in below.items() if p - (f == key)}
        return Quotient(top, below if top else {})

    def power(self, base: Quotient, exponent: Fraction) -> Quotient:
        if exponent.denominator > 1:
            return self._root(base, exponent)
        n = int(exponent)
        if n >= 0:
            return self.product([base] * n) if len(base.numerator) > 1 or base.denominator else self._monomial_power(base, n)
        if len(base.numerator) == 1:
            upper = self._monomial_power(Quotient(base.numerator), n)
        else:
            factor, content = _primitive(base.numerator)
            upper = self._monomial_power(Quotient(content), n)
            upper = Quotient(upper.numerator, {frozenset(factor.items()): -n})
        lower = self.product([Quotient(dict(f)) for f, p in base.denominator.items() for _ in range(-n * p)])
        return self.product([upper, lower])

    @staticmethod
    def _monomial_power(base: Quotient, n: int) -> Quotient:
        if not base.numerator:
            return base if n > 0 else _number(1) if n == 0 else Quotient({((-1, 1),): Fraction(1)})
        ((monomial, c),) = base.numerator.items()
        return Quotient({tuple((g, p * n) for g, p in monomial) if n else (): c**n})

    def _root(self, base: Quotient, exponent: Fraction) -> Quotient:
        base = self._reduced(base)
        if base.numerator == _ONE and not base.denominator:
            return base
        found = self._generator(("root", base.key(), exponent.denominator))
        generator = next(iter(found.numerator))[0][0]
        self._reductions[generator] = (exponent.denominator, base)
        return _power_of(generator, exponent.numerator)

    def _times(self, a: Polynomial, b: Polynomial) -> Polynomial:
        self._left -= len(a) * len(b)
        if self._left <= self._stop:
            raise TooLarge
        total: Polynomial = {}
        for m, c in a.items():
            for n, d in b.items():
                product = _joined(m, n)
                total[product] = total.get(product, Fraction(0)) + c * d
        return {m: c for m, c in total.items() if c}

    def _reduced(self, x: Quotient) -> Quotient:
        """Powers of roots and sines below their degree, in the numerator."""
        for _ in range(8):
            plain: Polynomial = {}
            replaced: list[Quotient] = []
            for monomial, c in x.numerator.items():
                high = [(g, p) for g, p in monomial if g in self._reductions and not 0 <= p < self._reductions[g][0]]
                if not high or all(p < 0 and len(self._reductions[g][1].numerator) > 1 for g, p in high):
                    plain[monomial] = c
                    continue
                g, p = next((g, p) for g, p in high if p > 0 or len(self._reductions[g][1].numerator) == 1)
                degree, square = self._reductions[g]
                rest = tuple(pair for pair in ((h, q if h != g else p % degree) for h, q in monomial) if pair[1])
                replaced.append(self.product([Quotient({rest: c}), self.power(square, Fraction(p // degree))]))
            if not replaced:
                return x
            x = self.product([self.whole([Quotient(plain), *replaced]), Quotient(_ONE, x.denominator)])
        return x


def _number(value: int | Fraction) -> Quotient:
    return Quotient({(): Fraction(value)} if value else {})


def _power_of(generator: int, power: int) -> Quotient:
    return Quotient({((generator, power),): Fraction(1)})


def _joined(a: Monomial, b: Monomial) -> Monomial:
    if not a or not b:
        return a or b
    powers = dict(a)
    for generator, power in b:
        powers[generator] = powers.get(generator, 0) + power
    return tuple(sorted((g, p) for g, p in powers.items() if p))


def _primitive(polynomial: Polynomial) -> tuple[Polynomial, Polynomial]:
    """The polynomial with lowest powers 0 and its first coefficient 1, and the term that it has been divided by."""
    lowest: dict[int, int] = {}
    for generator in {g for m in polynomial for g, _ in m}:
        lowest[generator] = min(dict(m).get(generator, 0) for m in polynomial)
    content = tuple(sorted((g, p) for g, p in lowest.items() if p))
    inverse = tuple((g, -p) for g, p in content)
    moved = {_joined(m, inverse): c for m, c in polynomial.items()}
    first = moved[min(moved)]
    return {m: c / first for m, c in moved.items()}, {content: first}
