"""The straight list from what the user wrote to what runs: the only file that sees all layers."""

from __future__ import annotations

from dataclasses import replace

from graphc.ir.graph import Graph
from graphc.passes.boundary import lower_boundary
from graphc.passes.differentiate import differentiate
from graphc.passes.factor import factor_contractions
from graphc.passes.gather import gather
from graphc.passes.lift import lift_reductions
from graphc.passes.narrow import narrow
from graphc.passes.prune import inline_copies, merge, prune
from graphc.passes.simplify import simplify
from graphc.passes.stabilise import stabilise

__all__ = ["canonical", "derived", "optimised"]

BEFORE_GRADIENT = (lower_boundary, lift_reductions, stabilise, narrow, factor_contractions, simplify)
AFTER_GRADIENT = (narrow, gather, simplify, prune)


def canonical(graph: Graph) -> Graph:
    """The graph without nested reductions, boundary views and unstable expressions: what is differentiated and scheduled."""
    for step in BEFORE_GRADIENT:
        graph = step(graph)
    return graph


def derived(graph: Graph, output: str, wrt: tuple[str, ...], seed: str | None = None) -> tuple[Graph, dict[str, str]]:
    """The canonical graph extended by adjoints, and their names."""
    graph, names = differentiate(canonical(graph), output, wrt, seed)
    for step in AFTER_GRADIENT:
        graph = step(graph)
    return graph, names


def optimised(graph: Graph) -> Graph:
    """What is scheduled: equal temporaries merged, copies read through."""
    return inline_copies(merge(prune(canonical(graph))))


_ = replace
