"""Arrays of other libraries as arguments: nothing is copied, results are of the caller's kind."""

from __future__ import annotations

import array
import ctypes
from typing import Any

import numpy as np
import pytest

import graphc as gc

N = gc.dim("N")
i = gc.index("i")
x, w = gc.tensor("x", N), gc.parameter("w", N)
y, w_new, total = gc.tensors("y w_new total")
y[i] = 2 * x[i]
w_new[i] = w[i] + x[i]
total[()] += w[i] * x[i] ** 2

VALUES = np.float32([1, 2, 3])


class Interface:
    """An array that has nothing but the interface."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self.__array_interface__ = values.__array_interface__


class Capsule:
    """An array that has nothing but DLPack."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __dlpack__(self, **options: Any) -> Any:
        return self._values.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._values.__dlpack_device__()


class Converted:
    """Something that makes an array when it is asked, as tables do."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return VALUES.copy()


KINDS = {
    "numpy": lambda: VALUES.copy(),
    "memoryview": lambda: memoryview(VALUES.copy()),
    "array.array": lambda: array.array("f", VALUES),
    "ctypes": lambda: (ctypes.c_float * 3)(*VALUES),
    "interface": lambda: Interface(VALUES.copy()),
    "dlpack": lambda: Capsule(VALUES.copy()),
    "torch": lambda: pytest.importorskip("torch").tensor(VALUES),
    "jax": lambda: pytest.importorskip("jax").numpy.asarray(VALUES),
}
WRITABLE = [kind for kind in KINDS if kind not in ("numpy", "jax")]


def elements(value: Any) -> list[float]:
    return np.asarray(value._values if isinstance(value, Interface | Capsule) else value).tolist()


@pytest.fixture(scope="module", params=["interpret", "cpu"])
def target(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def double(target: str) -> gc.Program:
    return gc.compile(y, target=target, inputs=[x])


@pytest.fixture(scope="module")
def step(target: str) -> gc.Program:
    return gc.compile(total, target=target, updates={w: w_new})


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_of_the_callers_kind(kind, double):
    given = KINDS[kind]()
    result = double(given)
    assert type(result) is (type(given) if kind in ("torch", "jax") else np.ndarray)
    assert elements(result) == [2, 4, 6] and elements(given) == [1, 2, 3]


@pytest.mark.parametrize("kind", WRITABLE)
def test_updates_are_written_into_the_callers_memory(kind, step):
    given = KINDS[kind]()
    step({"w": given}, x=VALUES)
    assert elements(given) == [2, 4, 6]


@pytest.mark.parametrize("kind", [*WRITABLE, "numpy"])
def test_results_are_written_into_the_callers_memory(kind, double):
    given = KINDS[kind]()
    assert double(VALUES + 1, out=given) is given
    assert elements(given) == [4, 6, 8]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_checked_with_any_kind(kind):
    assert gc.check_grad(total, [w, x], w=KINDS[kind](), x=KINDS[kind]()) < 1e-12


def test_what_only_converts_is_read_but_not_written(double, step):
    assert double(Converted()).tolist() == [2, 4, 6]
    with pytest.raises(gc.ArgumentError, match="it is a Converted"):
        step({"w": Converted()}, x=VALUES)


def test_bytes_are_integers():
    b, d = gc.tensor("b", N, dtype="uint8"), gc.tensor("d")
    d[i] = 2 * b[i]
    assert gc.compile(d, target="interpret")(b=b"\x01\x02").tolist() == [2, 4]


def test_updated_arrays_of_other_kinds_must_not_share_memory():
    a, b, c = gc.tensor("a", N), gc.tensor("b", N), gc.tensor("c")
    c[i] = a[i] + b[i]
    f = gc.compile(c, target="interpret", updates={a: c, b: c})
    apart = {"a": array.array("f", VALUES), "b": array.array("f", VALUES)}
    f(apart)
    assert list(apart["a"]) == list(apart["b"]) == [2, 4, 6]
    with pytest.raises(gc.ArgumentError, match="share memory"):
        f({"a": apart["a"], "b": apart["a"]})
    f(apart)


# ----------------------------------------------------------------------------------------------------------------- PyTorch


def test_torch_tensors_share_their_memory_with_results(double):
    torch = pytest.importorskip("torch")
    big = torch.ones(1 << 19)
    first = double(big)
    kept = first.data_ptr()
    second = double(big * 2)
    assert second.data_ptr() != kept and first[0] == 2 and second[-1] == 4


def test_torch_tensors_with_gaps_are_read_and_written(double, step):
    torch = pytest.importorskip("torch")
    table = torch.arange(6.0).reshape(3, 2)
    assert double(table[:, 1]).tolist() == [2, 6, 10]
    step({"w": table[:, 0]}, x=VALUES)
    assert table.tolist() == [[1, 1], [4, 3], [7, 5]]
    step({"w": torch.zeros(()).expand(1)}, x=VALUES[:1])
    with pytest.raises(gc.ArgumentError, match="several elements in one place"):
        step({"w": torch.zeros(()).expand(3)}, x=VALUES)


def test_arrays_of_which_elements_share_a_place_are_not_written(double, step):
    together = np.lib.stride_tricks.as_strided(np.zeros(4, "float32"), (3,), (0,))
    with pytest.raises(gc.ArgumentError, match="several elements in one place"):
        step({"w": together}, x=VALUES)
    with pytest.raises(gc.ArgumentError, match="several elements in one place"):
        double(VALUES, out=together)
    for apart in (np.zeros((3, 2), "float32")[:, 1], np.zeros(6, "float32")[::-2]):
        assert double(VALUES, out=apart) is apart and apart.tolist() == (2 * VALUES).tolist()


def test_torch_tensors_of_which_memory_holds_the_negative(double):
    """The imaginary part of a conjugate is read as what it is, and cannot be written."""
    torch = pytest.importorskip("torch")
    pairs = torch.arange(6.0).reshape(3, 2)
    lazy = torch.view_as_complex(pairs).conj().imag
    assert lazy.is_neg() and double(x=lazy).tolist() == [-2, -6, -10]
    with pytest.raises(gc.ArgumentError, match="writable"):
        double(x=VALUES, out=lazy)


def test_torch_knows_that_a_tensor_was_written(step, double):
    torch = pytest.importorskip("torch")
    state, other = torch.ones(3), torch.ones(3)
    loss = (state**2).sum() + (torch.ones(3, requires_grad=True) * state).sum() + (other * torch.ones(3, requires_grad=True)).sum()
    version = state._version
    step({"w": state}, x=VALUES)
    assert state._version > version
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    version = other._version
    double(VALUES, out=other)
    assert other._version > version


def test_torch_parameters_where_no_gradient_is_asked_for(double, step):
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.tensor(VALUES))
    with torch.no_grad():
        assert double(weight).tolist() == [2, 4, 6]
        step({"w": weight}, x=VALUES)
    assert weight.tolist() == [2, 4, 6] and weight.requires_grad
    with torch.inference_mode():
        state = torch.ones(3)
        step({"w": state}, x=VALUES)
    assert state.tolist() == [2, 3, 4]


def test_state_in_torch_tensors(target):
    torch = pytest.importorskip("torch")
    step = gc.compile(total, target=target, updates=gc.optim.sgd(total, lr=0.1))
    state = step.init(seed=0, N=3, device=torch.device("cpu"))
    assert {type(array) for array in state.values()} == {torch.Tensor}
    expected = step.init(seed=0, N=3)
    loss, same = step(state, x=VALUES), step(expected, x=VALUES)
    assert type(loss) is torch.Tensor and loss.shape == () and type(same) is np.ndarray
    assert torch.equal(state["w"], torch.from_numpy(expected["w"]))


# --------------------------------------------------------------------------------------------------------------------- JAX


def test_jax_arrays_are_not_copied():
    jax = pytest.importorskip("jax")
    from graphc.calls.foreign import viewed

    given = jax.numpy.asarray(VALUES)
    assert viewed("x", given).ctypes.data == given.unsafe_buffer_pointer()


def test_large_jax_results_are_not_copied(monkeypatch):
    jax = pytest.importorskip("jax")
    f = gc.compile(y, inputs=[x])
    made = []
    run = f._runner.run
    monkeypatch.setattr(f._runner, "run", lambda *given: made.append(run(*given)) or made[-1])
    results = [f(jax.numpy.full(1 << 19, value, "float32")) for value in (1, 2, 3)]
    assert [r.unsafe_buffer_pointer() for r in results] == [m["y"].ctypes.data for m in made]
    assert [float(r[-1]) for r in results] == [2, 4, 6]


def test_jax_results_keep_their_type(target):
    jax = pytest.importorskip("jax")
    z, place = gc.tensor("z", N), gc.tensors("place")
    place[()] = gc.argmax(z[i], over=i)
    result = gc.compile(place, target=target)(z=jax.numpy.asarray(VALUES))
    assert isinstance(result, jax.Array) and result.dtype == "int64" and int(result) == 2


def test_jax_state_cannot_be_updated(step):
    jax = pytest.importorskip("jax")
    with pytest.raises(gc.ArgumentError, match="it is read-only"):
        step({"w": jax.numpy.asarray(VALUES)}, x=VALUES)
