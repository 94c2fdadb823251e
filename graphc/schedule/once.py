"""Variables with the same value are one variable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import sympy as sp

from graphc.ir.expr import Access
from graphc.ir.nest import Assign, Combine, For, If, Local, Loop, Nest, Node, Outside, Step, Store, Unravel, nodes_in
from graphc.ir.tree import accesses, contains, substitute, symbols_of

__all__ = ["once"]

_Known = dict[tuple[sp.Expr, str], Local]
"""Variables by their values and types."""


def once(step: Step) -> Step:
    """The step without variables that hold what another one holds already: statements that were joined read the same elements."""
    if isinstance(step, Loop):
        return replace(step, steps=tuple(map(once, step.steps)))
    if not isinstance(step, Nest):
        return step
    worker = _Worker(step.kernel.body)
    body = worker.block(step.kernel.body, {})
    return replace(step, kernel=replace(step.kernel, body=worker.renamed(body))) if worker.same else step


class _Worker:
    def __init__(self, body: Sequence[Node]) -> None:
        nodes = list(nodes_in(body))
        times = Counter(name for n in nodes for name in _assigned(n))
        self.fixed = {name for name, count in times.items() if count == 1}
        self.same: dict[sp.Basic, sp.Expr] = {}

    def block(self, nodes: Sequence[Node], known: _Known) -> tuple[Node, ...]:
        """The nodes without variables whose values are known; `same` then has what they are."""
        known, result = dict(known), []
        for node in nodes:
            if isinstance(node, For):
                _forget(known, {str(node.index)}, node.body)
                node = replace(node, body=self.block(node.body, known))
            elif isinstance(node, If):
                node = replace(node, body=self.block(node.body, known))
                _forget(known, set(), node.body)
            elif isinstance(node, Assign) and node.name in self.fixed and self._steady(node.value):
                value = node.value, node.dtype
                if value in known:
                    self.same[node.name] = known[value]
                    continue
                known[value] = node.name
            else:
                _forget(known, set(), (node,))
            result.append(node)
        return tuple(result)

    def _steady(self, value: sp.Expr) -> bool:
        """Whether it is read from a tensor, and by names that mean one thing."""
        return contains(value, Access) and all(s in self.fixed for s in symbols_of(value) if isinstance(s, Local))

    def renamed(self, nodes: Sequence[Node]) -> tuple[Node, ...]:
        return tuple(self._renamed(n) for n in nodes)

    def _renamed(self, node: Node) -> Node:
        def new(value: sp.Expr) -> sp.Expr:
            return substitute(value, self.same)

        match node:
            case For():
                return replace(node, lower=tuple(map(new, node.lower)), upper=tuple(map(new, node.upper)), body=self.renamed(node.body))
            case If():
                return If(new(node.condition), self.renamed(node.body))
            case Assign() | Combine() | Outside():
                return replace(node, value=new(node.value))
            case Store():
                return replace(node, value=new(node.value), subscripts=tuple(map(new, node.subscripts)))
            case Unravel():
                return replace(node, line=new(node.line), parts=tuple((i, new(e)) for i, e in node.parts))
        return node


def _assigned(node: Node) -> tuple[sp.Basic, ...]:
    match node:
        case Assign():
            return (node.name,)
        case Combine():
            return node.name, node.name, node.other, node.other
    return ()


def _forget(known: _Known, changed: set[str], nodes: Sequence[Node]) -> None:
    """Without values that these nodes, or the names that change, may make others."""
    every = list(nodes_in(nodes))
    written = {n.tensor for n in every if isinstance(n, Store)}
    changed |= {str(n.index) for n in every if isinstance(n, For)} | {str(i) for n in every if isinstance(n, Unravel) for i, _ in n.parts}
    for value, dtype in list(known):
        if any(a.tensor in written for a in accesses(value)) or any(str(s) in changed for s in symbols_of(value)):
            del known[value, dtype]
