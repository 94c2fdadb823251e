"""Boundary views through integer tensors: values, gradients and refusals, on every target."""

import numpy as np
import pytest

import graphc as gc
from graphc.ir.tree import indices_of
from graphc.passes.bring_inside import bring_inside
from tests import gpu
from tests.notation import applied, graph_of, text

N, M = gc.dims("N M")
j = gc.index("j")
X, k, v = gc.tensor("X", N), gc.tensor("k", M, dtype="int64"), gc.tensor("v", M)
x = np.float32([10, 11, 12, 13])
PLACES = {
    "pad": [0, 3, -1, 9, 2, -(2**62)], "clamp": [0, 3, -1, 9, 2, 2**63 - 1], "wrap": [0, 3, -1, 7, 2, -4], "reflect": [0, 3, -1, 6, 2, -3],
}
TOO_FAR = [("wrap", -5), ("wrap", 8), ("wrap", 2**62), ("reflect", -4), ("reflect", 7), ("reflect", -(2**63))]
NUMPY = {
    "pad": lambda p: np.where((p >= 0) & (p < 4), x[np.clip(p, 0, 3)], np.float32(0.5)),
    "clamp": lambda p: x[np.clip(p, 0, 3)],
    "wrap": lambda p: x[p % 4],
    "reflect": lambda p: x[np.where(p < 0, -p, np.where(p > 3, 6 - p, p))],
}


def view(mode):
    return gc.pad(X, 0.5) if mode == "pad" else vars(gc)[mode](X)


def gathered(mode):
    y, loss = gc.tensor("y"), gc.tensor("loss")
    y[j] = view(mode)[k[j]]
    loss[()] += v[j] * y[j] ** 2
    return y, loss


@pytest.mark.parametrize("target", ["interpret", "cpu"])
@pytest.mark.parametrize("mode", NUMPY)
def test_values_and_gradient(mode, target):
    y, loss = gathered(mode)
    places, weights = np.array(PLACES[mode]), np.arange(1, 7, dtype=np.float32)
    got, gradient = gc.compile([y, gc.grad(loss, X)], target=target)(X=x, k=places, v=weights)
    want = NUMPY[mode](places)
    np.testing.assert_array_equal(got, want)
    own = np.zeros(4)
    for place in range(4):  # every element of x has another value, which says where a result comes from
        own[place] = sum(2 * weights[want == x[place]] * x[place])
    np.testing.assert_allclose(gradient, own, rtol=1e-6)


@pytest.mark.parametrize("mode", NUMPY)
def test_keeps_the_meaning(mode, golden):
    golden(text(applied(bring_inside, graph_of(gathered(mode)[0]), {"N": 4, "M": 6}, k=np.array(PLACES[mode]), X=x)))


@pytest.mark.parametrize("target", ["interpret", "cpu"])
@pytest.mark.parametrize(("mode", "place"), TOO_FAR)
def test_out_of_reach(mode, place, target):
    y, loss = gathered(mode)
    for output in (y, [y, gc.grad(loss, X)]):
        with pytest.raises(gc.ArgumentError, match=rf"k\[1\] is {place}, more than one .* of X, which has 4 elements.*gc\.{mode}"):
            gc.compile(output, target=target)({"X": x, "k": np.array([0, place]), "v": np.ones(2, np.float32)})


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_computed_integers_out_of_reach(target):
    """Which are no argument, and those whose place in their tensor is read from another one."""
    places, y, z = gc.tensor("places"), gc.tensor("y"), gc.tensor("z")
    n, q = gc.tensor("n", gc.dim("K"), dtype="int64"), gc.index("q", 2)
    places[j] = 3 * k[j]
    y[q] = gc.reflect(X)[places[q + 1]]
    reason = r"(?s)places\[2\] is 9, more than one reflection .*y\[q\] = .*integers for which places lies in -3 … 6"
    with pytest.raises(gc.ArgumentError, match=reason):
        gc.compile(y, target=target)(X=x, k=np.array([-2, 1, 3]))
    z[j] = gc.wrap(X)[k[n[j]]]
    reason = r"(?s)k(\[2\])? is -5, more than one period .*an array k whose values lie in -4 … 7"
    with pytest.raises(gc.ArgumentError, match=reason):
        gc.compile(z, target=target)(X=x, k=np.array([-2, 1, -5]), n=np.array([0, 2]))


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_skipped_by_its_value(target):
    """An embedding bag whose -1 stands for nothing."""
    total = gc.tensor("total")
    total[()] += gc.skip(X)[k[j]] * v[j]
    f = gc.compile([total, gc.grad(total, X), gc.grad(total, v)], target=target)
    value, by_x, by_v = f(X=x, k=np.array([-1, 2, 4, 2]), v=np.float32([1, 10, 100, 1000]))
    assert value == 12 * 1010
    np.testing.assert_array_equal(by_x, [0, 0, 1010, 0])
    np.testing.assert_array_equal(by_v, [0, 12, 0, 12])


@pytest.mark.parametrize("target", ["interpret", "cpu"])
@pytest.mark.parametrize("rows", [False, True])
def test_terms_that_do_not_count_point_anywhere(target, rows):
    """Masked gathers: neither the value nor the gradient asks where the others point."""
    d = gc.index("d", 2)
    table, y, loss = gc.tensor("table", N, 2), gc.tensor("y"), gc.tensor("loss")
    y[j, d] = gc.where(v[j] > (d if rows else 0), table[k[j], d], 0) * 3
    loss[()] += y[j, d]
    f = gc.compile(gc.grad(loss, table), target=target)
    gradient = f(table=np.ones((3, 2), np.float32), k=np.array([2, -7, 99, 2]), v=np.float32([2, 0, -1, 0.5]))
    np.testing.assert_array_equal(gradient, [[0, 0], [0, 0], [6, 3] if rows else [6, 6]])
    with pytest.raises(gc.ArgumentError, match=r"k\[1\] is -7"):
        f(table=np.ones((3, 2), np.float32), k=np.array([2, -7, 99, 2]), v=np.float32([2, 1, -1, 0.5]))


def test_under_a_condition():
    """The integers themselves are only read where the view is."""
    n, y = gc.tensor("n", gc.dim("K"), dtype="int64"), gc.tensor("y")
    v = gc.tensor("v", gc.dim("K"))
    y[j] = gc.where(v[j] > 0, gc.wrap(X)[k[n[j]]], -1)
    for target in ("interpret", "cpu"):
        got = gc.compile(y, target=target)(X=x, k=np.array([-1, 50]), n=np.array([0, 1, 77]), v=np.float32([1, 0, 0]))
        np.testing.assert_array_equal(got, [13, -1, -1])


@pytest.mark.parametrize("rows", [False, True])
def test_on_a_gpu(rows):
    """Where an index of the left side chooses the row as well, and where the condition depends on one that does not."""
    d, table, total = gc.index("d", 3), gc.tensor("table", N, 3), gc.tensor("total")
    if rows:
        total[()] += gc.where(v[j] > d, table[k[j], d], 0)
    else:
        total[()] += gc.pad(table, 0, dims=[0])[k[d], d]
    places = np.array([-2, 3, 0])
    arrays = {"table": np.ones((3, 3), np.float32), "k": np.array([-2, 2, 0]) if rows else places, "v": np.float32([0, 1.5, 1])}
    want = [[1, 0, 0], [0, 0, 0], [1, 1, 0]] if rows else [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    gradient = gc.grad(total, table)
    np.testing.assert_array_equal(gc.compile(gradient)(arrays), want)
    np.testing.assert_array_equal(gpu.compiled(gradient)(arrays), want)
    if rows:
        with pytest.raises(gpu.Reported):
            gpu.compiled(gradient)(arrays | {"v": np.float32([2.5, 1.5, 1])})


def test_under_a_condition_that_is_reduced():
    y, q = gc.tensor("y"), gc.index("q", 3)
    y[j] = gc.where(gc.all(v[q] > 0, over=q), gc.reflect(X)[k[j]], 1)
    for weights, want in (([1, 1, 1], [11, 12]), ([1, 0, 1], [1, 1])):
        for target in ("interpret", "cpu"):
            got = gc.compile(y, target=target)(X=x, k=np.array([-1, 2, 0][:3]), v=np.float32(weights))
            np.testing.assert_array_equal(got[:2], want)


def test_under_a_condition_that_is_reduced_over_a_window():
    """Found by random programs: that the window is inside was asked outside of the reduction, of an index that is not there."""
    a, places, p, q = gc.tensor("a", N), gc.tensor("places", M, dtype="int64"), gc.index("p"), gc.index("q", M)
    y = gc.tensor("y")
    y[p] = gc.where(gc.all(a[p + q] > 0, over=q), gc.reflect(a)[places[p]], 1)
    place = bring_inside(graph_of(y)).statements[0]
    assert place.target == "places.reflect" and not {i.name for d in place.domain for i in indices_of(d)} & {"q"}
    arrays = {"a": np.float32([1, 2, 3, 4]), "places": np.array([-3, 1])}
    for target in ("interpret", "cpu"):
        np.testing.assert_array_equal(gc.compile(y, target=target)(arrays), [4, 2])
        np.testing.assert_array_equal(gc.compile(y, target=target)(arrays | {"a": np.float32([1, 2, 0, 4])}), [4, 1])


@pytest.mark.parametrize("target", ["interpret", "cpu"])
@pytest.mark.parametrize("inner", [False, True])
def test_sums_that_are_scattered(target, inner):
    """The sum over q goes where k points, if one of its terms counts."""
    q, w, table, total = gc.index("q"), gc.tensor("w", M, 3), gc.tensor("table", N), gc.tensor("total")
    total[()] += gc.where(w[j, q] > 0, table[k[j]], 0) * w[j, q] if inner else gc.pad(table, 0)[k[j]] * w[j, q]
    f = gc.compile(gc.grad(total, table), target=target)
    weights = np.float32([[1, 2, 3], [0, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(f(table=x, k=np.array([3, -9, 0]), w=weights), [1, 0, 0, 6])
    if inner:
        with pytest.raises(gc.ArgumentError):
            f(table=x, k=np.array([3, 0, -9]), w=weights)


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_sums_that_are_scattered_through_two_tensors(target):
    q, w, table, total = gc.index("q"), gc.tensor("w", M, 3), gc.tensor("table", N), gc.tensor("total")
    n = gc.tensor("n", gc.dim("K"), dtype="int64")
    total[()] += gc.where(w[j, q] > 0, table[n[k[j]]], 0) * w[j, q]
    f = gc.compile(gc.grad(total, table), target=target)
    arrays = {"table": x, "w": np.float32([[1, 2, 3], [0, 0, 0], [0, 1, 0]])}
    for first in (-9, 1):
        np.testing.assert_array_equal(f(arrays, k=np.array([2, first, 0]), n=np.array([0, 77, 3])), [1, 0, 0, 6])
    for wrong in ([2, 0, -9], [2, 0, 1]):
        with pytest.raises(gc.ArgumentError):
            f(arrays, k=np.array(wrong), n=np.array([0, 77, 3]))


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_conditions_of_a_scattered_sum_are_asked_in_order(target):
    """The first one says where the second may be asked, though only the first depends on the summed index."""
    i, q = gc.index("i"), gc.index("q")
    mask, w, y = gc.tensor("mask", M, 3), gc.tensor("w", M, 3), gc.tensor("y", N)
    a, k, n = gc.tensor("a", N), gc.tensor("k", M, dtype="int64"), gc.tensor("n", M, dtype="int64")
    y[k[i]] += gc.where(mask[i, q] > 0, gc.where(a[n[i]] > 0, w[i, q], 0), 0)
    arrays = {"mask": np.float32([[1, 0, 1], [0, 0, 0]]), "w": np.float32([[1, 2, 4], [8, 16, 32]]), "k": np.array([3, -5]),
              "a": np.float32([1, 1, 1, 1]), "n": np.array([2, 99])}
    np.testing.assert_array_equal(gc.compile(y, target=target)(arrays), [0, 0, 0, 5])


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_where_an_index_says_that_nothing_is_added(target):
    """Found by random programs: the loop over the other rows tested integers of terms that do not count."""
    i, t, T = gc.index("i"), gc.tensor("t", 4, dtype="int64"), gc.tensor("T", 4, 2)
    T[i, t[i]] += gc.where((t[i] > 0) & (i == 0) & (t[i] < 2), 1, 0)
    np.testing.assert_array_equal(gc.compile(T, target=target)(t=np.array([1, 9, -9, 2])), [[0, 1], [0, 0], [0, 0], [0, 0]])


def test_a_condition_that_skips_terms_is_asked_only_where_there_is_a_term():
    """The integers are brought inside by a statement that is no reduction; what is skipped needs no place, however far outside."""
    n, m = gc.dims("n m")
    mask, z, w, y = gc.tensor("mask", m), gc.tensor("z", 4), gc.tensor("w", n, dtype="int64"), gc.tensor("y", n)
    i = gc.index("i", n)
    y[i] += gc.where(gc.skip(mask)[i + 1] > 0, 1, gc.reflect(z)[w[i]])
    given = {"mask": np.float32([9, 1, -1, -1]), "z": np.float32([5, 6, 7, 8]), "w": np.array([99, -2, 5, 99])}
    for target in ("interpret", "cpu"):
        np.testing.assert_array_equal(gc.compile(y, target=target)(**given), [1, 7, 6, 0])
        gradient = gc.compile(gc.grad(y, z, seed=gc.tensor("s", n)), target=target)
        np.testing.assert_array_equal(gradient(s=np.ones(4, "f"), **given), [0, 1, 1, 0])
