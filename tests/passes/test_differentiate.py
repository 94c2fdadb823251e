"""Backward loops as they are printed."""

import numpy as np
import pytest

import graphc as gc
from tests.notation import backward, meaning


def squeezed(text):
    return [line.split(":  ")[-1].replace(" ", "") for line in str(text).splitlines()]


def test_affine_layer_of_the_lecture():
    """CATALOGUE A3: y = σ(Ax + b)."""
    n, m = gc.dims("N M")
    i, j = gc.indices("i j")
    a, x, b = gc.tensor("A", m, n), gc.tensor("x", n), gc.tensor("b", m)
    u, y, seed = gc.tensor("u"), gc.tensor("y"), gc.tensor("dy", m)
    u[i] += a[i, j] * x[j]
    y[i] = gc.sigmoid(u[i] + b[i])
    assert squeezed(gc.loops(y)) == ["u[i]+=A[i,j]*x[j]", "y[i]=sigmoid(u[i]+b[i])"]
    loops = squeezed(gc.loops(*gc.grad(y, [b, a, x], seed=seed)))
    assert loops == [
        "u[i]+=A[i,j]*x[j]", "y[i]=sigmoid(u[i]+b[i])", "y.grad[i]+=dy[i]", "u.grad[i]+=y.grad[i]*y[i]*(1-y[i])",
        "b.grad[i]+=u.grad[i]", "A.grad[i,j]+=u.grad[i]*x[j]", "x.grad[j]+=u.grad[i]*A[i,j]",
    ]  # fmt: skip


def test_higher_order_tensors_of_the_lecture():
    """CATALOGUE A4: U[h,i,j] += A[h,i,k]*B[h,j,k], Y = σ(U)."""
    sizes = gc.dims("H N M K")
    h, i, j, k = gc.indices("h i j k")
    a, b = gc.tensor("A", sizes[0], sizes[1], sizes[3]), gc.tensor("B", sizes[0], sizes[2], sizes[3])
    u, y, loss, t = gc.tensor("U"), gc.tensor("Y"), gc.tensor("L"), gc.tensor("T", *sizes[:3])
    u[h, i, j] += a[h, i, k] * b[h, j, k]
    y[h, i, j] = gc.sigmoid(u[h, i, j])
    loss[()] += (y[h, i, j] - t[h, i, j]) ** 2
    loops = squeezed(gc.loops(*gc.grad(loss, [a, b])))
    assert "U.grad[h,i,j]+=Y.grad[h,i,j]*Y[h,i,j]*(1-Y[h,i,j])" in loops
    assert "A.grad[h,i,k]+=U.grad[h,i,j]*B[h,j,k]" in loops
    assert "B.grad[h,j,k]+=U.grad[h,i,j]*A[h,i,k]" in loops


@pytest.mark.parametrize(("stride", "dilation", "padding"), [(1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 1, 1), (2, 2, 1)])
def test_convolution(stride, dilation, padding, golden):
    """Backward-data and backward-weights of a convolution."""
    p = gc.index("p", gc.dim("P"))
    n, f, c, r = gc.indices("n f c r")
    x, w = gc.tensor("X", *gc.dims("B C W")), gc.tensor("K", gc.dim("F"), gc.dim("C"), 3)
    y, loss = gc.tensor("Y"), gc.tensor("L")
    place = stride * p + dilation * r - padding
    y[n, f, p] += (gc.pad(x, 0, dims=[2]) if padding else x)[n, c, place] * w[f, c, r]
    loss[()] += gc.sin(y[n, f, p])
    golden(gc.loops(*gc.grad(loss, [x, w])))


def scalar_loss(value, *tensors):
    loss = gc.tensor("L")
    loss[()] += value
    return gc.loops(*gc.grad(loss, list(tensors)))


def test_fan_out_adds_up(golden):
    """CATALOGUE A1: L(u(y), v(y)), y(x)."""
    x, y, u, v, loss = gc.tensor("x", ()), gc.tensor("y"), gc.tensor("u"), gc.tensor("v"), gc.tensor("L")
    y[()] = gc.sin(x[()])
    u[()] = y[()] ** 2
    v[()] = gc.exp(y[()])
    loss[()] = u[()] * v[()]
    golden(gc.loops(loss, gc.grad(loss, x)))


@pytest.mark.parametrize("op", ["max", "min", "prod", "logsumexp", "mean"])
def test_reduction(op, golden):
    i, j = gc.indices("i j")
    x, y = gc.tensor("X", gc.dim("N"), gc.dim("M")), gc.tensor("Y")
    y[i] = getattr(gc, op)(x[i, j], over=j)
    golden(scalar_loss(y[i] ** 2, x))


def test_ties_are_split(golden):
    i, j = gc.indices("i j")
    x, y = gc.tensor("X", gc.dim("N"), gc.dim("M")), gc.tensor("Y")
    y[i] = gc.max(x[i, j], over=j, ties="split")
    golden(scalar_loss(y[i] ** 2, x))


def test_ties_between_computed_terms_are_found():
    """Computed a second time, in another order, a term may differ in its last bit from the extremum that it is."""
    x = gc.tensor("X", gc.dim("N"), dtype="float64")
    w, y = gc.tensor("W", 4, 2, dtype="float64"), gc.tensor("Y")
    i, j, k, p = gc.index("i", gc.dim("N")), *gc.indices("j k p")
    y[i] = gc.max(gc.mean(x[p], over=p) + 0.01 * w[j, k], over=(j, k), ties="split")
    loss = gc.tensor("L")
    loss[()] += y[i]
    f = gc.compile(gc.grad(loss, x), target="interpret")
    given = np.array([[-1.8161, -0.633], [1.0713, 1.6732], [0.4353, 0.1656], [1.6732, -0.4285]])
    found = f(X=np.array([0.1504, 0.7377, 1.0407, -1.3573]), W=given)
    np.testing.assert_allclose(found, np.ones(4), rtol=1e-12)


def test_softmax_cross_entropy_is_probability_minus_one_hot(golden):
    b, i = gc.indices("b i")
    z, t = gc.tensor("Z", *gc.dims("N C")), gc.tensor("t", gc.dim("N"), dtype="int64")
    s, p = gc.tensor("S"), gc.tensor("P")
    s[b] += gc.exp(z[b, i])
    p[b, i] = gc.exp(z[b, i]) / s[b]
    golden(scalar_loss(-gc.log(p[b, t[b]]), z))


def test_gather_becomes_scatter(golden):
    b, d = gc.indices("b d")
    table, t, h = gc.tensor("E", *gc.dims("V D")), gc.tensor("t", gc.dim("N"), dtype="int64"), gc.tensor("H")
    h[b, d] = table[t[b], d]
    golden(scalar_loss(h[b, d] ** 2, table))


def test_conditions_stay_lazy(golden):
    i = gc.index("i")
    x, y = gc.tensor("X", gc.dim("N")), gc.tensor("Y")
    y[i] = gc.where(x[i] > 0, gc.log(x[i]), 0)
    golden(scalar_loss(y[i], x))


def test_shared_adjoint_needs_a_summand_that_occurs_once():
    """Found by random programs: X is a factor of one summand and a summand itself, so X.grad is not what the others share."""
    i = gc.index("i", 2)
    a, b, x, loss = gc.tensor("A", 2, 2), gc.tensor("B", 2), gc.tensor("X", 2), gc.tensor("L")
    y = gc.tensor("Y")
    y[()] += 0.3 * (a[i // 2, i] * b[i] * x[i] + x[i])
    loss[()] += gc.sin(y[()])
    gc.check_grad(loss, [a, b, x], A=[[0.3, -0.2], [0.5, 0.8]], B=[0.1, 0.7], X=[-0.4, 0.9])


def test_second_derivative(golden):
    i = gc.index("i")
    x, loss, s = gc.tensor("X", gc.dim("N")), gc.tensor("L"), gc.tensor("S")
    loss[()] += gc.sin(x[i]) * x[i] ** 3
    g = gc.grad(loss, x)
    s[()] += g[i] ** 2
    golden(gc.loops(gc.grad(s, x)))


def test_what_is_not_reached_is_zero():
    i = gc.index("i")
    x, z, loss = gc.tensor("X", gc.dim("N")), gc.tensor("Z", gc.dim("N")), gc.tensor("L")
    loss[()] += x[i]
    loss[()] += gc.stop_gradient(z[i])
    assert str(gc.loops(gc.grad(loss, z))).endswith("Z.grad[i] = 0")


def test_the_sweep_alone_is_a_valid_graph():
    i, j = gc.indices("i j")
    x, y, loss = gc.tensor("X", 3, 4), gc.tensor("Y"), gc.tensor("L")
    y[i] = gc.prod(x[i, j], over=j)
    loss[()] += y[i] ** 2
    assert meaning(backward(loss, x), {})["X.grad"].shape == (3, 4)


def test_the_same_text_every_time():
    """Expressions that are equal need not be the same object, as soon as some are remembered."""
    i, j = gc.indices("i j")

    def text():
        x, loss = gc.tensor("X", 5, 5), gc.tensor("L")
        loss[()] += 2 * gc.log(x[i, i]) + gc.sum(x[i, j] ** 3, over=j)
        return str(gc.loops(gc.grad(loss, x)))

    assert text() == text()
