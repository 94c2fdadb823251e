"""What is known inside of the loops of a kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count

import sympy as sp

from graphc.analysis.conditions import known_on
from graphc.analysis.legality import in_range
from graphc.analysis.touches import Path
from graphc.ir.dtypes import is_integer
from graphc.ir.expr import Access, Call, Choice, Index, Where
from graphc.ir.nest import Assign, For, If, Local, Node, Store, Unravel, nodes_in
from graphc.ir.tensor import Tensor
from graphc.ir.tree import contains, postorder, substitute, symbols_of

__all__ = ["Facts", "Surroundings", "readable"]

Facts = tuple[sp.Expr, ...]
"""Expressions that are ≥ 0."""


def readable(node: sp.Basic, tensors: Mapping[str, Tensor], facts: Facts, path: Path = ()) -> bool:
    """Whether all that an expression reads is provably in range, where its conditions choose what is computed."""
    if isinstance(node, Where) and not isinstance(node, Choice):
        branches = ((node.value, True), (node.other, False))
        inside = all(readable(b, tensors, facts, (*path, (node.condition, truth))) for b, truth in branches)
        return inside and readable(node.condition, tensors, facts, path)
    if isinstance(node, Access):
        known, shape = known_on(path, facts), tensors[node.tensor].shape
        if len(node.subscripts) != len(shape):
            return False  # where a loop goes over all elements in one dimension, its end is a product of extents
        return all(not contains(s, Access) and in_range(s, e, known) for s, e in zip(node.subscripts, shape, strict=True))
    return all(readable(a, tensors, facts, path) for a in node.args)


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
        times = Counter(n.name for n in nodes if isinstance(n, Assign))
        self._integers = {name: Index(name.name) for name, dtype in self.locals.items() if times[name] == 1 and is_integer(dtype)}
        symbols = {s for n in nodes if isinstance(n, Assign | Store) for s in symbols_of(n.value)}
        self._variables: dict[str, list[sp.Basic]] = {}  # a loop of a recurrence and its body know an index by name only
        for symbol in sorted(symbols, key=lambda s: (str(s), type(s).__name__)):
            self._variables.setdefault(str(symbol), []).append(symbol)
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
            return known_on(((self.as_indices(node.condition), True),), facts)
        found: list[sp.Expr] = []
        for variable in self.named(node.index):
            found += (sp.expand(variable - _least(low)) for low in node.lower)
            found += (sp.expand(_most(high) - 1 - variable) for high in node.upper)
        for n in node.body:
            if isinstance(n, Unravel):
                found += (e for i, extent in n.parts for part in self.named(i) for e in (part, sp.expand(extent - 1 - part)))
        return (*facts, *found)

    def as_indices(self, node: sp.Expr) -> sp.Expr:
        """The expression with integer variables that have one value as indices: about these, something can be proved."""
        return substitute(node, self._integers) if contains(node, Local) else node

    def named(self, index: sp.Basic) -> list[sp.Basic]:
        """All symbols that stand for the variable of a loop."""
        return self._variables.get(str(index), [index])

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
