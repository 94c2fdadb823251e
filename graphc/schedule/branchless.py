"""Choices between values that cost little are computed on both sides, which leaves a vector loop without branches."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from graphc.ir.expr import Access, Call, Choice, Where
from graphc.ir.functions import FUNCTIONS
from graphc.ir.nest import Assign, For, If, Loop, Nest, Node, Step, Store
from graphc.ir.tensor import Tensor
from graphc.ir.tree import contains, postorder, rewrite
from graphc.schedule.surroundings import Facts, Surroundings, readable

__all__ = ["branchless"]

CHEAP = 12
"""Operations of a choice up to which both of its branches are computed."""


def branchless(step: Step, tensors: dict[str, Tensor]) -> Step:
    """The step with a `Choice` for every condition between cheap values in an innermost loop, where all that they read is in range.

    LLVM turns branches into selections as well, but not where conditions meet in one iteration: it first joins their branches.
    """
    if isinstance(step, Loop):
        return replace(step, steps=tuple(branchless(s, tensors) for s in step.steps))
    if not isinstance(step, Nest) or not any(contains(e, Where) for e in _values(step.kernel.body)):
        return step
    around = Surroundings(step.kernel.body, "")

    def rule(node: For | If, facts: Facts) -> tuple[Node, ...] | None:
        if not isinstance(node, For) or any(isinstance(n, For | If) for n in node.body):
            return None
        inside = around.inside(node, facts)
        return (replace(node, body=tuple(_chosen(n, tensors, inside) for n in node.body)),)

    return replace(step, kernel=replace(step.kernel, body=around.mapped(step.kernel.body, (), rule)))


def _values(nodes: tuple[Node, ...]) -> list[sp.Expr]:
    found: list[sp.Expr] = []
    for node in nodes:
        if isinstance(node, For | If):
            found += _values(node.body)
        elif isinstance(node, Assign | Store):
            found.append(node.value)
    return found


def _chosen(node: Node, tensors: dict[str, Tensor], facts: Facts) -> Node:
    def rule(part: sp.Basic) -> sp.Basic:
        if not isinstance(part, Where) or not _cheap(part.value, part.other):
            return part
        return Choice(*part.args) if readable(part.value, tensors, facts) and readable(part.other, tensors, facts) else part

    return replace(node, value=rewrite(node.value, rule)) if isinstance(node, Assign | Store) and contains(node.value, Where) else node


def _cheap(*values: sp.Expr) -> bool:
    """Whether values are few operations, none of them a function that takes long or a condition that is to stay."""
    operations = 0
    for part in (p for value in values for p in postorder(value)):
        if isinstance(part, Access) or not part.args:
            continue
        if isinstance(part, Call):
            if part.function not in FUNCTIONS or FUNCTIONS[part.function].cost > 1:
                return False
        elif isinstance(part, sp.Pow):
            if not (part.exp.is_Integer and 0 < part.exp <= CHEAP):
                return False
        elif isinstance(part, Where) and not isinstance(part, Choice):
            return False
        operations += 1
    return operations <= CHEAP
