"""Loops of one step made alike, so that they become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sympy as sp

from graphc.ir.affine import nonnegative
from graphc.ir.expr import Where
from graphc.ir.nest import For, If, Node, Store
from graphc.schedule.merge import mapped

__all__ = ["aligned"]

_ZERO = sp.Integer(0)


def aligned(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes with loops that begin at 0, ``for i in range(128, 256)`` as ``for i in range(128)`` over ``i + 128``, and with the
    conditions around loops that only add in what is added."""
    result: list[Node] = []
    for node in nodes:
        match node:
            case For():
                result.append(_from_zero(replace(node, body=aligned(node.body))))
            case If() if (inner := _inside(node.body, node.condition)) is not None:
                result += aligned(inner)
            case If():
                result.append(replace(node, body=aligned(node.body)))
            case _:
                result.append(node)
    return tuple(result)


def _from_zero(node: For) -> For:
    """The loop over the distance from its first value, where it is known which of its bounds count."""
    low, high = _largest(node.lower, 1), _largest(node.upper, -1)
    if node.shared or node.step != 1 or low is None or high is None or (low == 0 and len(node.lower) == len(node.upper) == 1):
        return node
    body = mapped(node.body, {node.index: node.index + low}) if low != 0 else node.body
    return replace(node, lower=(_ZERO,), upper=(sp.expand(high - low),), body=body)


def _largest(bounds: Sequence[sp.Expr], sign: int) -> sp.Expr | None:
    """The largest (sign 1) or smallest (-1) bound for all sizes."""
    return next((b for b in bounds if all(nonnegative(sp.expand(sign * (b - o))) for o in bounds)), None)


def _inside(nodes: Sequence[Node], condition: sp.Expr) -> tuple[Node, ...] | None:
    """The nodes under a condition as nodes that add 0 where it does not hold; None if they do something else than adding."""
    result: list[Node] = []
    for node in nodes:
        if isinstance(node, Store) and node.accumulate:
            result.append(replace(node, value=Where(condition, node.value, _ZERO)))
        elif isinstance(node, For) and (body := _inside(node.body, condition)) is not None:
            result.append(replace(node, body=body))
        else:
            return None
    return tuple(result)
