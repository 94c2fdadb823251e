"""Reductions inside expressions: ``gc.sum(body, over=j)`` and its relatives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import sympy as sp

from graphc.errors import NotationError
from graphc.frontend.expression import Expr, IndexVariable, display, merged, wrap
from graphc.frontend.location import here
from graphc.ir.expr import Compare, Index, Logical, Reduce, Where, indices_of, rewrite, substitute

__all__ = ["all_", "any_", "argmax", "argmin", "logsumexp", "max_", "mean", "min_", "prod", "sum_"]

_fresh = itertools.count(1)


def _reduce(op: str, body: Any, over: Any, ties: str = "first") -> Expr:
    value = wrap(body)
    bound = tuple(over) if isinstance(over, Sequence) else (over,)
    text = f"{op}({display(value.node)}, over=…)"
    for index in bound:
        if not isinstance(index, IndexVariable):
            raise NotationError(f"over={index!r} of gc.{op} is not an index.", at=((text, "", here()),),
                                fix="give an index of gc.indices, or a tuple of them.")
    symbols: list[Index] = [index.node for index in bound]  # type: ignore[misc]
    if len(set(symbols)) != len(symbols) or not symbols:
        raise NotationError(f"gc.{op} reduces over {', '.join(map(str, symbols)) or 'nothing'}.", at=((text, "", here()),),
                            fix="name each index once.")
    reads, ranges, inner = merged((value, *bound))
    present = set(indices_of(value.node))
    for symbol in symbols:
        if symbol not in present and symbol not in ranges:
            raise NotationError(f"The index {symbol} of over= does not occur in the body of gc.{op} and has no range.",
                                at=((text, "", here()),), fix=f'use {symbol} in the body, or declare gc.index("{symbol}", n).')
    node = value.node
    if op in ("any", "all"):
        node = node if isinstance(node, Compare | Logical) else Compare("!=", node, sp.Integer(0))
    elif isinstance(node, Compare | Logical):
        node = Where(node, sp.Integer(1), sp.Integer(0))
    mapping = {symbol: Index(f"{str(symbol).split('@')[0]}@{next(_fresh)}") for symbol in symbols}
    new_reads = {substitute(a, mapping): t for a, t in reads.items()}
    new_ranges = {mapping.get(i, i): limits for i, limits in ranges.items()}
    name = f"{op}_split" if ties == "split" else op
    result = Reduce(name, substitute(node, mapping), tuple(mapping[s] for s in symbols))
    return Expr(result, new_reads, new_ranges, inner | frozenset(symbols))  # type: ignore[arg-type]


def _extremum(op: str, body: Any, over: Any, ties: str) -> Expr:
    if ties not in ("first", "split"):
        raise NotationError(f"ties={ties!r} of gc.{op} is unknown.", fix='use ties="first" (the first extremum gets the gradient) or "split".')
    return _reduce(op, body, over, ties)


def sum_(body: Any, over: Any) -> Expr:
    """``Σ_over body``; 0 over an empty range."""
    return _reduce("sum", body, over)


def mean(body: Any, over: Any) -> Expr:
    """The sum divided by the number of terms (terms dropped by `graphc.skip` do not count)."""
    return _reduce("mean", body, over)


def prod(body: Any, over: Any) -> Expr:
    """``Π_over body``; 1 over an empty range; the gradient is exact with zeros."""
    return _reduce("prod", body, over)


def max_(body: Any, over: Any, ties: str = "first") -> Expr:
    """The largest value; the first extremum in loop order gets the whole gradient, ``ties="split"`` shares it equally.

    Raises:
        ArgumentError: at the call, if the range is empty.
    """
    return _extremum("max", body, over, ties)


def min_(body: Any, over: Any, ties: str = "first") -> Expr:
    """The smallest value; ties as in `max_`."""
    return _extremum("min", body, over, ties)


def argmax(body: Any, over: Any) -> Expr:
    """The first position of the largest value, row-major in the order of `over`, int64."""
    return _reduce("argmax", body, over)


def argmin(body: Any, over: Any) -> Expr:
    """The first position of the smallest value, row-major in the order of `over`, int64."""
    return _reduce("argmin", body, over)


def logsumexp(body: Any, over: Any) -> Expr:
    """``log Σ exp(body)`` without overflow; -inf over an empty range."""
    return _reduce("logsumexp", body, over)


def any_(body: Any, over: Any) -> Expr:
    """Whether the condition holds for at least one value; False over an empty range."""
    return _reduce("any", body, over)


def all_(body: Any, over: Any) -> Expr:
    """Whether the condition holds for every value; True over an empty range."""
    return _reduce("all", body, over)
