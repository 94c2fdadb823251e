"""Orders of loops that are found: offsets between tensors, rows of their own, several directions, reads at varying distances."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

T, N = gc.dims("T N")
t, i, j, k = gc.indices("t i j k")


def apart():
    """b must be a step behind a, although a reads b ahead of itself."""
    x, L = gc.tensor("x", T), gc.tensor("L")
    a, b = gc.tensors("a b")
    a[t] = x[t] + 0.5 * gc.pad(b, 0)[t + 1]
    b[t] = gc.sin(gc.pad(a, 0)[t - 2]) + x[t] ** 2
    L[()] += a[t] * b[t]
    return L, [x], {"x": (7,)}


def shifted_definition():
    x, L = gc.tensor("x", T), gc.tensor("L")
    a, b = gc.tensor("a", T), gc.tensor("b", T + 1)
    a[t] = gc.tanh(b[t]) * x[t]
    b[t + 1] = a[t] + 0.3 * b[t]
    b[0] = x[0]
    L[()] += b[k] ** 2
    return L, [x], {"x": (6,)}


def three_in_a_chain():
    x, L = gc.tensor("x", T), gc.tensor("L")
    a, b, c = gc.tensors("a b c")
    a[t] = x[t] * gc.pad(c, 0)[t - 3]
    b[t] = 0.5 * gc.pad(a, 1)[t + 1] + x[t]
    c[t] = gc.sin(gc.pad(b, 0)[t + 1]) + x[t]
    L[()] += a[t] + b[t] * c[t]
    return L, [x], {"x": (8,)}


def rows_of_their_own():
    """The first rows of both tensors are defined by each other."""
    x, L = gc.tensor("x", T, 3), gc.tensor("L")
    a, b = gc.tensor("a", T, 3), gc.tensor("b", T, 3)
    later = gc.index("u", 1, T)
    a[0, i] = x[0, i]
    b[0, i] = gc.exp(a[0, i] / 2)
    a[later, i] = x[later, i] * b[later - 1, i]
    b[later, i] = gc.cos(a[later, i])
    L[()] += a[t, i] * b[t, i]
    return L, [x], {"x": (5, 3)}


def catalan():
    """Every element reads all that come before, at distances that vary."""
    k = gc.index("k", N)
    x, C, L = gc.tensor("x", N), gc.tensor("C", N), gc.tensor("L")
    C[i] = x[i] + gc.sum(gc.where(k < i, 0.3 * C[k] * C[i - 1 - k], 0), over=k)
    L[()] += C[i] ** 2
    return L, [x], {"x": (6,)}


def interval():
    """Parenthesised products: intervals by their parts, along the first dimension downwards and along the second upwards."""
    k = gc.index("k", N)
    x, M, L = gc.tensor("x", N), gc.tensor("M", N, N), gc.tensor("L")
    parts = gc.sum(gc.where((i <= k) & (k < j), gc.sin(M[i, k]) * M[k + 1, j], 0), over=k)
    M[i, j] = gc.where(i == j, x[i], gc.where(i < j, parts, 0))
    L[()] += M[0, N - 1]
    return L, [x], {"x": (5,)}


def cholesky():
    """The diagonal of a row needs a sum over the row, which has one dimension less than what it is ordered with."""
    k = gc.index("k", N)
    a, C, L = gc.tensor("a", N, N), gc.tensor("C"), gc.tensor("L")
    below = (a[i, j] - gc.sum(gc.where(k < j, C[i, k] * C[j, k], 0), over=k)) / C[j, j]
    diagonal = gc.sqrt(a[i, i] - gc.sum(gc.where(k < i, C[i, k] ** 2, 0), over=k))
    C[i, j] = gc.where(j < i, below, gc.where(j > i, 0, diagonal))
    L[()] += 2 * gc.log(C[i, i]) + gc.sum(C[i, j] ** 3, over=j)
    return L, [a], {"a": (3, 3)}


def _steps(read):
    """A recurrence over rows that reads another element of earlier ones besides, with adjoints whose left side is not plain."""

    def program():
        A, h, L = gc.tensor("A", N, N), gc.tensor("h"), gc.tensor("L")
        later = gc.index("t", 1, N)
        h[0, i] = A[0, i]
        h[later, i] = gc.sin(h[later - 1, i]) * A[later, i] + gc.cos(read(h, later))
        L[()] += h[k, i] ** 2
        return L, [A], {"A": (5, 5)}

    return program


def columns():
    """Along the second dimension, by elements of earlier columns that lie on a diagonal."""
    A, h, L = gc.tensor("A", N, N), gc.tensor("h"), gc.tensor("L")
    later = gc.index("t", 1, N)
    h[i, 0] = A[i, 0]
    h[i, later] = gc.sin(h[i, later - 1]) * A[i, later] + h[later, later - 1] * h[N - 1 - later, later - 1]
    L[()] += h[i, k] ** 2
    return L, [A], {"A": (5, 5)}


def two_tensors():
    x, y, L = gc.tensor("x", 4, N), gc.tensor("y", N), gc.tensor("L")
    a, b = gc.tensors("a b")
    later, every = gc.index("t", 1, 4), gc.index("u", 4)
    a[0, i] = x[0, i]
    b[0, i] = y[i]
    a[later, i] = gc.sin(b[later - 1, i] + b[later - 1, later]) * x[later, i]
    b[later, i] = gc.cos(a[later, i] + a[later, later]) + b[later - 1, later - 1]
    L[()] += a[every, i] * b[every, i]
    return L, [x, y], {"x": (4, 5), "y": (5,)}


def shortest_paths():
    """Floyd and Warshall: every step reads one row and one column of the step before."""
    k = gc.index("k", N)
    A, D, L = gc.tensor("A", N, N), gc.tensor("D"), gc.tensor("L")
    D[-1, i, j] = A[i, j]
    D[k, i, j] = gc.minimum(D[k - 1, i, j], D[k - 1, i, k] + D[k - 1, k, j])
    L[()] += D[N - 1, i, j] ** 2
    return L, [A], {"A": (5, 5)}


def elimination():
    k = gc.index("k", N)
    A, D, L = gc.tensor("A", N, N), gc.tensor("D"), gc.tensor("L")
    D[-1, i, j] = A[i, j]
    D[k, i, j] = D[k - 1, i, j] - 0.3 * D[k - 1, i, k] * D[k - 1, k, j] / (2 + D[k - 1, k, k] ** 2)
    L[()] += D[N - 1, i, j] ** 3
    return L, [A], {"A": (5, 5)}


def heap():
    """A segment tree: every node by its two children, from the leaves up."""
    x, tree, L = gc.tensor("x", N), gc.tensor("tree", 2 * N), gc.tensor("L")
    inner = gc.index("I", 1, N)
    tree[N + j] = x[j]
    tree[inner] = gc.maximum(tree[2 * inner], tree[2 * inner + 1]) * x[inner] + gc.sin(tree[2 * inner])
    L[()] += tree[k] ** 2
    return L, [x], {"x": (6,)}


def children():
    """The same from the root down, by left sides that are not plain."""
    x, d, L = gc.tensor("x", 9), gc.tensor("d", 9), gc.tensor("L")
    parent = gc.index("p", 4)
    d[0] = x[0]
    d[2 * parent + 1] = gc.sin(d[parent]) * x[parent]
    d[2 * parent + 2] = gc.cos(d[parent]) * x[2 * parent]
    L[()] += d[k] ** 2
    return L, [x], {"x": (9,)}


NOT_PLAIN = {
    "h[t-1,t]": _steps(lambda h, t: h[t - 1, t]),
    "h[t-1,t//2]": _steps(lambda h, t: h[t - 1, t // 2]),
    "h[t-1,(2*t+1)%5]": _steps(lambda h, t: h[t - 1, (2 * t + 1) % 5]),
    "h[t//2,i]": _steps(lambda h, t: h[t // 2, i]),
    "h[t//2,t]": _steps(lambda h, t: h[t // 2, t]),
    "h[t-1-t//3,i]": _steps(lambda h, t: h[t - 1 - t // 3, i]),
    "columns": columns,
    "two tensors": two_tensors,
    "shortest paths": shortest_paths,
    "elimination": elimination,
    "heap": heap,
    "children": children,
}

PROGRAMS = [apart, shifted_definition, three_in_a_chain, rows_of_their_own, catalan, interval, cholesky]


def arrays_of(shapes):
    random = np.random.default_rng(5)
    arrays = {name: np.asarray(random.uniform(0.2, 1.0, shape)) for name, shape in shapes.items()}
    return arrays | ({"a": arrays["a"] + 2 * np.eye(3)} if "a" in arrays else {})


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_gradient_and_kernels(program):
    L, wrt, shapes = program()
    gc.check_grad(L, wrt, **arrays_of(shapes))
    outputs = [L, *gc.grad(L, wrt)]
    arrays = {name: array.astype("float32") for name, array in arrays_of(shapes).items()}
    for got, want in zip(gc.compile(outputs)(**arrays), gc.compile(outputs, target="interpret")(**arrays), strict=True):
        # a few hundred float32 operations in another order
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_left_sides_that_are_not_plain(name):
    L, wrt, shapes = NOT_PLAIN[name]()
    arrays = arrays_of(shapes)
    gc.check_grad(L, wrt, order=2, **arrays)
    outputs = [L, *gc.grad(L, wrt)]
    compiled, interpreted = (gc.compile(outputs, target=target, precision="float64") for target in ("cpu", "interpret"))
    for got, want in zip(compiled(**arrays), interpreted(**arrays), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)  # a few hundred operations in another order


@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_left_sides_that_are_not_plain_of_integers(dtype):
    x, d = gc.tensor("x", 9, dtype=dtype), gc.tensor("d", 9, dtype=dtype)
    parent = gc.index("p", 4)
    d[0] = x[0]
    d[2 * parent + 1] = d[parent] | x[parent] if dtype == "bool" else d[parent] + x[parent]
    d[2 * parent + 2] = ~d[parent] if dtype == "bool" else d[parent] * x[2 * parent]
    array = np.arange(9, dtype="int64") % 4 if dtype == "int64" else np.arange(9) % 3 == 0
    np.testing.assert_array_equal(gc.compile(d)(x=array), gc.compile(d, target="interpret")(x=array))


def test_cholesky_to_third_order():
    L, (a,), _ = cholesky()
    matrix = np.array([[4, 2, 1], [2, 5, 2], [1, 2, 6]], float)
    C = np.linalg.cholesky(matrix)
    loss = gc.compile(L, target="interpret", precision="float64")(a=matrix)
    np.testing.assert_allclose(loss, 2 * np.log(np.diag(C)).sum() + (C**3).sum())
    gc.check_grad(L, [a], order=3, a=matrix)


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_a_batch_of_triangular_recurrences(target):
    b, i, j, k = gc.indices("b i j k")
    B, N = gc.dims("B N")
    K, C = gc.tensor("K", B, N, N), gc.tensor("C", B, N, N)
    before = gc.sum(gc.where(k < i, C[b, i, k], 0), over=k)
    C[b, i, j] = gc.where(j < i, C[b, j, j], gc.where(i == j, K[b, i, i] + before, 0))
    value = np.random.default_rng(2).normal(size=(3, 5, 5))
    known = np.zeros_like(value)
    for row in range(5):
        known[:, row, :row] = np.diagonal(known, axis1=1, axis2=2)[:, :row]
        known[:, row, row] = value[:, row, row] + known[:, row, :row].sum(axis=1)
    np.testing.assert_allclose(gc.compile(C, target=target, precision="float64")(K=value), known)


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_a_batch_of_gradients_of_a_triangular_recurrence(target):
    """The gradient of log det K is the inverse of K; Cholesky's factor reads the lower triangle only."""
    i, j, k = gc.indices("i j k")
    B, N = gc.dims("B N")
    K, C, L = gc.tensor("K", N, N), gc.tensor("C", N, N), gc.tensor("L")
    below = (K[i, j] - gc.sum(gc.where(k < j, C[i, k] * C[j, k], 0), over=k)) / C[j, j]
    square = K[i, i] - gc.sum(gc.where(k < i, C[i, k] ** 2, 0), over=k)
    C[i, j] = gc.where(j < i, below, gc.where(i == j, gc.sqrt(square), 0))
    L[()] += 2 * gc.log(C[i, i])
    half = np.random.default_rng(2).normal(size=(3, 4, 4))
    value = half @ half.transpose(0, 2, 1) + np.eye(4)
    slope = gc.compile(gc.vmap(gc.grad(L, K), {K: B}), target=target, precision="float64")(K=value)
    inverse = np.linalg.inv(value)
    np.testing.assert_allclose(slope, np.tril(2 * inverse) - inverse * np.eye(4), rtol=1e-9)
