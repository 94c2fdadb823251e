"""Reductions over rows that ranks cannot exchange, in terms of those that they can."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import sympy as sp

from graphc.analysis.sharding import Sharding
from graphc.errors import NotationError
from graphc.ir.distribution import KINDS
from graphc.ir.dtypes import dtype_of, settle
from graphc.ir.expr import Access, Compare, Logical, Where
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.show import statement
from graphc.ir.tensor import Tensor
from graphc.passes.expand import expand_logsumexp

__all__ = ["exchangeable"]

_FARTHEST = sp.Integer(2**63 - 1)


def exchangeable(graph: Graph, found: Sharding) -> Graph:
    """Write reductions over rows that no exchange has in terms of those that have one.

    ``logsumexp`` becomes a maximum and a sum, ``argmax`` a maximum and the first position at which it stands.

    Raises:
        NotationError: a reduction is the user's, or an extremum over rows has a condition.
    """
    pairs = list(zip(graph.statements, found.rows, strict=True))
    over = [s for s, rows in pairs if rows is not None and rows.index in s.reduced]
    for s in over:
        op = s.op.removeprefix("arg")
        if op not in KINDS and op != "logsumexp":
            raise NotationError(f"{s.op} runs over the rows that sharding {found.name} divides; only sums, products, extrema, logsumexp, "
                                "any and all are exchanged between ranks.", at=((statement(s), s.op, s.location),),
                                fix="shard another index.")
        if op in ("max", "min", "max_split", "min_split") and s.domain:
            raise NotationError(f"The {s.op.removesuffix('_split')} over the rows that sharding {found.name} divides has a condition: a "
                                "rank may have nothing to compare.", at=((statement(s), s.op.removesuffix("_split"), s.location),),
                                fix="put gc.where into it, with -inf or inf where the condition does not hold.")
    if any(s.op.startswith("arg") for s in over):
        graph = _positions(graph, {id(s) for s in over if s.op.startswith("arg")})
    return expand_logsumexp(graph) if any(s.op == "logsumexp" for s in over) else graph


def _positions(graph: Graph, chosen: Collection[int]) -> Graph:
    """``T = argmax(e)`` → ``T.best = max(e)``, ``T = min(position where e is T.best)``; NaN is the largest and the smallest value."""
    tensors, made = dict(graph.by_name()), []
    for s in graph.statements:
        if id(s) not in chosen:
            made.append(s)
            continue
        best = fresh_name(f"{s.target}.best", tensors)
        dtype = settle(dtype_of(s.value, lambda name: tensors[name].dtype))
        tensors[best] = Tensor(best, tensors[s.target].shape, dtype, "defined", tensors[s.target].group)
        top, position = Access(best, *s.subscripts), sp.Integer(0)
        for index in s.reduced:
            r = s.range_of(index)
            position = sp.expand(position * r.extent + index - r.lower) if r.extent.is_Integer else position * r.extent + index - r.lower
        hit = Logical("or", Compare("==", s.value, top), Logical("and", Compare("!=", s.value, s.value), Compare("!=", top, top)))
        made += [replace(s, target=best, op=s.op.removeprefix("arg")), replace(s, op="min", value=Where(hit, position, _FARTHEST))]
    return replace(graph, tensors=tuple(tensors.values()), statements=tuple(made))
