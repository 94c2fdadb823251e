import numpy as np

import graphc as gc
from graphc.compile import derived
from graphc.passes.gather import gather
from graphc.passes.narrow import narrow
from graphc.passes.split_quotients import split_quotients
from tests.notation import applied, backward, graph_of, text

N, R = gc.dims("N R")
SIZES = {"N": 7, "R": 3}
p, r = gc.indices("p r")


def gathered(*tensors):
    return text(applied(gather, graph_of(*tensors), SIZES))


def scattered(subscript, *extra):
    x, w, y = gc.tensor("X", N), gc.tensor("W", R), gc.tensor("Y", 3 * N + 3 * R)
    y[subscript] += x[p] * w[r]
    return y


def test_sum_of_two_indices(golden):
    golden(gathered(scattered(p + r)))


def test_stride(golden):
    golden(gathered(scattered(2 * p + r)))


def test_dilation(golden):
    golden(gathered(scattered(p + 2 * r)))


def test_reversed_index(golden):
    golden(gathered(scattered(p - r + R - 1)))


def test_what_is_injective_stays():
    x, y = gc.tensor("X", N), gc.tensor("Y", 2 * N + 1)
    y[2 * p + 1] += x[p]
    assert gathered(y) == "for p:  Y[2*p+1] += X[p]"


def test_coupled_subscript(golden):
    golden(gathered(scattered(2 * p + 3 * r)))


def test_two_dimensions(golden):
    a, w, y = gc.tensor("A", N, N), gc.tensor("W", R, R), gc.tensor("Y", N + R, N + R)
    q, s = gc.indices("q s")
    y[p + r, q + s] += a[p, q] * w[r, s]
    golden(gathered(y))


def test_the_adjoint_of_a_conditional_read_is_confined():
    """Found by random programs: the adjoint was written at i+1 = N."""
    i = gc.index("i", N)
    x, y = gc.tensor("X", N), gc.tensor("Y")
    loss = gc.tensor("L")
    y[i] = gc.tanh(gc.where(i + 1 < N, x[i + 1] * x[i], x[0]) ** 2)
    loss[()] += y[i]
    applied(gather, narrow(backward(loss, x)), SIZES)
    graph, names = derived(graph_of(loss), "L", ("X",))
    assert "X.grad" in names.values()
    applied(lambda g: g, graph, SIZES)


def test_a_condition_does_not_prove_itself():
    """Found by random programs: ``(j+k)//2 <= 0`` said that the quotient is 0, and then that it is true."""
    i, j, k = gc.index("i", N), gc.index("j", N), gc.index("k", 3)
    x, y = gc.tensor("X", N, 3 * N + 2), gc.tensor("Y", N, 3 * N + 2)
    y[i // 2, 3 * j + 2 * k] += gc.where((j + k) // 2 <= 0, x[i, 3 * j + 2 * k], 0)
    graph = narrow(graph_of(y))
    applied(split_quotients, graph, SIZES)
    applied(gather, split_quotients(graph), SIZES)


def test_a_remainder_in_a_condition_follows_from_the_conditions_without():
    """Found by random programs: ``i % 3 < 1`` was kept around a read at ``i+1`` where ``i//2`` had made two loops of i."""
    i, k = gc.index("i", 3), gc.index("k", N)
    x, w, t, y = gc.tensor("X", 3, 3), gc.tensor("W", 2, N), gc.tensor("T"), gc.tensor("Y")
    t[i] += gc.wrap(w)[i % 3 - 1, k] * x[i, i // 2]
    y[()] += t[i] ** 2
    graph, _ = derived(graph_of(y), "Y", ("X",))
    assert not [line for line in text(graph).splitlines() if "X.grad" in line and "%" in line]
    applied(lambda g: g, graph, SIZES)


def test_solutions_with_large_coefficients_are_not_taken():
    """Found by random programs: of ``X[3*i+2*j, i%3//2, j+k]`` the gradient of the gradient was solved to ``11*z+2*y+1680*…``, of which
    nobody could prove that it lies in the tensor."""
    i, j, k = gc.index("i", N), gc.index("j", N), gc.index("k", N)
    x, y, loss, again = gc.tensor("X", 5 * N - 3, N, 2 * N, dtype="float64"), gc.tensor("Y"), gc.tensor("L"), gc.tensor("L2")
    y[i, j] += x[2 * i + 3 * k, k, 2 * i + 1] * x[2 * j + 3 * i, (i % 3) // 2, j + k]
    loss[()] += y[i, j] ** 2
    (first,) = gc.grad(loss, [x])
    p, q, r = gc.index("p"), gc.index("q"), gc.index("r")
    again[()] += first[p, q, r] ** 2
    (second,) = gc.grad(again, [x])
    data = np.random.default_rng(0).standard_normal((12, 3, 6))
    expected, found = gc.compile(second, target="interpret")(X=data), gc.compile(second)(X=data)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
    gc.check_grad(again, [x], X=data)


def test_reads_that_are_not_proved_with_the_new_indices_are_guarded():
    """Found by random programs: that ``j % 3 == 2`` and ``j//2 % 2 == 0`` make ``(i+j)//2`` at least 2 is not seen in parts of j."""
    n, k = gc.dims("N K")
    x, y = gc.tensor("x", n + 1, n), gc.tensor("y", 2 * k + 1, k + 2, 2)
    i, j = gc.index("i", 3), gc.index("j", k)
    t, loss = gc.tensors("t loss")
    t[i] += gc.wrap(y)[j % 3 - 2, j // 2 % 2 - 1, (j + i) // 2] * x[i, j % 2]
    loss[()] += t[i]
    random = np.random.default_rng(0)
    assert gc.check_grad(loss, x, x=random.normal(size=(3, 2)), y=random.normal(size=(3, 3, 2))) < 1e-12


def test_reads_that_are_not_proved_with_a_solution_are_guarded() -> None:
    """The second derivative was refused: its solution has coefficients of 18, of which no proof ends."""
    n, m = gc.dims("n m")
    x, y, z, total, out = gc.tensor("x", 2 * n - 1, 3, 2 * n), gc.tensor("y", m, 4), gc.tensor("z", 5 * n - 4), *gc.tensors("total out")
    i, j, k = gc.index("i", n), gc.index("j", n), gc.index("k", n)
    out[i, j] += gc.tanh(x[k - i + n - 1, j % 3, 2 * j] * gc.skip(y, dims=[0])[j + 1, k + i] - z[2 * i + 3 * j])
    total[()] += out[i, j]
    first = gc.grad(total, x)
    again = gc.tensor("again")
    again[()] += first[i, j, k] ** 2
    random = np.random.default_rng(0)
    given = {"x": random.normal(size=(3, 3, 4)), "y": random.normal(size=(3, 4)), "z": random.normal(size=6)}
    assert gc.check_grad(again, z, **given) < 1e-7
