"""Reductions that the user has defined, by the name they are printed with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp

from graphc.ir.expr import build
from graphc.ir.functions import expanded

__all__ = ["REDUCTIONS", "Reduction", "combined"]

Rule = Callable[[sp.Expr, sp.Expr], sp.Expr]


@dataclass(frozen=True, slots=True)
class Reduction:
    """A commutative monoid.

    Attributes:
        name: as printed.
        combine: two values as one.
        identity: what changes no value; the result over an empty range.
        slope: derivative of the result with respect to a term, of (term, result); None combines the other terms instead.
    """

    name: str
    combine: Rule
    identity: sp.Expr
    slope: Rule | None = None


REDUCTIONS: dict[str, Reduction] = {}


def combined(name: str, total: sp.Expr, term: sp.Expr) -> sp.Expr:
    """What a reduction makes of two values, in functions that every target has."""
    return expanded(build(lambda: REDUCTIONS[name].combine(total, term)))
