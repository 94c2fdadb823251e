"""Every kind of affine subscript: values and gradients against NumPy, gradients without races, loops without tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest

import graphc as gc
from graphc.analysis.injectivity import injective
from graphc.compile import optimised
from graphc.frontend.collect import collect
from graphc.ir.expr import undistributed
from graphc.ir.nest import For, If, Local, Nest
from graphc.schedule.lower import schedule
from graphc.schedule.target import CPU

N, M, R = gc.dims("N M R")
i, j, p, q, r, s, c = gc.indices("i j p q r s c")
THREE = gc.index("r", 3)


def upsampling(y, X):
    a, b = gc.index("a", 2 * N), gc.index("b", 3 * N)
    y[c, a, b] = X[c, a // 2, b // 3]


def two_thirds(y, X):
    k = gc.index("k", 3 * N)
    y[k] = X[2 * k // 3]


def tiles(y, X):
    k = gc.index("k", 12)
    y[k] = X[k % 4]


def bins(y, X):
    y[p // 3] += X[p]


def bins_by_remainder(y, X):
    y[p % 3] += X[p]


def strided(y, X, W):
    y[p] += X[2 * p + r] * W[r]


def dilated(y, X, W):
    y[p] += X[p + 2 * r] * W[r]


def strided_and_dilated(y, X, W):
    y[p] += X[3 * p + 2 * r] * W[r]


def coupled(y, X):
    a, b = gc.index("a", N), gc.index("b", 3)
    y[a, b] = X[2 * a + 3 * b]


def coupled_scatter(y, X, W):
    y[2 * p + 3 * r] += X[p] * W[r]


def transposed(y, X, W):
    y[2 * p + r] += X[p] * W[r]


def transposed_plane(y, X, W):
    y[2 * p + r, 2 * q + s] += X[p, q] * W[r, s]


def diagonals(y, X):
    y[i] = X[i, i] + X[i, N - 1 - i]


def antidiagonals(y, X):
    y[i + j] += X[i, j]


def triangle(y, X, W):
    y[i] += gc.where(j <= i, X[i, j] * W[j], 0)


def band(y, X, W):
    y[i] += gc.where((j - i <= 1) & (i - j <= 2), X[i, j] * W[j], 0)


def product_of_triangles(y, X, W):
    y[i, j] += gc.where((p <= i) & (j <= p), X[i, p] * W[p, j], 0)


def overlapping_maximum(y, X):
    y[p] = gc.max(X[2 * p + THREE], over=THREE)


def overlapping_mean(y, X):
    y[p] = gc.mean(X[2 * p + THREE], over=THREE)


def space_to_depth(y, X):
    d = gc.index("d", 4)
    y[d, p, q] = X[2 * p + d // 2, 2 * q + d % 2]


def depth_to_space(y, X):
    a, b = gc.index("a", 2 * N), gc.index("b", 2 * N)
    y[a, b] = X[2 * (a % 2) + b % 2, a // 2, b // 2]


def flattened(y, X):
    k = gc.index("k", 12 * N)
    y[k] = X[k // 12, k // 4 % 3, k % 4]


def windows(x, stride, dilation, size=3):
    """The values under a window, one row per place in it."""
    last = len(x) - dilation * (size - 1)
    return np.stack([x[dilation * k : dilation * k + last : stride] for k in range(size)])


def spread(x, w, stride, dilation):
    y = np.zeros([stride * (n - 1) + dilation * (k - 1) + 1 for n, k in zip(x.shape, w.shape, strict=True)])
    for place, v in np.ndenumerate(w):
        y[tuple(slice(dilation * k, dilation * k + stride * (n - 1) + 1, stride) for k, n in zip(place, x.shape, strict=True))] += v * x
    return y


# name of the tensor → its shape in the program, its shape in the test; and Y in NumPy
Case = tuple[Mapping[str, tuple[tuple[object, ...], tuple[int, ...]]], Callable[..., np.ndarray]]
LINE, PLANE, WEIGHTS = ((N,), (11,)), ((N, N), (5, 5)), ((R,), (3,))
CASES: dict[Callable[..., None], Case] = {
    upsampling: ({"X": ((3, N, N), (3, 4, 4))}, lambda X: X.repeat(2, 1).repeat(3, 2)),
    two_thirds: ({"X": ((2 * N,), (8,))}, lambda X: X[2 * np.arange(12) // 3]),
    tiles: ({"X": ((4,), (4,))}, lambda X: np.tile(X, 3)),
    bins: ({"X": ((3 * N,), (12,))}, lambda X: X.reshape(4, 3).sum(1)),
    bins_by_remainder: ({"X": LINE}, lambda X: np.array([X[k::3].sum() for k in range(3)])),
    strided: ({"X": LINE, "W": WEIGHTS}, lambda X, W: W @ windows(X, 2, 1)),
    dilated: ({"X": LINE, "W": WEIGHTS}, lambda X, W: W @ windows(X, 1, 2)),
    strided_and_dilated: ({"X": LINE, "W": WEIGHTS}, lambda X, W: W @ windows(X, 3, 2)),
    coupled: ({"X": ((2 * N + 6,), (14,))}, lambda X: X[2 * np.arange(4)[:, None] + 3 * np.arange(3)]),
    coupled_scatter: ({"X": LINE, "W": WEIGHTS}, lambda X, W: spread(X, W, 2, 3)),
    transposed: ({"X": LINE, "W": WEIGHTS}, lambda X, W: spread(X, W, 2, 1)),
    transposed_plane: ({"X": ((N, M), (4, 3)), "W": ((3, 3), (3, 3))}, lambda X, W: spread(X, W, 2, 1)),
    diagonals: ({"X": PLANE}, lambda X: np.diag(X) + np.diag(X[:, ::-1])),
    antidiagonals: ({"X": ((N, M), (4, 3))}, lambda X: np.array([np.trace(X[:, ::-1], k) for k in range(2, -4, -1)])),
    triangle: ({"X": PLANE, "W": ((N,), (5,))}, lambda X, W: np.tril(X) @ W),
    band: ({"X": PLANE, "W": ((N,), (5,))}, lambda X, W: np.triu(np.tril(X, 1), -2) @ W),
    product_of_triangles: ({"X": PLANE, "W": PLANE}, lambda X, W: np.tril(X) @ np.tril(W)),
    overlapping_maximum: ({"X": LINE}, lambda X: windows(X, 2, 1).max(0)),
    overlapping_mean: ({"X": LINE}, lambda X: windows(X, 2, 1).mean(0)),
    space_to_depth: ({"X": ((2 * N, 2 * N), (6, 6))}, lambda X: X.reshape(3, 2, 3, 2).transpose(1, 3, 0, 2).reshape(4, 3, 3)),
    depth_to_space: ({"X": ((4, N, N), (4, 3, 3))}, lambda X: X.reshape(2, 2, 3, 3).transpose(2, 0, 3, 1).reshape(6, 6)),
    flattened: ({"X": ((N, 3, 4), (2, 3, 4))}, lambda X: X.reshape(-1)),
}


def gradient(function: Callable[..., np.ndarray], arrays: dict[str, np.ndarray], name: str, seed: np.ndarray) -> np.ndarray:
    """Exact for functions that are piecewise linear in each argument: the step is a power of two, the values are multiples of it."""
    step, found, before = 2.0**-6, np.zeros_like(arrays[name]), function(**arrays)
    for place in np.ndindex(found.shape):
        moved = arrays[name].copy()
        moved[place] += step
        found[place] = ((function(**arrays | {name: moved}) - before) * seed).sum() / step
    return found


def program(write: Callable[..., None]) -> list[gc.Tensor]:
    shapes, _ = CASES[write]
    tensors = {name: gc.tensor(name, *shape, dtype="float64") for name, (shape, _) in shapes.items()}
    y = gc.tensor("Y")
    write(y, **tensors)
    return [y, *gc.grad(y, [*tensors.values()], seed=gc.tensor("G", *y.shape, dtype="float64"))]


@pytest.mark.parametrize("write", CASES, ids=lambda w: w.__name__)
def test_values_and_gradients(write, target="interpret"):
    shapes, numpy = CASES[write]
    random = np.random.default_rng(0)
    arrays = {name: random.permutation(np.prod(shape)).reshape(shape) - 4.0 for name, (_, shape) in shapes.items()}
    want = numpy(**arrays)
    seed = random.integers(-9, 9, want.shape).astype(float)
    got, *gradients = gc.compile(program(write), target=target)(**arrays, G=seed)
    np.testing.assert_array_equal(got, want)
    for name, found in zip(arrays, gradients, strict=True):
        np.testing.assert_allclose(found, gradient(numpy, arrays, name, seed), rtol=1e-12)


@pytest.mark.parametrize("write", [two_thirds, coupled_scatter, strided_and_dilated, depth_to_space, band, product_of_triangles],
                         ids=lambda w: w.__name__)
def test_compiled(write):
    test_values_and_gradients(write, "cpu")


def inside(nodes: object) -> Iterator[object]:
    for node in nodes:
        yield node
        if isinstance(node, For | If):
            yield from inside(node.body)


@pytest.mark.parametrize("write", CASES, ids=lambda w: w.__name__)
def test_no_races_and_no_tests(write, golden):
    """What is added to one element is added by one iteration of the loops over the left side, and bounds of loops say where."""
    outputs = program(write)
    graph = undistributed(lambda: optimised(collect(outputs, "compile").graph))
    for statement in graph.statements:
        assert injective(statement.subscripts, [statement.range_of(k) for k in statement.free], statement.domain), str(statement)
    _, steps = undistributed(lambda: schedule(graph, CPU))
    tests = [node.condition for step in steps if isinstance(step, Nest) for node in inside(step.kernel.body) if isinstance(node, If)]
    assert not [t for t in tests if not t.atoms(Local)]
    golden(gc.loops(*outputs))


def test_a_proof_that_is_too_long_is_not_taken_for_a_refutation():
    """Eliminating all indices of the second gradient is too much work: what is left out must not turn a check of sizes into an error."""
    n, m = gc.dims("n m")
    table, row, product, loss = gc.tensor("table", 3, m), gc.tensor("row", 5 * n - 4), *gc.tensors("product loss")
    i, k = gc.index("i", n), gc.index("k")
    product[i] += table[1, k % 3] * row[2 * i + 3 * k] * table[i % 3, i % 2]
    j = gc.index("j")
    loss[()] += product[j]
    d_table = gc.grad(loss, table)
    p, q = gc.indices("p q")
    square = gc.tensor("square")
    square[()] += d_table[p, q] ** 2
    arrays = {"table": np.arange(9.0).reshape(3, 3).astype("f"), "row": np.arange(6.0).astype("f")}
    second = gc.grad(square, row)
    found = gc.compile(second, target="interpret")(**arrays)
    value = gc.compile(square, target="interpret", precision="float64")
    exact = {name: array.astype("float64") for name, array in arrays.items()}
    for at in range(6):
        up, down = ({**exact, "row": exact["row"] + sign * 1e-4 * (np.arange(6) == at)} for sign in (1, -1))
        np.testing.assert_allclose(found[at], (value(**up) - value(**down)) / 2e-4, rtol=1e-4, atol=1e-3)


def test_loops_without_points_are_not_in_a_gradient():
    """(i//2)%2 is 0 only for i < 2: one of the four cases of the two wrapped subscripts never comes up."""
    x, y, loss = gc.tensor("x", 1, 2), gc.tensor("y", 4), gc.tensor("loss")
    i = gc.index("i")
    y[i] = gc.wrap(x)[(i // 2) % 2, i - 2]
    loss[()] += (i + 1) * y[i]
    gradient = gc.grad(loss, x)
    assert str(gc.loops(gradient)).count("x.grad[") == 2
    assert gc.compile(gradient, target="interpret")(x=np.zeros((1, 2), "f")).tolist() == [[4, 6]]


def test_a_jacobian_with_two_quotients_of_one_index():
    """i%3//2 and (i+1)//2: what becomes of i//3 follows from the left side through conditions only."""
    x, q, y = gc.tensor("x", 3, 2), gc.tensor("q", gc.dim("M")), gc.tensor("y")
    i = gc.index("i")
    y[i] = x[i % 3 // 2, (i + 1) // 2] * q[i]
    expected = np.zeros((3, 3, 2))
    for n in range(3):
        expected[n, n % 3 // 2, (n + 1) // 2] = n + 1
    for target in ("interpret", "cpu"):
        found = gc.compile(gc.jacobian(y, x), target=target)(q=np.arange(1, 4, dtype="f"))
        np.testing.assert_array_equal(found, expected)
