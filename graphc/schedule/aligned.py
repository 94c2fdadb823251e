"""Loops of one step made alike, so that they become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from graphc.ir.affine import nonnegative
from graphc.ir.expr import Access, Where
from graphc.ir.nest import For, If, Node, Store
from graphc.ir.tensor import Tensor
from graphc.ir.tree import contains
from graphc.schedule.merge import mapped
from graphc.schedule.surroundings import Facts, Surroundings, readable

__all__ = ["aligned"]

_ZERO = sp.Integer(0)


def aligned(nodes: Sequence[Node], tensors: Mapping[str, Tensor], facts: Facts) -> tuple[Node, ...]:
    """The nodes with loops that begin at 0, ``for i in range(128, 256)`` as ``for i in range(128)`` over ``i + 128``, and with the
    conditions around loops that only add in what is added, where every element that is added to is there without the condition.

    Args:
        nodes: of one kernel.
        tensors: by name.
        facts: what is ≥ 0 around the nodes.
    """
    return _Aligning(tensors, Surroundings(nodes, "")).nodes(nodes, facts)


@dataclass(frozen=True, slots=True)
class _Aligning:
    tensors: Mapping[str, Tensor]
    around: Surroundings

    def nodes(self, nodes: Sequence[Node], facts: Facts) -> tuple[Node, ...]:
        result: list[Node] = []
        for node in nodes:
            match node:
                case For():
                    result.append(_from_zero(replace(node, body=self.nodes(node.body, self.around.inside(node, facts)))))
                case If() if (inner := self.inside(node.body, node.condition, facts)) is not None:
                    result += self.nodes(inner, facts)
                case If():
                    result.append(replace(node, body=self.nodes(node.body, self.around.inside(node, facts))))
                case _:
                    result.append(node)
        return tuple(result)

    def inside(self, nodes: Sequence[Node], condition: sp.Expr, facts: Facts) -> tuple[Node, ...] | None:
        """The nodes under a condition as nodes that add 0 where it does not hold; None if they do something else, or may not."""
        if contains(condition, Access):
            return None
        result: list[Node] = []
        for node in nodes:
            if isinstance(node, Store) and node.accumulate and readable(Access(node.tensor, *node.subscripts), self.tensors, facts):
                result.append(replace(node, value=Where(condition, node.value, _ZERO)))
            elif isinstance(node, For) and (body := self.inside(node.body, condition, self.around.inside(node, facts))) is not None:
                result.append(replace(node, body=body))
            else:
                return None
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
