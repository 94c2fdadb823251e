"""Four iterations of the loop around an innermost loop are one: the same sums, whatever is left over."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

N, M, K = gc.dims("N M K")
i, j, k = gc.indices("i j k")
random = np.random.default_rng(0)


def distances(n=N, m=M, depth=K):
    """L1 distances of rows, weighted, and the gradients."""
    X, Y, T = gc.tensor("X", n, depth), gc.tensor("Y", m, depth), gc.tensor("T", n, m)
    d, L = gc.tensors("d L")
    d[i, j] += gc.abs(X[i, k] - Y[j, k])
    L[()] += d[i, j] * T[i, j]
    return [L, *gc.grad(L, [X, Y])]


def exact(X, Y, T):
    difference = X[:, None] - Y[None]
    signs = T[..., None] * np.sign(difference)
    return [(np.abs(difference).sum(2) * T).sum(), signs.sum(1), -signs.sum(0)]


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 3, 4), (4, 4, 4), (5, 7, 3), (16, 17, 15), (33, 8, 64), (3, 0, 5), (0, 4, 2), (4, 6, 0)])
@pytest.mark.parametrize("literal", [False, True])
def test_sums_of_all_sizes(sizes, literal):
    n, m, depth = sizes
    if literal and 0 in sizes:
        pytest.skip("a literal extent is not 0")
    arrays = {"X": random.normal(size=(n, depth)), "Y": random.normal(size=(m, depth)), "T": random.normal(size=(n, m))}
    program = gc.compile(distances(*sizes) if literal else distances(), precision="float64")
    for found, expected in zip(program(arrays), exact(**arrays), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_the_loop_over_the_sum_takes_steps_of_four():
    X, Y, w, d = gc.tensor("X", N, K), gc.tensor("Y", M, K), gc.tensor("w", M), gc.tensor("d")
    d[i, k] += w[j] ** 2 * gc.where(X[i, k] != Y[j, k], 1, 0)
    source = gc.compile(d).source
    assert ", 4):" in source
    assert "X[i, k] != Y[j + 3, k]" in source


def test_limits_that_depend_on_an_outer_loop():
    """A triangle: rows of fewer than four, and of none."""
    X, Y, d = gc.tensor("X", N, K), gc.tensor("Y", N, K), gc.tensor("d")
    d[i, k] += gc.where(j < i, gc.abs(X[i, k] - Y[j, k]), 0)
    arrays = {"X": random.normal(size=(11, 5)), "Y": random.normal(size=(11, 5))}
    expected = np.array([np.abs(arrays["X"][n] - arrays["Y"][:n]).sum(0) for n in range(11)])
    np.testing.assert_allclose(gc.compile(d, precision="float64")(arrays), expected, rtol=1e-12)


def test_functions_that_cost_much_are_not_repeated():
    X, Y, d = gc.tensor("X", N, K), gc.tensor("Y", M, K), gc.tensor("d")
    d[i, k] += gc.exp(X[i, k] - Y[j, k])
    assert ", 4):" not in gc.compile(d).source


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 5, 2), (17, 16, 9), (4, 33, 8), (0, 3, 2), (3, 0, 2)])
@pytest.mark.parametrize(("reduction", "expected"), [(gc.max, np.max), (gc.min, np.min), (gc.prod, np.prod)])
@pytest.mark.parametrize("behind", [False, True])
def test_other_semirings(sizes, reduction, expected, behind):
    """Max-plus, min-plus and a product of sums; and with a statement that reads the rows."""
    n, m, depth = sizes
    A, B, C, D = gc.tensor("A", N, K), gc.tensor("B", K, M), *gc.tensors("C D")
    C[i, j] = reduction(A[i, k] + B[k, j], over=k)
    D[i, j] = 2 * C[i, j] - C[i, 0] if behind else C[i, j]
    if behind and not m:
        pytest.skip("there is no C[i,0]")
    a, b = random.normal(size=(n, depth)), random.normal(size=(depth, m))
    a[a > 1.5] = np.nan
    whole = expected(a[:, :, None] + b[None], axis=1)
    program = gc.compile([C, D], precision="float64")
    found, after = program(A=a, B=b)
    np.testing.assert_allclose(found, whole, rtol=1e-12)
    np.testing.assert_allclose(after, 2 * whole - whole[:, :1] if behind else whole, rtol=1e-12)


def test_a_maximum_along_the_first_dimension_goes_row_by_row():
    X, y = gc.tensor("X", N, M), gc.tensor("y")
    y[j] = gc.max(X[i, j], over=i)
    program = gc.compile(y)
    assert program.kernels[0].plan.strategy == "rows of results in place"
    x = random.normal(size=(37, 21)).astype("f")
    np.testing.assert_array_equal(program(X=x), x.max(0))
