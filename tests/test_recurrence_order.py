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


def test_cholesky_to_third_order():
    L, (a,), _ = cholesky()
    matrix = np.array([[4, 2, 1], [2, 5, 2], [1, 2, 6]], float)
    C = np.linalg.cholesky(matrix)
    loss = gc.compile(L, target="interpret", precision="float64")(a=matrix)
    np.testing.assert_allclose(loss, 2 * np.log(np.diag(C)).sum() + (C**3).sum())
    gc.check_grad(L, [a], order=3, a=matrix)
