"""What has a padded copy is read from the copy, where the copy is there anyway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import sympy as sp

from graphc.analysis.recurrence import cyclic
from graphc.ir.expr import Access, Index, Where
from graphc.ir.graph import Graph, reads
from graphc.ir.statement import Statement
from graphc.ir.tree import accesses, contains, indices_of, rewrite

__all__ = ["read_padded"]


def read_padded(graph: Graph) -> Graph:
    """Behind a product with ``X.padded``, ``X[i]`` is read as ``X.padded[i+1]``, so that only one of the two is kept for the backward half.

    That is done where no other product reads X behind it. Results, inputs, recurrences and what
    `graphc.checkpoint` treats stay.
    """
    recurrent = cyclic(graph)
    readers: dict[str, list[Statement]] = {t.name: [] for t in graph.tensors}
    for s in graph.statements:
        for name in reads(s):
            readers[name].append(s)
    mapping: dict[int, Statement] = {}
    for copy, shift in _copies(graph, recurrent):
        assert isinstance(copy.value, Where)
        source = copy.value.value.tensor
        behind = _behind(copy.target, readers)
        later = [s for s in readers[source] if s.target in behind and s is not copy]
        if later and all(map(_is_plain, later)):
            for s in later:
                mapping[id(s)] = _moved(mapping.get(id(s), s), source, copy.target, shift)
    if not mapping:
        return graph
    return replace(graph, statements=tuple(mapping.get(id(s), s) for s in graph.statements))


def _copies(graph: Graph, recurrent: set[str]) -> Iterator[tuple[Statement, tuple[sp.Expr, ...]]]:
    """Statements ``P[i] = where(inside, X[i-b], …)`` that alone define P, and b."""
    definitions = graph.definitions()
    for s in graph.statements:
        value = s.value
        if s.op != "=" or s.domain or not isinstance(value, Where) or not isinstance(value.value, Access) or len(definitions[s.target]) > 1:
            continue
        source = graph.tensor(value.value.tensor)
        if source.is_input or source.every or source.name in graph.outputs or {source.name, s.target} & recurrent:
            continue
        below = [sp.expand(i - at) for i, at in zip(s.subscripts, value.value.subscripts)]
        if len(s.subscripts) == len(source.shape) and all(isinstance(i, Index) for i in s.subscripts) and not any(map(indices_of, below)):
            if len(set(s.subscripts)) == len(s.subscripts) and source.dtype == graph.tensor(s.target).dtype and s.origin is not None:
                yield s, tuple(below)


def _behind(name: str, readers: Mapping[str, Sequence[Statement]]) -> set[str]:
    """Tensors that are computed from this one."""
    found: set[str] = set()
    left = [name]
    while left:
        for s in readers[left.pop()]:
            if s.target not in found:
                found.add(s.target)
                left.append(s.target)
    return found


def _is_plain(statement: Statement) -> bool:
    """Whether the contraction engine has nothing to do with it, and no read stands in a subscript."""
    factors = [f for f in sp.Mul.make_args(statement.value) if isinstance(f, Access)]
    gathers = any(contains(subscript, Access) for read in accesses(statement.value) for subscript in read.subscripts)
    return not (statement.scatters or gathers or (statement.reduced and len(factors) > 1))


def _moved(statement: Statement, source: str, copy: str, shift: Sequence[sp.Expr]) -> Statement:
    def rule(part: sp.Basic) -> sp.Basic | None:
        if not isinstance(part, Access) or part.tensor != source:
            return None
        return Access(copy, *(sp.expand(at + b) for at, b in zip(part.subscripts, shift, strict=True)))

    return replace(statement, value=rewrite(statement.value, rule), order=tuple(rewrite(a, rule) for a in statement.order))
