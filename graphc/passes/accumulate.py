"""Sums of sums in a recurrence are accumulated in one tensor."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from graphc.analysis.recurrence import components
from graphc.ir.expr import Access, Index, build
from graphc.ir.graph import Graph
from graphc.ir.origin import Rewrite
from graphc.ir.statement import Statement
from graphc.ir.tree import accesses

__all__ = ["accumulate"]


def accumulate(graph: Graph) -> Graph:
    """``z[t,b,k] = p[t,b,k] + q[t,b,k] + b[k]``, where p and q are sums that nothing else reads: z itself adds up their terms.

    Only where one of them belongs to the same recurrence as z: its steps then go over one array instead of three. Elsewhere a sum
    is best read by a kernel that has more to do with it.
    """
    of_group = {name: group for group in components(graph) if len(group) > 1 for name in group}
    instead: dict[str, Statement] = {}
    statements: list[Statement] = []
    for s in graph.statements:
        found = [a for a in _terms(s, graph) if a.tensor not in instead]
        if s.target not in of_group or not any(a.tensor in of_group[s.target] for a in found):
            statements.append(s)
            continue
        instead |= {a.tensor: s for a in found}
        rest = _sum([t for t in sp.Add.make_args(s.value) if t not in found])
        if rest != 0:
            origin = Rewrite("accumulation", "sums that are added to what they are a part of", s)
            statements.append(replace(s, op="+=", value=rest, order=tuple(a for a in s.order if a not in found), origin=origin))
    if not instead:
        return graph
    statements = [replace(s, target=_root(s.target, instead)) for s in statements]
    return replace(graph, tensors=tuple(t for t in graph.tensors if t.name not in instead), statements=tuple(statements))


def _sum(terms: list[sp.Expr]) -> sp.Expr:
    return build(lambda: sp.Add(*terms))


def _root(name: str, instead: dict[str, Statement]) -> str:
    while name in instead:
        name = instead[name].target
    return name


def _terms(statement: Statement, graph: Graph) -> list[Access]:
    """The terms of a tensor's only definition that are whole sums, and read by nothing else."""
    target, subscripts = graph.tensor(statement.target), statement.subscripts
    if len(graph.definitions()[statement.target]) > 1 or statement.op not in ("=", "+=") or statement.domain or statement.reduced:
        return []
    if len(set(subscripts)) < len(subscripts) or not all(isinstance(x, Index) for x in subscripts):
        return []
    ranges = [statement.range_of(x) for x in subscripts]
    if any(r.lower != 0 or sp.expand(r.upper - e) != 0 for r, e in zip(ranges, target.shape, strict=True)):
        return []
    found = []
    for term in sp.Add.make_args(statement.value):
        if not isinstance(term, Access) or term.subscripts != subscripts or graph.readers()[term.tensor] != {target.name}:
            continue
        part, definitions = graph.tensor(term.tensor), graph.definitions()[term.tensor]
        once = sum(term.tensor == a.tensor for t in sp.Add.make_args(statement.value) for a in accesses(t)) == 1
        sums = definitions and all(s.op == "+=" and term.tensor not in s.reads for s in definitions)
        alike = (part.shape, part.dtype, part.every) == (target.shape, target.dtype, target.every)
        if once and sums and alike and not part.is_input and part.name not in graph.outputs:
            found.append(term)
    return found
