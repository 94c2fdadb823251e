"""Terms of reductions that a view skips: where the views stand, and what a term is instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sympy as sp

from graphc.analysis.touches import Path
from graphc.ir.expr import INFINITY, BoundaryAccess, Logical, Reduce, Where, all_of
from graphc.ir.tree import contains

__all__ = ["NEUTRAL", "skipping", "without"]

NEUTRAL = {"sum": sp.Integer(0), "prod": sp.Integer(1), "any": sp.false, "all": sp.true, "logsumexp": -INFINITY}
"""What a skipped term is in a reduction that has a value over nothing."""


def skipping(node: sp.Basic, path: Path = ()) -> Iterator[tuple[BoundaryAccess, Path]]:
    """The skipping views of a term, nested reductions left out, each with the conditions in whose branches it stands and their values."""
    if isinstance(node, Reduce) or not contains(node, BoundaryAccess):
        return
    if isinstance(node, BoundaryAccess) and "skip" in node.modes:
        yield node, path
    if isinstance(node, Where):
        yield from skipping(node.condition, path)
        yield from skipping(node.value, (*path, (node.condition, True)))
        yield from skipping(node.other, (*path, (node.condition, False)))
    else:
        for part in node.args:
            yield from skipping(part, path)


def without(term: sp.Expr, op: str, path: Path, inside: Iterable[sp.Basic]) -> sp.Expr:
    """The term, but neutral where the conditions of a path have their values and not all tests hold."""
    taken = [condition if truth else Logical("not", condition) for condition, truth in path]
    return Where(all_of([*taken, Logical("not", all_of(inside))]), NEUTRAL[op], term)
