"""Compiled calls of small programs: the same results and the same complaints as the long way."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from graphc import program as programs

N = gc.dim("N")


@pytest.fixture
def often(monkeypatch):
    """A compiled call is made at the third call."""
    monkeypatch.setattr(programs, "VERY_OFTEN", 3)
    monkeypatch.setattr(programs, "OFTEN", 2)


def line(n=N, **options):
    """y = a·x + b, a weighted sum of it, and its gradients."""
    a, x, b, g = (gc.tensor(name, n) for name in "axbg")
    i, (y, L) = gc.index("i"), gc.tensors("y L")
    y[i] = a[i] * x[i] + b[i]
    L[()] += g[i] * y[i]
    return gc.compile([L, *gc.grad(L, [a, x, b])], **options)


def arrays(n, seed=0):
    random = np.random.default_rng(seed)
    return {name: random.random(n).astype("f") for name in "axbg"}


def hastened(program, given):
    """The program after as many calls as it takes, and what it said first."""
    first = program(**given)
    for _ in range(4):
        program(**given)
    assert program._quick is not None
    return first


def equal(one, other):
    assert type(one) is type(other)
    for a, b in zip(one, other, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)


def test_all_forms_of_a_call_give_what_the_first_call_gave(often):
    program, given = line(inputs=None), arrays(7)
    first = hastened(program, given)
    equal(first, program(**given))
    equal(first, program(given))
    equal(first, program({**given, "other": 1}))
    equal(first, program(given, g=given["g"]))
    assert program._quick is not None


def test_results_are_new_arrays(often):
    program, given = line(), arrays(7)
    hastened(program, given)
    before = program(**given)
    kept = [a.copy() for a in before]
    program(**arrays(7, seed=1))
    equal(kept, before)


def test_positional_arguments_in_the_order_of_inputs(often):
    a, x, y = gc.tensor("a", N), gc.tensor("x", N), gc.tensor("y")
    i = gc.index("i")
    y[i] = a[i] - 2 * x[i]
    program = gc.compile(y, inputs=[x, a])
    one, two = np.float32([1, 2]), np.float32([10, 20])
    for _ in range(5):
        assert program(one, two).tolist() == [8, 16]
    assert program._quick is not None
    assert program(one, a=two).tolist() == [8, 16]


def test_other_sizes_go_the_long_way_until_they_come_often(often):
    program = line()
    hastened(program, arrays(7))
    for n in (3, 0, 1, 64):
        equal(line()(**arrays(n)), program(**arrays(n)))
    for _ in range(20):
        program(**arrays(5))
    equal(line()(**arrays(5)), program._quick((), arrays(5)))


def test_other_arrays_go_the_long_way(often):
    given = arrays(4)
    strided = {**given, "a": np.repeat(given["a"], 2)[::2]}
    frozen = {**given, "x": given["x"].copy()}
    frozen["x"].flags.writeable = False
    shifted = {**given, "b": np.frombuffer(b"0" + given["b"].tobytes(), "u1")[1:].view("f")}
    listed = {**given, "g": given["g"].tolist()}
    for other in (strided, frozen, shifted, listed):
        program = line()
        first = hastened(program, given)
        equal(first, program(**other))
        equal(first, program(**given))


@pytest.mark.parametrize(("change", "kind"), [
    ({"a": np.zeros(5, "f")}, gc.ShapeError), ({"a": np.zeros((7, 1), "f")}, gc.ShapeError), ({"a": np.zeros(7)}, gc.DtypeError),
    ({"other": np.zeros(7, "f")}, gc.ArgumentError), ({"a": "text"}, gc.ArgumentError),
])
def test_mistakes_are_refused_as_before(often, change, kind):
    program = line()
    hastened(program, arrays(7))
    with pytest.raises(kind):
        program(**{**arrays(7), **change})
    with pytest.raises(gc.ArgumentError):
        program({"a": np.zeros(7, "f")})


def test_masked_arrays_are_refused_however_often_they_come(often):
    program = line()
    hastened(program, arrays(7))
    for _ in range(2):
        with pytest.raises(gc.ArgumentError, match="masked"):
            program(**{**arrays(7), "a": np.ma.masked_array(np.zeros(7, "f"), [True] * 7)})


def test_results_go_into_given_arrays(often):
    program, given = line(), arrays(7)
    first = hastened(program, given)
    out = [np.empty_like(a) for a in first]
    made = program(given, out=out)
    assert all(a is b for a, b in zip(made, out, strict=True))
    equal(first, made)


def test_programs_that_are_not_small_or_update_something_have_none(often):
    large = line()
    for _ in range(5):
        large(**arrays(100_000))
    assert large._quick is None
    w, x, L, i = gc.parameter("w", 3, init="zeros"), gc.tensor("x", 3), gc.tensor("L"), gc.index("i")
    L[()] += w[i] * x[i]
    step = gc.compile(L, updates=gc.optim.sgd(L, lr=0.5))
    state = step.init()
    for _ in range(5):
        step(state, x=np.ones(3, "f"))
    assert step._quick is None
    assert state["w"].tolist() == [-2.5] * 3


def test_calls_by_address():
    program, given = line(), arrays(7)
    wanted = program(given)
    shapes = {name: array.shape for name, array in given.items()}
    call = program.by_address(shapes)
    out = [np.empty_like(a) for a in wanted]
    assert call(*(given[name].ctypes.data for name in program.inputs), *(a.ctypes.data for a in out))
    equal(wanted, out)
    assert program.by_address({name: tuple(n * 100_000 for n in shape) for name, shape in shapes.items()}) is None
    i, E, k, y = gc.index("i"), gc.tensor("E", 3), gc.tensor("k", 2, dtype="int64"), gc.tensor("y")
    y[i] = E[k[i]]
    assert gc.compile(y).by_address({"E": (3,), "k": (2,)}) is None


def test_shapes_of_results():
    program = line()
    assert program.result_shapes({name: array.shape for name, array in arrays(7).items()}) == [a.shape for a in program(arrays(7))]
    with pytest.raises(gc.ArgumentError, match="missing"):
        program.result_shapes({})
