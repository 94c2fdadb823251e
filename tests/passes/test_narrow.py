import numpy as np

import graphc as gc
from graphc.passes.boundary import lower_boundary
from graphc.passes.narrow import narrow
from tests.notation import applied, graph_of, text

N = gc.dim("N")
i, j, k = gc.indices("i j k")


def narrowed(tensor, step=narrow):
    return text(applied(step, graph_of(tensor), {"N": 5}))


def test_triangle():
    a, x, y = gc.tensor("A", N, N), gc.tensor("X", N), gc.tensor("Y")
    y[i] += gc.where(i >= j, a[i, j], 0) * x[j]
    assert narrowed(y) == "for i,j if j<=i:  Y[i] += A[i,j]*X[j]"


def test_both_branches(golden):
    a, b, y = gc.tensor("A", N), gc.tensor("B", N), gc.tensor("Y")
    y[i] = gc.where((i > 0) & (i < 3), a[i], 2 * b[i])
    golden(narrowed(y))


def test_terms_are_split_apart(golden):
    a, y = gc.tensor("A", N, N), gc.tensor("Y")
    y[i] += gc.where(i == j, a[i, j], 0) + gc.where(i < j, a[j, i], 1)
    golden(narrowed(y))


def test_values_are_not_split():
    a, y = gc.tensor("A", N), gc.tensor("Y")
    y[i] = gc.where((i > 0) & (a[i] > 0), a[i], 0)
    assert narrowed(y) == text(graph_of(y))


def test_behind_a_condition_on_values():
    """What that one leaves out adds nothing, whichever is asked first; a subscript of the left side may need the one on indices."""
    a, k, y = gc.tensor("A", N), gc.tensor("K", N, dtype="int64"), gc.tensor("Y", N)
    y[k[i]] += gc.where(a[i] > 0, gc.where(i > 0, a[i - 1], 0), 0)
    assert narrowed(y) == "for i if 1<=i:  Y[K[i]] += where(A[i] > 0, A[i-1], 0)"
    y = gc.tensor("Y")
    y[i] += 2 * gc.where((a[i] > 0) & (i < 2), 3 * a[i], 0)
    assert narrowed(y) == "for i if i<=1:  Y[i] += 2*where(A[i] > 0, 3*A[i], 0)"
    y = gc.tensor("Y")
    y[i] += gc.where(a[i] > 0, 0, gc.where(i < 2, a[i], 0))
    assert narrowed(y) == "for i if i<=1:  Y[i] += where(A[i] > 0, 0, A[i])"
    y = gc.tensor("Y")
    y[i] += gc.where(a[i] > 0, gc.where(i < 2, a[i], 7), 0)
    assert narrowed(y).splitlines() == [
        "for i if i<=1:  Y[i] += where(A[i] > 0, A[i], 0)", "for i if 2<=i:  Y[i] += where(A[i] > 0, 7, 0)",
    ]  # fmt: skip


def test_certain_conditions_disappear():
    a, y = gc.tensor("A", N), gc.tensor("Y")
    y[i] = gc.where(i >= 0, a[i], 0)
    assert narrowed(y) == "for i:  Y[i] = A[i]"


def test_a_tensor_whose_every_part_is_dropped_is_zero():
    """Found by random programs: the compiled program read memory that nobody had written."""
    a, y = gc.tensor("A", N), gc.tensor("Y", N)
    y[i] += gc.where(i < 0, a[i], 0)
    assert narrowed(y) == "for i:  Y[i] = 0"


def test_padded_convolution(golden):
    p, r = gc.index("p", N), gc.index("r", 3)
    x, w, y = gc.tensor("X", N), gc.tensor("W", 3), gc.tensor("Y")
    y[p] += gc.pad(x, 0)[p + r - 1] * w[r]
    golden(narrowed(y, lambda graph: narrow(lower_boundary(graph))))


def test_remainders(golden):
    a, y = gc.tensor("A", N), gc.tensor("Y")
    y[i] += gc.where(i % 2 == 0, a[i], -a[i])
    golden(narrowed(y))


def test_a_band_around_the_diagonal_limits_the_loop():
    n, (i, j) = gc.dim("N"), gc.indices("i j")
    a, x, y, loss = gc.tensor("A", n, n), gc.tensor("X", n), gc.tensor("Y"), gc.tensor("L")
    y[i] = gc.sum(gc.where(gc.abs(i - j) <= 2, a[i, j] * x[j], 0), over=j)
    loss[()] += y[i] ** 2
    assert "for i,j if i-2<=j<=i+2:  A.grad[i,j] += Y.grad[i]*X[j]" in gc.loops(gc.grad(loss, a))


def test_terms_behind_other_conditions_that_add_nothing_need_no_place():
    """Found by random programs: every term of the sum is 0 without k >= 1, but none of them stands alone."""
    x, z, w, loss = gc.tensor("X", 1, dtype="float64"), gc.tensor("z", 2, dtype="int64"), gc.tensor("W", 2, dtype="float64"), gc.tensor("L")
    u, v = gc.tensor("u", 1, dtype="float64"), gc.tensor("v", 2, dtype="float64")
    k, j = gc.index("k", 2), gc.index("j", -1, 1)
    loss[()] += gc.atan2(gc.where(k >= 1, x[z[k - 1]], 0), gc.where(j + 1, w[1], 0))
    mixed = gc.grad(gc.jvp(loss, {x: u, w: v}), x)
    given = {"X": [0.7], "z": np.array([0, 5]), "W": [0.0, -1.3], "u": [2.0], "v": [0.0, 3.0]}
    for target in ("interpret", "cpu"):
        f = gc.compile(mixed, target=target)
        # d²/dx² and d²/dxdw of atan2(x, w): -2xw/r⁴ and (x² - w²)/r⁴
        want = (2 * -2 * 0.7 * -1.3 + 3 * (0.7**2 - 1.3**2)) / (0.7**2 + 1.3**2) ** 2
        np.testing.assert_allclose(f({n: np.asarray(a) for n, a in given.items()}), [want], rtol=1e-6)
