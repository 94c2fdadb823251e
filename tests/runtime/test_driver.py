"""What calls with arrays on a GPU ask of the driver: Numba and cuda.core are real, the driver is an imitation (`tests.driver`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import driver

pytestmark = pytest.mark.toolchain

PROGRAM = """
import numpy as np
import graphc as gc
from numba import cuda

N, D = gc.dims("N D")
b, i, j = gc.indices("b i j")
X, T, t = gc.tensor("X", N, D), gc.tensor("T", N), gc.tensor("t", N, dtype="int64")
W = gc.parameter("W", D, init="normal")
P, L, G, Y = gc.tensors("P L G Y")
P[b] += X[b, j] * W[j]
L[()] += (P[b] - T[b]) ** 2 / N
G[()] += W[t[b]] * T[b]
Y[b, j] = 2 * X[b, j]


class Later:
    def __init__(self, array, stream):
        self.array, self.stream = array, stream

    @property
    def __cuda_array_interface__(self):
        return {**self.array.__cuda_array_interface__, "stream": self.stream}


x, y = np.ones((600, 30), "float32"), np.ones(600, "float32")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reason = driver.missing()
    if reason is not None:
        pytest.skip(reason)
    return driver.built(tmp_path_factory.mktemp("driver"))


@pytest.mark.parametrize(("loss", "behind"), [("L", []), ("G", ["copy back on 0"])])
def test_a_step_is_one_launch_and_waits_for_nothing(folder: Path, loss: str, behind: list[str]) -> None:
    """With integers that may point outside, the status is copied behind the kernels."""
    _, parts = driver.run(folder, PROGRAM + f"""
        step = gc.compile({loss}, updates=gc.optim.adam({loss}, lr=0.1), target="cuda")
        state = step.init(device="cuda", D=30)
        given = {{"X": x, "T": y, "t": np.zeros(600, "int64")}}
        given = {{name: cuda.to_device(given[name]) for name in step.inputs if name in given}}
        for number in range(6):
            part(f"call {{number}}")
            loss = step(state, **given)
        part("wait")
        step.wait()
        part("end")
        """.replace("\n        ", "\n"))
    assert not any("wait" in call or call.startswith("free") for number in range(6) for call in parts[f"call {number}"])
    assert any(call.startswith("launch on 0") for call in parts["call 0"])
    assert parts["call 5"] == ["launch a graph on 0", *behind]
    assert sum(call.startswith("record on") for calls in parts.values() for call in calls) == 2
    assert parts["wait"] == ["wait for 0"]


def test_streams(folder: Path) -> None:
    """Kernels are queued where the first array was computed, and follow the others."""
    _, parts = driver.run(folder, PROGRAM + """
f = gc.compile(P, target="cuda")
w = cuda.to_device(np.ones(30, "float32"))
part("other streams")
result = f(X=Later(cuda.to_device(x), 0x77), W=Later(w, 0x88))
part("end")
print(result.__cuda_array_interface__["stream"])
""")
    calls = parts["other streams"]
    assert calls.index("mark on 88") < calls.index("77 follows") < calls.index("launch on 77")
    assert not any(call.endswith(" on 0") and call.startswith("launch") for call in calls)


def test_arrays_of_the_host_wait_once(folder: Path) -> None:
    _, parts = driver.run(folder, PROGRAM + """
step = gc.compile(L, updates=gc.optim.sgd(L, lr=0.1), target="cuda")
state = step.init(D=30)
step(state, X=x, T=y)
part("call")
step(state, X=x, T=y)
part("end")
""")
    calls = parts["call"]
    assert [c for c in calls if "wait" in c or "allocate" in c] == ["wait for 0"]
    assert calls[-1] == "wait for 0" and sum(c.startswith("copy back") for c in calls) == 2


def test_arrays_with_gaps(folder: Path) -> None:
    _, parts = driver.run(folder, PROGRAM + """
f = gc.compile(Y, target="cuda")
turned = cuda.to_device(np.asfortranarray(x[:6]))
f(X=turned)
part("call")
f(X=turned)
part("end")
""")
    assert parts["call"][0] == "launch on 0" or parts["call"][0].startswith("allocate")
    assert sum(c.startswith("launch") and c.endswith("on 0") for c in parts["call"]) == 2 and not any("wait" in c for c in parts["call"])


def test_no_room(folder: Path) -> None:
    printed, _ = driver.run(folder, PROGRAM + """
class Huge:
    __cuda_array_interface__ = {"shape": (100000, 30000), "typestr": "<f4", "data": (1 << 20, False), "strides": None, "version": 3}

try:
    gc.compile(Y, target="cuda")(X=Huge())
except gc.ArgumentError as error:
    print(error)
""")
    assert printed.startswith("This call needs 12 GB of memory for its arrays, but the GPU has 8.59 GB of 17.2 GB left")


def test_a_launch_that_is_refused(folder: Path) -> None:
    printed, _ = driver.run(folder, PROGRAM + """
import os
f = gc.compile(Y, target="cuda")
array = cuda.to_device(x)
os.environ["DRIVER_REFUSES"] = "1"
try:
    f(X=array)
except gc.TargetError as error:
    print(error)
del os.environ["DRIVER_REFUSES"]
print(f(X=array).shape)
""")
    assert printed.startswith("The GPU cannot run the kernel map_0 with so many threads, registers and shared memory")
    assert printed.endswith("(600, 30)\n")


def test_two_gpus(folder: Path) -> None:
    printed, _ = driver.run(folder, PROGRAM + """
class Elsewhere(Later):
    @property
    def __cuda_array_interface__(self):
        found = super().__cuda_array_interface__
        return {**found, "data": (found["data"][0] | 1 << 56, False)}

w = cuda.to_device(np.ones(30, "float32"))
try:
    gc.compile(P, target="cuda")(X=cuda.to_device(x), W=Elsewhere(w, None))
except gc.ArgumentError as error:
    print(error)
print(gc.compile(L, updates=gc.optim.sgd(L), target="cuda").init(device="cuda:1", D=30)["W"].shape)
""", DRIVER_DEVICES="2")
    assert printed.startswith("The argument X is on GPU 0, but W is on GPU 1.") and printed.endswith("(30,)\n")
