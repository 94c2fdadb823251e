"""Variables that nothing reads, left behind where a loop was divided and its parts became simpler: they are not computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import sympy as sp

from graphc.ir.expr import Access
from graphc.ir.nest import Assign, Combine, For, If, Local, Loop, Nest, Node, Outside, Step, Store, Unravel
from graphc.ir.tree import accesses, contains, postorder

__all__ = ["without_unread"]

_Names = frozenset[sp.Basic]


def without_unread(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The steps without variables whose values nothing reads, by liveness from the end of each kernel to its beginning.

    Those whose values test a subscript that is read from a tensor stay. A step in which nothing is left goes.

    Returns:
        The same computation.
    """
    kept: list[Step] = []
    for step in steps:
        if isinstance(step, Loop):
            step = replace(step, steps=without_unread(step.steps))
        elif isinstance(step, Nest):
            body, _ = _live(step.kernel.body, frozenset())
            step = step if body == step.kernel.body else replace(step, kernel=replace(step.kernel, body=body))
        if not (isinstance(step, Loop) and not step.steps) and not (isinstance(step, Nest) and not step.kernel.body):
            kept.append(step)
    return tuple(kept)


def _read(parts: Iterable[sp.Basic]) -> _Names:
    return frozenset(symbol for part in parts for symbol in postorder(part) if isinstance(symbol, Local))


def _live(nodes: Sequence[Node], live: _Names) -> tuple[tuple[Node, ...], _Names]:
    """The nodes that count if these names are read behind them, and the names that are read from there on."""
    kept: list[Node] = []
    for node in reversed(nodes):
        match node:
            case Assign():
                if node.name not in live and not _tests(node.value):
                    continue
                live = (live - {node.name}) | _read((node.value,))
            case Combine():
                live |= _read((node.name, node.other, node.value))
            case Store():
                live |= _read((node.value, *node.subscripts))
            case Outside():
                live |= _read((node.value,))
            case Unravel():
                live |= _read((node.line, *(extent for _, extent in node.parts)))
            case If():
                body, inside = _live(node.body, live)
                if not body:
                    continue
                node, live = replace(node, body=body), live | inside | _read((node.condition,))
            case For():
                body, inside = _again(node, live)
                if not body:
                    continue
                node, live = replace(node, body=body), live | inside | _read((*node.lower, *node.upper))
        kept.append(node)
    return tuple(reversed(kept)), live


def _tests(value: sp.Expr) -> bool:
    """Whether reading it can show that an integer of the arguments points outside."""
    return any(contains(s, Access) for a in accesses(value) for s in a.subscripts)


def _again(node: For, live: _Names) -> tuple[tuple[Node, ...], _Names]:
    """The body of a loop, where what is read at its beginning is read behind its end as well."""
    while True:
        body, inside = _live(node.body, live)
        if inside <= live:
            return body, inside
        live |= inside
