"""Graphs of small programs, their text, and whether a pass keeps what they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.compile import canonical
from graphc.frontend.collect import collect
from graphc.frontend.tensor import Tensor
from graphc.interpret import interpret, size_value
from graphc.ir.expr import Size
from graphc.ir.graph import Graph
from graphc.ir.show import statement
from graphc.passes.differentiate import differentiate
from tests.oracles import double

__all__ = ["applied", "backward", "graph_of", "meaning", "text"]

Pass = Callable[[Graph], Graph]


def graph_of(*tensors: Tensor) -> Graph:
    return collect(tensors, "test").graph


def text(graph: Graph) -> str:
    """All statements, in reading order."""
    definitions = graph.definitions()
    return "\n".join(statement(s) for name in graph.order() for s in definitions[name])


def backward(output: Tensor, *wrt: Tensor) -> Graph:
    """The canonical graph and its adjoints as the sweep makes them, before anything is simplified."""
    collected = collect([output, *wrt], "test")
    return differentiate(canonical(collected.graph), collected.name_of(output), [collected.name_of(t) for t in wrt])[0]


def meaning(graph: Graph, sizes: dict[str, int], **given: Any) -> dict[str, np.ndarray]:
    """The outputs for random inputs, in float64; `given` arrays replace random ones."""
    values = {Size(n): v for n, v in sizes.items()}
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for tensor in sorted((t for t in graph.tensors if t.is_input), key=lambda t: t.name):
        shape = tuple(size_value(e, values) for e in tensor.shape)
        arrays[tensor.name] = given.get(tensor.name, random.normal(size=shape))
    return interpret(double(graph), arrays, values)


def applied(step: Pass, graph: Graph, sizes: dict[str, int] | None = None, **given: Any) -> Graph:
    """The graph after a pass, which must mean the same."""
    after = step(graph)
    want = meaning(graph, sizes or {}, **given)
    got = meaning(after, sizes or {}, **given)
    for name in graph.outputs:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-12, atol=1e-12, err_msg=f"{name} after {step}")
    return after
