"""Arrays on a GPU as arguments, results and state: on hardware, or in Numba's simulator, which needs a process of its own."""

from __future__ import annotations

import gc as collector
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.runtime.cuda_graph import Graphs
from graphc.runtime.device import Caller, described, on_device
from graphc.runtime.device_memory import OutOfDeviceMemory
from graphc.runtime.machine import machine

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
ROOT = Path(__file__).parents[2]
FILES = ("tests/calls/test_on_device.py", "tests/errors/test_on_device.py")


def reason() -> str:
    """Why nothing here can run; empty if it can."""
    if importlib.util.find_spec("numba.cuda") is None:
        return "numba.cuda is missing"
    return "" if importlib.import_module("numba.cuda").is_available() else "there is no CUDA device"


gpu = [pytest.mark.gpu, pytest.mark.skipif(bool(reason()), reason=reason())]

N, D = gc.dims("N D")
b, i, j = gc.indices("b i j")
X, T, t = gc.tensor("X", N, D), gc.tensor("T", N), gc.tensor("t", N, dtype="int64")
W = gc.parameter("W", D, init="normal")
lr, E = gc.tensor("lr", ()), gc.tensor("E", D)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


x, y = normal(6, 3), normal(6, seed=1)


def there(array: Any) -> Any:
    """A copy on the GPU, of Numba."""
    return importlib.import_module("numba.cuda").to_device(np.asarray(array))


def here(array: Any) -> np.ndarray:
    return array.copy_to_host()


class Foreign:
    """An array of a library that nobody knows, on the GPU: it has an interface, and nothing else."""

    def __init__(self, array: Any, readonly: bool = False, device: int = 0) -> None:
        self.array, self.readonly, self.device = array, readonly, device

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        interface = dict(machine().interface(self.array) or {})
        return interface | {"data": (interface["data"][0], self.readonly), "stream": None, "version": 3}


class Capsule:
    """An array of a library that offers DLPack only, on the GPU."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.streams: list[Any] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, stream: Any = None) -> Any:
        self.streams.append(stream)
        return self.array.__dlpack__()


def double() -> gc.Tensor:
    Y = gc.tensor("Y")
    Y[b, j] = 2 * X[b, j]
    return Y


def regression(target: str = "cuda") -> Any:
    """A training step."""
    P, L = gc.tensors("P L")
    P[b] += X[b, j] * W[j]
    L[()] += (P[b] - T[b]) ** 2 / N
    return gc.compile([L, P], updates=gc.optim.adam(L, lr=0.1), target=target)


@pytest.mark.skipif(SIMULATED or not reason(), reason="the tests themselves run")
def test_in_the_simulator(tmp_path: Path) -> None:
    """All tests of these files."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "GRAPHC_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *FILES], cwd=ROOT, env=environment,
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d+ passed, 1 skipped", done.stdout), done.stdout


class TestArguments:
    pytestmark = gpu

    def test_results_are_where_the_arguments_are(self) -> None:
        f = gc.compile(double(), target="cuda")
        assert isinstance(f(X=x), np.ndarray)
        result = f(X=there(x))
        assert on_device(result) and not isinstance(result, np.ndarray)
        np.testing.assert_array_equal(here(result), 2 * x)

    @pytest.mark.parametrize("kind", [Foreign, lambda array: Foreign(array, readonly=True)], ids=["writable", "read-only"])
    def test_interface(self, kind: Any) -> None:
        array = kind(there(x))
        np.testing.assert_array_equal(here(gc.compile(double(), target="cuda")(X=array)), 2 * x)

    def test_the_callers_memory_is_read(self) -> None:
        """Without a copy: the kernel gets the address that the interface names."""
        array, seen = there(x), []
        f = gc.compile(double(), target="cuda")
        argument = machine().argument

        def spy(array: Any) -> Any:
            seen.append(array.pointer)
            return argument(array)

        machine().argument = spy  # type: ignore[method-assign]
        try:
            f(X=Foreign(array))
        finally:
            machine().argument = argument  # type: ignore[method-assign]
        assert described(array).pointer in seen

    @pytest.mark.skipif(not SIMULATED, reason="the capsule points to the host")
    def test_dlpack(self) -> None:
        array = Capsule(x)
        np.testing.assert_array_equal(here(gc.compile(double(), target="cuda")(X=array)), 2 * x)
        assert array.streams and set(array.streams) == {1}  # the default stream has that number
        assert not described(array).writable

    @pytest.mark.parametrize("view", [lambda a: a.T.copy().T, lambda a: np.repeat(a, 2, axis=0)[::2], lambda a: a[:, ::-1]], ids="FSR")
    @pytest.mark.skipif(not SIMULATED, reason="to_device makes no such arrays")
    def test_arrays_with_gaps(self, view: Any) -> None:
        array = view(x)
        assert described(Capsule(array)).strides is not None
        np.testing.assert_array_equal(here(gc.compile(double(), target="cuda")(X=Capsule(array))), 2 * array)

    def test_numbers_are_taken_along(self) -> None:
        Y = gc.tensor("Y")
        Y[b, j] = X[b, j] * lr[()]
        f = gc.compile(Y, target="cuda")
        for value in (0.5, np.float32(0.5), np.array(0.5, np.float32), there(np.float32(0.5))):
            np.testing.assert_array_equal(here(f(X=there(x), lr=value)), x * np.float32(0.5))

    def test_empty(self) -> None:
        f = gc.compile(double(), target="cuda")
        assert f(X=there(np.empty((0, 3), np.float32))).shape == (0, 3)

    def test_an_argument_as_a_result(self) -> None:
        result = gc.compile([X, double()], target="cuda")(X=(array := there(x)))[0]
        np.testing.assert_array_equal(here(result), x)
        assert described(result).pointer != described(array).pointer

    def test_find_nan_takes_them(self) -> None:
        Y = gc.tensor("Y")
        Y[b] = 1 / T[b]
        found = gc.compile(Y, target="cuda").find_nan(T=there(np.float32([1, 0])))
        assert found is not None and found.index == (1,)


class TestOut:
    pytestmark = gpu

    def test_out(self) -> None:
        f, array = gc.compile(double(), target="cuda"), there(np.zeros_like(x))
        assert f(X=there(x), out=array) is array
        np.testing.assert_array_equal(here(array), 2 * x)

    def test_out_is_the_argument(self) -> None:
        S, array = gc.tensor("S"), there(x)
        S[b, j] = X[N - 1 - b, j]
        assert gc.compile(S, target="cuda")(X=array, out=array) is array
        np.testing.assert_array_equal(here(array), x[::-1])


class TestState:
    pytestmark = gpu

    def test_a_training_step_stays_on_the_device(self) -> None:
        step, reference = regression(), regression("interpret")
        state, expected = step.init(seed=1, device="cuda", D=3), reference.init(seed=1, D=3)
        arrays = {name: (id(array), described(array).pointer) for name, array in state.items()}
        for _ in range(3):
            results, wanted = step(state, X=there(x), T=there(y)), reference(expected, X=x, T=y)
            for result, want in zip(results, wanted, strict=True):
                np.testing.assert_allclose(here(result), want, rtol=1e-5)
        assert arrays == {name: (id(array), described(array).pointer) for name, array in state.items()}
        for name, want in expected.items():
            np.testing.assert_allclose(here(state[name]), want, rtol=1e-5)

    def test_momenta_are_written_in_place(self) -> None:
        """What is computed at the place that it replaces needs no other memory."""
        made = {m.name for m in regression().memory}
        assert not {"W.new", "W.exp_avg.new", "W.exp_avg_sq.new", "adam.step.new"} & made

    def test_an_argument_in_the_memory_of_the_state(self) -> None:
        V, Z, V_new = gc.tensor("V", D), gc.tensor("Z", D), gc.tensor("V_new")
        V_new[i] = V[i] + Z[D - 1 - i]
        step, array = gc.compile([], updates={V: V_new}, target="cuda"), there(np.float32([1, 2, 3]))
        step({"V": array}, Z=Foreign(array))
        np.testing.assert_array_equal(here(array), [4, 4, 4])

    @pytest.mark.parametrize("device", ["cuda", "cuda:0", 0])
    def test_init(self, device: Any) -> None:
        step = regression()
        expected = step.init(seed=3, D=4)
        state = step.init(seed=3, device=device, D=4)
        assert list(state) == list(expected) and all(map(on_device, state.values()))
        for name, array in expected.items():
            np.testing.assert_array_equal(here(state[name]), array)
            assert str(state[name].dtype) == str(array.dtype)
        assert isinstance(step.init(device="cpu", D=4)["W"], np.ndarray)


class Tensor:
    """As much of a tensor of PyTorch's as is asked for; its memory is the simulated GPU's."""

    is_cuda, device = True, SimpleNamespace(index=0)

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype, self.version = array, array.shape, f"torch.{array.dtype}", 0

    def is_contiguous(self) -> bool:
        return self.array.flags.c_contiguous

    def is_inference(self) -> bool:
        return False

    def element_size(self) -> int:
        return self.array.itemsize

    def stride(self) -> tuple[int, ...]:
        return tuple(s // self.array.itemsize for s in self.array.strides)

    def data_ptr(self) -> int:
        return self.array.ctypes.data

    @property
    def __cuda_array_interface__(self) -> Any:
        raise RuntimeError("Can't get __cuda_array_interface__ on Variable that requires grad.")


@pytest.mark.skipif(not SIMULATED, reason="an imitation for the simulator")
class TestTorch:
    pytestmark = pytest.mark.gpu

    @pytest.fixture(autouse=True)
    def torch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def empty(shape: tuple[int, ...], dtype: str, device: str) -> Tensor:
            assert device == "cuda:0"
            return Tensor(np.empty(shape, dtype))

        def increment_version(tensor: Tensor) -> None:
            tensor.version += 1

        stream = SimpleNamespace(current_stream=lambda device: SimpleNamespace(cuda_stream=77))
        autograd = SimpleNamespace(graph=SimpleNamespace(increment_version=increment_version))
        module = SimpleNamespace(Tensor=Tensor, empty=empty, cuda=stream, autograd=autograd,
                                 float32="float32", int64="int64", uint8="uint8")  # fmt: skip
        monkeypatch.setitem(sys.modules, "torch", module)

    def test_tensors_in_tensors_out(self) -> None:
        result = gc.compile(double(), target="cuda")(X=Tensor(x))
        assert isinstance(result, Tensor)
        np.testing.assert_array_equal(result.array, 2 * x)

    def test_a_transposed_tensor(self) -> None:
        result = gc.compile(double(), target="cuda")(X=Tensor(x.T))
        np.testing.assert_array_equal(result.array, 2 * x.T)

    def test_training(self) -> None:
        step, reference = regression(), regression("interpret")
        expected = reference.init(seed=1, D=3)
        state = {name: Tensor(array.copy()) for name, array in expected.items()}
        loss, _ = step(state, X=Tensor(x), T=there(y))  # one tensor of PyTorch's decides
        want, _ = reference(expected, X=x, T=y)
        np.testing.assert_allclose(loss.array, want, rtol=1e-5)
        np.testing.assert_allclose(state["W"].array, expected["W"], rtol=1e-5)
        assert state["W"].version == 1

    def test_a_type_that_numpy_does_not_have(self) -> None:
        array = Tensor(x)
        array.dtype = "torch.bfloat16"
        with pytest.raises(gc.DtypeError, match="The argument X has dtype bfloat16"):
            gc.compile(double(), target="cuda")(X=array)

    def test_the_current_stream(self, monkeypatch: pytest.MonkeyPatch) -> None:
        used: list[int] = []
        stream = machine().stream
        monkeypatch.setattr(machine(), "stream", lambda address: used.append(address) or stream(address))
        gc.compile(double(), target="cuda")(X=Tensor(x))
        assert set(used) == {77}

    def test_other_streams_are_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Later(Foreign):
            @property
            def __cuda_array_interface__(self) -> dict[str, Any]:
                return {**super().__cuda_array_interface__, "stream": 5}

        waits: list[tuple[int, int]] = []
        monkeypatch.setattr(machine(), "follow", lambda stream, other: waits.append((stream, other)))
        regression()({n: Tensor(a) for n, a in regression().init(D=3).items()}, X=Tensor(x), T=Later(there(y)))
        assert waits == [(77, 5)]

    def test_init(self) -> None:
        device = type("device", (), {"__module__": "torch", "index": None, "type": "cuda"})()
        state = regression().init(seed=1, device=device, D=3)
        np.testing.assert_array_equal(state["W"].array, regression().init(seed=1, D=3)["W"])


class TestFaults:
    pytestmark = gpu

    def step(self) -> Any:
        """A step that reads through integers: its updates are written only if all of them point inside."""
        L, E_new = gc.tensors("L E_new")
        L[()] += E[t[b]] * T[b]
        E_new[i] = E[i] + L[()]
        return gc.compile([L], updates={E: E_new}, target="cuda")

    def test_told_by_the_next_call(self) -> None:
        step, state = self.step(), {"E": there(np.float32([1, 2, 3]))}
        good, bad = there(np.int64([0, 1, 2])), there(np.int64([0, 1, 3]))
        ones = there(np.ones(3, np.float32))
        step(state, t=bad, T=ones)
        machine().wait(0)
        with pytest.raises(gc.ArgumentError, match=r"^t is 3 in an earlier call, but it is .* dimension 0 of E"):
            step(state, t=good, T=ones)
        np.testing.assert_array_equal(here(state["E"]), [1, 2, 3])
        np.testing.assert_array_equal(here(step(state, t=good, T=ones)[0]), 6)
        np.testing.assert_array_equal(here(state["E"]), [7, 8, 9])
        step.wait()

    def test_told_by_wait(self) -> None:
        step, state = self.step(), {"E": there(np.float32([1, 2, 3]))}
        step(state, t=there(np.int64([-1])), T=there(np.ones(1, np.float32)))
        with pytest.raises(gc.ArgumentError, match=r"^t is -1"):
            step.wait()
        step.wait()

    def test_host_arrays_tell_at_once(self) -> None:
        state = {"E": np.float32([1, 2, 3])}
        with pytest.raises(gc.ArgumentError, match=r"^t\[1\] is 7"):
            self.step()(state, t=np.int64([0, 7]), T=np.ones(2, np.float32))
        np.testing.assert_array_equal(state["E"], [1, 2, 3])


@pytest.mark.skipif(not SIMULATED, reason="an imitation for the simulator")
class TestGraphs:
    """Steps of a loop become graphs; what these contain is run here by calling it again."""

    pytestmark = pytest.mark.gpu

    class Recorder:
        def __init__(self) -> None:
            self.recorded, self.launched = 0, 0

        def record(self, queue: Any) -> Any:
            self.recorded += 1
            return queue

        def launch(self, graph: Any, stream: int) -> None:
            self.launched += 1
            graph(0)

    @pytest.mark.parametrize("reads_through_integers", [False, True])
    def test_a_loop(self, reads_through_integers: bool) -> None:
        L, V_new, V = gc.tensor("L"), gc.tensor("V_new"), gc.tensor("V", D)
        L[()] += (V[t[b]] if reads_through_integers else V[0]) * T[b]
        V_new[i] = 0.5 * V[i] + L[()]
        step, reference = (gc.compile(L, updates={V: V_new}, target=target) for target in ("cuda", "interpret"))
        collector.collect()  # blocks that become free on the way would be taken
        step._runner._graphs = Graphs(recorder := self.Recorder())
        state, expected = {"V": there(x[0])}, {"V": x[0].copy()}
        arguments = {"T": y} | ({"t": np.int64([0, 1, 2, 2, 1, 0])} if reads_through_integers else {})
        device = {name: there(array) for name, array in arguments.items()}
        for _ in range(6):
            loss, want = step(state, **device), reference(expected, **arguments)
            np.testing.assert_allclose(here(loss), want, rtol=1e-5)
            np.testing.assert_allclose(here(state["V"]), expected["V"], rtol=1e-5)
        # The losses of two steps in a row lie in two places. What the imitation records keeps its arrays, so that others come then.
        assert (recorder.recorded, recorder.launched) == (2, 2)

    def test_the_report_tells(self) -> None:
        f = gc.compile(double(), target="cuda")
        assert repr(f.report(N=2, D=3)).endswith(" 1 kernel queued one by one: the simulator has none")
        f._runner._graphs = Graphs(self.Recorder())
        assert repr(f.report(N=2, D=3)).endswith(" 1 kernel queued as one CUDA graph")


class TestMemory:
    pytestmark = gpu

    def test_blocks_are_used_again(self) -> None:
        collector.collect()
        f, array = gc.compile(double(), target="cuda"), there(x)
        first = f(X=array)
        place = described(first).pointer
        second = f(X=array)
        assert described(second).pointer != place
        del first
        collector.collect()
        assert described(f(X=array)).pointer == place

    def test_a_view_keeps_its_block(self) -> None:
        f, array = gc.compile(double(), target="cuda"), there(x)
        view = f(X=array).reshape(18)
        collector.collect()
        f(X=there(0 * x))
        np.testing.assert_array_equal(here(view), 2 * x.reshape(-1))

    def test_temporaries_take_turns(self) -> None:
        A, B, C, S = gc.tensors("A B C S")
        A[b, j] = gc.sin(X[b, j])
        B[b, j] = A[N - 1 - b, j] + X[b, j]
        C[b, j] = B[N - 1 - b, j] * X[b, j]
        S[b] += C[N - 1 - b, j]
        report = gc.compile(S, target="cuda").report(N=1000, D=8)
        assert (report.temporaries, report.shared) == (64000, 32000)

    def test_what_is_kept_is_given_back_before_memory_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        caller = Caller("numba", 0, 0)
        caller.new((1 << 20,), "float32")
        collector.collect()
        pool = machine().pool(0, 0)
        assert pool.kept >= 1 << 22
        monkeypatch.setattr(machine(), "_memory", self.full)
        with pytest.raises(OutOfDeviceMemory):
            caller.new((1 << 21,), "float32")
        assert pool.kept == 0

    @staticmethod
    def full(size: int) -> tuple[Any, int]:
        raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")
