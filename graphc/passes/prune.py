"""Drop what nobody needs, compute equal things once, and look through copies."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import sympy as sp

from graphc.ir.expr import Access, Index
from graphc.ir.graph import Graph, reads
from graphc.ir.statement import Range, Statement, revised
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, postorder, rewrite, substitute

__all__ = ["inline_copies", "merge", "prune", "rename_tensors", "whole"]


def prune(graph: Graph) -> Graph:
    """Keep the tensors that the outputs depend on."""
    definitions = graph.definitions()
    needed: set[str] = set()
    waiting = list(graph.outputs)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(source for s in definitions[name] for source in reads(s))
    return replace(
        graph,
        tensors=tuple(t for t in graph.tensors if t.name in needed),
        statements=tuple(s for s in graph.statements if s.target in needed),
    )


def rename_tensors(graph: Graph, mapping: dict[str, str], name: str = "merge") -> Graph:
    """Let every read of a tensor in `mapping` read another one instead."""

    def rule(part: sp.Basic) -> sp.Basic | None:
        return Access(mapping[part.tensor], *part.subscripts) if isinstance(part, Access) and part.tensor in mapping else None

    through = _Through(rule, mapping)
    return replace(graph, statements=tuple(
        through(s, name, ", ".join(f"{n} is {mapping[n]}" for n in reads(s) if n in mapping)) for s in graph.statements))


class _Through:
    """A rule for the reads of some tensors, applied to statements; equal parts of different statements are rewritten once."""

    def __init__(self, rule: Callable[[sp.Basic], sp.Basic | None], tensors: Collection[str]) -> None:
        self.rule, self.tensors = rule, tensors
        self.done: dict[sp.Basic, sp.Basic] = {}

    def __call__(self, statement: Statement, name: str, told: str | tuple[Statement, ...]) -> Statement:
        if not any(a.tensor in self.tensors for part in (statement.value, *statement.subscripts, *statement.order) for a in accesses(part)):
            return statement
        return revised(
            statement, name, told,
            value=self.node(statement.value),
            subscripts=tuple(map(self.node, statement.subscripts)),
            order=tuple(map(self.node, statement.order)),
        )

    def node(self, node: sp.Expr) -> sp.Expr:
        return rewrite(node, self.rule, self.done)


def _key(tensor: Tensor, statements: list[Statement]) -> tuple[object, ...]:
    """Equal for tensors with equal definitions, and for no others."""
    return tensor.shape, tensor.dtype, frozenset(_canonical(s) for s in statements), len(statements)


def _features(tensor: Tensor, statements: list[Statement]) -> tuple[object, ...]:
    """Equal for tensors with equal definitions, and seldom for others."""
    each = frozenset((s.op, frozenset(reads(s)), len(s.ranges), len(s.domain), len(postorder(s.value))) for s in statements)
    return tensor.shape, tensor.dtype, each, len(statements)


def _canonical(statement: Statement) -> tuple[object, ...]:
    """The statement with indices numbered, for comparison."""
    order = (*statement.free, *statement.reduced)
    mapping: dict[sp.Basic, sp.Expr] = {index: Index(f"_{k}") for k, index in enumerate(order)}
    ranges = tuple((substitute(r.lower, mapping), substitute(r.upper, mapping)) for r in (statement.range_of(i) for i in order))
    domain = frozenset(substitute(d, mapping) for d in statement.domain)
    return tuple(substitute(s, mapping) for s in statement.subscripts), statement.op, substitute(statement.value, mapping), ranges, domain


def merge(graph: Graph) -> Graph:
    """Temporaries with equal definitions become one; outputs keep their own arrays."""
    definitions = graph.definitions()
    alone: dict[tuple[object, ...], tuple[Tensor, list[Statement]] | None] = {}
    seen: dict[tuple[object, ...], str] = {}
    mapping: dict[str, str] = {}
    for name in graph.order():
        statements = definitions[name]
        if not statements or any(name in reads(s) for s in statements):
            continue
        found = graph.tensor(name), [_reading(s, mapping) for s in statements]
        features = _features(*found)
        if features not in alone:
            alone[features] = found
            continue
        if (other := alone[features]) is not None:
            alone[features] = None
            seen[_key(*other)] = other[0].name
        key = _key(*found)
        first = seen.setdefault(key, name)
        if first != name:
            if name in graph.outputs:
                if first in graph.outputs:
                    continue
                mapping[first] = name
                seen[key] = name
            else:
                mapping[name] = first
    if not mapping:
        return graph
    final = {name: _last(name, mapping) for name in mapping}
    kept = replace(graph, statements=tuple(s for s in graph.statements if s.target not in final))
    return prune(rename_tensors(kept, final))


def _last(name: str, mapping: dict[str, str]) -> str:
    while name in mapping:
        name = mapping[name]
    return name


def _reading(statement: Statement, mapping: dict[str, str]) -> Statement:
    """The statement with other tensors in its reads."""
    if not any(name in mapping for name in reads(statement)):
        return statement

    def rule(part: sp.Basic) -> sp.Basic | None:
        return Access(_last(part.tensor, mapping), *part.subscripts) if isinstance(part, Access) and part.tensor in mapping else None

    return replace(statement, value=rewrite(statement.value, rule), subscripts=tuple(rewrite(s, rule) for s in statement.subscripts))


def inline_copies(graph: Graph) -> Graph:
    """Temporaries that only rename or permute another tensor are read through: ``D[i,j] = E[j,i]`` makes ``D[a,b]`` ``E[b,a]``."""
    copies: dict[str, Statement] = {}

    def rule(part: sp.Basic) -> sp.Basic | None:
        if isinstance(part, Access) and part.tensor in copies:
            copy = copies[part.tensor]
            return substitute(copy.value, dict(zip(copy.subscripts, part.subscripts, strict=True)))
        return None

    definitions = graph.definitions()
    for name in graph.order():
        if name not in graph.outputs and len(definitions[name]) == 1 and _copies(definitions[name][0], graph):
            source = rewrite(definitions[name][0].value, rule)
            if source.tensor != name:
                copies[name] = replace(definitions[name][0], value=source)
    if not copies:
        return graph
    through = _Through(rule, copies)
    statements = tuple(
        through(s, "copy", tuple(copies[n] for n in reads(s) if n in copies)) for s in graph.statements if s.target not in copies
    )
    return prune(replace(graph, statements=statements))


def _copies(statement: Statement, graph: Graph) -> bool:
    """Whether the statement says ``D[i,j] = E[…]`` for all of D."""
    source, target = statement.value, graph.tensor(statement.target)
    return (
        isinstance(source, Access)
        and statement.op in ("=", "+=")
        and graph.tensor(source.tensor).dtype == target.dtype
        and whole(statement, target)
    )


def whole(statement: Statement, target: Tensor) -> bool:
    """Whether every element of the target is written, once, by plain loops."""
    return (
        not statement.domain
        and not statement.reduced
        and len(set(statement.subscripts)) == len(statement.subscripts)
        and all(isinstance(s, Index) and _whole(statement.range_of(s), e) for s, e in zip(statement.subscripts, target.shape, strict=True))
    )


def _whole(r: Range, extent: sp.Expr) -> bool:
    return bool(r.lower == 0 and sp.expand(r.upper - extent) == 0)
