"""Functions and reductions that no target has are written in terms of those that all have."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from graphc.ir.expr import INFINITY, Access, Call, Compare, Where, build
from graphc.ir.functions import expanded
from graphc.ir.graph import Graph, fresh_names
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import rewrite

__all__ = ["expand_functions", "expand_logsumexp"]


def expand_functions(graph: Graph) -> Graph:
    """``relu(x)`` → ``maximum(x, 0)``, ``gelu(x)`` → ``x*(1 + erf(x/√2))/2``, the user's functions → their bodies."""
    return replace(graph, statements=tuple(replace(s, value=expanded(s.value)) for s in graph.statements))


def expand_logsumexp(graph: Graph) -> Graph:
    """``T = logsumexp(e)`` → ``T.max = supremum(e)``, ``T.sum += exp(e - T.max)``, ``T.rest = log(T.sum)``, ``T = T.max + T.rest``.

    The supremum of nothing is −∞. An infinite supremum is the result, whatever finite number is added.

    Where T is subtracted from something, the maximum is subtracted first: ``(z - T.max) - T.rest`` keeps the digits of z that
    ``z - T`` loses when both are large (Blanchard, Higham and Higham, IMA J. Numer. Anal. 41, 2021).
    """
    tensors = dict(graph.by_name())
    statements: list[Statement] = []
    parts: dict[str, tuple[str, str]] = {}
    for s in graph.statements:
        if s.op != "logsumexp":
            statements.append(s)
            continue
        source = tensors[s.target]
        names = fresh_names([f"{s.target}.max", f"{s.target}.sum", f"{s.target}.rest"], tensors)
        for name in names.values():
            tensors[name] = Tensor(name, source.shape, source.dtype, "defined", source.group)
        top, total, rest = (Access(name, *s.subscripts) for name in names.values())
        parts[s.target] = (top.tensor, rest.tensor)
        term = Where(Compare("==", Call("abs", top), INFINITY), sp.Integer(1), _difference(s.value, top))
        free = tuple(s.range_of(i) for i in s.free)
        statements += [
            replace(s, target=top.tensor, op="supremum"),
            replace(s, target=total.tensor, op="+=", value=term),
            replace(s, target=rest.tensor, op="=", value=Call("log", total), ranges=free, domain=()),
            replace(s, op="=", value=_sum(top, rest), ranges=free, domain=()),
        ]
    if not parts:
        return graph
    subtracted = tuple(replace(s, value=rewrite(s.value, lambda p: _split(p, parts))) for s in statements)
    return replace(graph, tensors=tuple(tensors.values()), statements=subtracted)


def _split(part: sp.Basic, parts: dict[str, tuple[str, str]]) -> sp.Expr | None:
    """``z - T`` → ``(z - T.max) - T.rest`` and ``T - z`` → ``T.rest - (z - T.max)``, in differences that keep their order."""
    if not isinstance(part, sp.Add):
        return None
    for term in part.args:
        for sign, read in ((1, term), (-1, -term)):
            if isinstance(read, Access) and read.tensor in parts:
                top, rest = (Access(name, *read.subscripts) for name in parts[read.tensor])
                others = build(lambda: sp.Add(*(a for a in part.args if a is not term)))  # noqa: B023
                if sign < 0:
                    return Call("difference", Call("difference", others, top), rest)
                return Call("difference", rest, Call("difference", build(lambda: -others), top))  # noqa: B023
    return None


def _difference(value: sp.Expr, top: sp.Expr) -> sp.Expr:
    return build(lambda: Call("exp", value - top))


def _sum(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    return build(lambda: a + b)
