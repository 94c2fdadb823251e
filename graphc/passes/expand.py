"""Functions and reductions that no target has are written in terms of those that all have."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from graphc.ir.expr import INFINITY, Access, Call, Compare, Where, build, rewrite
from graphc.ir.functions import FUNCTIONS, expand_call
from graphc.ir.graph import Graph, fresh_names
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor

__all__ = ["expand_functions", "expand_logsumexp"]


def expand_functions(graph: Graph) -> Graph:
    """``relu(x)`` → ``maximum(x, 0)``, ``gelu(x)`` → ``x*(1 + erf(x/√2))/2``, the user's functions → their bodies."""

    def rule(part: sp.Basic) -> sp.Basic | None:
        if isinstance(part, Call) and FUNCTIONS[part.function].expansion is not None:
            return rewrite(build(lambda: expand_call(part)), rule)
        return None

    return replace(graph, statements=tuple(replace(s, value=rewrite(s.value, rule)) for s in graph.statements))


def expand_logsumexp(graph: Graph) -> Graph:
    """``T = logsumexp(e)`` → ``T.max = max(e)``, ``T.sum += exp(e - T.max)``, ``T = T.max + log(T.sum)``."""
    tensors = dict(graph.by_name())
    statements: list[Statement] = []
    for s in graph.statements:
        if s.op != "logsumexp":
            statements.append(s)
            continue
        source = tensors[s.target]
        names = fresh_names([f"{s.target}.max", f"{s.target}.sum"], tensors)
        for name in names.values():
            tensors[name] = Tensor(name, source.shape, source.dtype, "defined", source.group)
        top, total = (Access(name, *s.subscripts) for name in names.values())
        term = Where(Compare("==", top, -INFINITY), sp.Integer(0), build(lambda: Call("exp", s.value - top)))  # noqa: B023
        free = tuple(s.range_of(i) for i in s.free)
        statements += [
            replace(s, target=top.tensor, op="max"),
            replace(s, target=total.tensor, op="+=", value=term),
            replace(s, op="=", value=build(lambda: top + Call("log", total)), ranges=free, domain=()),  # noqa: B023
        ]
    return replace(graph, tensors=tuple(tensors.values()), statements=tuple(statements))
