"""What is known inside of the loops of a kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import sympy as sp

from graphc.analysis.conditions import known_on
from graphc.ir.expr import Call
from graphc.ir.nest import Assign, For, If, Local, Node, Store, nodes_in
from graphc.ir.tree import postorder, substitute

__all__ = ["Facts", "Surroundings"]

Facts = tuple[sp.Expr, ...]
"""Expressions that are ≥ 0."""


def _least(bound: sp.Expr) -> sp.Expr:
    """A lower limit of the first value of a loop over a part of a range."""
    return substitute(bound, {p: sp.Integer(0) for p in postorder(bound) if isinstance(p, Call) and p.function == "split"})


def _most(bound: sp.Expr) -> sp.Expr:
    """An upper limit of the end of a loop over a part of a range."""
    return substitute(bound, {p: p.arguments[1] for p in postorder(bound) if isinstance(p, Call) and p.function == "split"})


class Surroundings:
    """The names and variables of a kernel.

    Attributes:
        locals: types of the scalar variables.
        names: of new ones, which nothing in the kernel has.
    """

    def __init__(self, body: Sequence[Node], prefix: str) -> None:
        nodes = list(nodes_in(body))
        self.locals = {n.name: n.dtype for n in nodes if isinstance(n, Assign)}
        symbols = {s for n in nodes if isinstance(n, Assign | Store) for s in n.value.free_symbols}
        self._variables = {str(s): s for s in symbols}  # a loop of a recurrence and its body know an index by name only
        taken = {*self._variables, *map(str, self.locals)} | {str(n.index) for n in nodes if isinstance(n, For)}
        self._names = (name for k in count() if (name := f"{prefix}{k}") not in taken)

    def new(self, dtype: str) -> Local:
        """A scalar variable."""
        name: Local = Local(next(self._names))
        self.locals[name] = dtype
        return name

    def inside(self, node: For | If, facts: Facts) -> Facts:
        """What is known in the body of a loop or a condition."""
        if isinstance(node, If):
            return known_on(((node.condition, True),), facts)
        variable = self._variables.get(str(node.index), node.index)
        lower = (sp.expand(variable - _least(low)) for low in node.lower)
        return (*facts, *lower, *(sp.expand(_most(high) - 1 - variable) for high in node.upper))

    def mapped(self, nodes: Sequence[Node], facts: Facts, rule: Callable[[For | If, Facts], Sequence[Node] | None]) -> tuple[Node, ...]:
        """The nodes, with every loop and condition for which the rule gives something replaced by that; the outer ones first."""
        result: list[Node] = []
        for node in nodes:
            if not isinstance(node, For | If):
                result.append(node)
                continue
            new = rule(node, facts)
            if new is None:
                body = self.mapped(node.body, self.inside(node, facts), rule)
                new = (node if all(a is b for a, b in zip(body, node.body, strict=False)) and len(body) == len(node.body)
                       else replace(node, body=body),)
            result += new
        return tuple(result)
