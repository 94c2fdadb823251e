"""Reductions that the user has defined, by the name they are printed with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sympy as sp

from graphc.ir.expr import INFINITY, build
from graphc.ir.functions import expanded

__all__ = ["EXTREMES", "REDUCTIONS", "Reduction", "combined", "extreme"]

EXTREMES = ("supremum", "infimum")
"""Maxima and minima that have a value over nothing."""

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


def extreme(op: str, dtype: str) -> sp.Basic:
    """The supremum or the infimum of nothing: the least or the largest value of a type.

    >>> extreme("supremum", "float32"), extreme("infimum", "int8"), extreme("supremum", "bool")
    (-inf, 127, False)
    """
    least = op == "supremum"
    if dtype.startswith("float"):
        return -INFINITY if least else INFINITY
    if dtype == "bool":
        return sp.false if least else sp.true
    return sp.Integer(int(np.iinfo(dtype).min if least else np.iinfo(dtype).max))
