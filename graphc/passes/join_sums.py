"""Contributions to one tensor over the same loops become one where both compute the same expensive function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sympy as sp

from graphc.analysis.recurrence import cyclic
from graphc.ir.dtypes import dtype_of, is_float
from graphc.ir.expr import Access, Call, build_from
from graphc.ir.functions import FUNCTIONS
from graphc.ir.graph import Graph
from graphc.ir.origin import Rewrite
from graphc.ir.statement import Statement, rename
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, contains, postorder

__all__ = ["join_sums"]

LARGE = 300
"""Distinct nodes of an expression beyond which nothing is added to it."""


def join_sums(graph: Graph) -> Graph:
    """``D[j] += A[i]*exp(X[i,j])`` and ``D[j] += B[i]*X[i,j]*exp(X[i,j])`` become ``D[j] += A[i]*exp(X[i,j]) + B[i]*X[i,j]*exp(X[i,j])``.

    What an expression reads in several places gets a derivative for each of them, and all of these contain its functions; they are
    computed once in a loop. Sums of products, which the contraction engine computes, contain none.
    """
    recurrent, tensors = cyclic(graph), graph.by_name()
    statements: list[Statement] = []
    for statement in graph.statements:
        places = [] if statement.target in recurrent else [k for k, other in enumerate(statements) if other.target == statement.target]
        for place in places:
            joined = _joined(statements[place], statement, tensors)
            if joined is not None:
                statements[place] = joined
                break
        else:
            statements.append(statement)
    return replace(graph, statements=tuple(statements)) if len(statements) < len(graph.statements) else graph


def _joined(first: Statement, second: Statement, tensors: Mapping[str, Tensor]) -> Statement | None:
    """Both as one statement, if they are sums over the same loops that share a function."""
    if first.op != "+=" or second.op != "+=" or not first.reduced or first.scatters or len(first.loops) != len(second.loops):
        return None
    if not _expensive(first.value) or first.bound or second.bound:
        return None
    second = rename(second, {a.index: b.index for a, b in zip(second.loops, first.loops, strict=True) if a.index != b.index})
    same = first.subscripts == second.subscripts and first.ranges == second.ranges and set(first.domain) == set(second.domain)
    if not same or not _expensive(first.value) & _expensive(second.value) or _dtype(first, tensors) != _dtype(second, tensors):
        return None
    if len(postorder(first.value)) + len(postorder(second.value)) > LARGE or not is_float(tensors[first.target].dtype):
        return None
    if any(contains(s, Access) for part in (first.value, second.value) for a in accesses(part) for s in a.subscripts):
        return None  # what an error says of an integer that points outside names the statement and its line
    value = build_from(lambda *values: sp.Add(*values), first.value, second.value)
    origin = Rewrite("join", "contributions that share functions are computed together", first)
    return replace(first, value=value, order=(*first.order, *second.order), origin=origin)


def _expensive(value: sp.Expr) -> set[sp.Basic]:
    """Its elementary functions."""
    return {p for p in postorder(value) if isinstance(p, Call) and p.function in FUNCTIONS and FUNCTIONS[p.function].cost > 1}


def _dtype(statement: Statement, tensors: Mapping[str, Tensor]) -> str:
    return dtype_of(statement.value, lambda name: tensors[name].dtype)
