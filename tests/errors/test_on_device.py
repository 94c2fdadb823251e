"""Arrays on a GPU that do not go together, and GPUs that cannot do what is asked; `tests/calls/test_on_device.py` runs these."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.runtime.machine import machine

pytestmark = pytest.mark.skipif(os.environ.get("NUMBA_ENABLE_CUDASIM") != "1", reason="needs a process with Numba's simulator")

N, D = gc.dims("N D")
b, j = gc.indices("b j")
X, T, token = gc.tensor("X", N, D), gc.tensor("T", N), gc.tensor("token", N, dtype="int64")
W = gc.parameter("W", D)
P, L, G, Y = gc.tensors("P L G Y")
P[b] += X[b, j] * W[j]
L[()] += (P[b] - T[b]) ** 2
G[b] = W[token[b]]
Y[b, j] = 2 * X[b, j]
x, y, w = np.ones((3, 2), np.float32), np.ones(3, np.float32), np.ones(2, np.float32)


def there(array: Any) -> Any:
    return machine().cuda.to_device(np.asarray(array))


def program(outputs: Any = P, **options: Any) -> Any:
    return gc.compile(outputs, target="cuda", **options)


def step() -> Any:
    return program(L, updates=gc.optim.sgd(L, lr=0.1))


class Elsewhere:
    """An array of CuPy's on another GPU."""

    def __init__(self, array: np.ndarray, device: int) -> None:
        self.array, self.device = array, device

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.device

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.array.__array_interface__, "version": 3}


def test_an_array_of_the_host_beside_one_on_the_gpu(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()(X=there(x), W=w)


def test_several_arrays_of_the_host_beside_one_on_the_gpu(rejects):
    with rejects(gc.ArgumentError, call=True):
        step()(step().init(device="cuda", D=2), X=x, T=y)


def test_state_on_the_host(rejects):
    with rejects(gc.ArgumentError, call=True):
        step()(step().init(D=2), X=there(x), T=there(y))


def test_arrays_on_two_gpus(rejects, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(
        ndarray=Elsewhere, cuda=SimpleNamespace(get_current_stream=lambda: SimpleNamespace(ptr=0))))
    with rejects(gc.ArgumentError, call=True):
        program()(X=Elsewhere(x, 0), W=Elsewhere(w, 1))


def test_an_array_on_the_gpu_for_another_target(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.compile(P, target="interpret")(X=there(x), W=w)


def test_another_dtype_on_the_gpu(rejects):
    with rejects(gc.DtypeError, call=True):
        program()(X=there(x), W=there(w.astype("float64")))


def test_another_shape_on_the_gpu(rejects):
    with rejects(gc.ShapeError, call=True):
        program()(X=there(x), W=there(x))


def test_out_on_the_host(rejects):
    with rejects(gc.ArgumentError, call=True):
        program(Y)(X=there(x), out=x.copy())


def test_state_on_the_gpu_that_is_twice_there(rejects):
    state = step().init(device="cuda", D=2)
    adam = program(L, updates=gc.optim.sgd(L, lr=0.1, momentum=0.9))
    with rejects(gc.ArgumentError, call=True):
        adam({"W": state["W"], "W.momentum_buffer": state["W"]}, X=there(x), T=there(y))


def test_a_device_that_is_not_there(rejects):
    with rejects(gc.ArgumentError, call=True):
        step().init(device="cuda:7", D=2)


def test_a_device_of_no_kind(rejects):
    with rejects(gc.ArgumentError, call=True):
        step().init(device="gpu", D=2)


def test_too_little_memory_on_the_gpu(rejects, monkeypatch):
    def full(size: int) -> Any:
        raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    program(Y)(X=there(x))
    monkeypatch.setattr(machine(), "_memory", full)
    monkeypatch.setattr(machine(), "free_and_total", lambda: (1.25e6, 24e6))
    with rejects(gc.ArgumentError, call=True):
        program(Y)(X=there(np.zeros((1000, 1000), "float32")))


def test_too_little_memory_at_all(rejects, monkeypatch):
    monkeypatch.setattr(machine(), "free_and_total", lambda: (1e6, 3e6))
    with rejects(gc.ArgumentError, call=True):
        program(Y)(X=np.zeros((1000, 1000), "float32"))


def test_integers_that_point_outside_on_the_gpu(rejects):
    gather = program(G)
    gather(token=there(np.int64([0, 2])), W=there(w))
    with rejects(gc.ArgumentError, call=True):
        gather.wait()
    np.testing.assert_array_equal(gather(token=there(np.int64([0, 1])), W=there(w)).copy_to_host(), 1)


def test_a_kernel_that_the_gpu_cannot_launch(rejects, monkeypatch):
    f = program(Y)
    f(X=there(x))

    def refuse(*arguments: Any) -> None:
        raise RuntimeError("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: too many resources requested for launch")

    kernel = f._runner._module.map_0
    monkeypatch.setattr(type(kernel), "__call__", refuse)
    with rejects(gc.TargetError, call=True):
        f(X=there(x))


def test_an_interface_that_is_refused(rejects):
    class Masked(Elsewhere):
        @property
        def __cuda_array_interface__(self) -> dict[str, Any]:
            return {**super().__cuda_array_interface__, "mask": self}

    with rejects(gc.ArgumentError, call=True):
        program(Y)(X=Masked(x, 0))
