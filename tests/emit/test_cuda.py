"""The cuda target: in Numba's simulator, as PTX without a GPU, and on hardware where there is some."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.emit.checks import EmptyRange
from graphc.emit.cuda import SPELLING, CudaModule
from graphc.emit.expression import FLOAT_CALLS
from graphc.ir.random import RANDOM
from graphc.runtime import machine
from graphc.runtime.cuda import compile_to_ptx
from tests import gpu, oracles
from tests.cuda_layers import LAYERS
from tests.cuda_programs import ANGLES, BINARY, ERRORS, FUNCTIONS, PROGRAMS, column_sums, error, random, row_sums
from tests.gpu import module_of
from tests.gpu.names import rounded
from tests.programs import generate

ROOT = Path(__file__).parents[2]
RANDOM_PROGRAMS = int(os.environ.get("GRAPHC_CUDA_PROGRAMS", "24"))
SEED = int(os.environ.get("GRAPHC_SEED", "0"))
BATCH = 8

def module(name: str) -> CudaModule:
    return module_of(PROGRAMS[name]()[0])


# ------------------------------------------------------------------------------------------------------------- simulators


@pytest.mark.parametrize("name", PROGRAMS)
def test_on_the_simulated_gpu(name: str) -> None:
    """With races, accesses outside of arrays, and reads of what nothing has written."""
    assert error(PROGRAMS[name](), gpu.compiled) <= (0 if name == "random" else 2e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_on_the_simulated_gpu(name: str) -> None:
    assert error(LAYERS[name](), gpu.compiled) <= 5e-6


@pytest.mark.parametrize("summed", [False, True])
def test_what_is_updated_in_place_is_read_before(summed: bool) -> None:
    """The threads of a row wait until all of them have read what they replace."""
    N, D = gc.dims("N D")
    b, j = gc.indices("b j")
    W, V, S, W_new = gc.tensor("W", N, D), *gc.tensors("V S W_new")
    S[b] += W[b, j]
    V[b, j] = W[b, D - 1 - j] * (S[b] if summed else 3)
    W_new[b, j] = 2 * W[b, j]
    state, expected = ({"W": np.arange(180).reshape(3, 60).astype(np.float32)} for _ in range(2))
    np.testing.assert_array_equal(gpu.compiled(V, updates={W: W_new}, real=True)(state),
                                  gc.compile(V, updates={W: W_new}, target="interpret")(expected))
    np.testing.assert_array_equal(state["W"], expected["W"])


FULL = ("layer", "extrema", "logsumexp", "recurrent", "cross_entropy", "conv2d", "layer_norm", "attention")


@pytest.mark.parametrize("name", FULL)
def test_with_as_many_threads_as_on_a_gpu(name: str) -> None:
    assert error({**PROGRAMS, **LAYERS}[name](), partial(gpu.compiled, real=True)) <= 5e-6


def test_large_tiles() -> None:
    """A thread has 8×8 sums of a product, of which there are several tiles along each side."""
    assert error(PROGRAMS["product"](), partial(gpu.compiled, change=("if blocks * batches >= ENOUGH", "if True"))) <= 2e-6


@pytest.mark.parametrize("astray", [False, True])
@pytest.mark.parametrize("count", [0, 1, 4, 5, 70])
def test_four_elements_at_once(count: int, astray: bool) -> None:
    """Maps read and write 128 bits where their arrays lie at multiples of that, and single elements behind the last four."""
    N, k = gc.dims("N"), gc.index("k")
    X, Z, Y, W, V = gc.tensor("X", N), gc.tensor("Z", N, dtype="float64"), *gc.tensors("Y W V")
    Y[k] = gc.exp(X[k]) * X[k]
    W[k] = Y[k] - 2 * Z[k]
    V[k] = gc.where(X[k] > 0, 3, -Z[k])
    random = np.random.default_rng(0)
    arrays = {"X": random.normal(size=count).astype(np.float32), "Z": random.normal(size=count)}
    assert error(([Y, W, V], arrays), partial(gpu.compiled, astray=astray, real=count == 70)) <= 1e-6


@pytest.mark.parametrize("cores", [False, True])
@pytest.mark.parametrize("astray", [False, True])
@pytest.mark.parametrize("layout", ["product", "left", "right", "both", "adding", "strided", "batch"])
def test_tiles_that_are_read_four_elements_at_once(layout: str, astray: bool, cores: bool) -> None:
    """Operands in all layouts, with edges; only where everything lies at multiples of 16 bytes. Tensor cores multiply rounded factors."""
    (i, j), p, q = gc.indices("i j"), gc.index("p", gc.dims("D")), gc.index("q", 2)
    sizes = {"N": 132, "D": 12, "Q": 48, "M": 20, "2": 2}
    shapes = {
        "A": "D N" if layout in ("left", "both") else "N Q" if layout == "strided" else "N D",
        "B": {"right": "M D", "both": "M D", "batch": "2 D M"}.get(layout, "D M"), "S": "N M",
    }  # fmt: skip
    A, B, S = (gc.tensor(n, *(2 if z == "2" else gc.dims(z) for z in shape.split())) for n, shape in shapes.items())
    C = gc.tensor("C")
    first = A[p, i] if layout in ("left", "both") else A[i, 4 * p] if layout == "strided" else A[i, p]
    second = B[q, p, j] if layout == "batch" else B[j, p] if layout in ("right", "both") else B[p, j]
    if layout == "batch":
        C[q, i, j] += first * second
    else:
        if layout == "adding":
            C[i, j] = S[i, j] + 1
        C[i, j] += first * second
    f = gpu.compiled([C], real=True, astray=astray, cores=cores, change=("if blocks * batches >= ENOUGH", "if True"))
    random = np.random.default_rng(0)
    arrays = {n: random.normal(size=[sizes[z] for z in shapes[n].split()]).astype(np.float32) for n in shapes if n in f.inputs}
    exact = gc.compile([C], target="interpret")
    factors = {n: rounded(a) if cores and n != "S" else a for n, a in arrays.items()}
    np.testing.assert_allclose(f(**arrays), exact(**factors), rtol=0, atol=1e-5)
    assert not cores or np.max(np.abs(f(**arrays)[0] - exact(**arrays)[0])) > 1e-4
    assert "contract_0_wide if four_at_once" in f.source


def test_the_depth_is_divided_where_results_are_few() -> None:
    """The simulated GPU divides a depth of 300 into parts, whose sums are added in order."""
    assert error(PROGRAMS["deep"](), gpu.compiled) <= 2e-6
    assert "parts > 1" in module("deep").text


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    outputs, arrays = ERRORS[name][0]()
    with pytest.raises(gpu.Reported) as caught:
        gpu.compiled(outputs)(**arrays)
    check = caught.value.check
    shown = "An extremum" if isinstance(check, EmptyRange) else f"{check.tensor}[3] is"
    assert ERRORS[name][1].startswith(shown)


@pytest.mark.parametrize("seeds", [range(first, first + BATCH) for first in range(SEED, SEED + RANDOM_PROGRAMS, BATCH)], ids=str)
def test_random_programs_on_the_simulated_gpu(seeds: range) -> None:
    found = Counter(checked(seed) for seed in seeds)
    assert found["ok"] >= 0.7 * len(seeds), "the generator makes too many programs that are refused"


def checked(seed: int) -> str:
    program = generate(seed)
    try:
        oracles.check(program, ["cuda"])
    except (oracles.Refused, oracles.Unsuitable):
        return "skipped"
    except Exception as error:
        hint = f"python -m tests.soak --checks cuda --programs 1 --seed {seed} shrinks it."
        raise AssertionError(f"{error}\n\n{program}\n\n{hint}") from error
    return "ok"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Errors of a few programs in Numba's own simulator, from a process of its own."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "GRAPHC_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.cuda_programs", *NUMBA], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
        check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


NUMBA = ("layer", "extrema", "total", "random", "scatter", "checkpointed", *ERRORS)
"""What goes through Numba's simulator: the runner and the module meet the real interface there."""


@pytest.mark.parametrize("name", NUMBA)
def test_in_the_simulator_of_numba(simulated: dict[str, Any], name: str) -> None:
    assert simulated[name] == ERRORS[name][1] if name in ERRORS else simulated[name] <= (0 if name == "random" else 2e-6)


def test_functions_inside_of_kernels_are_typed_by_numba() -> None:
    """What the simulator runs as Python, compiled for the CPU in place of the GPU."""
    outputs, arrays = random()
    made = module_of(outputs[1:2])
    text = made.text.replace("@cuda.jit", "@njit").replace("cuda.grid(1)", "0").replace("cuda.gridsize(1)", "1")
    scope: dict[str, Any] = {}
    exec(text.replace("from numba import config, cuda", "from numba import config, njit"), scope)
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
    built_in = importlib.import_module("numba.cuda").implementation == "Built-in"
    if built_in and re.search(r"\b(m(ax|in)|shfl_down_sync)\(", made.text.split("@cuda.jit", 1)[1]):
        pytest.skip('Numba\'s own CUDA target compiles max() of integers and shuffles only with a driver: pip install "graphc[cuda]"')
    found = compile_to_ptx(made.text, made.parameters)
    assert {k.name for k in made.kernels} <= set(found)
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

    monkeypatch.setattr(machine.importlib, "import_module", import_module)
    monkeypatch.setattr(machine, "_driver", lambda: driver)
    with pytest.raises(gc.TargetError) as caught:
        machine.require_device()
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
    assert error(PROGRAMS[name]()) < 1e-5
