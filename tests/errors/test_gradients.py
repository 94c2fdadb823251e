"""Derivatives and other transforms that are asked for wrongly (LANGUAGE 4, 7, 8)."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

N, D = gc.dims("N D")
i, j = gc.indices("i j")
X = gc.tensor("X", N, D)
W = gc.tensor("W", D)
Z = gc.tensor("Z", N)
tok = gc.tensor("tok", N, dtype="int64")
Y, L, C = gc.tensors("Y L C")
Y[i] += X[i, j] * W[j]
L[()] += Y[i] ** 2 + 0.0 * Z[i]
C[()] += tok[i]

x, w, z = np.ones((3, 2)), np.ones(2), np.ones(3)


def test_gradient_of_no_scalar(rejects):
    with rejects(gc.DifferentiationError):
        gc.grad(Y, W)


def test_gradient_of_an_element(rejects):
    with rejects(gc.NotationError):
        gc.grad(L[()], W)


def test_gradient_with_respect_to_an_element(rejects):
    with rejects(gc.NotationError):
        gc.grad(L, W[j])


def test_gradient_with_respect_to_a_name(rejects):
    with rejects(gc.NotationError):
        gc.grad(L, "W")


def test_gradient_with_respect_to_an_array(rejects):
    with rejects(gc.NotationError):
        gc.grad(L, [W, w])


def test_gradient_with_respect_to_integers(rejects):
    E, K = gc.tensors("E K")
    E[i] = W[tok[i]]
    K[()] += E[i]
    with rejects(gc.DtypeError):
        gc.grad(K, [W, tok])


def test_gradient_of_integers(rejects):
    with rejects(gc.DtypeError):
        gc.grad(C, W)


def test_unreachable_tensor_when_strict(rejects):
    V = gc.tensor("V", N)
    with rejects(gc.DifferentiationError):
        gc.grad(L, [W, V], strict=True)


def test_seed_of_another_shape(rejects):
    S = gc.tensor("S", D)
    with rejects(gc.DifferentiationError):
        gc.grad(Y, W, seed=S)


def test_seed_is_a_number(rejects):
    with rejects(gc.NotationError):
        gc.grad(Y, W, seed=1.0)


def test_seed_of_integers(rejects):
    with rejects(gc.DtypeError):
        gc.grad(Y, W, seed=tok)


def test_gradient_with_respect_to_nothing(rejects):
    with rejects(gc.NotationError):
        gc.grad(L, None)


def test_gradient_of_a_dropped_contribution(rejects):
    A, B = gc.tensors("A B")
    a = A[i]
    a += X[i, j]
    B[()] += A[i]
    with rejects(gc.NotationError):
        gc.grad(B, X)


def test_loops_of_an_element(rejects):
    with rejects(gc.NotationError):
        gc.loops(Y[i])


def test_wrong_gradient(rejects):
    wrong = gc.function("wrong", lambda x: x**2, grad=lambda x, y: 3 * x)
    B = gc.tensor("B")
    B[()] += wrong(W[j])
    with rejects(gc.GradientError, call=True):
        gc.check_grad(B, W, W=np.array([0.5, 2.0]))


def test_wrong_gradient_of_second_order(rejects):
    wrong = gc.function("wrong", lambda x: x**3, grad=lambda x, y: 3 * x * gc.stop_gradient(x))
    B = gc.tensor("B")
    B[()] += wrong(W[j])
    assert gc.check_grad(B, W, W=np.array([0.5, 2.0])) < 1e-12
    halved = gc.function("halved", lambda x: x**2, grad=lambda x, y: gc.function("twice", lambda x: 2 * x, grad=lambda x, y: 1)(x))
    C = gc.tensor("C")
    C[()] += halved(W[j])
    assert gc.check_grad(C, W, W=np.array([0.5, 2.0])) < 1e-12
    with rejects(gc.GradientError, call=True):
        gc.check_grad(C, W, order=2, W=np.array([0.5, 2.0]))


def test_wrong_gradient_of_a_large_tensor(rejects):
    """One element of 10,000 is wrong; a dozen evaluations find it."""
    wrong = gc.function("wrong", lambda x: x**2, grad=lambda x, y: gc.where(x == 1.5, 3 * x, 2 * x))
    V, B = gc.tensor("V", N, D), gc.tensor("B")
    B[()] += wrong(V[i, j])
    v = np.zeros((100, 100))
    v[70, 12] = 1.5
    with rejects(gc.GradientError, call=True):
        gc.check_grad(B, V, V=v)


def test_check_of_a_derivative_that_does_not_exist(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.check_grad(L, W, order=0, X=x, W=w, Z=z)


def test_wrong_gradient_is_an_assertion():
    wrong = gc.function("wrong", lambda x: x**2, grad=lambda x, y: 3 * x)
    B = gc.tensor("B")
    B[()] += wrong(W[j])
    with pytest.raises(AssertionError):
        gc.check_grad(B, W, W=np.array([0.5, 2.0]))


def test_check_of_a_missing_array(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.check_grad(L, W, X=x, Z=z)


def test_check_where_the_value_is_no_number(rejects):
    V, B = gc.tensor("V", N), gc.tensor("B")
    B[()] += gc.log(V[i])
    with rejects(gc.ArgumentError, call=True):
        gc.check_grad(B, V, V=np.array([-1, 1], "float32"))
    with pytest.raises(gc.ArgumentError, match="where B is -inf"):
        gc.check_grad(B, V, V=[0.0, 1])


def test_check_of_an_unknown_array(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.check_grad(L, W, X=x, W=w, Z=z, V=z)


def test_check_of_a_defined_tensor(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.check_grad(L, Y, X=x, W=w, Z=z)


def test_check_accepts_lists_and_both_float_types():
    assert gc.check_grad(L, [X, W, Z], X=x.astype("float32"), W=[1.0, 2.0], Z=z) < 1e-6


def test_verified_gradient_is_wrong(rejects):
    tripled = gc.function("tripled", lambda x: x**2, grad=lambda x, y: 3 * x)
    B, V = gc.tensor("B"), gc.tensor("V", D)
    B[()] += tripled(V[j]) * V[j]
    with rejects(gc.GradientError, call=True):
        gc.verify(B, V)


def test_verify_a_defined_tensor(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.verify(L, Y)


def test_verify_a_large_program(rejects):
    V, B = gc.tensor("V", 100_000), gc.tensor("B")
    B[()] += V[j] ** 2
    with rejects(gc.ArgumentError, call=True):
        gc.verify(B, V)
