"""Tensors of recurrences of which only the last few steps are ever needed: their rows go round in a ring."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import sympy as sp

from graphc.analysis.order import Scan
from graphc.ir.affine import linear, nonnegative
from graphc.ir.expr import Access, Modulo
from graphc.ir.graph import Graph
from graphc.ir.nest import Assign, For, If, Loop, Nest, Node, Step, Store, single
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, contains, rewrite
from graphc.schedule.recurrence import length, steps_of

__all__ = ["Ring", "folded", "rings"]

FARTHEST = 8
"""Steps that a ring keeps at most."""

Ring = tuple[int, int]
"""The dimension along which the steps go, and how many rows are kept."""


def rings(scan: Scan, graph: Graph, tensors: Mapping[str, Tensor], set_before: Iterable[str]) -> dict[str, Ring]:
    """The tensors of a recurrence whose rows are read a few steps after they are written and never again, except the last ones.

    Args:
        scan: the recurrence.
        graph: every statement.
        tensors: by name.
        set_before: tensors with elements that are set before the steps begin.
    """
    found: dict[str, Ring] = {}
    offsets, steps = dict(scan.offsets), length(scan, tensors)
    for name, dimension in scan.dimensions:
        extent = tensors[name].shape[dimension]
        if name in graph.outputs or name in set_before or offsets[name] or sp.expand(steps - extent) != 0:
            continue
        ages = list(_ages(name, dimension, extent, scan, graph))
        rows = 1 + max((a for a in ages if a is not None), default=0)
        if None not in ages and not nonnegative(sp.expand(rows - extent)):
            found[name] = (dimension, rows)
    return found


def _ages(name: str, dimension: int, extent: sp.Expr, scan: Scan, graph: Graph) -> Iterator[int | None]:
    """How many rows are written between each row that is read and the reading; None where that is not known."""
    inside = steps_of(scan)
    for s in graph.statements:
        own = any(s is i for i in inside)
        for a in (a for part in (s.value, *s.subscripts) for a in accesses(part)):
            if isinstance(a, Access) and a.tensor == name:
                row = a.subscripts[dimension]
                yield _behind(scan, s, row) if own else _left(scan, s, row, extent)


def _behind(scan: Scan, statement: Statement, subscript: sp.Expr) -> int | None:
    """How many steps ago the row was written that a statement of the recurrence reads."""
    row = statement.subscripts[dict(scan.dimensions)[statement.target]]
    distance = sp.expand(row - dict(scan.offsets)[statement.target] - subscript)
    distance = -distance if scan.descending else distance
    return int(distance) if distance.is_Integer and 0 <= distance < FARTHEST else None


def _left(scan: Scan, statement: Statement, subscript: sp.Expr, extent: sp.Expr) -> int | None:
    """How many rows were written after the one that a later statement reads."""
    if contains(subscript, Access) or linear(subscript) is None:
        return None
    after = subscript if scan.descending else extent - 1 - subscript
    facts = statement.constraints()
    return next((k for k in range(FARTHEST) if nonnegative(sp.expand(k - after), facts)), None)


def _rewritten(nodes: Sequence[Node], value: Callable[[sp.Expr], sp.Expr], store: Callable[[Store], Store]) -> tuple[Node, ...]:
    """The nodes with other expressions, and with other places to store to."""
    new: list[Node] = []
    for node in nodes:
        match node:
            case For():
                lower, upper = tuple(map(value, node.lower)), tuple(map(value, node.upper))
                new.append(replace(node, lower=lower, upper=upper, body=_rewritten(node.body, value, store)))
            case If():
                new.append(If(value(node.condition), _rewritten(node.body, value, store)))
            case Assign():
                new.append(replace(node, value=value(node.value)))
            case Store():
                new.append(store(replace(node, value=value(node.value), subscripts=tuple(map(value, node.subscripts)))))
            case _:
                new.append(node)
    return tuple(new)


def folded(
    steps: Sequence[Step], found: Mapping[str, Ring], tensors: dict[str, Tensor], held: Container[str] = ()
) -> tuple[Step, ...]:
    """The steps with the rows of rings; `tensors` get their shapes. A ring that others than loops touch stays an array, unless it is
    one of `held`, whose products are made for rings."""
    others = {n for s in single(steps) if not isinstance(s, Nest) or s.kernel.flat for n in (s.writes, *s.reads, *s.also)}
    chosen = {name: ring for name, ring in found.items() if name in held or name not in others}
    if not chosen:
        return tuple(steps)
    for name, (dimension, rows) in chosen.items():
        shape = tensors[name].shape
        tensors[name] = replace(tensors[name], shape=(*shape[:dimension], sp.Integer(rows), *shape[dimension + 1 :]))
    return _folded(steps, chosen)


def _folded(steps: Sequence[Step], chosen: Mapping[str, Ring]) -> tuple[Step, ...]:
    def subscripts(name: str, old: tuple[sp.Expr, ...]) -> tuple[sp.Expr, ...]:
        dimension, rows = chosen[name]
        return (*old[:dimension], Modulo(old[dimension], rows), *old[dimension + 1 :])

    def value(expression: sp.Expr) -> sp.Expr:
        return rewrite(expression, lambda p: Access(p.tensor, *subscripts(p.tensor, p.subscripts))
                       if isinstance(p, Access) and p.tensor in chosen else None)

    def store(node: Store) -> Store:
        return replace(node, subscripts=subscripts(node.tensor, node.subscripts)) if node.tensor in chosen else node

    new: list[Step] = []
    for step in steps:
        if isinstance(step, Loop):
            new.append(replace(step, steps=_folded(step.steps, chosen)))
        elif isinstance(step, Nest) and chosen.keys() & {step.writes, *step.also, *step.reads}:
            new.append(replace(step, kernel=replace(step.kernel, body=_rewritten(step.kernel.body, value, store))))
        else:
            new.append(step)
    return tuple(new)
