"""Without a plain occurrence an index runs over the largest range that keeps every access inside (LANGUAGE 2.4), quotients included."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gc

N, M = gc.dims("N M")
i, j = gc.indices("i j")

SUBSCRIPTS: dict[str, Callable[[Any], Any]] = {
    "quotient": lambda at: at // 3,
    "shifted": lambda at: (at + 5) // 3,
    "behind": lambda at: at // 2 - 1,
    "times": lambda at: 2 * (at // 3) + 1,
    "of_a_multiple": lambda at: (2 * at + 1) // 3,
    "nested": lambda at: (at // 2 + 1) // 3,
    "falling": lambda at: (19 - at) // 3,
    "minus_a_quotient": lambda at: 5 - at // 3,
    "row_and_remainder_again": lambda at: 3 * (at // 3) + at % 3,
}


def largest(subscript: Callable[[Any], Any], extent: int) -> int:
    """How far an index can run from the first value at which the subscript is inside."""
    inside = [0 <= subscript(at) < extent for at in range(200)]
    first = inside.index(True)
    return first + len([*itertools.takewhile(bool, inside[first:])])


@pytest.mark.parametrize("name", SUBSCRIPTS)
@pytest.mark.parametrize("extent", [7, 8])
def test_a_quotient_bounds_its_index(name: str, extent: int) -> None:
    X, y = gc.tensor("X", extent), gc.tensor("y")
    y[i] = X[SUBSCRIPTS[name](i)]
    assert y.shape == (largest(SUBSCRIPTS[name], extent),)


def test_a_remainder_bounds_nothing() -> None:
    """``Z[i//2, i%2]`` reads the whole of Z, row by row."""
    Z, y = gc.tensor("Z", N, 2), gc.tensor("y")
    y[i] = Z[i // 2, i % 2]
    assert str(y.shape) == "(2*N,)"
    values = np.arange(10, dtype="float32").reshape(5, 2)
    np.testing.assert_array_equal(gc.compile(y, target="interpret")(Z=values), values.ravel())


def test_other_indices_count_with_all_their_values() -> None:
    X, W, y = gc.tensor("X", N), gc.tensor("W", 3), gc.tensor("y")
    y[i] += X[(i + j) // 2] * W[j]
    assert str(y.shape) == "(2*N - 2,)"
    values = np.arange(4, dtype="float32")
    expected = [sum(values[(a + b) // 2] for b in range(3)) for a in range(6)]
    np.testing.assert_array_equal(gc.compile(y, target="interpret")(X=values, W=np.ones(3, "float32")), expected)


def test_an_index_beside_one_of_unknown_range_waits() -> None:
    """i is known only after j, which stands inside of a quotient beside it."""
    X, V, y = gc.tensor("X", N), gc.tensor("V", M), gc.tensor("y")
    y[i, j] = X[i + j // 2] * V[2 * j]
    assert str(y.shape[1]) == "(M + 1)//2"
    result = gc.compile(y, target="interpret")(X=np.arange(6, dtype="float32"), V=np.ones(9, "float32"))
    np.testing.assert_array_equal(result, [[a + b // 2 for b in range(5)] for a in range(4)])


def test_the_gradient_of_such_a_read() -> None:
    Z, W, L = gc.tensor("Z", N, 2), gc.tensor("W", 3), gc.tensor("L")
    L[()] += gc.sin(Z[(i + j) // 2, 0]) * W[j]
    assert gc.verify(L, {"Z": Z, "W": W}, largest=3)


def shape_of(*right: Callable[[], Any]) -> str:
    y = gc.tensor("y")
    for part in right:
        y[i] += part()
    return str(y.shape)


def test_other_statements_and_accesses_go_before_quotients() -> None:
    X, Z, W = gc.tensor("X", N), gc.tensor("Z", M), gc.tensor("W", 3)
    assert shape_of(lambda: X[i], lambda: Z[i // 2]) == shape_of(lambda: Z[i // 2], lambda: X[i]) == "(N,)"
    assert shape_of(lambda: X[i + j] * W[j] * Z[i // 4]) == "(N - 2,)", "what cannot be compared is a check of the call"


def test_of_bounds_that_can_be_compared_the_least_counts() -> None:
    X, Z = gc.tensor("X", 8), gc.tensor("Z", 2)
    assert shape_of(lambda: X[i + 1] * Z[i // 2]) == "(4,)"
    assert shape_of(lambda: X[i // 3] * Z[i // 7]) == "(14,)"


def test_a_quotient_on_the_left() -> None:
    y = gc.tensor("y", 5)
    y[i // 3] += 1
    np.testing.assert_array_equal(gc.compile(y, target="interpret")(), [3] * 5)
