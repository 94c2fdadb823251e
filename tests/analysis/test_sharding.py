"""Which dimensions are divided when an index is."""

from __future__ import annotations

import graphc as gc
from graphc.analysis.sharding import places_of_index, places_of_size, sharding
from graphc.compile import optimised
from graphc.ir.expr import Size
from graphc.ir.graph import Graph

b, i, j, t = gc.indices("b i j t")
N, D = gc.dims("N D")


def canonical(*outputs: gc.Tensor) -> Graph:
    return optimised(gc.compile(list(outputs), "interpret").graph)


def test_rows_are_followed_through_indices_of_other_names() -> None:
    X, T = gc.tensor("X", N, D), gc.tensor("T", N)
    Y, Z, L = gc.tensors("Y Z L")
    Y[j, t] = 2 * X[j, t]
    Z[i] = gc.sum(Y[i, t], over=t) - T[i]
    L[()] += Z[b] ** 2
    graph = canonical(L)
    found = sharding(graph, places_of_index(graph, "b"), "b", ())
    assert {n: d for n, d in found.dimensions.items() if n in ("X", "T", "Z")} == {"X": 0, "T": 0, "Z": 0}
    assert found.extent == Size("N") and "L" not in found.dimensions and not found.halos


def test_a_size_divides_arguments_only_where_it_is_their_extent() -> None:
    X, W, Y = gc.tensor("X", D, N), gc.tensor("W", N + 1), gc.tensor("Y")
    Y[i, j] = X[i, j] * W[j + 1]
    graph = canonical(Y)
    assert places_of_size(graph, Size("N")) == (("X", 1),)


def test_rows_of_neighbours_are_counted() -> None:
    X, Y = gc.tensor("X", N), gc.tensor("Y")
    Y[b] = gc.pad(X, 0)[b - 2] + X[b] * gc.pad(X, 0)[b + 1]
    graph = canonical(Y)
    assert sharding(graph, places_of_index(graph, "b"), "b", ()).halos == {"X": (2, 1)}


def test_a_loop_over_some_rows_needs_no_neighbours() -> None:
    X, Y = gc.tensor("X", N), gc.tensor("Y")
    row = gc.index("row", 1, N)
    Y[()] += X[row] ** 2
    graph = canonical(Y)
    found = sharding(graph, places_of_index(graph, "row"), "row", ())
    rows = next(r for r in found.rows if r is not None)
    assert (rows.shift, rows.limited, found.halos) == (0, True, {})
