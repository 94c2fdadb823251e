"""Reductions inside expressions: ``gc.sum(body, over=j)`` and its relatives."""

from __future__ import annotations

import itertools
from typing import Any

import sympy as sp

from graphc.errors import NotationError
from graphc.frontend.expression import Expr, IndexVariable, Types, merged, shown, wrap
from graphc.frontend.location import here
from graphc.frontend.recorded import lost_reads, unbound
from graphc.ir.dtypes import dtype_of
from graphc.ir.expr import Compare, Index, Logical, Reduce, Where
from graphc.ir.reductions import REDUCTIONS, combined
from graphc.ir.tree import indices_of, substitute

__all__ = ["RESERVED", "all_", "any_", "argmax", "argmin", "logsumexp", "max_", "mean", "min_", "prod", "reduce", "sum_"]

RESERVED = ("sum", "mean", "prod", "max", "min", "argmax", "argmin", "logsumexp", "any", "all", "supremum", "infimum")
"""Names of reductions that graphc has."""

_fresh = itertools.count(1)


def reduce(op: str, body: Any, over: Any, ties: str = "first") -> Expr:
    """The reduction `op` of `body` over an index, or over a list or tuple of them."""
    bound = tuple(over) if isinstance(over, list | tuple) else (over,)
    listed = f"({', '.join(map(shown, bound))})" if len(bound) != 1 else shown(bound[0])
    text = f"{op}({shown(body)}, over={listed})"
    value = wrap(body, lambda: text)
    if over is None:
        missing, name = f"{op}({shown(body)})", f"gc.{op}" if op in RESERVED else op
        raise NotationError(f"{name} does not say over which index.", at=((missing, missing, here()),),
                            fix=f"write {name}({shown(body)}, over=j).")
    for index in bound:
        if not isinstance(index, IndexVariable):
            two = f" The {op}imum of two values is gc.{op}imum(x, y)." if op in ("max", "min") else ""
            raise NotationError(f"over={shown(index)} of gc.{op} is not an index.", at=((text, shown(index), here()),),
                                fix="give an index of gc.indices, or a tuple of them." + two)
    symbols = [Index(index.name) for index in bound]
    if len(set(symbols)) != len(symbols) or not symbols:
        raise NotationError(f"gc.{op} reduces over {'an index twice' if symbols else 'no index'}.", at=((text, f"over={listed}", here()),),
                            fix="name each index once.")
    reads, ranges, inner = merged((value, *bound))
    present = {*unbound(value.node), *(i for access in lost_reads(value.node, value.reads) for i in indices_of(access))}
    for symbol in symbols:
        if symbol not in present and symbol not in ranges:
            raise NotationError(f"The index {symbol} of over= does not occur in the body of gc.{op} and has no range.",
                                at=((text, str(symbol), here()),), fix=f'use {symbol} in the body, or declare gc.index("{symbol}", n).')
    node = value.node
    if op in ("any", "all"):
        node = node if isinstance(node, Compare | Logical) else Compare("!=", node, sp.Integer(0))
    elif isinstance(node, Compare | Logical):
        node = Where(node, sp.Integer(1), sp.Integer(0))
    mapping: dict[Any, Any] = {symbol: Index(f"{symbol.name.split('@')[0]}@{next(_fresh)}") for symbol in symbols}
    new_reads = {substitute(a, mapping): t for a, t in reads.items()}
    new_ranges = {mapping.get(i, i): limits for i, limits in ranges.items()}
    name = f"{op}_split" if ties == "split" else op
    result = Reduce(name, substitute(node, mapping), tuple(mapping[s] for s in symbols))
    return Expr(result, new_reads, new_ranges, inner | frozenset(symbols), _types(op, value))


def _types(op: str, body: Expr) -> Types:
    """What the type of a reduction is the common one of."""
    if op in ("any", "all"):
        return frozenset({"bool"})
    if op in ("argmax", "argmin"):
        return frozenset({"int64"})
    if op in ("mean", "logsumexp"):
        return body.types | {"weak_float"}
    if op in ("sum", "prod"):
        return body.types if body.types <= {"weak_int", "weak_float"} else body.types | {"sum"}
    return body.types | {dtype_of(combined(op, Index("a"), Index("b")), str)} if op in REDUCTIONS else body.types


def _extremum(op: str, body: Any, over: Any, ties: str) -> Expr:
    if ties not in ("first", "split"):
        text = f"{op}({shown(body)}, …, ties={shown(ties)})"
        raise NotationError(f"ties={shown(ties)} of gc.{op} is unknown.", at=((text, shown(ties), here()),),
                            fix='use ties="first" (the first extremum gets the gradient) or ties="split" (equal ones share it).')
    return reduce(op, body, over, ties)


def sum_(body: Any, over: Any = None) -> Expr:
    """``Σ_over body``; 0 over an empty range."""
    return reduce("sum", body, over)


def mean(body: Any, over: Any = None) -> Expr:
    """The sum divided by the number of terms (terms dropped by `graphc.skip` do not count)."""
    return reduce("mean", body, over)


def prod(body: Any, over: Any = None) -> Expr:
    """``Π_over body``; 1 over an empty range; the gradient is exact with zeros."""
    return reduce("prod", body, over)


def max_(body: Any, over: Any = None, ties: str = "first") -> Expr:
    """The largest value; the first extremum in loop order gets the whole gradient, ``ties="split"`` shares it equally.

    Raises:
        ArgumentError: at the call, if the range is empty.
    """
    return _extremum("max", body, over, ties)


def min_(body: Any, over: Any = None, ties: str = "first") -> Expr:
    """The smallest value; ties as in `max_`."""
    return _extremum("min", body, over, ties)


def argmax(body: Any, over: Any = None) -> Expr:
    """The first position of the largest value, row-major in the order of `over`, int64."""
    return reduce("argmax", body, over)


def argmin(body: Any, over: Any = None) -> Expr:
    """The first position of the smallest value, row-major in the order of `over`, int64."""
    return reduce("argmin", body, over)


def logsumexp(body: Any, over: Any = None) -> Expr:
    """``log Σ exp(body)`` without overflow; -inf over an empty range."""
    return reduce("logsumexp", body, over)


def any_(body: Any, over: Any = None) -> Expr:
    """Whether the condition holds for at least one value; False over an empty range."""
    return reduce("any", body, over)


def all_(body: Any, over: Any = None) -> Expr:
    """Whether the condition holds for every value; True over an empty range."""
    return reduce("all", body, over)
