"""The cuda target: in Numba's simulator, as PTX without a GPU, and on hardware where there is some."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.compile import optimised
from graphc.emit.cuda import SPELLING, CudaModule
from graphc.emit.expression import FLOAT_CALLS
from graphc.frontend.collect import collect
from graphc.ir.random import RANDOM
from graphc.runtime import cuda as runtime
from graphc.targets import cuda_module

Case = tuple[list[gc.Tensor], dict[str, np.ndarray]]

b, i, j = gc.indices("b i j")
N, D, M = gc.dims("N D M")
X, x, y = gc.tensor("X", N, D), gc.tensor("x", N), gc.tensor("y", N)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# --------------------------------------------------------------------------------------------------------------- programs


def layer() -> Case:
    A, c, T = gc.tensor("A", D, M), gc.tensor("c", M), gc.tensor("T", N, M)
    U, Y, L = gc.tensors("U Y L")
    U[b, i] += X[b, j] * A[j, i]
    Y[b, i] = gc.sigmoid(U[b, i] + c[i])
    L[()] += (Y[b, i] - T[b, i]) ** 2 / N
    return [L, *gc.grad(L, [X, A, c])], {"X": normal(6, 5), "A": normal(5, 4), "c": normal(4), "T": normal(6, 4, seed=1)}


def row_sums() -> Case:
    R = gc.tensor("R")
    R[b] += X[b, j]
    return [R], {"X": normal(7, 5)}


def column_sums() -> Case:
    C = gc.tensor("C")
    C[j] += 0.1 * X[b, j]
    return [C], {"X": normal(7, 5)}


def extrema() -> Case:
    S, Q, R = gc.tensors("S Q R")
    S[b] = gc.max(X[b, j], over=j)
    Q[b] = gc.argmax(X[b, j], over=j)
    R[b] = gc.argmin(X[b, j], over=j)
    array = normal(6, 5)
    array[1, 2] = array[2, 0] = array[3, 4] = np.nan
    array[4] = -np.inf
    return [S, Q, R], {"X": array}


def logsumexp() -> Case:
    P, s = gc.tensor("P"), gc.tensor("s", N)
    P[b] = gc.logsumexp(X[b, j], over=j)
    return [P, gc.grad(P, X, seed=s)], {"X": 50 * normal(6, 5), "s": normal(6)}


def total() -> Case:
    E = gc.tensor("E")
    E[()] += X[b, j] ** 2
    return [E], {"X": normal(300, 3)}


def shifted() -> Case:
    S, r, p = gc.tensor("S"), gc.index("r", 3), gc.index("p", N)
    S[p] += gc.pad(x, 0)[p + r - 1] * (r + 1)
    return [S, gc.grad(S, x, seed=gc.tensor("s", N))], {"x": normal(9), "s": normal(9, seed=1)}


def delayed() -> Case:
    """A bound of the shared loop beside its own becomes a test, so that every element stays with one thread."""
    S, p = gc.tensor("S"), gc.index("p", N)
    S[p] += gc.pad(x, 0)[p - 1]
    return [S], {"x": normal(300)}


def strided() -> Case:
    """Two definitions of one tensor: filled first; the loops run on one thread."""
    Z = gc.tensor("Z", 2 * N)
    Z[2 * i] += x[i]
    Z[2 * i + 1] += 2 * x[i]
    return [Z], {"x": normal(9)}


def colliding() -> Case:
    """Names of tensors that the module uses for something else."""
    cuda, first, e, c0 = gc.tensor("cuda", N), gc.tensor("first", N), gc.tensor("e", N), gc.tensor("c0", N)
    Y = gc.tensor("math")
    Y[b] = cuda[b] + first[b] * e[b] - c0[b] * gc.exp(e[b])
    return [Y], {name: normal(4, seed=k) for k, name in enumerate(["cuda", "first", "e", "c0"])}


ANGLES = ["sin", "cos", "tan"]
"""NVIDIA's library reduces large angles in float64, in local memory."""
FUNCTIONS = [
    "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "tanh", "sigmoid", "softplus", "erf", "abs", "sign", "floor", "ceil", "round",
]  # fmt: skip
BINARY = {"difference", "maximum", "minimum", "hypot", "atan2", "power"}


def functions(names: list[str]) -> Case:
    outputs = []
    for name in names:
        Y = gc.tensor(f"Y_{name}")
        Y[b] = getattr(gc, name)(x[b])
        outputs.append(Y)
    return outputs, {"x": np.float32([0.25, 0.5, 1.5, 2.5, 3.75, 7.0])}


def elementary() -> Case:
    outputs, arrays = functions(FUNCTIONS)
    Y = gc.tensor("two")
    Y[b] = gc.maximum(x[b], y[b]) + gc.minimum(x[b], y[b]) * gc.hypot(x[b], y[b]) - gc.atan2(y[b], x[b]) + x[b] ** y[b]
    return [*outputs, Y], {**arrays, "y": np.float32([-1, 2, 0.5, 2.5, 0, -2])}


def angles() -> Case:
    return functions(ANGLES)


def random() -> Case:
    """Random numbers are the interpreter's bit by bit."""
    key, small = gc.tensor("key", (), dtype="int64"), gc.tensor("small", N, dtype="int8")
    U, V, Z = gc.tensors("U V Z")
    U[b, j] = gc.where(gc.uniform(key[()], b, j - 2) >= 0.25, 2 * X[b, j], 0)
    V[b] = gc.normal(small[b], b)
    Z[b] = gc.uniform(key[()] + 1, small[b], 0) * 2
    return [U, V, Z], {"X": normal(6, 5), "key": np.int64(-(2**62) + 12345), "small": np.arange(-3, 3).astype(np.int8)}


_ALL = (layer, row_sums, column_sums, extrema, logsumexp, total, shifted, delayed, strided, colliding, elementary, angles, random)
PROGRAMS: dict[str, Callable[[], Case]] = {f.__name__: f for f in _ALL}


def worst(name: str) -> float:
    """The largest error of the cuda target, relative to the largest value of an output, whatever the machine it runs on."""
    outputs, arrays = PROGRAMS[name]()
    errors = []
    for got, wanted in zip(gc.compile(outputs, target="cuda")(**arrays), gc.compile(outputs, target="interpret")(**arrays), strict=True):
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
        with np.errstate(invalid="ignore"):
            errors.append(np.where(same, 0, np.abs(got - wanted)).max() / (1e-6 + np.abs(wanted[np.isfinite(wanted)]).max(initial=0)))
    return float(max(errors))


def module(name: str) -> CudaModule:
    return module_of(PROGRAMS[name]()[0])


def module_of(outputs: list[gc.Tensor]) -> CudaModule:
    collected = collect(outputs, "compile")
    graph = replace(collected.graph, outputs=tuple(collected.name_of(t) for t in outputs))
    return cuda_module(optimised(graph), "")[1]


# -------------------------------------------------------------------------------------------------------------- simulator


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Errors of all programs, from one process with the simulator."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "GRAPHC_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", PROGRAMS)
def test_simulator(simulated: dict[str, Any], name: str) -> None:
    assert simulated[name] <= (0 if name == "random" else 2e-6)


def test_functions_inside_of_kernels_are_typed_by_numba() -> None:
    """What the simulator runs as Python, compiled for the CPU in place of the GPU."""
    outputs, arrays = random()
    made = module_of(outputs)
    text = made.text.replace("@cuda.jit", "@njit").replace("cuda.grid(1)", "0").replace("cuda.gridsize(1)", "1")
    scope: dict[str, Any] = {}
    exec(text.replace("from numba import cuda", "from numba import njit"), scope)
    kernel = next(k for k in made.kernels if "normal" in k.loop)
    got = np.zeros(6, np.float32)
    scope[kernel.name](0, 6, got, arrays["small"])
    np.testing.assert_array_equal(got, gc.compile(outputs, target="interpret")(**arrays)[1])


# -------------------------------------------------------------------------------------------------------------------- PTX


@pytest.fixture(scope="module")
def compiler() -> None:
    """Skip without NVIDIA's compiler library."""
    nvvm = pytest.importorskip("numba.cuda.cudadrv.nvvm", reason='numba.cuda is missing: pip install "graphc[cuda]"')
    if not nvvm.is_available():
        pytest.skip('NVVM is missing: pip install "graphc[cuda]"')


@pytest.mark.parametrize("name", PROGRAMS)
def test_ptx_without_gpu(compiler: None, name: str) -> None:
    made = module(name)
    if re.search(r"range\(.*\bm(ax|in)\(", made.text) and importlib.import_module("numba.cuda").implementation == "Built-in":
        pytest.skip('Numba\'s own CUDA target compiles max() of integers only with a driver: pip install "graphc[cuda]"')
    found = runtime.compile_to_ptx(made.text, made.parameters)
    assert set(found) == {k.name for k in made.kernels}
    for kernel, ptx in found.items():
        assert ".entry" in ptx
        if name != "angles":
            assert ".f64" not in ptx, f"{kernel} computes in float64:\n{made.text}"
            assert ".local" not in ptx, f"{kernel} uses local memory"


def test_every_function_is_spelled() -> None:
    """What the simulator and PTX tests cover is what there is."""
    drawn = {n for n, dtype in RANDOM.items() if dtype != "weak_float"}
    assert {FLOAT_CALLS.get(n, n) for n in (*FUNCTIONS, *ANGLES)} | BINARY | drawn == set(SPELLING)


# --------------------------------------------------------------------------------------------------------------- the text


def test_source() -> None:
    C = gc.tensor("C")
    C[j] += 0.1 * X[b, j]
    assert module_of([C]).text.split("@cuda.jit\n")[1] == """\
def sum_0(first, last, C, X, N):
    # for j,b:  C[j] += 0.1*X[b,j]
    for j in range(first + cuda.grid(1), last, cuda.gridsize(1)):
        total = f32(0)
        for b in range(N):
            total = total + f32(0.1) * X[b, j]
        C[j] = total


def program(C, X, D, N):
    sum_0[grid(D)](0, D, C, X, N)
"""


def test_partial_sums_are_two_kernels() -> None:
    assert [k.name for k in module("total").kernels] == ["total_0", "finish_0"]


def test_the_cpu_module_computes_the_same_steps_in_other_orders() -> None:
    """The same schedule serves both targets; the innermost loop of a column sum differs by the target's data alone."""
    outputs, _ = column_sums()
    cpu = gc.compile(outputs).kernels[0].plan
    assert module_of(outputs).kernels[0].plan.order == ("j", "b")
    assert cpu.order == ("b", "j")
    assert cpu.loop == module_of(outputs).kernels[0].plan.loop


# ----------------------------------------------------------------------------------------------------------------- errors


def gather() -> list[gc.Tensor]:
    t, H = gc.tensor("t", N, dtype="int64"), gc.tensor("H")
    E = gc.tensor("E", M, D)
    H[b, i] = E[t[b], i]
    return [H]


def scatter() -> list[gc.Tensor]:
    t, H = gc.tensor("t", N, dtype="int64"), gc.tensor("H", M)
    H[t[b]] += X[b, 0]
    return [H]


GATHER = """\
A subscript that is read from a tensor is not supported by the cuda target yet.

    for b,i:  H[b,i] = E[t[b],i]
                       ^^^^^^^^^

  How to fix: use target="cpu"."""

SCATTER = """\
A subscript that is read from a tensor is not supported by the cuda target yet.

    for b:  H[t[b]] += X[b,0]
            ^^^^^^^

  How to fix: use target="cpu"."""


@pytest.mark.parametrize(("make", "message"), [(gather, GATHER), (scatter, SCATTER)])
def test_refused(make: Callable[[], list[gc.Tensor]], message: str) -> None:
    with pytest.raises(gc.TargetError) as caught:
        module_of(make())
    assert str(caught.value) == message


DRIVER = """\
The target "cuda" cannot run here: there is no NVIDIA driver (libcuda).

  How to fix: install the driver of your GPU and pip install "graphc[cuda]", or use target="cpu"."""

COMPILER = """\
The target "cuda" cannot run here: NVIDIA's compiler library (NVVM) is not installed.

  How to fix: pip install "graphc[cuda]", or use target="cpu"."""

GPU = """\
The target "cuda" cannot run here: the driver finds no GPU.

  How to fix: check nvidia-smi and CUDA_VISIBLE_DEVICES, or use target="cpu"."""

PACKAGE = """\
The target "cuda" cannot run here: the package numba-cuda is not installed.

  How to fix: pip install "graphc[cuda]", or use target="cpu"."""


@pytest.mark.parametrize(
    ("package", "driver", "nvvm", "message"),
    [(True, False, True, DRIVER), (True, True, False, COMPILER), (True, True, True, GPU), (False, True, True, PACKAGE)],
    ids=["driver", "compiler", "gpu", "package"],
)
def test_missing(monkeypatch: pytest.MonkeyPatch, package: bool, driver: bool, nvvm: bool, message: str) -> None:
    class Module:
        @staticmethod
        def is_available() -> bool:
            return asked[-1].endswith("nvvm") and nvvm

    asked: list[str] = []

    def import_module(name: str) -> type[Module]:
        asked.append(name)
        if not package:
            raise ImportError(name)
        return Module

    monkeypatch.setattr(runtime.importlib, "import_module", import_module)
    monkeypatch.setattr(runtime, "_driver", lambda: driver)
    with pytest.raises(gc.TargetError) as caught:
        runtime.require_device()
    assert str(caught.value) == message


def test_compile_says_what_is_missing() -> None:
    """On a machine without a GPU, the message of one of the cases above comes from `gc.compile`."""
    if gpu_reason() is None:
        pytest.skip("there is a GPU")
    with pytest.raises(gc.TargetError) as caught:
        gc.compile(row_sums()[0], target="cuda")
    assert str(caught.value) in (DRIVER, COMPILER, GPU, PACKAGE)


# --------------------------------------------------------------------------------------------------------------- hardware


def gpu_reason() -> str | None:
    """Why there is no hardware test."""
    if importlib.util.find_spec("numba.cuda") is None:
        return "numba.cuda is missing"
    return None if importlib.import_module("numba.cuda").is_available() else "there is no CUDA device"


@pytest.mark.gpu
@pytest.mark.parametrize("name", PROGRAMS)
def test_hardware(name: str) -> None:
    reason = gpu_reason()
    if reason is not None:
        pytest.skip(reason)
    assert worst(name) < 1e-5


if __name__ == "__main__":
    print(json.dumps({name: worst(name) for name in PROGRAMS}))
