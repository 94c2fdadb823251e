"""The order of loops, as plans of kernels tell it."""

import numpy as np
import pytest

import graphc as gc

p, q, b, j = gc.indices("p q b j")


@pytest.mark.parametrize("width", [3, 9, 31])
def test_short_windows_are_outside_of_rows(width):
    r, s = gc.index("r", width), gc.index("s", width)
    X, Y = gc.tensor("X", *gc.dims("H W")), gc.tensor("Y")
    Y[p, q] = gc.sum(gc.exp(X[p + r, q + s] - X[p + 1, q + 1]), over=(r, s))
    program = gc.compile(Y)
    assert "p r s q" in str(program.kernels[0].plan)
    x = np.random.default_rng(0).normal(size=(width + 3, width + 5)).astype("float32")
    np.testing.assert_allclose(program(X=x), gc.compile(Y, target="interpret")(X=x), rtol=1e-4)


def test_short_rows_are_summed_one_after_the_other():
    A, S = gc.tensor("A", gc.dim("N"), 10), gc.tensor("S")
    S[b] = gc.sum(gc.exp(A[b, j]), over=j)
    assert "summed in a register" in str(gc.compile(S).kernels[0].plan)
