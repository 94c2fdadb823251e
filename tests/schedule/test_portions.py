"""Long sums of floats are sums of sums of portions."""

import numpy as np
import pytest

import graphc as gc

N, i = gc.dim("N"), gc.index("i")


@pytest.mark.parametrize("value", [lambda x, z: x[i], lambda x, z: x[i] * z[i], lambda x, z: gc.where(x[i] > 0, z[i], 0)])
def test_rounding_errors_stay_small(value):
    """A plain sum of ten million equal numbers is wrong in the fifth digit."""
    x, z, total = gc.tensor("x", N), gc.tensor("z", N), gc.tensor("total")
    total[()] += value(x, z)
    tenth, one = np.full(10_000_000, 0.1, np.float32), np.ones(10_000_000, np.float32)
    first = value(x, z).node == x[i].node
    got = gc.compile(total)({"x": tenth} if first else {"x": one, "z": tenth})
    assert abs(got / (10_000_000 * np.float64(np.float32(0.1))) - 1) < 3e-6


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 4095, 4096, 4097, 64 * 4096 + 1])
def test_every_element_counts_once(n):
    x, total = gc.tensor("x", N, dtype="float64"), gc.tensor("total")
    total[()] += x[i] * i
    values = np.arange(n) % 7.0
    assert gc.compile(total)(x=values) == (values * np.arange(n)).sum()
