"""Arrays of PyTorch and JAX that have no values for a compiled program."""

from __future__ import annotations

import array

import numpy as np
import pytest

import graphc as gc

N = gc.dim("N")
i = gc.index("i")
x, w = gc.tensor("x", N), gc.parameter("w", N)
y, w_new = gc.tensors("y w_new")
y[i] = 2 * x[i]
w_new[i] = w[i] + x[i]
double, step = gc.compile(y, target="interpret", inputs=[x]), gc.compile([], target="interpret", updates={w: w_new})


def test_a_buffer_of_another_type(rejects):
    with rejects(gc.DtypeError, call=True):
        double(array.array("d", [1, 2]))


def test_a_text(rejects):
    with rejects(gc.ArgumentError, call=True):
        double("abc")


def test_an_update_of_bytes(rejects):
    counts, more = gc.tensor("counts", N, dtype="uint8"), gc.tensor("more", dtype="uint8")
    more[i] = counts[i]
    with rejects(gc.ArgumentError, call=True):
        gc.compile([], target="interpret", updates={counts: more})({"counts": b"abc"})


def test_a_tensor_that_requires_a_gradient(rejects):
    torch = pytest.importorskip("torch")
    with rejects(gc.ArgumentError, call=True):
        double(torch.ones(3, requires_grad=True))


def test_an_updated_tensor_that_requires_a_gradient(rejects):
    torch = pytest.importorskip("torch")
    with rejects(gc.ArgumentError, call=True):
        step({"w": torch.nn.Parameter(torch.ones(3))}, x=np.ones(3, "float32"))


def test_a_tensor_of_a_type_that_numpy_has_not(rejects):
    torch = pytest.importorskip("torch")
    with rejects(gc.DtypeError, call=True):
        double(torch.ones(3, dtype=torch.bfloat16))


def test_a_tensor_without_memory(rejects):
    torch = pytest.importorskip("torch")
    with rejects(gc.ArgumentError, call=True):
        double(torch.ones(3, device="meta"))


def test_an_array_that_jax_traces(rejects):
    jax = pytest.importorskip("jax")
    with rejects(gc.ArgumentError, call=True):
        jax.jit(double)(jax.numpy.ones(3))
