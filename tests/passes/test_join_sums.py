"""Contributions over the same loops that share a function are one statement."""

from __future__ import annotations

import numpy as np

import graphc as gc
from graphc.passes.join_sums import join_sums
from tests.notation import applied, canonical, graph_of, text

N, M = gc.dims("N M")
i, j, k = gc.indices("i j k")
X, a, b = gc.tensor("X", N, M), gc.tensor("a", M), gc.tensor("b", M)
SIZES = {"N": 3, "M": 4}


def lines(*outputs):
    return text(applied(join_sums, canonical(graph_of(*outputs)), SIZES)).splitlines()


def test_contributions_with_the_same_function():
    """Whatever the second one calls its indices."""
    y = gc.tensor("y")
    y[i] += a[j] * gc.exp(X[i, j])
    y[i] += b[k] * X[i, k] * gc.exp(X[i, k])
    assert len(lines(y)) == 1


def test_others_stay():
    y, z, u, v = gc.tensors("y z u v")
    y[i] += a[j] * gc.exp(X[i, j])
    y[i] += b[j] * gc.tanh(X[i, j])  # another function
    z[i] += a[j] * X[i, j]
    z[i] += b[j] * X[i, j]  # none
    u[i] += a[j] * gc.exp(X[i, j])
    u[i] += gc.where(j < i, b[j] * gc.exp(X[i, j]), 0)  # another domain
    v[i] += gc.exp(X[i, j])
    v[i] += gc.where(i > 0, gc.exp(X[i, j]) * a[j], 0)
    assert len(lines(y, z, u, v)) == 8


def test_gathers_stay():
    """An error of an integer that points outside names its own line."""
    z, p = gc.tensor("z"), gc.tensor("p", M, dtype="int64")
    z[i] += gc.exp(X[i, j])
    z[i] += a[p[j]] * gc.exp(X[i, j])
    graph = canonical(graph_of(z))
    assert len(graph.statements) == 2 and join_sums(graph) == graph


def test_recurrences_stay():
    h = gc.tensor("h")
    old = gc.pad(h, 0, dims=[0])[i - 1, j]
    h[i, k] += a[j] * gc.exp(old) * X[i, k]
    h[i, k] += b[j] * old * gc.exp(old)
    graph = canonical(graph_of(h))
    assert join_sums(graph) == graph


def test_gradient_of_a_softmax_without_its_names():
    """One loop where an expression reads its argument twice, and the same result."""
    y, loss = gc.tensors("y loss")
    like = gc.exp(-((X[i, j] - X[i, k]) ** 2))
    y[i, j] = gc.sum(like * X[i, k], over=k) / gc.sum(like, over=k)
    loss[()] += y[i, j] ** 3
    gradient = gc.grad(loss, X)
    program = gc.compile(gradient)
    values = np.random.default_rng(0).normal(size=(3, 4))
    want = gc.compile(gradient, target="interpret")(X=values.astype("float32"))
    np.testing.assert_allclose(program(X=values.astype("float32")), want, rtol=2e-5, atol=1e-5)
    assert gc.loops(gradient).count("X.grad[i") == 4
    assert sum(kernel.loop.count("X.grad[i") for kernel in program.kernels) == 2
