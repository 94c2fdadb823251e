"""Generated kernels as plain Python against the interpreter: random programs, and integers."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from tests.oracles import Refused, Unsuitable, called, close, prepare
from tests.programs import generate
from tests.unjitted import run

i, j = gc.indices("i j")


@pytest.mark.parametrize("seed", (1043, 1054, 3441, 5071, *range(2006, 2018)))
def test_random_programs(seed):
    program = generate(seed)
    try:
        case = prepare(program)
        outputs = [case.names["L"], *case.made]
        rounded = list(called(gc.compile(outputs, target="interpret"), program.typed()))
        exact = list(called(gc.compile(outputs, target="interpret", precision="float64"), program.arrays))
    except (Refused, Unsuitable, gc.GraphcError):
        return
    for got, near, want in zip(run(gc.compile(outputs), program.typed()), rounded, exact, strict=True):
        assert close(np.asarray(got), near, want), program


def test_truth_values_are_counted():
    N = gc.tensor("N", 3, 3, dtype="bool")
    twice, both, most, least = gc.tensors("twice both most least")
    twice[i] += 2 * N[i, j]
    both[i, j] = N[i, j] + N[j, i]
    most[i] = gc.max(N[i, j], over=j)
    least[i] = gc.min(N[i, j], over=j)
    n = np.array([[1, 0, 1], [1, 1, 1], [0, 0, 0]], bool)
    wanted = [2 * n.sum(1), n + 1 * n.T, n.max(1), n.min(1)]
    for got, want in zip(run(gc.compile([twice, both, most, least]), {"N": n}), wanted, strict=True):
        np.testing.assert_array_equal(got, want)


def test_powers_of_a_constant_around_a_tensor_are_no_complex_numbers():
    x, y, z = gc.tensor("x", 2), *gc.tensors("y z")
    k = gc.index("k", 4)
    y[k] = gc.rsqrt(gc.pad(x, -0.5)[k - 1])
    z[k] = 1 / gc.pad(x, 0)[k - 1]
    for got in (run(gc.compile([y, z]), {"x": np.float32([1, 4])}), gc.compile([y, z], target="interpret")(x=np.float32([1, 4]))):
        np.testing.assert_array_equal(got, [[np.nan, 1, 0.5, np.nan], [np.inf, 1, 0.25, np.inf]])


def test_sums_of_small_integers_are_wide():
    n = gc.tensor("n", 3, 3, dtype="int8")
    total, square = gc.tensors("total square")
    total[i] += n[i, j] * n[i, j]
    square[i] = 0.5 * total[i] ** 2
    got = run(gc.compile([total, square]), {"n": np.full((3, 3), 12, "int8")})
    np.testing.assert_array_equal(got, [[432] * 3, [0.5 * 432**2] * 3])


@pytest.mark.parametrize("name", ["batch0", "rows0", "columns0", "depth0", "choice0", "choose", "fixed"])
def test_names_of_generated_variables_and_functions_are_free(name):
    """A table of a product, taken for the tensor, was read far beyond its end."""
    m, n, k, r = (*gc.dims("M N K"), gc.index("r"))
    x, w, c, y, z = gc.tensor("x", m, k), gc.tensor("w", k, n), gc.tensor(name, m, n, dtype="int64"), *gc.tensors("y z")
    y[i, j] += x[i, r] * w[r, j]
    z[i, j] = gc.where(y[i, j] > 0, y[i, j] * c[i, j], 0)
    random = np.random.default_rng(0)
    arrays = {"x": random.random((5, 7), "f"), "w": random.random((7, 6), "f"), name: random.integers(0, 9, (5, 6))}
    program = gc.compile(z)
    wanted = arrays["x"] @ arrays["w"] * arrays[name]
    np.testing.assert_allclose(run(program, arrays)[0], wanted, rtol=1e-5)
    np.testing.assert_allclose(program(arrays), wanted, rtol=1e-5)


@pytest.mark.parametrize("value", [-2, 3, 100])
def test_a_condition_that_reflects_integers_leaves_no_array(value: int) -> None:
    """Found by random programs with integers that point outside: ``X[-t[i]]`` in a condition was read before anything was tested."""
    N, K = gc.dims("N K")
    X, t, y, i, k = gc.tensor("X", N), gc.tensor("t", 2, K, dtype="int64"), gc.tensor("y"), gc.index("i", 2), gc.index("k")
    seen = gc.reflect(X)[t[i, k]]
    y[i] = gc.prod(gc.where(seen, seen, 1), over=k)
    arrays = {"X": np.array([0.25, -0.36], "float32"), "t": np.array([[value], [1]])}
    with pytest.raises(gc.ArgumentError):
        run(gc.compile(y), arrays, complains=True)
    with pytest.raises(gc.ArgumentError, match=str(value)):
        gc.compile(y)(**arrays)
