"""Reductions that the user defines: values on every target, gradients by a rule and derived, empty and conditional ranges."""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphc as gc

N, D, E = gc.dims("N D E")
i, j, k = gc.indices("i j k")

RULED = gc.reduction("norm", lambda a, b: gc.sqrt(a * a + b * b), 0, grad=lambda x, y: x / y)
DERIVED = gc.reduction("norm", lambda a, b: gc.sqrt(a * a + b * b), 0)
NOISY_OR = gc.reduction("noisy_or", lambda a, b: a + b - a * b, 0)
HARMONIC = gc.reduction("parallel", lambda a, b: 1 / (1 / a + 1 / b), math.inf, grad=lambda x, y: (y / x) ** 2)

CASES = {
    "ruled": (RULED, lambda x: np.sqrt((x**2).sum(-1))),
    "derived": (DERIVED, lambda x: np.sqrt((x**2).sum(-1))),
    "noisy_or": (NOISY_OR, lambda x: 1 - np.prod(1 - x, -1)),
    "parallel": (HARMONIC, lambda x: 1 / (1 / x).sum(-1)),
}


def arrays_of(*shape):
    return np.random.default_rng(4).uniform(0.3, 1.2, shape)


def rows(reduction):
    X, Y, L = gc.tensor("X", N, D), *gc.tensors("Y L")
    Y[i] = reduction(gc.sin(X[i, j]), over=j)
    L[()] += Y[i] ** 2
    return X, Y, L


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case):
    reduction, reference = CASES[case]
    X, Y, L = rows(reduction)
    x = arrays_of(3, 5)
    gc.check_grad(L, [X], X=x)
    outputs = [Y, gc.grad(L, X)]
    want = gc.compile(outputs, target="interpret", precision="float64")(X=x)
    np.testing.assert_allclose(want[0], reference(np.sin(x)), rtol=1e-12)
    for got, expected in zip(gc.compile(outputs)(X=x.astype("float32")), want, strict=True):
        # a few dozen float32 operations; noisy_or subtracts from 1
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("case", ["derived", "noisy_or"])
def test_second_derivative_and_one_term(case):
    X, _, L = rows(CASES[case][0])
    V = gc.tensor("V", N, D)
    f = gc.compile(gc.hvp(L, {X: V})[X], target="interpret", precision="float64")
    gradient = gc.compile(gc.grad(L, X), target="interpret", precision="float64")
    for terms in (1, 3):
        x, v = arrays_of(2, terms), np.ones((2, terms))
        step = 1e-6
        slope = (gradient(X=x + step * v) - gradient(X=x - step * v)) / (2 * step)
        np.testing.assert_allclose(f(X=x, V=v), slope, rtol=1e-6)


def test_several_indices_conditions_and_nothing():
    X, Y = gc.tensor("X", N, D, E), gc.tensor("Y", N)
    Y[i] = 2 * NOISY_OR(gc.where(j < i, X[i, j, k], 0.5), over=(j, k))
    x = arrays_of(3, 2, 4).astype("float32")
    for target in ("cpu", "interpret"):
        f = gc.compile(Y, target=target)
        chosen = np.where(np.arange(2)[None, :, None] < np.arange(3)[:, None, None], x, 0.5)
        np.testing.assert_allclose(f(X=x), 2 - 2 * np.prod(1 - chosen, (1, 2)), rtol=1e-5)
        np.testing.assert_array_equal(f(X=x[:, :0]), np.zeros(3))


def test_dropped_terms_and_windows():
    X, Y, L = gc.tensor("X", N), *gc.tensors("Y L")
    r, i = gc.index("r", 3), gc.index("i", N)
    Y[i] = DERIVED(gc.skip(X)[i + r - 1], over=r)
    L[()] += Y[i] * X[i]
    x = arrays_of(5)
    gc.check_grad(L, [X], X=x)
    padded = np.pad(x, 1)
    want = np.sqrt(padded[:-2] ** 2 + padded[1:-1] ** 2 + padded[2:] ** 2)
    np.testing.assert_allclose(gc.compile(Y)(X=x.astype("float32")), want, rtol=1e-6)


def test_equal_reductions_share_a_name_and_others_do_not():
    again = gc.reduction("noisy_or", lambda p, q: p + q - p * q, 0)
    other = gc.reduction("noisy_or", lambda a, b: a + b - 1, 1)
    X, Y = gc.tensor("X", N), gc.tensor("Y", 3)
    Y[0], Y[1], Y[2] = again(X[i], over=i), NOISY_OR(X[i], over=i), other(X[i], over=i)
    assert "noisy_or(X[i], over=i)" in str(gc.loops(Y)) and "noisy_or_2(X[i], over=i)" in str(gc.loops(Y))
    x = arrays_of(4)
    values = gc.compile(Y, target="interpret")(X=x.astype("float32"))
    np.testing.assert_allclose(values, [1 - np.prod(1 - x), 1 - np.prod(1 - x), x.sum() - 3], rtol=1e-5)


def test_verified_exactly():
    X, _, L = rows(NOISY_OR)
    assert gc.verify(L, [X])


CHOICES = {
    "first": (lambda a, b: gc.where(a >= b, a, b), -math.inf, [0, 1, 0, 0, 0]),
    "last": (lambda a, b: gc.where(a > b, a, b), -math.inf, [0, 0, 0, 0, 1]),
    "least": (lambda a, b: -gc.where(-a > -b, -a, -b), math.inf, [0, 0, 0, 1, 0]),
    "halves": (gc.maximum, -math.inf, [0, 0.25, 0.25, 0, 0.5]),
    "halves_of_abs": (lambda a, b: (a + b + gc.abs(a - b)) / 2, -1e3, [0, 0.25, 0.25, 0, 0.5]),
}


@pytest.mark.parametrize("case", CHOICES)
def test_ties_are_differentiated_as_combine_chooses(case):
    combine, identity, want = CHOICES[case]
    chosen = gc.reduction(case, combine, identity)
    x, L, A, K = gc.tensor("x", N), gc.tensor("L"), gc.tensor("A", D, E), gc.tensor("K")
    L[()] = chosen(x[i], over=i)
    K[()] = chosen(A[j, k], over=(j, k))
    for target in ("cpu", "interpret"):
        slope = gc.compile(gc.grad(L, x), target=target)
        np.testing.assert_array_equal(slope(x=[1, 2, 2, 1, 2]), want)
        np.testing.assert_array_equal(slope(x=[3]), [1])
        assert slope(x=[]).shape == (0,)
        assert gc.compile(gc.grad(K, A), target=target)(A=[[1, 1, 1], [1, 1, 1]]).sum() == 1
    assert gc.verify(L, x)
    assert gc.verify(K, A, largest=2)


def test_second_derivative_of_a_choice():
    x, V, L = gc.tensor("x", N), gc.tensor("V", N), gc.tensor("L")
    L[()] = gc.reduction("first", *CHOICES["first"][:2])(x[i] ** 3, over=i) ** 2
    np.testing.assert_array_equal(gc.compile(gc.hvp(L, {x: V})[x])(x=[1, 2, 2], V=[1, 1, 1]), [0, 480, 0])
    gc.check_grad(L, x, x=np.array([1.0, 3, 2]), order=2)


def test_terms_in_front_that_have_no_derivative_of_their_own():
    X, _, L = rows(DERIVED)
    gradient = gc.compile(gc.grad(L, X), target="interpret", precision="float64")(X=np.array([[0, 0, 1.0]]))
    np.testing.assert_allclose(gradient, [[0, 0, np.sin(2.0)]])
