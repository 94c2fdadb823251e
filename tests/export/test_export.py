"""A saved program is one module that computes the same results without graphc and without SymPy."""

import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.kernels.tile import SIMD
from graphc.runtime.bundle import bundle, rename

pytestmark = pytest.mark.slow

RUN = """
import json, pickle, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("graphc", "sympy"):
            raise ImportError(name + " is not needed by a saved program")
sys.meta_path.insert(0, Refuse())
folder, name, packages = sys.argv[1:]
sys.path[:0] = [folder, packages]
module = __import__(name)
function = getattr(module, module.__all__[0])
with open(f"{folder}/{name}.pickle", "rb") as file:
    calls, states = pickle.load(file)
if states is None:
    results = [function(**call) for call in calls]
else:
    states = [module.init(seed=3)] * len(calls)
    results = [function(states[0], **call) for call in calls]
with open(f"{folder}/{name}.result", "wb") as file:
    pickle.dump((results, states[0] if states else {}), file)
print(json.dumps([sum(module.start.stats.cache_hits.values()), sum(module.start.stats.cache_misses.values())]))
"""
"""The arguments are the folder of the module, its name, and where NumPy and Numba are."""

random = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return random.normal(size=shape).astype("float32")


@dataclass
class Case:
    """A program with the arguments of its calls; with `state` they run on one state from ``init(seed=3)``."""

    program: Any
    calls: list[dict[str, Any]]
    state: bool = False


def affine() -> Case:
    N, D, M = gc.dims("N D M")
    b, i, j = gc.indices("b i j")
    X, A, c = gc.tensor("X", N, D), gc.tensor("A", D, M), gc.tensor("c", M)
    U, Y, L = gc.tensors("U Y L")
    U[b, i] += X[b, j] * A[j, i]
    Y[b, i] = gc.sigmoid(U[b, i] + c[i])
    L[()] += (Y[b, i] - 0.5) ** 2 / N
    outputs = {"loss": L, "A": gc.grad(L, A), "c": gc.grad(L, c)}
    calls = [{"X": normal(n, 30), "A": normal(30, 20), "c": normal(20)} for n in (3, 70, 3)]
    return Case(gc.compile(outputs), [*calls, {"X": normal(30, 70).T, "A": [[0.5]] * 30, "c": [1]}])


def cross_entropy() -> Case:
    N, M = gc.dims("N M")
    b, i = gc.indices("b i")
    Z, y, L = gc.tensor("Z", N, M), gc.tensor("y", N, dtype="int64"), gc.tensor("L")
    L[()] = gc.mean(gc.logsumexp(Z[b, i], over=i) - Z[b, y[b]], over=b)
    return Case(gc.compile((L, gc.grad(L, Z))), [{"Z": normal(50, 7), "y": random.integers(0, 7, 50)}])


def convolution() -> Case:
    """One step of a small network with momentum."""
    N = gc.dim("N")
    n, f, c, r, s, k = gc.indices("n f c r s k")
    p, q = gc.index("p", 8), gc.index("q", 8)
    x, t = gc.tensor("x", N, 2, 8, 8), gc.tensor("t", N, dtype="int64")
    W, v = gc.parameter("conv.W", 5, 2, 3, 3, init="he_normal"), gc.parameter("conv.v", 5, 2, 3, 3, init="zeros")
    A = gc.parameter("A", 4, 5, init="glorot_uniform")
    H, Z, L, v_new, W_new, A_new = gc.tensors("H Z L v_new W_new A_new")
    H[n, f, p, q] = gc.relu(gc.sum(gc.pad(x, 0)[n, c, p + r - 1, q + s - 1] * W[f, c, r, s], over=(c, r, s)))
    Z[n, k] += H[n, f, p, q] * A[k, f] / 64
    L[()] = gc.mean(gc.logsumexp(Z[n, k], over=k) - Z[n, t[n]], over=n)
    dW, dA = gc.grad(L, [W, A])
    v_new[f, c, r, s] = 0.9 * v[f, c, r, s] + dW[f, c, r, s]
    W_new[f, c, r, s] = W[f, c, r, s] - 0.1 * v_new[f, c, r, s]
    A_new[k, f] = A[k, f] - 0.1 * dA[k, f]
    step = gc.compile(L, updates={W: W_new, v: v_new, A: A_new})
    return Case(step, [{"x": normal(6, 2, 8, 8), "t": random.integers(0, 4, 6)} for _ in range(3)], state=True)


def pooling() -> Case:
    """Sizes that have to be solved for, one thread, tensors and a file called like kernels and helpers."""
    N, M = gc.dims("N M")
    b, p = gc.index("b"), gc.index("p", M)
    r = gc.index("r", 2)
    log, exp = gc.tensor("log", N, 2 * M + 1), gc.tensors("exp")
    exp[b, p] = gc.max(log[b, 2 * p + r], over=r)
    L = gc.tensor("L")
    L[()] += gc.exp(exp[b, p])
    return Case(gc.compile([exp, gc.grad(L, log)], threads=1), [{"log": normal(40, 21)}])


def recurrence() -> Case:
    """Products in the steps of a recurrence, of which every third step is kept: one, none, and many; in a file called like a builtin."""
    T, B, H = gc.dims("T B H")
    t, b, i, j = gc.indices("t b i j")
    x, W, h, L = gc.tensor("x", T, B, H), gc.tensor("W", H, H), *gc.tensors("h L")
    h[t, b, i] = gc.tanh(gc.sum(W[i, j] * gc.pad(h, 0, dims=[0])[t - 1, b, j], over=j) + x[t, b, i])
    L[()] += h[t, b, i] ** 2
    gc.checkpoint(h, every=3)
    return Case(gc.compile([L, *gc.grad(L, [W, x])]), [{"x": normal(n, 20, 30), "W": 0.1 * normal(30, 30)} for n in (20, 1, 0, 20)])


def distances() -> Case:
    """Sums of other functions than products, with a third factor, in tiles that are compiled with the program."""
    N, M, K = gc.dims("N M K")
    i, j, k = gc.indices("i j k")
    X, Y, U, L = gc.tensor("X", N, K), gc.tensor("Y", M, K), *gc.tensors("U L")
    U[i, j] += gc.abs(X[i, k] - Y[j, k])
    L[()] += U[i, j] ** 2
    return Case(gc.compile([L, *gc.grad(L, [X, Y])]), [{"X": normal(n, 20), "Y": normal(37, 20)} for n in (3, 40)])


CASES: dict[str, Callable[[], Case]] = {
    "affine": affine, "entropy": cross_entropy, "step": convolution, "exp": pooling, "range": recurrence, "distances": distances,
}


@dataclass
class Saved:
    """The folder of the saved programs, the programs, and what two processes one after the other printed for each."""

    folder: Path
    cases: dict[str, Case]
    first: dict[str, list[int]]
    second: dict[str, list[int]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saved]:
    folder = tmp_path_factory.mktemp("saved")
    cases = {name: make() for name, make in CASES.items()}
    for name, case in cases.items():
        case.program.save(folder / f"{name}.py")
        (folder / f"{name}.pickle").write_bytes(pickle.dumps((case.calls, [] if case.state else None)))
    yield Saved(folder, cases, run_all(folder), run_all(folder))


def run_all(folder: Path, names: Iterable[str] = CASES, **chosen: str) -> dict[str, list[int]]:
    variables = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "PYTHONPATH", "GRAPHC_CHECK")}
    packages = sysconfig.get_paths()["purelib"]
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", RUN, str(folder), name, packages],
            cwd="/", env=variables | chosen, stdout=subprocess.PIPE, text=True,
        )
        for name in names
    }
    printed = {name: process.communicate(timeout=120)[0] for name, process in processes.items()}
    return {name: json.loads(text) for name, text in printed.items()}


def load(folder: Path, name: str) -> ModuleType:
    """Import a saved program into this process, beside graphc."""
    specification = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert specification is not None and specification.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def arrays(result: Any) -> list[Any]:
    return list(result.values()) if isinstance(result, dict) else list(result) if isinstance(result, list | tuple) else [result]


def agree(value: Any, wanted: Any) -> None:
    """Equal but for the order in which two compilations of one loop may add: mostly the same bits."""
    np.testing.assert_allclose(value, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_same_results_without_graphc(saved: Saved, name: str) -> None:
    case = saved.cases[name]
    results, state = pickle.loads((saved.folder / f"{name}.result").read_bytes())
    own = case.program.init(seed=3) if case.state else {}
    for call, result in zip(case.calls, results, strict=True):
        expected = case.program(own, **call) if case.state else case.program(**call)
        assert type(result) is type(expected)
        assert not isinstance(result, dict) or result.keys() == expected.keys()
        for value, wanted in zip(arrays(result), arrays(expected), strict=True):
            assert value.dtype == wanted.dtype
            agree(value, wanted)
    assert state.keys() == own.keys()
    for key, value in own.items():
        agree(state[key], value)


@pytest.mark.parametrize("name", CASES)
def test_second_process_finds_machine_code(saved: Saved, name: str) -> None:
    assert saved.first[name] == [0, 1]
    assert saved.second[name] == [1, 0]


@pytest.mark.skipif(SIMD == 128, reason="no narrower vectors")
def test_other_vectors_beside_machine_code_in_the_cache(saved: Saved, tmp_path: Path) -> None:
    """The program contains a tile, which Numba's cache must not take for one of other vectors."""
    for file in saved.folder.glob("distances.*"):
        shutil.copy2(file, tmp_path)
    run_all(tmp_path, ["distances"], GRAPHC_SIMD="128")
    run_all(tmp_path, ["distances"])
    results, _ = pickle.loads((tmp_path / "distances.result").read_bytes())
    case = saved.cases["distances"]
    for call, result in zip(case.calls, results, strict=True):
        for value, wanted in zip(arrays(result), arrays(case.program(**call)), strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-4)


def test_runs_beside_graphc(saved: Saved) -> None:
    case = saved.cases["affine"]
    module = load(saved.folder, "affine")
    for program in (module.affine, case.program, module.affine):
        agree(program(**case.calls[0])["loss"], case.program(**case.calls[0])["loss"])


def test_errors_name_the_argument(saved: Saved) -> None:
    affine, entropy = load(saved.folder, "affine").affine, load(saved.folder, "entropy").entropy
    good = saved.cases["affine"].calls[0]
    with pytest.raises(ValueError, match=r"A has shape \(29, 20\) instead of \(D, M\) = \(30, 20\)"):
        affine(**{**good, "A": good["A"][1:]})
    with pytest.raises(ValueError, match="X has dtype float64 instead of float32"):
        affine(**{**good, "X": good["X"].astype("float64")})
    with pytest.raises(ValueError, match=r"c has shape .* instead of 1 dimensions"):
        affine(**{**good, "c": good["c"][None]})
    with pytest.raises(ValueError, match=r"(?s)y\[2\] is -1, but it is a subscript of dimension 1 of Z.*, which has 7 elements.*for b"):
        entropy(normal(4, 7), np.array([0, 6, -1, 3]))
    with pytest.raises(ValueError, match="y has dtype float64"):
        entropy(normal(2, 7), [0.5, 1.5])


def test_state_is_checked(saved: Saved) -> None:
    module, call = load(saved.folder, "step"), saved.cases["step"].calls[0]
    state = module.init(seed=3)
    with pytest.raises(ValueError, match=r"conv\.v is missing"):
        module.step({name: array for name, array in state.items() if name != "conv.v"}, **call)
    with pytest.raises(ValueError, match=r"conv\.(v and conv\.W|W and conv\.v) are both updated"):
        module.step({**state, "conv.v": state["conv.W"]}, **call)
    state["A"].flags.writeable = False
    with pytest.raises(ValueError, match="A is updated, so it must be a writable array"):
        module.step(state, **call)


def test_state_need_not_be_contiguous(saved: Saved) -> None:
    module, call = load(saved.folder, "step"), saved.cases["step"].calls[0]
    plain = module.init(seed=3)
    turned = {name: np.asfortranarray(array) for name, array in plain.items()}
    assert module.step(plain, **call) == module.step(turned, **call)
    for name, array in plain.items():
        np.testing.assert_array_equal(array, turned[name])


def test_failing_call_leaves_state(saved: Saved) -> None:
    module, call = load(saved.folder, "step"), saved.cases["step"].calls[0]
    state = module.init(seed=3)
    with pytest.raises(ValueError, match=r"t\[5\] is 4, but it is a subscript"):
        module.step(state, call["x"], np.array([0, 1, 2, 3, 0, 4]))
    for name, array in module.init(seed=3).items():
        np.testing.assert_array_equal(state[name], array)


def test_widths_of_initialisers(tmp_path: Path) -> None:
    i = gc.index("i")
    W, b, L = gc.parameter("W", 5, init=("uniform", 0.25)), gc.parameter("b", 5, init=("normal", 3)), gc.tensor("L")
    L[()] += W[i] * b[i]
    program = gc.compile(L, updates=gc.optim.sgd(L, lr=0.1))
    program.save(tmp_path / "widths.py")
    made, own = load(tmp_path, "widths").init(seed=2), program.init(seed=2)
    assert all(np.array_equal(made[name], own[name]) for name in ("W", "b")) and np.abs(own["W"]).max() <= 0.25 < np.abs(own["b"]).max()


def test_input_as_result_is_the_given_value(tmp_path: Path) -> None:
    i, N = gc.index("i"), gc.dim("N")
    W, W_new = gc.tensor("W", N), gc.tensor("W_new")
    W_new[i] = 2 * W[i]
    gc.compile([W], updates={W: W_new}).save(tmp_path / "double.py")
    state = {"W": np.ones(3, "float32")}
    result = load(tmp_path, "double").double(state)
    np.testing.assert_array_equal(result, [[1, 1, 1]])
    np.testing.assert_array_equal(state["W"], [2, 2, 2])


def test_sizes_are_solved_for(saved: Saved) -> None:
    with pytest.raises(ValueError, match=r"log has shape \(3, 8\) instead of \(N, 2\*M \+ 1\) = \(3, 7\)"):
        load(saved.folder, "exp").exp_(normal(3, 8))


def test_text_is_readable(saved: Saved) -> None:
    text = (saved.folder / "affine.py").read_text()
    assert "for b,i,j:  U[b,i] += X[b,j]*A[j,i]" in text.split('"""')[1]
    assert "\ndef affine(X, A, c):\n" in text
    assert "import graphc" not in text and "from graphc" not in text
    assert "def sigmoid(" in text and "def tanh(" not in text
    assert "contract(" not in (saved.folder / "entropy.py").read_text()


def test_other_targets_cannot_be_saved(tmp_path: Path) -> None:
    i = gc.index("i")
    x, y = gc.tensor("x", gc.dim("N")), gc.tensor("y")
    y[i] = 2 * x[i]
    with pytest.raises(gc.CompileError, match=r'(?s)target "cpu".*How to fix'):
        gc.compile(y, target="interpret").save(tmp_path / "y.py")
    for name in ("y.txt", "class.py", "2.py"):
        with pytest.raises(gc.ArgumentError, match="is no name of a Python module"):
            gc.compile(y).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_bundle_takes_what_is_reached() -> None:
    made = bundle([("graphc.kernels.elementary", "exp")], {"evaluate"})
    text = "\n".join(code for _, _, code in made.sections)
    assert [module.rpartition(".")[2] for module, _, _ in made.sections] == ["bits", "coefficients", "elementary"]
    assert "def exp(" in text and "def tanh(" not in text
    assert "def evaluate_bits(" in text and "evaluate(" not in text
    assert made.renamed == {("graphc.kernels.bits", "evaluate"): "evaluate_bits"}


def test_bundle_leaves_the_names_of_roots() -> None:
    """`part` is a decorator of the engine as well, which comes first."""
    made = bundle([("graphc.kernels.contraction", "contract"), ("graphc.kernels.view", "part")], ())
    assert made.renamed["graphc.kernels.engine", "part"] == "part_engine"
    assert ("graphc.kernels.view", "part") not in made.renamed


def test_rename_leaves_attributes_alone() -> None:
    assert rename("f = a.f(f)  # f\n", {"f": "g"}) == "g = a.f(g)  # f\n"
