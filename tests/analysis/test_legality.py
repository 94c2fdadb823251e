"""Accesses that are proved, refused, or left to a test of the sizes at each call."""

import numpy as np
import pytest

import graphc as gc
from graphc.analysis.legality import _certain, _violation, ensured
from graphc.interpret import interpret
from graphc.ir.affine import nonnegative
from graphc.ir.expr import FloorDiv, Index, Size
from tests.notation import graph_of

N, M = gc.dims("N M")


def reading(subscript, *limits):
    p = gc.index("p", *limits)
    x, y = gc.tensor("X", N), gc.tensor("Y")
    y[p] = x[subscript(p)]
    return graph_of(y)


def raises(graph, **sizes):
    values = {Size(n): v for n, v in sizes.items()}
    try:
        interpret(graph, {"X": np.zeros(sizes["N"])}, values)
    except gc.ArgumentError:
        return True
    return False


def violated(graph, **sizes):
    from graphc.interpret import size_value

    values = {Size(n): v for n, v in sizes.items()}
    return any(all(size_value(e, values) >= 0 for e in check.violation) for check in graph.checks)


@pytest.mark.parametrize("subscript", [lambda p: p, lambda p: N - 1 - p, lambda p: p // 2, lambda p: (p + N - 1) // 2])
def test_proved(subscript):
    assert not reading(subscript, N).checks


@pytest.mark.parametrize("subscript", [lambda p: p + 1, lambda p: p - 1, lambda p: 2 * p, lambda p: N - p])
def test_refused(subscript):
    with pytest.raises(gc.RangeError):
        reading(subscript, N)


@pytest.mark.parametrize(
    "graph",
    [reading(lambda p: p, M), reading(lambda p: p + 2, 3), reading(lambda p: 2 * p - 1, 1, 4), reading(lambda p: M - 1 - p, 2)],
    ids=["other size", "shifted", "strided", "reversed"],
)
def test_checks_are_exact(graph):
    """A call passes the checks exactly if no element outside is read."""
    assert graph.checks
    for n in range(1, 8):
        for m in range(1, 8):
            assert violated(graph, N=n, M=m) == raises(graph, N=n, M=m), (n, m)


def test_what_a_check_ensures():
    graph = reading(lambda p: p + 2, 3)
    assert nonnegative(Size("N") - 5, ensured(graph.checks))
    assert not nonnegative(Size("N") - 6, ensured(graph.checks))


def test_conditions_count():
    i = gc.index("i", N)
    x, y = gc.tensor("X", N), gc.tensor("Y")
    y[i] = gc.where((i > 0) & (i < N - 1), x[i - 1] + x[i + 1], gc.where(i == 0, x[i], x[0]))
    assert not graph_of(y).checks


def test_derived_statements_repeat_no_check():
    p, r = gc.index("p", M), gc.index("r", 3)
    x, loss = gc.tensor("X", N), gc.tensor("L")
    loss[()] += x[p + r] ** 2 * gc.sin(x[p + r])
    graph = graph_of(loss, gc.grad(loss, x))
    assert len(graph.checks) == len({c.violation for c in graph.checks})


def test_many_conditions_do_not_hide_a_few():
    """Found by random programs: with more facts than can be projected, a subscript seemed to lie outside for all sizes."""
    i1, i2, j, k1, k2, k, p1, p2 = (Index(name) for name in ("i1", "i2", "j", "k1", "k2", "k", "p1", "p2"))
    n, m = Size("N"), Size("M")
    row = 2 * i1 + i2 - k
    facts = (
        i1, FloorDiv(n, 2) - i1, i2, 1 - i2, j, n - 1 - j, k1, FloorDiv(m + 3, 4) - 1 - k1, k2, 1 - k2, k, 1 - k, p1, p2, 1 - p2,
        FloorDiv(n + 2, 3) - 1 - p1, 2 * j - 2, m + 1 - 2 * j, i1 + 2 * k1 + k2 - 1, 5 * m - 4 - i1 - 2 * k1 - k2, 3 * row + 2 * j - m - 2,
        n - m + k - j + 4 * k1 + 2 * k2, n - 1 - 3 * p1 - p2, m - 1 - 4 * k1 - 2 * k2 - k, FloorDiv(m + 1, 2) - 1 - 2 * k1 - k2,
        row, n - 1 - row,
    )
    few, all_ = (_violation(2 * m + 1 - 3 * row - 2 * j, f) for f in ((row, n - 1 - row, j, n - 1 - j), facts))
    assert few is not None and all_ is not None and not _certain(few)
    assert all(nonnegative(condition, all_) for condition in few)


def test_what_only_other_checks_prove_is_not_refused():
    """Found by random programs: the gradient of the gradient was refused, although each call is checked before anything is read."""
    x0, t1, t0, t3, loss = gc.tensor("X0", M, 3), gc.tensor("t1", M, M, dtype="int64"), gc.tensor("T0"), gc.tensor("T3", 1), gc.tensor("L")
    i, j, k = gc.index("i"), gc.index("j", M), gc.index("k")
    t0[i, j] += gc.tanh(
        gc.pad(x0, 0, dims=[0])[j - i + M, 1] * gc.clamp(x0, dims=[0])[i + j - 2, j % 2] * x0[1, (j + i) // 2] * x0[1 - i, k - i + M - 1]
        - x0[t1[i, k], (k + i) // 2]
    )
    i, j = gc.index("i", -2, -2), gc.index("j")
    t3[(i + 2) + 1] = gc.prod(t0[j, j], over=j)
    i = gc.index("i")
    loss[()] += t3[i]
    data = np.array([[-0.7, -0.4, -0.1], [-1.9, 1.3, 1.8]])
    assert gc.check_grad(loss, x0, order=2, X0=data, t1=np.array([[0, 0], [1, 0]])) < 1e-5


def test_a_few_points_are_looked_at_one_by_one():
    """Found by random programs: a condition that the others imply for integers alone was left out, and the gradient refused."""
    i, j, k = gc.index("i", 4), gc.index("j", 2), gc.index("k")
    x, y, T, L = gc.tensor("x", 2, 2), gc.tensor("y", gc.dim("K"), 2, 4), *gc.tensors("T L")
    T[i, j] += gc.pad(x, 0.5)[(j + i) // 2, 1] * y[k, j, i] * gc.wrap(x)[j - 1, (2 * j + 1) % 3 - 1]
    L[()] += T[i, j]
    gradient = gc.grad(L, y)
    arrays = {"x": np.float32([[1, 2], [3, 4]]), "y": np.ones((3, 2, 4), "float32")}
    views = np.pad(arrays["x"], ((0, 2), (0, 0)), constant_values=0.5)
    want = [[views[(b + a) // 2, 1] * arrays["x"][b - 1, (2 * b + 1) % 3 - 1] for a in range(4)] for b in range(2)]
    np.testing.assert_allclose(gc.compile(gradient, target="interpret")(arrays), [want] * 3)


def test_a_size_at_which_only_rational_points_are_outside_is_not_refused():
    """M = 2 leaves one point, where a remainder would have to be 1/3 to 2/3."""
    m = gc.dim("M")
    x, y, total = gc.tensor("x", m, m, 2, 3), gc.tensor("y", 4), gc.tensor("total")
    n = gc.index("n")
    total[()] += gc.pad(y, 0)[n - 2] * gc.wrap(x)[n // 2 + 1, n + 1, (2 * n + 1) % 3 - 1, n]
    f = gc.compile([total, *gc.grad(total, [x, y])], target="interpret")
    for size in (2, 3):
        f(x=np.ones((size, size, 2, 3), "f"), y=np.ones(4, "f"))


def test_what_only_other_checks_prove_is_tested_once():
    """Found by random programs: a gradient was refused in calls in which the value is defined."""
    x, y, i = gc.tensor("X", 2, N, dtype="float64"), gc.tensor("Y"), gc.index("i")
    y[()] += x[1, i] * gc.reflect(x)[i - 1, (2 * i + 1) % 3]
    gradient = gc.compile(gc.grad(y, x), target="interpret")
    assert np.array_equal(gradient(X=np.arange(4.0).reshape(2, 2)), [[3, 0], [3, 2]])
    with pytest.raises(gc.RangeError, match="In this call N = 1"):
        gradient(X=np.ones((2, 1)))
