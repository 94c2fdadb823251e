"""Loops of which every iteration is independent, as one loop: enough of them for all threads of a GPU."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sympy as sp

from graphc.ir.expr import Compare, Index, all_of
from graphc.ir.nest import For, If, Node, Unravel
from graphc.ir.tree import indices_of

__all__ = ["in_line"]

_ZERO = sp.Integer(0)


def in_line(body: Sequence[Node], apart: Collection[Index]) -> tuple[tuple[Node, ...], sp.Expr | None, tuple[Index, ...]]:
    """The outer loops over some indices as one shared loop over the points of their box, further bounds as tests.

    Args:
        body: loops, one in another.
        apart: indices whose iterations do not touch the same elements.

    Returns:
        The loops, the number of points (None if no loop is shared), and the indices.
    """
    nodes, found, tests = tuple(body), [], []
    while len(nodes) == 1:
        node = nodes[0]
        if isinstance(node, For):
            if not (node.index in apart and node.lower[0] == 0 and not indices_of(node.upper[0]) and node.step == 1):
                break
            found.append((node.index, node.upper[0]))
            tests += [*(Compare(">=", node.index, e) for e in node.lower[1:]), *(Compare("<", node.index, e) for e in node.upper[1:])]
        elif isinstance(node, If):
            tests.append(node.condition)
        else:
            break
        nodes = node.body
    if not found:
        return tuple(body), None, ()
    inner = (If(all_of(tests), nodes),) if tests else nodes
    extent = sp.expand(sp.Mul(*(e for _, e in found)))
    if len(found) == 1:
        return (For(found[0][0], (_ZERO,), (extent,), inner, True),), extent, (found[0][0],)
    names = tuple(i for i, _ in found)
    line = Index("_".join(map(str, names)))
    return (For(line, (_ZERO,), (extent,), (Unravel(line, tuple(found)), *inner), True),), extent, names
