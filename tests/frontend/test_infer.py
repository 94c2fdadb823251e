"""Indices of what was written, although the expression has become simpler."""

import warnings

import numpy as np
import pytest

import graphc as gc

N, M = gc.dims("N M")
i, j = gc.indices("i j")
X, W, Z = gc.tensor("X", N), gc.tensor("W", N), gc.tensor("Z", N, M)
x, z = np.float32([1, 2, 3]), np.ones((3, 4), np.float32)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("target", ["interpret", "cpu"])
@pytest.mark.parametrize(("term", "want"), [
    (lambda: X[i] ** 0, 3),
    (lambda: X[i] / X[i], 3),
    (lambda: X[i] - X[i] + 1, 3),
    (lambda: 0 * X[i] + 2, 6),
    (lambda: W[i] + 0 * Z[i, j], 24),
    (lambda: gc.where(True, W[i], Z[i, j]), 24),
    (lambda: W[i] * Z[i, j] ** 0, 24),
    (lambda: gc.sum(1 + 0 * Z[i, j], over=j), 12),
    (lambda: gc.mean(Z[i, j] / Z[i, j], over=j) + W[i], 9),
])  # fmt: skip
def test_sum(term, want, target):
    total = gc.tensor("total")
    total[()] += term()
    got = gc.compile(total, target=target)({"X": x, "W": x, "Z": z})
    assert got == want
    assert got.dtype == np.float32


def test_polynomial():
    c, total = gc.tensor("c", 3), gc.tensor("total")
    for power in range(3):
        total[()] += c[power] * X[i] ** power
    f = gc.compile([total, gc.grad(total, c)], target="interpret")
    value, by_c = f(X=x, c=np.ones(3, np.float32))
    assert value == 23
    np.testing.assert_array_equal(by_c, [3, 6, 14])


def test_declared_index():
    p, total = gc.index("p", 5), gc.tensor("total")
    total[()] += 0 * p + 1
    assert gc.compile(total, target="interpret")() == 5


def test_range_of_what_is_left():
    y = gc.tensor("y")
    y[i] = X[i] ** 0
    np.testing.assert_array_equal(gc.compile(y, target="interpret")(X=x), np.ones(3, np.float32))


def test_index_on_the_right_only():
    y = gc.tensor("y")
    with pytest.raises(gc.NotationError, match="j is only on the right"):
        y[i] = W[i] + 0 * Z[i, j]


def test_clash():
    y, v = gc.tensor("y"), gc.tensor("v", M)
    y[i] = W[i] + 0 * v[i]
    with pytest.raises(gc.ShapeError, match=r"runs over N elements .* and over M"):
        gc.compile(y, target="interpret")


def test_integers_and_conditions_keep_their_types():
    k, count, found = gc.tensor("k", N, dtype="int64"), gc.tensor("count"), gc.tensor("found")
    count[()] += k[i] ** 0
    found[i] = X[i] - X[i] == 0
    got = gc.compile([count, found], target="interpret")(k=np.arange(3), X=x)
    assert got[0] == 3
    assert got[0].dtype == np.int64
    assert got[1].tolist() == [True] * 3


@pytest.mark.parametrize("target", ["interpret", "cpu"])
@pytest.mark.parametrize("order", [1, -1])
def test_extent_of_several_definitions(target, order):
    a, c, d = gc.tensor("a", N), gc.tensor("c", M), gc.tensor("d", 2)
    parts = [((i, a[i]), (j + N, c[j]), (i + N + M, d[i])), ((i, a[i]), (j + N, c[j]))]
    for definitions in parts:
        y = gc.tensor("y")
        for place, value in definitions[::order]:
            y[place] = value
        arrays = [np.float32([1, 2]), np.float32([3, 4, 5]), np.float32([6, 7])][: len(definitions)]
        got = gc.compile(y, target=target)(dict(zip("acd", arrays, strict=False)))
        np.testing.assert_array_equal(got, np.concatenate(arrays))


def test_extent_that_no_definition_has_for_all_sizes():
    y, c, d = gc.tensor("y"), gc.tensor("c", M), gc.tensor("d", gc.dim("K"))
    y[i] = X[i]
    y[2 * j + N] = c[j]
    y[2 * i + N + 1] = d[i]
    with pytest.raises(gc.RangeError, match=r'declare the shape: gc.tensor\("y", …\)'):
        gc.compile(y, target="interpret")
