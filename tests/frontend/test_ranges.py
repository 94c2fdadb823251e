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


CONDITIONS: dict[str, Callable[[Any, Any], Any]] = {
    "greater": lambda at, n: (at > 0, at - 1),
    "at_least": lambda at, n: (at >= 1, at - 1),
    "unlike": lambda at, n: (at != 0, at - 1),
    "not_less": lambda at, n: (~(at < 1), at - 1),
    "more_than_needed": lambda at, n: (at > 2, at - 1),
    "backwards": lambda at, n: (at > 0, n - at),
    "one_or_more": lambda at, n: ((at == 1) | (at >= 3), at - 1),
    "quotient": lambda at, n: (at >= 2, at // 2 - 1),
    "less_than_needed": lambda at, n: (at >= 1, at - 3),
    "nothing_to_do_with_it": lambda at, n: (at % 2 == 0, at - 1),
}
"""A condition on an index, and where it allows to read."""


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_a_bound_that_a_condition_implies_does_not_count(name: str, target: str) -> None:
    x, y = gc.tensor("x", N), gc.tensor("y")
    test, position = CONDITIONS[name](i, N)
    y[i] = gc.where(test, x[position], 5)
    values = np.array([1, 2, 3], "float32")
    found = gc.compile(y, target=target)(x=values)
    expected = []
    for at in range(len(found) + 1):
        inside, position = CONDITIONS[name](np.int64(at), 3)
        expected.append(None if inside and not 0 <= position < 3 else values[position] if inside else 5)
    first = max(at for at in range(len(found) + 1) if at == 0 or expected[at - 1] is None)
    assert expected[-1] is None, "one more is too many"
    np.testing.assert_array_equal(found, [*[0] * first, *expected[first:-1]])


def test_conditions_on_values_and_indices() -> None:
    x, s = gc.tensor("x", N), gc.tensor("s", ())
    for test, first in ((s[()] > 0, 0), ((s[()] > 0) & (i > 0), 5), ((s[()] > 0) | (i > 0), 0), (~((s[()] <= 0) | (i < 1)), 5)):
        y = gc.tensor("y")
        y[i] = gc.where(test, x[i - 1], 5)
        np.testing.assert_array_equal(gc.compile(y, target="interpret")(x=[1, 2], s=1), [first, 1, 2])


def test_one_tensor_behind_another() -> None:
    x, z, y = gc.tensor("x", N + 1), gc.tensor("z", M), gc.tensor("y")
    y[i] = gc.where(i < N, x[i + 1], z[i - N])
    assert str(y.shape) == "(M + N,)"
    np.testing.assert_array_equal(gc.compile(y, target="interpret")(x=[0, 1, 2], z=[3, 4, 5]), [1, 2, 3, 4, 5])


def test_conditions_limit_the_other_indices() -> None:
    x, w, y = gc.tensor("x", N), gc.tensor("w", 5), gc.tensor("y")
    y[i, j] = gc.where(j <= 1, x[i - j], 5) * w[j]
    np.testing.assert_array_equal(gc.compile(y, target="interpret")(x=[1, 2, 3], w=[1, 1, 1, 1, 1]),
                                  [[0] * 5, [2, 1, 5, 5, 5], [3, 2, 5, 5, 5]])


def test_a_causal_convolution_has_its_beginning() -> None:
    x, w, y = gc.tensor("x", N), gc.tensor("w", M), gc.tensor("y")
    y[i] = gc.sum(gc.where(j <= i, x[i - j] * w[j], 0), over=j)
    np.testing.assert_array_equal(gc.compile(y, target="interpret")(x=[1, 2, 3], w=[1, 1]), [1, 3, 5])


SUMS: dict[str, tuple[Callable[[Any], Any], float]] = {
    "ahead": (lambda x: gc.where(i < N - 1, x[i + 1], 0), 5),
    "behind": (lambda x: gc.where(i > 0, x[i - 1], 0), 6),
    "squared": (lambda x: 2 * gc.where(i < N - 1, x[i + 1], 0) ** 2, 26),
    "two": (lambda x: gc.where(i < N - 1, x[i + 1], 0) + gc.where(i < N - 2, x[i + 2], 0), 8),
    "product": (lambda x: gc.where((i + j < N) & (x[0] > 0), x[i + j], 0) * gc.tensor("w", 2)[j], 11),
    "inside": (lambda x: gc.sum(gc.where(i + j < N, x[i + j], 0) * gc.tensor("w", 2)[j], over=j), 11),
    "one_or_more": (lambda x: gc.where((i == 1) | (i >= 3), x[i - 1], 0), 4),
    "beside": (lambda x: gc.where(i < N - 1, x[i + 1] * x[i - 1], 0), 3),
}


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("nested", [False, True])
def test_a_condition_bounds_what_is_summed(name: str, nested: bool) -> None:
    """Where the terms of a sum are 0 elsewhere, nothing is lost."""
    x, total = gc.tensor("x", N), gc.tensor("total")
    term, expected = SUMS[name]
    total[()] += gc.sum(term(x), over=i) if nested else term(x)
    arrays = {"x": np.array([1, 2, 3], "float32")} | ({"w": np.ones(2, "float32")} if name in ("product", "inside") else {})
    np.testing.assert_allclose(gc.compile(total, target="interpret")(**arrays), expected, rtol=1e-6)


def test_contributions_have_the_rows_of_the_others() -> None:
    x, y = gc.tensor("x", N), gc.tensor("y")
    y[i] += gc.where(i < N - 1, x[i + 1], 0)
    assert str(y.shape) == "(N - 1,)", "it has as many rows as there are terms"
    z = gc.tensor("z")
    z[i] = x[i]
    z[i] += gc.where(i < N - 1, x[i + 1], 0)
    np.testing.assert_array_equal(gc.compile(z, target="interpret")(x=[1, 2, 3]), [3, 5, 3])


def test_bounds_found_last_are_kept() -> None:
    x, y = gc.tensor("x", N), gc.tensor("y")
    y[i] = x[i // 2 - 1]
    np.testing.assert_array_equal(gc.compile(y, target="interpret")(x=[1, 2]), [0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize("nothing", [0, 0.0])
def test_zero_is_zero(nothing: float) -> None:
    x, y, i, k = gc.tensor("x", gc.dim("N")), gc.tensor("y", gc.dim("N")), *gc.indices("i k")
    y[i] += gc.where(k <= i, x[i - k], nothing)
    assert gc.compile(y, target="interpret")(x=np.array([1, 2, 4], "float32")).tolist() == [1, 3, 7]


def test_an_index_that_a_condition_makes_equal_to_another() -> None:
    x, y, i, k = gc.tensor("x", gc.dim("N")), gc.tensor("y", gc.dim("N")), *gc.indices("i k")
    y[i] += gc.where(i == k, x[i + k], 0)
    assert gc.compile(y, target="interpret")(x=np.array([1, 2, 4, 8, 16], "float32")).tolist() == [1, 4, 16, 0, 0]
