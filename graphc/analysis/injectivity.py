"""Whether two iterations can touch the same element."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import gcd

import sympy as sp

from graphc.ir.affine import Linear, contradictory, infeasible, linear
from graphc.ir.expr import Index
from graphc.ir.statement import Range, Statement
from graphc.ir.tree import indices_of, substitute

__all__ = ["disjoint", "injective"]


def _primed(indices: Sequence[Index]) -> dict[sp.Basic, sp.Expr]:
    return {i: Index(f"{i}'") for i in indices}


def injective(subscripts: Sequence[sp.Expr], ranges: Sequence[Range], domain: Sequence[sp.Expr] = ()) -> bool:
    """Whether different values of the indices in `ranges` provably give different subscripts.

    Index by index: equal subscripts force one index to be equal, then with that knowledge the next (mixed radix).

    >>> i, j = Index("i"), Index("j")
    >>> ranges = [Range(i, sp.Integer(0), sp.Integer(9)), Range(j, sp.Integer(0), sp.Integer(4))]
    >>> injective([4 * i + j], ranges), injective([3 * i + j], ranges)
    (True, False)
    """
    indices = [r.index for r in ranges]
    # Two iterations may differ in all other indices, of which a condition says nothing then.
    domain = [d for d in domain if set(indices_of(d)) <= set(indices)]
    plain = {s for s in subscripts if isinstance(s, Index)}
    return set(indices) <= plain or _mixed_radix(tuple(subscripts), tuple(ranges), tuple(domain))


@lru_cache(maxsize=20_000)
def _mixed_radix(subscripts: tuple[sp.Expr, ...], ranges: tuple[Range, ...], domain: tuple[sp.Expr, ...]) -> bool:
    """Cached because every gradient of a program asks again about its statements."""
    indices = [r.index for r in ranges]
    plain = {s for s in subscripts if isinstance(s, Index)}
    affine = [s for s in subscripts if linear(s) is not None]
    seen = {i for s in affine for i in indices_of(s)}
    if any(r.index not in seen and r.extent != 1 for r in ranges) and not domain:
        return False
    constraints = [form for c in (*(c for r in ranges for c in r.constraints()), *domain) if (form := linear(c)) is not None]
    forms = [form for s in subscripts if (form := linear(s)) is not None]
    waiting = [index for index in indices if index not in plain]
    while waiting:
        primes = _primed(waiting)
        system = [part for c in constraints for part in (c, c.renamed(primes))]
        for form in forms:
            difference = form.plus(form.renamed(primes), -1)
            system += [difference, difference.times(-1)]
        index = next((i for i in waiting if infeasible([*system, Linear(((i, 1), (primes[i], -1)), -1)])), None)
        if index is None:
            return False
        waiting.remove(index)
    return True


def disjoint(first: Statement, second: Statement) -> bool:
    """Whether two statements provably write different elements of their common target."""
    primes = _primed([r.index for r in second.ranges])
    for a, b in zip(first.subscripts, second.subscripts, strict=True):
        solution = _solution(sp.expand(a - substitute(b, primes)), [i for i in primes.values() if isinstance(i, Index)])
        if solution:  # equal values rather than equations: quotients of them are equal, too
            primes = {index: substitute(value, solution) for index, value in primes.items()}
    system: list[sp.Expr] = [*first.constraints(), *(substitute(c, primes) for c in second.constraints())]
    for a, b in zip(first.subscripts, second.subscripts, strict=True):
        difference = sp.expand(a - substitute(b, primes))
        system += [difference, -difference]
    return contradictory(system)


def _solution(difference: sp.Expr, unknowns: Sequence[Index]) -> dict[sp.Basic, sp.Expr]:
    """The value of one unknown where the difference is zero, if it is a whole number everywhere."""
    form = linear(difference)
    if form is None:
        return {}
    common = gcd(*(c for _, c in form.terms), form.constant)
    for atom, coefficient in form.terms:
        if atom in unknowns and abs(coefficient) == common and not any(atom in indices_of(a) for a, _ in form.terms if a != atom):
            return {atom: sp.expand(atom - difference / coefficient)}
    return {}
