"""Sums are converted to the type of their tensor once they are complete."""

from collections.abc import Callable

import numpy as np
import pytest

import graphc as gc
from graphc.passes.convert import convert_sums
from tests.notation import graph_of, text


def _whole(x: gc.Tensor, y: gc.Tensor, k: gc.Tensor) -> None:
    i, j = gc.indices("i j")
    y[i] += x[i, j]


def _nested(x: gc.Tensor, y: gc.Tensor, k: gc.Tensor) -> None:
    i, j = gc.indices("i j")
    y[i] = gc.sum(x[i, j], over=j)


def _product(x: gc.Tensor, y: gc.Tensor, k: gc.Tensor) -> None:
    i, j = gc.indices("i j")
    y[i] = gc.prod(1 + x[i, j] / 8, over=j)


def _assigned_and_added(x: gc.Tensor, y: gc.Tensor, k: gc.Tensor) -> None:
    i = gc.index("i")
    y[i] = x[i, 0]
    y[i] += x[i, 1]


def _integers_as_well(x: gc.Tensor, y: gc.Tensor, k: gc.Tensor) -> None:
    i = gc.index("i")
    y[i] += k[i]
    y[i] += x[i, 1] / 2


def _scattered(x: gc.Tensor, y: gc.Tensor, k: gc.Tensor) -> None:
    i, j = gc.indices("i j")
    y[k[i]] += x[i, j]


def _recurrence(x: gc.Tensor, y: gc.Tensor, k: gc.Tensor) -> None:
    i = gc.index("i")
    y[i] += gc.pad(y, 0)[i - 1] / 2
    y[i] += x[i, 0]


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "bool"])
@pytest.mark.parametrize("written", [_whole, _nested, _product, _assigned_and_added, _integers_as_well, _scattered, _recurrence])
def test_a_sum_of_numbers_is_converted_once(written: Callable[..., None], dtype: str) -> None:
    n = gc.dim("N")
    x, k, y = gc.tensor("x", n, gc.dim("M")), gc.tensor("k", n, dtype="int64"), gc.tensor("y", n, dtype=dtype)
    written(x, y, k)
    used = {"x": np.random.default_rng(0).integers(0, 14, (4, 5)).astype("float32") / 4, "k": np.array([1, 0, 3, 1])}
    given = {name: used[name] for name in gc.compile(y).inputs}
    value = gc.compile(y)(given)
    exact = {
        _whole: used["x"].sum(1), _nested: used["x"].sum(1), _product: (1 + used["x"] / 8).prod(1),
        _assigned_and_added: used["x"][:, :2].sum(1), _integers_as_well: used["k"] + used["x"][:, 1] / 2,
        _scattered: np.bincount(used["k"], used["x"].sum(1), minlength=4),
    }.get(written)
    if exact is not None:
        np.testing.assert_array_equal(value, exact.astype(dtype))
    np.testing.assert_array_equal(value, gc.compile(y, target="interpret")(given))


def test_truth_values_of_sums_that_cancel() -> None:
    x, y, i, j = gc.tensor("x", gc.dim("N"), 2, dtype="int64"), gc.tensor("y", gc.dim("N"), dtype="bool"), *gc.indices("i j")
    y[i] += x[i, j]
    given = {"x": np.array([[1, -1], [1, 1], [0, 0]])}
    for target in ("cpu", "interpret"):
        assert gc.compile(y, target=target)(given).tolist() == [False, True, False]


def test_truth_values_of_small_integers() -> None:
    x, y, i = gc.tensor("x", gc.dim("N"), dtype="uint8"), gc.tensor("y", (), dtype="bool"), gc.index("i")
    y[()] += x[i]
    assert gc.compile(y)(x=np.array([128, 128], "uint8"))


def test_integers_beside_numbers_stay_whole() -> None:
    n = gc.dim("N")
    x, k, y, i = gc.tensor("x", n), gc.tensor("k", n, dtype="int64"), gc.tensor("y", n + n, dtype="int64"), gc.index("i")
    y[i] = k[i]
    y[i + n] += x[i]
    given = {"x": np.ones(2, "float32"), "k": np.array([2**24 + 1, 2**40 + 3])}
    for target in ("cpu", "interpret"):
        assert gc.compile(y, target=target)(given).tolist() == [2**24 + 1, 2**40 + 3, 1, 1]


def test_as_loops() -> None:
    x, y, i, j = gc.tensor("x", gc.dim("N"), gc.dim("M")), gc.tensor("y", dtype="int64"), *gc.indices("i j")
    y[i] += x[i, j]
    assert text(convert_sums(graph_of(y))) == "for i,j:  y.sum[i] += x[i,j]\nfor i:  y[i] = y.sum[i]"
