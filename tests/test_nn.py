"""Layers with random numbers, and layers that make their parameters."""

from __future__ import annotations

import numpy as np

import graphc as gc

nn = gc.nn


def test_dropout_keeps_the_mean_and_its_mask() -> None:
    x, key = gc.tensor("x", 40, 50), gc.tensor("key", (), dtype="int64")
    y = nn.dropout(x, 0.2, key)
    seed = gc.tensor("seed", 40, 50)
    ones = np.ones((40, 50), "float32")
    value, slope = gc.compile([y, gc.grad(y, x, seed=seed)], target="interpret")(x=ones, key=3, seed=ones)
    assert set(np.unique(value)) == {np.float32(0), np.float32(1.25)}
    assert abs(value.mean() - 1) < 0.05
    np.testing.assert_array_equal(value, slope)


def test_stochastic_depth_drops_whole_examples() -> None:
    y = nn.stochastic_depth(gc.tensor("x", 30, 2, 3), 0.5, 7)
    value = gc.compile(y, target="interpret")(x=np.ones((30, 2, 3), "float32"))
    assert (value == value[:, :1, :1]).all() and set(np.unique(value)) == {np.float32(0), np.float32(2)}
