"""Tensors and statements that a transform adds to a graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

import sympy as sp

from graphc.ir.graph import Graph, fresh_name, reads
from graphc.ir.origin import Given
from graphc.ir.statement import Statement, zeros
from graphc.ir.tensor import Tensor

__all__ = ["Extension", "above", "below", "between"]


@dataclass
class Extension:
    """A graph that grows: names that are given are unique in it."""

    graph: Graph
    tensors: dict[str, Tensor] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tensors = dict(self.graph.by_name())

    def add_tensor(self, wanted: str, shape: tuple[sp.Expr, ...], dtype: str, group: str) -> str:
        """Declare a tensor; returns its name, which is the wanted one with a number behind it if that is taken."""
        name = fresh_name(wanted, self.tensors)
        self.tensors[name] = Tensor(name, shape, dtype, "defined", group)
        return name

    def add_zeros(self, name: str, reason: str) -> None:
        self.statements.append(zeros(name, self.tensors[name].shape, Given(reason)))

    def result(self, outputs: Sequence[str]) -> Graph:
        """The graph with what has been added, and with more outputs."""
        return replace(self.graph, tensors=tuple(self.tensors.values()), statements=(*self.graph.statements, *self.statements),
                       outputs=(*self.graph.outputs, *outputs))


def between(graph: Graph, sources: Iterable[str], sinks: Iterable[str]) -> set[str]:
    """Names of the tensors that depend on `sources` and that `sinks` depend on, both included."""
    return below(graph, sources) & above(graph, sinks)


def above(graph: Graph, sinks: Iterable[str], stop: Collection[str] = ()) -> set[str]:
    """Names of the tensors that `sinks` depend on, these included; what only tensors in `stop` depend on is left out."""
    definitions = graph.definitions()
    return _closure(sinks, lambda n: () if n in stop else (r for s in definitions[n] for r in reads(s)))


def below(graph: Graph, sources: Iterable[str]) -> set[str]:
    """Names of the tensors that depend on `sources`, these included."""
    users: dict[str, list[str]] = {}
    for s in graph.statements:
        for name in reads(s):
            users.setdefault(name, []).append(s.target)
    return _closure(sources, lambda n: users.get(n, ()))


def _closure(start: Iterable[str], neighbours: Callable[[str], Iterable[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(neighbours(name))
    return found
