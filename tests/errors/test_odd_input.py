"""No odd argument gets past the front end with anything else than an error of graphc (or Python's own, for a wrong call)."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest

import graphc as gc

N = gc.dim("N")
i = gc.index("i")
v = gc.tensor("v", N)
ODD = [
    None, True, False, "", "a", b"a", 1j, float("nan"), float("inf"), 10**30, -1, 2.5, np.float64(2.5), np.int64(-3), np.bool_(True),
    np.ones(2),
    np.array(1.0), np.array(None), [], [1], (), (1, 2), {}, {"a": 1}, set(), object(), int, len, lambda: 1, slice(1), Ellipsis,
    NotImplemented,
    v, v[i], i, N, v[i] > 0, gc.pad(v), np.datetime64("2020-01-01"), range(3), iter([1]), Exception("x"), gc.tensor("U"),
]
FUNCTIONS = [name for name in gc.__all__ if callable(getattr(gc, name)) and not inspect.isclass(getattr(gc, name))]


def names(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_odd_arguments(name):
    function = getattr(gc, name)
    for arguments in itertools.chain(((a,) for a in ODD), itertools.product(ODD, ODD), ((v[i], a, b) for a in ODD for b in ODD[::4])):
        try:
            function(*arguments)
        except gc.GraphcError as error:
            assert str(error)
        except TypeError as error:
            assert "argument" in str(error), (arguments, error)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("odd", ODD, ids=names)
def test_odd_subscripts_and_values(odd):
    for attempt in (
        lambda: v[odd], lambda: v[odd, i], lambda: v[i + odd], lambda: gc.pad(v, 0)[odd], lambda: gc.tensor("T", 3)[i, odd],
        lambda: gc.tensor("T").__setitem__(i, odd), lambda: gc.tensor("T").__setitem__(odd, v[i]),
        lambda: gc.tensor("T", N)[i].__iadd__(odd),
        lambda: gc.tensor("T", odd), lambda: gc.tensor("T", N, dtype=odd), lambda: gc.index("p", odd), lambda: gc.index("p", 0, odd),
        lambda: gc.sum(v[i], over=odd), lambda: gc.sum(odd, over=i), lambda: gc.pad(v, 0, dims=odd), lambda: gc.parameter("W", 3, init=odd),
        lambda: gc.grad(v, odd), lambda: gc.grad(v, v, seed=odd), lambda: gc.function("odd", odd),
        lambda: gc.function("odd", lambda x: odd),
        lambda: gc.function("odd", lambda x: x, grad=odd), lambda: v[i].__array_ufunc__(np.add, "__call__", v[i], odd),
    ):
        try:
            attempt()
        except gc.GraphcError as error:
            assert str(error)


@pytest.mark.parametrize("odd", ODD, ids=names)
def test_odd_options_and_arrays(odd):
    Y = gc.tensor("Y")
    Y[i] = 2 * v[i]
    f = gc.compile(Y, target="interpret")
    for attempt in (
        lambda: gc.compile(Y, target=odd), lambda: gc.compile(odd), lambda: gc.compile([Y, odd]),
        lambda: gc.compile({odd: Y}, target="interpret"),
        lambda: gc.compile(Y, inputs=odd), lambda: gc.compile(Y, inputs=[odd]), lambda: gc.compile(Y, updates=odd),
        lambda: gc.compile(Y, updates={v: odd}),
        lambda: gc.compile(Y, threads=odd, target="interpret"), lambda: gc.compile(Y, accumulate=odd, target="interpret"),
        lambda: gc.compile(Y, precision=odd, target="interpret"), lambda: f(v=odd), lambda: f(odd), lambda: f(odd, v=odd),
        lambda: f(v=[odd]),
        lambda: f(v=[1.0], out=odd), lambda: f(v=[1.0], out=[odd]), lambda: f.init(odd), lambda: f.init(N=odd),
        lambda: gc.check_grad(Y, v, v=odd),
    ):
        try:
            attempt()
        except gc.GraphcError as error:
            assert str(error)
        except TypeError as error:
            assert "unhashable" in str(error), error
