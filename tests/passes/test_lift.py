import graphc as gc
from graphc.ir.expr import Reduce, contains
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
