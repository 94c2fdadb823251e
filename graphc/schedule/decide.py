"""What the loops and conditions around decide is not asked again, and what then does nothing is not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import sympy as sp

from graphc.ir.nest import For, If, Loop, Nest, Node, Report, Step, Store, nodes_in
from graphc.schedule.interior import answered
from graphc.schedule.surroundings import Facts, Surroundings

__all__ = ["decided"]


def decided(step: Step) -> Step:
    """The step of a recurrence without conditions that always or never hold where they stand, and without loops in which nothing happens.

    Statements of a step are written one by one, each with its conditions, before `graphc.schedule.interior` splits the loops around them.
    """
    if isinstance(step, Loop):
        return replace(step, steps=tuple(map(decided, step.steps)))
    if not isinstance(step, Nest) or step.kernel.kind != "scan":
        return step
    body = tuple(_nodes(step.kernel.body, Surroundings(step.kernel.body, "d"), ()))
    return step if body == step.kernel.body or not body else replace(step, kernel=replace(step.kernel, body=body))


def _nodes(nodes: Sequence[Node], around: Surroundings, facts: Facts) -> Iterator[Node]:
    for node in nodes:
        if isinstance(node, If):
            condition = answered(node.condition, facts)
            if condition == sp.false:
                continue
            inside = facts if condition == sp.true else around.inside(node, facts)
            body = tuple(_nodes(node.body, around, inside))
            if condition == sp.true:
                yield from body
            elif body:
                yield If(condition, body)
        elif isinstance(node, For):
            body = tuple(_nodes(node.body, around, around.inside(node, facts)))
            if any(isinstance(n, Store | Report) for n in nodes_in(body)):
                yield replace(node, body=body)
            elif body:
                yield node
        elif not (isinstance(node, Store) and node.accumulate and answered(node.value, facts) == 0):
            yield node
