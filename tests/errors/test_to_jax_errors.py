"""Functions of JAX that are made or called wrongly."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import graphc as gc

B, D = gc.dims("B D")
b, j = gc.indices("b j")
X, W, T = gc.tensor("X", B, D), gc.tensor("W", D), gc.tensor("T", B)
token = gc.tensor("token", B, dtype="int32")
P, L = gc.tensors("P L")
P[b] += X[b, j] * W[j]
L[()] += (P[b] - T[b]) ** 2
x, w, t = np.ones((3, 2), "float32"), np.ones(2, "float32"), np.ones(3, "float32")


@pytest.fixture
def f():
    pytest.importorskip("jax")
    return gc.to_jax(L, inputs=[X, W])


def test_to_jax_without_jax(rejects, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    for name in ("function", "operator", "handler"):
        monkeypatch.delitem(sys.modules, f"graphc.interop.jax.{name}", raising=False)
    with rejects(gc.TargetError):
        gc.to_jax(L, inputs=[X, W])


def test_to_jax_of_an_element(rejects):
    with rejects(gc.NotationError):
        gc.to_jax(P[b])


def test_a_missing_argument_for_jax(rejects, f):
    with rejects(gc.ArgumentError, call=True):
        f(x, w)


def test_missing_parameters_of_a_layer_for_jax(rejects):
    pytest.importorskip("jax")
    net = gc.to_jax(gc.nn.Linear(3, name="fc")(X), inputs=[X])
    assert net(net.program.init(seed=0, D=2), x).shape == (3, 3)  # as the message says
    with rejects(gc.ArgumentError, call=True):
        net(x)


def test_an_unknown_argument_for_jax(rejects, f):
    with rejects(gc.ArgumentError, call=True):
        f(x, w, T=t, learning_rate=0.1)


def test_an_argument_for_jax_given_twice(rejects, f):
    with rejects(gc.ArgumentError, call=True):
        f(x, w, T=t, W=w)


def test_too_many_arguments_for_jax(rejects, f):
    with rejects(gc.ArgumentError, call=True):
        f(x, w, t)


def test_arguments_for_jax_without_an_order(rejects):
    pytest.importorskip("jax")
    with rejects(gc.ArgumentError, call=True):
        gc.to_jax(L)(x, w)


def test_another_type_for_jax(rejects, f):
    with rejects(gc.DtypeError, call=True):
        f(x.astype("int32"), w, T=t)


def test_another_rank_for_jax(rejects, f):
    jax = pytest.importorskip("jax")
    with rejects(gc.ShapeError, call=True):
        jax.jit(f)(x[0], w, T=t)


def test_shapes_for_jax_that_do_not_agree(rejects, f):
    with rejects(gc.ShapeError, call=True):
        f(x, w, T=t[:2])


def test_no_array_for_jax(rejects, f):
    with rejects(gc.ArgumentError, call=True):
        f(x, "w", T=t)


def test_nothing_for_jax(rejects):
    with rejects(gc.NotationError):
        gc.to_jax([])


def test_a_complex_number_for_jax(rejects, f):
    with rejects(gc.DtypeError, call=True):
        f(x, 1j, T=t)


def test_a_random_key_for_jax(rejects, f):
    jax = pytest.importorskip("jax")
    with rejects(gc.ArgumentError, call=True):
        f(x, jax.random.key(0), T=t)


def test_half_precision_for_jax(rejects, f):
    jax = pytest.importorskip("jax")
    with rejects(gc.DtypeError, call=True):
        f(x, jax.numpy.asarray(w, "bfloat16"), T=t)


@pytest.mark.parametrize("kind", ["number", "weak"])
def test_a_number_for_jax_that_does_not_fit(rejects, kind):
    jax = pytest.importorskip("jax")
    small, y = gc.tensor("small", (), dtype="uint8"), gc.tensor("y")
    y[()] = small[()] + 1
    with rejects(gc.DtypeError, call=True):
        gc.to_jax(y)(small=300 if kind == "number" else jax.numpy.asarray(300))


def test_a_number_for_jax_of_more_than_64_bits(rejects):
    pytest.importorskip("jax")
    count, y = gc.tensor("count", (), dtype="int32"), gc.tensor("y")
    y[()] = count[()] + 1
    with rejects(gc.ArgumentError, call=True):
        gc.to_jax(y)(count=2**70)


def test_a_transposed_function_that_is_not_linear(rejects):
    jax = pytest.importorskip("jax")
    f = gc.to_jax(L, inputs=[X, W, T])
    with rejects(gc.DifferentiationError, call=True):
        jax.linear_transpose(lambda w: f(x, w, t), w)(np.float32(1))


def test_float64_without_x64(rejects):
    pytest.importorskip("jax")
    z, y = gc.tensor("z", B, dtype="float64"), gc.tensor("y")
    y[b] = 2 * z[b]
    with rejects(gc.DtypeError, call=True):
        gc.to_jax(y)(z=t)


def test_a_symbolic_shape_that_may_not_fit(rejects):
    jax = pytest.importorskip("jax")
    from jax import export

    y = gc.tensor("y")
    y[b] = X[b, 0] + X[b, 1]
    g = gc.to_jax(y, inputs=[X])
    with rejects(gc.ShapeError, call=True):
        export.export(jax.jit(g))(jax.ShapeDtypeStruct(export.symbolic_shape("n, d"), "float32"))


def test_jax_on_a_gpu(rejects, f):
    jax = pytest.importorskip("jax")
    with rejects(gc.TargetError, call=True):
        jax.jit(f).trace(x, w, T=t).lower(lowering_platforms=("cuda",))
