"""Products of expressions reach the contraction engine, with the values that the interpreter gives them."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

N, D, M = gc.dims("N D M")
b, i, j, k, p, r = gc.indices("b i j k p r")
random = np.random.default_rng(0)


def product(value, loops=3):
    """U[b,i] += value(X, A, c, d): the program, its inputs."""
    X, A, c, d, U = gc.tensor("X", N, D), gc.tensor("A", D, M), gc.tensor("c", M), gc.tensor("d", D), gc.tensor("U")
    U[b, i] += value(X, A, c, d)
    return U, [X, A, c, d]


CASES = {
    "a function of one factor": (lambda X, A, c, d: gc.sin(X[b, j]) * A[j, i], ["U.operand"]),
    "both": (lambda X, A, c, d: 2 * (X[b, j] - 1) * gc.exp(A[j, i]), ["U.operand", "U.operand_2"]),
    "a third factor on one side": (lambda X, A, c, d: X[b, j] * d[j] * A[j, i], ["U.operand"]),
    "a factor before the sum": (lambda X, A, c, d: X[b, j] * A[j, i] * gc.cos(c[i]), ["U.sum"]),
    "all of it": (lambda X, A, c, d: gc.sin(X[b, j]) * (A[j, i] + d[j]) * c[i] * (i + 1), ["U.operand", "U.operand_2", "U.sum"]),
    "an index as a number": (lambda X, A, c, d: X[b, j] * (j + 1) * A[j, i], ["U.operand"]),
    "two reads of one tensor": (lambda X, A, c, d: X[b, j] * gc.tanh(X[b, j]) * A[j, i], ["U.operand"]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sizes", [(5, 7, 3), (1, 1, 1), (17, 33, 16), (4, 0, 3), (0, 2, 2)])
def test_values_and_gradients(case, sizes):
    n, depth, m = sizes
    value, stored = CASES[case]
    U, inputs = product(value)
    L = gc.tensor("L")
    L[()] += U[b, i] ** 2
    arrays = {"X": random.normal(size=(n, depth)), "A": random.normal(size=(depth, m)), "c": random.normal(size=m),
              "d": random.normal(size=depth)}
    wanted = [U, *gc.grad(L, inputs)]
    compiled = gc.compile(wanted, precision="float64")
    kinds = {kernel.loop.split("[")[0].split(":  ")[-1]: kernel.plan.kind for kernel in compiled.kernels}
    assert "contraction" in kinds.values()
    assert set(stored) <= {array.name for array in compiled.memory}
    for found, exact in zip(compiled(arrays), gc.compile(wanted, target="interpret", precision="float64")(arrays), strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-12)


def test_a_function_is_stored_at_the_place_of_its_tensor_not_of_the_window():
    x, w, y = gc.tensor("x", 2, 3, 40), gc.tensor("w", 4, 3, 5), gc.tensor("y")
    n, c, f = gc.indices("n c f")
    y[n, f, p] += gc.relu(x[n, c, p + r]) * w[f, c, r]
    program = gc.compile(y)
    assert {made.name: made.shape for made in program.memory}["y.operand"] == (2, 3, 40)
    assert [kernel.plan.kind for kernel in program.kernels] == ["map", "contraction"]
    arrays = {"x": random.normal(size=(2, 3, 40)).astype("f"), "w": random.normal(size=(4, 3, 5)).astype("f")}
    windows = np.lib.stride_tricks.sliding_window_view(np.maximum(arrays["x"], 0), 5, axis=2)
    np.testing.assert_allclose(program(arrays), np.einsum("ncpr,fcr->nfp", windows, arrays["w"]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [
    lambda X, A, c, d: (X[b, j] - A[j, i]) ** 2, lambda X, A, c, d: gc.sin(X[b, j] * d[j]) + A[j, i],
    lambda X, A, c, d: gc.abs(A[j, i] * X[b, j]),
])
def test_what_is_no_product_of_two_stays_a_loop(value):
    U, _ = product(value)
    program = gc.compile(U)
    assert not [made.name for made in program.memory if ".operand" in made.name]
