"""Reductions over rows that ranks cannot exchange, in terms of those that they can."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from graphc.analysis.sharding import Sharding
from graphc.errors import NotationError
from graphc.ir.affine import linear
from graphc.ir.distribution import KINDS
from graphc.ir.dtypes import dtype_of, settle
from graphc.ir.expr import Access, Compare, Logical, Where
from graphc.ir.graph import Graph, fresh_names
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
    graph = _positions(graph, found)
    return expand_logsumexp(graph) if any(s.op == "logsumexp" for s in over) else graph


def _positions(graph: Graph, found: Sharding) -> Graph:
    """``T = argmax(e)`` → ``T.value = e``, ``T.best = max(T.value)``, ``T = min(position where T.value is T.best)``.

    NaN is the largest and the smallest value. What is compared is stored, because it may have another rounding when it is computed twice.
    """
    tensors, made = dict(graph.by_name()), []
    for s, rows in zip(graph.statements, found.rows, strict=True):
        if not s.op.startswith("arg") or rows is None or rows.index not in s.reduced:
            made.append(s)
            continue
        value, best = fresh_names([f"{s.target}.value", f"{s.target}.best"], tensors).values()
        dtype, source = settle(dtype_of(s.value, lambda name: tensors[name].dtype)), tensors[s.target]
        shape = tuple(found.extent if r.index == rows.index else r.upper for r in s.ranges)
        tensors[value] = Tensor(value, shape, dtype, "defined", source.group)
        tensors[best] = Tensor(best, source.shape, dtype, "defined", source.group)
        read = Access(value, *(r.index + rows.shift if r.index == rows.index else r.index for r in s.ranges))
        top, position = Access(best, *s.subscripts), sp.Integer(0)
        for r in (s.range_of(index) for index in s.reduced):
            position = position * r.extent + r.index - r.lower
        hit = Logical("or", Compare("==", read, top), Logical("and", Compare("!=", read, read), Compare("!=", top, top)))
        made += [
            replace(s, target=value, subscripts=read.subscripts, op="="),
            replace(s, target=best, op=s.op.removeprefix("arg"), value=read),
            replace(s, op="min", value=Where(hit, sp.expand(position) if linear(position) else position, _FARTHEST)),
        ]
    return replace(graph, tensors=tuple(tensors.values()), statements=tuple(made))
