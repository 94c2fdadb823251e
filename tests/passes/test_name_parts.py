"""What a gradient would repeat gets a name, and nothing else does."""

import numpy as np
import pytest

import graphc as gc
from graphc.compile import canonical
from graphc.passes.name_parts import LONG, _written, name_parts
from tests.notation import applied, graph_of, text

N = gc.dim("N")
i, j, k = gc.indices("i j k")


def _active(tensor: gc.Tensor, *names: str):
    return lambda graph: name_parts(graph, {tensor.name, *names})


def _log_sum_exp(count: int) -> tuple[gc.Tensor, gc.Tensor]:
    X, y = gc.tensor("X", N, count), gc.tensor("y")
    reads = [X[i, k] for k in range(count)]
    most = reads[0]
    for read in reads[1:]:
        most = gc.maximum(most, read)
    y[i] = most + gc.log(sum(gc.exp(read - most) for read in reads))
    return X, y


def test_what_is_repeated_gets_a_name() -> None:
    graph = applied(_active(_log_sum_exp(3)[1], "X"), graph_of(_log_sum_exp(3)[1]), {"N": 4})
    assert text(graph).splitlines() == [
        "for i:  y.maximum[i] = maximum(maximum(X[i,0], X[i,1]), X[i,2])",
        "for i:  y.sum[i] = exp(X[i,0] - y.maximum[i]) + exp(X[i,1] - y.maximum[i]) + exp(X[i,2] - y.maximum[i])",
        "for i:  y[i] = y.maximum[i] + log(y.sum[i])",
    ]


def test_lines_of_gradients_are_short() -> None:
    X, y = _log_sum_exp(6)
    L = gc.tensor("L")
    L[()] += y[i] ** 2
    shown = gc.loops(gc.grad(L, X)).splitlines()
    assert max(map(len, shown[1:])) < 2000
    gc.check_grad(L, X, X=np.random.default_rng(0).normal(size=(5, 6)))


@pytest.mark.parametrize("function", [
    lambda x: 0.5 * x * (1 + gc.tanh(0.7978845608 * (x + 0.044715 * x**3))),
    lambda x: x * gc.tanh(gc.log(1 + gc.exp(x))),
    lambda x: x / (1 + gc.exp(-1.5 * x)),
])
def test_what_is_short_stays_as_written(function) -> None:
    x, y = gc.tensor("x", N), gc.tensor("y")
    y[i] = function(x[i])
    graph = graph_of(y)
    assert name_parts(graph, {"x", "y"}) is graph


def test_what_nothing_repeats_stays_as_written() -> None:
    X, y = gc.tensor("X", N, 60), gc.tensor("y")
    value = gc.sin(X[i, 0])
    for c in range(1, 60):
        value = value * gc.sin(X[i, c])
    y[i] = value
    graph = graph_of(y)
    assert name_parts(graph, {"X", "y"}) is graph


def test_parts_of_branches_are_lazy() -> None:
    """log(x) is evaluated in one branch only: its derivative at x = 0 is finite."""
    x, y, L = gc.tensor("x", N), *gc.tensors("y L")
    value = gc.log(x[i])
    for _ in range(5):
        value = gc.sin(value) * (gc.cos(value) + gc.exp(gc.sin(value)))
    y[i] = gc.where(x[i] > 0, value, 0)
    L[()] += y[i]
    slope = gc.grad(L, x)
    assert "y.product[i] = where(x[i] > 0, " in gc.loops(slope)
    got = gc.compile(slope, target="interpret", precision="float64")(x=np.array([-1.0, 0.0, 0.5]))
    assert (got[:2] == 0).all() and np.isfinite(got[2])
    gc.check_grad(L, x, x=np.array([0.5, 1.5, 3.0]))


def test_no_more_memory_than_the_statement_has() -> None:
    """A sum over pairs stores no part per pair."""
    X, Y, L = gc.tensor("X", N), gc.tensor("Y", gc.dim("M")), gc.tensor("L")
    value = X[i] - Y[j]
    for _ in range(3):
        value = gc.exp(gc.sin(value)) * gc.sin(value)
    L[()] += value
    graph = name_parts(graph_of(L), {"X", "Y", "L"})
    assert all(len(t.shape) < 2 for t in graph.tensors)


def _soft_minimum(T: int, rows: int) -> tuple[gc.Tensor, gc.Tensor]:
    c, d, L = gc.tensor("c", T, rows), *gc.tensors("d L")
    t, r = gc.index("t", T), gc.index("r", rows)
    far = gc.pad(d, 9.0)
    near = [-far[t - 1, r - 1], -far[t - 1, r], -far[t, r - 1]]
    most = gc.maximum(gc.maximum(near[0], near[1]), near[2])
    d[t, r] = c[t, r] ** 2 + gc.where((t == 0) & (r == 0), 0, -most - gc.log(sum(gc.exp(v - most) for v in near)))
    L[()] += d[T - 1, rows - 1]
    return c, L


def test_recurrences_stay_one_loop() -> None:
    c, L = _soft_minimum(4, 5)
    slope = gc.grad(L, c)
    shown = gc.loops(slope)
    assert "d.maximum.grad[t,r] += -d.grad[t,r]" in shown and max(map(len, shown.splitlines()[1:])) < 1500
    values = np.random.default_rng(1).normal(size=(4, 5))
    gc.check_grad(L, c, c=values)
    program = gc.compile([L, slope], precision="float64")
    assert sum("scan" in kernel.name for kernel in program.kernels) == 2
    want = gc.compile([L, slope], target="interpret", precision="float64")(c=values)
    for got, wanted in zip(program(c=values), want, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_forward_mode_and_second_derivatives() -> None:
    X, y = _log_sum_exp(5)
    L, V = gc.tensor("L"), gc.tensor("V", N, 5)
    L[()] += gc.sin(y[i])
    values, along = np.random.default_rng(2).normal(size=(2, 3, 5))
    gc.check_grad(L, X, X=values, order=2)
    product = gc.compile(gc.hvp(L, {X: V}), target="interpret", precision="float64")(X=values, V=along)[X]
    slope = gc.compile(gc.grad(L, X), target="interpret", precision="float64")
    step = 1e-5
    change = (slope(X=values + step * along) - slope(X=values - step * along)) / (2 * step)
    np.testing.assert_allclose(product, change, rtol=1e-6, atol=1e-9)


def test_what_has_exponentially_many_nodes_on_paper() -> None:
    x, y = gc.tensor("x", N), gc.tensor("y")
    value = x[i]
    for _ in range(7):
        value = 0.5 * value + 0.25 * gc.sin(value) * value
    y[i] = value
    graph = applied(_active(y, "x"), graph_of(y), {"N": 3})
    assert max(_written(s.value) for s in graph.statements) < 2 * LONG


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_a_right_side_that_repeats_itself_is_computed_in_parts(target):
    """Eleven steps of the logistic map in one right side: 6,000 reads and operations on paper, forty different ones."""
    x, y = gc.tensor("x", N), gc.tensor("y")
    value, want = x[i], np.array([0.3, 0.4])
    for _ in range(11):
        value, want = 3.7 * value * (1 - value), 3.7 * want * (1 - want)
    y[i] = value
    assert max(_written(s.value) for s in canonical(graph_of(y)).statements) < 300
    np.testing.assert_allclose(gc.compile(y, target=target, precision="float64")(x=np.array([0.3, 0.4])), want, rtol=1e-8)
