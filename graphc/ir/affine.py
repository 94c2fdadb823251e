"""Integer affine forms over indices, sizes and quotients, and systems of inequalities between them.

The prover is Fourier–Motzkin elimination with integer tightening (Pugh, "The Omega test", 1991, without its splintering):
what it proves holds for all integers, what it does not prove may still hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import sympy as sp

from graphc.ir.expr import FloorDiv, Index, Modulo, Size
from graphc.ir.tree import substitute

__all__ = [
    "Linear", "atoms_of", "contradictory", "eliminate", "infeasible", "is_affine", "linear", "nonnegative", "project",
    "quotient_facts", "relevant", "span", "to_expr",
]

_LIMIT = 1500


@dataclass(frozen=True, slots=True)
class Linear:
    """``Σ coefficient·atom + constant``; atoms are indices, sizes and `FloorDiv` nodes, in a fixed order."""

    terms: tuple[tuple[sp.Basic, int], ...]
    constant: int

    def coefficient(self, atom: sp.Basic) -> int:
        return next((c for a, c in self.terms if a == atom), 0)

    def plus(self, other: Linear, scale: int = 1) -> Linear:
        mixed = dict(self.terms)
        for atom, coefficient in other.terms:
            mixed[atom] = mixed.get(atom, 0) + scale * coefficient
        return _make(mixed, self.constant + scale * other.constant)

    def times(self, factor: int) -> Linear:
        return Linear(tuple((a, c * factor) for a, c in self.terms), self.constant * factor) if factor else Linear((), 0)

    def renamed(self, mapping: dict[sp.Basic, sp.Expr]) -> Linear:
        """With other indices, and no two of them the same."""
        return _make({substitute(a, mapping): c for a, c in self.terms}, self.constant)

    def shifted(self, by: int) -> Linear:
        return Linear(self.terms, self.constant + by)


@lru_cache(maxsize=100_000)
def _key(atom: sp.Basic) -> tuple[int, str]:
    return (0 if isinstance(atom, Index) else 1 if isinstance(atom, Size) else 2, str(atom) if atom.is_Symbol else sp.srepr(atom))


def _make(terms: dict[sp.Basic, int], constant: int) -> Linear:
    return Linear(tuple(sorted(((a, c) for a, c in terms.items() if c), key=lambda term: _key(term[0]))), constant)


@lru_cache(maxsize=100_000)
def linear(expression: sp.Basic) -> Linear | None:
    """The affine form of an integer expression; None if it is not affine with integer coefficients.

    >>> p, r = Index("p"), Index("r")
    >>> linear(2 * p + r - 1).constant
    -1
    >>> linear(p * r) is None
    True
    """
    if isinstance(expression, sp.Integer):
        return Linear((), int(expression))
    if isinstance(expression, Index | Size):
        return Linear(((expression, 1),), 0)
    if isinstance(expression, FloorDiv):
        return None if linear(expression.numerator) is None else Linear(((expression, 1),), 0)
    if isinstance(expression, Modulo):
        inner, quotient = linear(expression.numerator), linear(FloorDiv(expression.numerator, expression.divisor))
        return None if inner is None or quotient is None else inner.plus(quotient, -expression.divisor)
    if isinstance(expression, sp.Add):
        total = Linear((), 0)
        for argument in expression.args:
            part = linear(argument)
            if part is None:
                return None
            total = total.plus(part)
        return total
    if isinstance(expression, sp.Mul):
        factor, rest = expression.as_coeff_Mul()
        if isinstance(factor, sp.Integer) and factor != 1:
            part = linear(rest)
            return None if part is None else part.times(int(factor))
    return None


def is_affine(expression: sp.Basic) -> bool:
    return linear(expression) is not None


def to_expr(form: Linear) -> sp.Expr:
    return sp.Add(*(c * a for a, c in form.terms), form.constant)


def atoms_of(forms: Iterable[Linear]) -> tuple[sp.Basic, ...]:
    found: dict[sp.Basic, None] = {}
    for form in forms:
        for atom, _ in form.terms:
            found.setdefault(atom)
    return tuple(found)


def _tightened(form: Linear) -> Linear:
    """Divide by the common factor of the coefficients; the constant rounds down because everything is an integer."""
    divisor = 0
    for _, coefficient in form.terms:
        divisor = gcd(divisor, coefficient)
    if divisor <= 1:
        return form
    return Linear(tuple((a, c // divisor) for a, c in form.terms), form.constant // divisor)


def quotient_facts(forms: Iterable[Linear]) -> list[Linear]:
    """What every quotient ``q = e // k`` among the atoms satisfies: ``0 ≤ e - k·q ≤ k - 1``; and every size is ≥ 0."""
    facts: list[Linear] = []
    seen: set[sp.Basic] = set()
    waiting = list(atoms_of(forms))
    while waiting:
        atom = waiting.pop()
        if atom in seen:
            continue
        seen.add(atom)
        if isinstance(atom, Size):
            facts.append(Linear(((atom, 1),), 0))
        elif isinstance(atom, FloorDiv):
            inner = linear(atom.numerator)
            assert inner is not None
            rest = inner.plus(Linear(((atom, 1),), 0), -atom.divisor)
            facts += [rest, rest.times(-1).shifted(atom.divisor - 1)]
            waiting.extend(a for a, _ in inner.terms)
    return facts


def eliminate(system: Iterable[Linear], atom: sp.Basic) -> list[Linear]:
    """Project a system of ``form ≥ 0`` along one atom: what the others must satisfy for some rational value of it to exist."""
    lower: list[tuple[int, Linear]] = []
    upper: list[tuple[int, Linear]] = []
    kept: dict[Linear, None] = {}
    for form in system:
        coefficient = form.coefficient(atom)
        if coefficient > 0:
            lower.append((coefficient, form))
        elif coefficient < 0:
            upper.append((-coefficient, form))
        else:
            kept[form] = None
    for a, low in lower:
        for b, high in upper:
            common = gcd(a, b)
            combined = _tightened(low.times(b // common).plus(high, a // common))
            if combined.terms or combined.constant < 0:
                kept[combined] = None
    return list(kept)


def _strongest(system: list[Linear]) -> list[Linear]:
    """Keep the smallest constant among forms with equal coefficients."""
    best: dict[tuple[tuple[sp.Basic, int], ...], int] = {}
    for form in system:
        best[form.terms] = min(best.get(form.terms, form.constant), form.constant)
    return [Linear(terms, value) for terms, value in best.items()]


def infeasible(system: list[Linear]) -> bool:
    """Whether no integer point satisfies every ``form ≥ 0`` (False also when the proof is given up)."""
    orders = (False, True) if any(isinstance(atom, FloorDiv) for atom in atoms_of(system)) else (False,)
    return any(not form.terms and form.constant < 0 for last in orders for form in project(system, lambda atom: True, last)[0])


def contradictory(expressions: Iterable[sp.Expr]) -> bool:
    """Whether no integer point makes every expression ≥ 0; what is not affine is left out."""
    return infeasible([form for e in expressions if (form := linear(e)) is not None])


def project(system: Iterable[Linear], away: Callable[[sp.Basic], bool], quotients_last: bool = False) -> tuple[list[Linear], bool]:
    """What a system of ``form ≥ 0``, quotients and sizes included, says about the atoms that are not projected away.

    Where that is too much work, the forms with the most atoms that are projected away are dropped, which is weaker; the second result
    says whether nothing was. A projection loses what only integers satisfy; the order, in which quotients may come last, decides what.
    """
    complete = True
    known = [*system]
    known = _strongest([_tightened(form) for form in (*known, *quotient_facts(known))])
    while True:
        contradiction = next((form for form in known if not form.terms and form.constant < 0), None)
        if contradiction is not None:
            return [contradiction], True
        bounds: dict[sp.Basic, tuple[list[int], list[int]]] = {}
        for form in known:
            for atom, coefficient in form.terms:
                if away(atom):
                    bounds.setdefault(atom, ([], []))[coefficient > 0].append(abs(coefficient))
        if not bounds:
            return known, complete
        if (solved := _solved(known, away)) is not None:
            known = _strongest(_replaced(known, *solved))
            continue
        _, _, work, _, cheapest = min(
            (_inexact(*found), quotients_last and isinstance(a, FloorDiv), len(found[0]) * len(found[1]), _key(a), a)
            for a, found in bounds.items()
        )
        if work > _LIMIT:
            mixed = [sum(away(atom) for atom, _ in form.terms) for form in known]
            known = [form for form, atoms in zip(known, mixed, strict=True) if atoms < max(mixed)]
            complete = False
        else:
            known = _strongest(eliminate(known, cheapest))


def _inexact(upper: Sequence[int], lower: Sequence[int]) -> bool:
    """Whether an atom with these coefficients may have a rational value between its bounds, but no integer: that comes last."""
    return max(upper, default=0) > 1 and max(lower, default=0) > 1


def _solved(system: list[Linear], away: Callable[[sp.Basic], bool]) -> tuple[Linear, sp.Basic, int] | None:
    """A form that is zero at every point, and an atom of it with a coefficient of ±1: replacing that atom by the others loses nothing.

    An equation without such a coefficient gets an atom more (Pugh, "The Omega test", 1991, section 2.2): with the smallest coefficient a,
    m = |a| + 1 divides the equation with its coefficients reduced modulo m to those of least magnitude, among which is ±1.
    """
    constants = {form.terms: form.constant for form in system}
    equations = [form for form in system if form.terms and constants.get(form.times(-1).terms) == -form.constant]
    for form in equations:
        for atom, coefficient in form.terms:
            if abs(coefficient) == 1 and away(atom):
                return form, atom, coefficient
    for form in equations:
        atom, coefficient = min(form.terms, key=lambda term: abs(term[1]))
        new = Index(f"{atom}/{abs(coefficient)}")
        if away(atom) and away(new) and new not in atoms_of(system):
            m = abs(coefficient) + 1
            least = {a: c - m * ((2 * c + m) // (2 * m)) for a, c in (*form.terms, (sp.S.One, form.constant))}
            constant = least.pop(sp.S.One)
            return _make({**least, new: m}, constant), atom, least[atom]
    return None


def _replaced(system: list[Linear], zero: Linear, atom: sp.Basic, sign: int) -> list[Linear]:
    """The system with the value of the atom where ``zero = 0`` in its place."""
    new = (_tightened(form.plus(zero, -sign * form.coefficient(atom))) if form.coefficient(atom) else form for form in system)
    return [form for form in new if form.terms or form.constant < 0]


@lru_cache(maxsize=200_000)
def _nonnegative(form: Linear, facts: tuple[Linear, ...]) -> bool:
    if form.constant >= 0 and all(c > 0 and isinstance(a, Size) for a, c in form.terms):
        return True
    if form in facts:
        return True
    return infeasible([*relevant(form, facts), form.times(-1).shifted(-1)])


def relevant(form: Linear, facts: Iterable[Linear]) -> list[Linear]:
    """The facts that are connected to `form` by shared atoms; the others cannot help to prove anything about it."""
    reached = set(_mentioned(form))
    waiting = [(fact, set(_mentioned(fact))) for fact in facts]
    chosen: list[Linear] = []
    grown = True
    while grown and waiting:
        grown, rest = False, []
        for fact, atoms in waiting:
            if atoms & reached:
                reached |= atoms
                chosen.append(fact)
                grown = True
            else:
                rest.append((fact, atoms))
        waiting = rest
    return chosen


@lru_cache(maxsize=100_000)
def _mentioned(form: Linear) -> tuple[sp.Basic, ...]:
    """Atoms, and those inside of quotients."""
    found: dict[sp.Basic, None] = {}
    for atom, _ in form.terms:
        found.setdefault(atom)
        if isinstance(atom, FloorDiv):
            inner = linear(atom.numerator)
            assert inner is not None
            for other in _mentioned(inner):
                found.setdefault(other)
    return tuple(found)


def nonnegative(expression: sp.Basic, facts: Iterable[sp.Basic] = ()) -> bool:
    """Whether ``expression ≥ 0`` is proved for all integers where every expression of `facts` is ≥ 0.

    >>> p, r, N, R = Index("p"), Index("r"), Size("N"), Size("R")
    >>> nonnegative(N - 1 - (p + r), [p, N - R - p, r, R - 1 - r])
    True
    """
    form = linear(expression)
    if form is None:
        return False
    known = tuple(fact for fact in map(linear, facts) if fact is not None)
    return _nonnegative(form, known)


def span(expression: sp.Expr, limits: Mapping[sp.Basic, tuple[sp.Expr, sp.Expr]]) -> tuple[sp.Expr, sp.Expr]:
    """The least and the largest value of an affine expression over a box of indices, both ends included; exact without quotients.

    >>> p, r, N = Index("p"), Index("r"), Size("N")
    >>> span(2 * p - r, {p: (sp.Integer(0), N - 1), r: (sp.Integer(0), sp.Integer(2))})
    (-2, 2*N - 2)
    """
    least = most = sp.Integer(0)
    for term in sp.Add.make_args(sp.expand(expression)):
        factor, atom = term.as_coeff_Mul()
        if atom in limits:
            low, high = limits[atom]
        elif isinstance(atom, FloorDiv):
            low, high = (FloorDiv(e, atom.divisor) for e in span(atom.numerator, limits))
        elif isinstance(atom, Modulo):
            low, high = span(atom.numerator, limits)
            if not (nonnegative(low) and nonnegative(atom.divisor - 1 - high)):
                low, high = sp.Integer(0), sp.Integer(atom.divisor - 1)
        else:
            low = high = atom
        least += factor * (low if factor > 0 else high)
        most += factor * (high if factor > 0 else low)
    return sp.expand(least), sp.expand(most)
