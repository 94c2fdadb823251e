"""Transforms that are asked for wrongly (LANGUAGE 4, 7, 8)."""

from __future__ import annotations

import graphc as gc

N, D = gc.dims("N D")
i, j = gc.indices("i j")
X, V = gc.tensors("X V", N, D)
W, Z = gc.tensor("W", D), gc.tensor("Z", N)
tok = gc.tensor("tok", N, dtype="int64")
Y, L, C = gc.tensors("Y L C")
Y[i] += X[i, j] * W[j]
L[()] += Y[i] ** 2
C[i] = tok[i] + 1


def test_jvp_of_an_element(rejects):
    with rejects(gc.NotationError):
        gc.jvp(Y[i], {X: V})


def test_jvp_of_a_list_with_a_number(rejects):
    with rejects(gc.NotationError):
        gc.jvp([Y, 2.0], {X: V})


def test_jvp_without_a_dict(rejects):
    with rejects(gc.NotationError):
        gc.jvp(Y, [X, V])


def test_jvp_along_nothing(rejects):
    with rejects(gc.NotationError):
        gc.jvp(Y, {})


def test_jvp_with_a_name(rejects):
    with rejects(gc.NotationError):
        gc.jvp(Y, {"X": V})


def test_jvp_with_an_element(rejects):
    with rejects(gc.NotationError):
        gc.jvp(Y, {X: V[i, j]})


def test_jvp_of_integers(rejects):
    with rejects(gc.DtypeError):
        gc.jvp(C, {X: V})


def test_jvp_along_integers(rejects):
    with rejects(gc.DtypeError):
        gc.jvp(Y, {X: V, tok: tok})


def test_jvp_along_another_shape(rejects):
    with rejects(gc.DifferentiationError):
        gc.jvp(Y, {X: V, W: Z})


def test_hvp_of_no_scalar(rejects):
    with rejects(gc.DifferentiationError):
        gc.hvp(Y, {X: V})


def test_hvp_along_another_shape(rejects):
    with rejects(gc.DifferentiationError):
        gc.hvp(L, {X: V, W: Z})


def test_hvp_without_a_dict(rejects):
    with rejects(gc.NotationError):
        gc.hvp(L, W)


def test_vmap_of_a_defined_tensor(rejects):
    with rejects(gc.NotationError):
        gc.vmap(L, {Y: 3})


def test_vmap_without_an_extent(rejects):
    with rejects(gc.NotationError):
        gc.vmap(L, {W: 2.5})


def test_vmap_of_an_index_that_begins_elsewhere(rejects):
    with rejects(gc.NotationError):
        gc.vmap(L, {W: gc.index("b", 1, 8)})


def test_vmap_of_two_extents(rejects):
    with rejects(gc.ShapeError):
        gc.vmap(L, {W: 3, X: N})


def test_vmap_of_a_tensor_that_does_not_fit(rejects):
    with rejects(gc.ShapeError):
        gc.vmap(L, {W: Z})


def test_vmap_without_a_dict(rejects):
    with rejects(gc.NotationError):
        gc.vmap(L, W)


def test_jacobian_of_integers(rejects):
    with rejects(gc.DtypeError):
        gc.jacobian(C, X)


def test_jacobian_of_an_element(rejects):
    with rejects(gc.NotationError):
        gc.jacobian(Y, X[i, j])


def test_hessian_of_no_scalar(rejects):
    with rejects(gc.DifferentiationError):
        gc.hessian(Y, [X, W])


def _rounded():
    x, y = gc.tensor("x", N), gc.tensor("y")
    y[i] = gc.round(x[i]) * Z[i]
    return x, y


def test_custom_grad_of_an_input(rejects):
    with rejects(gc.NotationError):
        gc.custom_grad(X, {X: lambda dX: dX})


def test_custom_grad_without_dependence(rejects):
    _, y = _rounded()
    with rejects(gc.DifferentiationError):
        gc.custom_grad(y, {W: lambda dy: W})


def test_custom_grad_twice(rejects):
    x, y = _rounded()
    gc.custom_grad(y, {x: lambda dy: dy})
    with rejects(gc.DifferentiationError):
        gc.custom_grad(y, {x: lambda dy: dy})


def test_custom_grad_of_another_shape(rejects):
    x, y = _rounded()
    with rejects(gc.DifferentiationError):
        gc.custom_grad(y, {x: lambda dy: W})


def test_custom_grad_that_returns_an_element(rejects):
    x, y = _rounded()
    with rejects(gc.NotationError):
        gc.custom_grad(y, {x: lambda dy: dy[i] * 2})


def test_custom_grad_without_a_function(rejects):
    x, y = _rounded()
    with rejects(gc.NotationError):
        gc.custom_grad(y, {x: Z})


def test_custom_grad_that_has_no_forward_mode(rejects):
    x, y = _rounded()

    def clipped(dy):
        dx = gc.tensor("dx")
        dx[i] = gc.clip(dy[i], -1, 1)
        return dx

    gc.custom_grad(y, {x: clipped})
    with rejects(gc.DifferentiationError):
        gc.jvp(y, {x: Z})


def test_custom_grad_beside_another_path(rejects):
    x, y = _rounded()
    s, q = gc.tensors("s q")
    s[i] = y[i] * 2
    q[i] = s[i] + x[i]
    gc.custom_grad(q, {x: lambda dq: dq})
    with rejects(gc.DifferentiationError):
        gc.grad(q, [x, Z], seed=Z)


def test_a_definition_after_custom_grad(rejects):
    x, y = _rounded()
    gc.custom_grad(y, {x: lambda dy: dy})
    with rejects(gc.NotationError):
        y[i] += x[i]
