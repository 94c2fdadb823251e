"""Expressions as JSON: numbers, names of indices, and lists that begin with what they are (docs/json.md has the table)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from graphc.ir.expr import INFINITY, NAN, Access, BoundaryAccess, Call, Compare, FloorDiv, Index, Logical, Modulo, Reduce, Size, Where
from graphc.ir.show import Order
from graphc.ir.tree import postorder

__all__ = ["Writer", "shared_parts"]

LARGE, DEEP = 2000, 40
"""Nodes, written out, up to which an expression is written as it stands, and levels after which a part of a larger one is written alone."""

Json = Any


@dataclass
class Writer:
    """Writes the expressions of one statement.

    Attributes:
        order: of terms and factors.
        parts: sub-expressions that are written elsewhere, with their numbers.
        reads: the reads that have been written so far, each in front of those in its subscripts.
    """

    order: Order
    parts: Mapping[sp.Basic, int] = field(default_factory=dict)
    reads: list[sp.Basic] = field(default_factory=list)

    def write(self, node: sp.Basic, whole: bool = False) -> Json:
        """The expression; with `whole`, written even if it is a part."""
        if node in self.parts and not whole:
            return ["part", self.parts[node]]
        if isinstance(node, Access | BoundaryAccess):
            return self._read(node)
        simple = _atom(node)
        return self._composed(node) if simple is None else simple

    def _read(self, node: Access | BoundaryAccess) -> Json:
        place = len(self.reads)
        if isinstance(node, Access):
            written = ["read", node.tensor, *map(self.write, node.subscripts)]
        else:
            written = ["view", node.tensor, list(node.modes), self.write(node.fill), *map(self.write, node.subscripts)]
        if node not in self.reads:
            self.reads.insert(place, node)
        return written

    def _composed(self, node: sp.Basic) -> Json:
        if isinstance(node, sp.Add):
            return ["+", *map(self.write, self.order.terms(node.args))]
        if isinstance(node, sp.Mul):
            return ["*", *map(self.write, self.order.factors(node.args))]
        if isinstance(node, Call):
            return ["call", node.function, *map(self.write, node.arguments)]
        if isinstance(node, Compare):
            return ["compare", node.op, self.write(node.left), self.write(node.right)]
        if isinstance(node, Logical):
            return [node.op, *map(self.write, node.operands)]
        if isinstance(node, Reduce):
            domain = [[self.write(d) for d in node.domain]] if node.domain else []
            return ["reduce", node.op, self.write(node.body), [str(i) for i in node.indices], *domain]
        head = {sp.Pow: "**", FloorDiv: "//", Modulo: "%", Where: "where"}[type(node)]
        return [head, *map(self.write, node.args)]


def _atom(node: sp.Basic) -> Json:
    """What has no parts; None for the rest."""
    if isinstance(node, Index):
        return str(node)
    if isinstance(node, Size):
        return ["size", str(node)]
    if node in (sp.true, sp.false):
        return bool(node)
    if isinstance(node, sp.Integer):
        return int(node)
    if isinstance(node, sp.Float):
        return float(node)
    if isinstance(node, sp.Rational):
        return ["ratio", int(node.p), int(node.q)]
    if node in (INFINITY, NAN):
        return [str(node)]
    if isinstance(node, sp.Symbol) and (found := re.fullmatch(r"argument(\d+)", node.name)):
        return ["argument", int(found[1])]
    return None


def shared_parts(nodes: Sequence[sp.Basic]) -> dict[sp.Basic, int]:
    """What is written once although it occurs often, and what would be nested too deeply; none of a small expression."""
    inner = {part: _inner(part) for node in nodes for part in postorder(node)}
    users: dict[sp.Basic, int] = {}
    length: dict[sp.Basic, int] = {}
    height: dict[sp.Basic, int] = {}
    for part, arguments in inner.items():
        length[part] = 1 + sum(length[a] for a in arguments)
        height[part] = 1 + max((height[a] for a in arguments), default=0)
        for argument in arguments:
            users[argument] = users.get(argument, 0) + 1
    if all(length[node] <= LARGE and height[node] <= DEEP for node in nodes):
        return {}
    found: dict[sp.Basic, int] = {}
    for part, arguments in inner.items():
        height[part] = 1 + max((height[a] for a in arguments if a not in found), default=0)
        if arguments and (users.get(part, 0) > 1 or height[part] >= DEEP):
            found[part] = len(found)
    return found


def _inner(node: sp.Basic) -> Iterable[sp.Basic]:
    """The expressions in an expression that may be written elsewhere; those in subscripts are not."""
    if isinstance(node, Access | BoundaryAccess) or not isinstance(node, sp.Expr):
        return ()
    return (node.body,) if isinstance(node, Reduce) else tuple(a for a in node.args if isinstance(a, sp.Expr))
