import numpy as np
import pytest

import graphc as gc
from graphc.ir.expr import Reduce
from graphc.ir.tree import contains
from graphc.passes.lift import lift_reductions
from tests.notation import applied, graph_of, text

N, D, M = gc.dims("N D M")
SIZES = {"N": 3, "D": 4, "M": 2}
b, i, j, k = gc.indices("b i j k")


def lifted(*tensors, **given):
    after = applied(lift_reductions, graph_of(*tensors), SIZES, **given)
    assert not any(contains(s.value, Reduce) for s in after.statements)
    return text(after)


def test_a_right_side_that_is_a_sum():
    x, a, y = gc.tensor("X", N, D), gc.tensor("A", D, M), gc.tensor("Y")
    y[b, i] = gc.sum(x[b, j] * a[j, i], over=j)
    assert lifted(y) == "for b,i,j:  Y[b,i] += X[b,j]*A[j,i]"


def test_a_sum_inside(golden):
    x, a, c, y = gc.tensor("X", N, D), gc.tensor("A", D, M), gc.tensor("C", M), gc.tensor("Y")
    y[b, i] = gc.sigmoid(gc.sum(x[b, j] * a[j, i], over=j) + c[i])
    golden(lifted(y))


def test_nested_in_a_reduction_of_its_own(golden):
    x, y = gc.tensor("X", N, D, M), gc.tensor("Y")
    y[i] = gc.max(gc.logsumexp(x[i, j, k], over=k) * gc.sum(x[i, j, k], over=k), over=j)
    golden(lifted(y))


def test_a_body_without_the_index_is_counted_once_per_value():
    """Found by random programs: the inner range stayed in the statement and multiplied the sum."""
    x, y = gc.tensor("X", N), gc.tensor("Y", N)
    k4, p = gc.index("k", 4), gc.index("p", N)
    y[i] = gc.logsumexp(gc.max(x[p], over=p), over=k4)
    lifted(y)


def test_mean_divides_by_the_number_of_terms(golden):
    x, y = gc.tensor("X", N, D), gc.tensor("Y")
    y[i] = gc.mean(x[i, j] ** 2, over=j) - gc.mean(x[i, j], over=j) ** 2
    golden(lifted(y))


def test_an_index_condition_restricts_the_temporary(golden):
    x, y = gc.tensor("X", N), gc.tensor("Y")
    y[i] = gc.where(i > 0, gc.sum(x[i - 1] * x[k], over=k), 0)
    golden(lifted(y))


def test_a_condition_on_values_stays_lazy(golden):
    x, y = gc.tensor("X", N, D), gc.tensor("Y")
    y[i] = gc.where(x[i, 0] > 0, gc.sum(gc.log(x[i, 0]) * x[i, k], over=k), 0)
    golden(lifted(y))


def test_a_conditional_read_in_the_temporary_keeps_its_condition():
    """Found by random programs: the range of a read in a branch was required of the whole temporary."""
    p, r = gc.index("p", N), gc.index("r", 3)
    x, y = gc.tensor("X", N), gc.tensor("Y")
    y[p] = gc.where(2 * p < 2, gc.sum(gc.where(p + r >= 1, gc.where(p + r < N + 1, x[p + r - 1], 2), 3), over=r), 1)
    lifted(y)


def test_any_and_argmax(golden):
    x, y = gc.tensor("X", N, D), gc.tensor("Y")
    y[i] = gc.where(gc.any(x[i, j] > 1, over=j), gc.argmax(x[i, j], over=j), -1)
    golden(lifted(y))


@pytest.mark.parametrize("target", ["interpret", "cpu"])
@pytest.mark.parametrize("op, nothing", [("prod", 1.0), ("logsumexp", -np.inf), ("sum", 0.0)])
def test_a_condition_that_decides_about_the_whole_window(op, nothing, target):
    """Found by random programs (seed 50112): where the window is empty, the result was 0 instead of the neutral element."""
    j4, k3, x, y, z = gc.index("j", 4), gc.index("k", 3), gc.tensor("X", 3), gc.tensor("Y"), gc.tensor("Z")
    y[j4] = getattr(gc, op)(gc.skip(x)[j4 - 1], over=k3)
    z[j4] = getattr(gc, op)(gc.skip(x)[j4 - 1 - k3], over=k3)
    values = np.array([2, 3, 4], "float32")
    expected = {"sum": np.sum, "prod": np.prod, "logsumexp": np.logaddexp.reduce}[op]
    whole, part = gc.compile([y, z], target=target)(X=values)
    assert np.allclose(whole, [nothing, *(expected(np.full(3, v)) for v in values)])
    assert np.allclose(part, [nothing, *(expected(values[:n]) for n in (1, 2, 3))])


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_all_over_nothing_is_true(target):
    j4, k3, x, y = gc.index("j", 4), gc.index("k", 3), gc.tensor("X", 3), gc.tensor("Y")
    y[j4] = gc.all(gc.skip(x)[j4 - 1] > 2, over=k3)
    assert gc.compile(y, target=target)(X=np.array([2, 3, 4], "float32")).tolist() == [True, False, True, True]


@pytest.mark.parametrize("target", ["interpret", "cpu"])
@pytest.mark.parametrize("op", ["max", "min", "argmax", "argmin"])
def test_an_extremum_over_nothing_is_noticed(op, target):
    j4, k3, x, y = gc.index("j", 4), gc.index("k", 3), gc.tensor("X", 3), gc.tensor("Y")
    y[j4] = getattr(gc, op)(gc.skip(x)[j4 - 1], over=k3)
    with pytest.raises(gc.ArgumentError, match="empty range"):
        gc.compile(y, target=target)(X=np.zeros(3, "float32"))
