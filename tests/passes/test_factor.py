import graphc as gc
from graphc.passes.factor import factor_contractions
from graphc.passes.lift import lift_reductions
from tests.notation import applied, graph_of, text

N = gc.dim("N")
i, j, k, m = gc.indices("i j k m")


def factored(tensor):
    return text(applied(factor_contractions, graph_of(tensor), {"N": 3}))


def test_chain(golden):
    a, b, c, y = gc.tensor("A", N, N), gc.tensor("B", N, N), gc.tensor("C", N, N), gc.tensor("Y")
    y[i, m] += a[i, j] * b[j, k] * c[k, m]
    golden(factored(y))


def test_the_cheapest_order(golden):
    """Matrix times matrix times vector starts from the vector."""
    a, b, x, y = gc.tensor("A", N, N), gc.tensor("B", N, N), gc.tensor("X", N), gc.tensor("Y")
    y[i] += 2 * a[i, j] * b[j, k] * x[k]
    golden(factored(y))


def test_two_factors_stay():
    a, b, y = gc.tensor("A", N, N), gc.tensor("B", N, N), gc.tensor("Y")
    y[i, k] += a[i, j] * b[j, k]
    assert factored(y) == "for i,k,j:  Y[i,k] += A[i,j]*B[j,k]"


def test_a_cheap_product_stays():
    a, b, c, y = gc.tensor("A", N), gc.tensor("B", N), gc.tensor("C", N), gc.tensor("Y")
    y[()] += a[i] * b[i] * c[i]
    assert factored(y) == "for i:  Y[()] += A[i]*B[i]*C[i]"


def test_an_index_that_was_summed_is_not_summed_again():
    """Found by random programs: a part of a part looped once more over what its factor had summed."""
    a, b, c, d, y = gc.tensor("A", 2, N + N), gc.tensor("B", N, N), gc.tensor("C", 3, N), gc.tensor("D", 2, 2), gc.tensor("Y")
    p, q, r = gc.index("p", N), gc.index("q", N), gc.index("r", N)
    y[p, q] += a[1, r + p] * d[0, 1] * b[p, q] * c[2, r]
    factored(y)


def test_a_factor_of_indices_alone_belongs_to_the_loops():
    """Found by random programs: it was taken for a constant and left behind without its index."""
    a, b, c, y = gc.tensor("A", N, N), gc.tensor("B", N, N), gc.tensor("C", N, N), gc.tensor("Y")
    y[i] += a[i, j] * b[j, k] * c[k, m] * gc.tanh(0.3 * k - 1)
    factored(y)


def test_an_index_in_no_factor_multiplies():
    a, b, c, y = gc.tensor("A", N, N), gc.tensor("B", N, N), gc.tensor("C", N, N), gc.tensor("Y")
    y[i, m] = gc.sum(a[i, j] * b[j, k] * c[k, m], over=(j, k, gc.index("r", 4)))
    after = applied(factor_contractions, lift_reductions(graph_of(y)), {"N": 3})
    assert text(after).endswith("Y[i,m] += 4*A[i,j]*Y.part[m,j]")
