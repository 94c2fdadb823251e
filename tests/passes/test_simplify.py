import graphc as gc
from graphc.passes.lift import lift_reductions
from graphc.passes.simplify import simplify
from tests.notation import applied, graph_of, text

N, M = gc.dims("N M")
i, j = gc.indices("i j")


def simple(tensor):
    return text(applied(simplify, graph_of(tensor), {"N": 3, "M": 4}))


def test_a_summed_index_that_does_not_occur_multiplies_by_its_extent():
    x, y = gc.tensor("X", N), gc.tensor("Y")
    y[i] = gc.sum(x[i], over=gc.index("k", M))
    assert text(applied(simplify, lift_reductions(graph_of(y)), {"N": 3, "M": 4})) == "for i:  Y[i] += X[i]*M"


def test_an_extent_that_may_be_negative_stays_a_loop():
    """Σ over an empty range is 0, not a negative multiple."""
    x, y = gc.tensor("X", N), gc.tensor("Y")
    y[i] = gc.sum(x[i], over=gc.index("k", M - 3))
    assert "for i,k:" in text(applied(simplify, lift_reductions(graph_of(y)), {"N": 3, "M": 1}))


def test_conditions_that_are_certain():
    x, y = gc.tensor("X", N), gc.tensor("Y")
    y[i] = gc.where(i < N, x[i], 0) * gc.where(i < 0, 2, 3)
    assert simple(y) == "for i:  Y[i] = 3*X[i]"


def test_zero_contributions_are_dropped():
    x, y = gc.tensor("X", N), gc.tensor("Y")
    y[i] += x[i]
    y[i] += 0 * x[i]
    assert simple(y) == "for i:  Y[i] += X[i]"


def test_what_is_zero_altogether_stays_defined():
    x, y = gc.tensor("X", N), gc.tensor("Y", N + 2)
    y[i + 1] += 0 * x[i]
    assert simple(y) == "for i:  Y[i] = 0"
