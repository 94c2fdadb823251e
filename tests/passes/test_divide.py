"""Deeply nested expressions become statements that are not."""

import graphc as gc
from graphc.ir.tree import deeper
from graphc.passes.divide import DEEP, divide
from tests.notation import applied, graph_of


def _nested(depth: int) -> gc.Tensor:
    i, x, y = gc.index("i"), gc.tensor("x", gc.dim("N")), gc.tensor("y")
    value = x[i]
    for _ in range(depth):
        value = gc.where(i > 0, gc.sin(value), 0.5)
    y[i] = value
    return y


def test_parts_are_small_and_mean_the_same() -> None:
    graph = applied(divide, graph_of(_nested(60)), {"N": 3})
    assert not any(deeper(s.value, DEEP) for s in graph.statements)
    assert [t.name for t in graph.tensors if not t.is_input] == ["y", "y.part", "y.part_2"]


def test_others_stay_as_they_are() -> None:
    graph = graph_of(_nested(20))
    assert divide(graph) is graph
