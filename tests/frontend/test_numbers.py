"""Numbers of NumPy as operands, and the arguments of scalar functions by name."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import graphc as gc

i = gc.index("i")
X = gc.tensor("X", gc.dim("N"))
CONDITION = X[i] > 0


@pytest.mark.parametrize("made, expected", [
    (np.float64(1) < X[i], "X[i] > 1.0"),
    (np.float32(1) <= X[i], "X[i] >= 1.0"),
    (np.int64(1) > X[i], "X[i] < 1"),
    (np.uint8(1) >= X[i], "X[i] <= 1"),
    (np.float64(1) == X[i], "X[i] == 1.0"),
    (np.int32(1) != X[i], "X[i] != 1"),
    (np.True_ & CONDITION, "(True) & (X[i] > 0)"),
    (np.False_ | CONDITION, "(False) | (X[i] > 0)"),
    (np.float64(2) - X[i], "2.0 - X[i]"),
    (np.float64(2) ** X[i], "2.0**X[i]"),
    (np.array(2) * X[i], "2*X[i]"),
    (X[i] * np.array(2), "2*X[i]"),
], ids=str)
def test_a_number_of_numpy_stands_on_either_side(made: gc.Expr, expected: str) -> None:
    assert str(made) == expected


def test_a_view_is_printed_with_numbers() -> None:
    assert str(gc.pad(X, np.float32(1), dims=[np.int64(0)])) == str(gc.pad(X, np.array(1.0), dims=[0])) == "pad(X, 1.0, dims=[0])"


@pytest.mark.parametrize("named, placed", [
    (gc.leaky_relu(X[i], negative_slope=0.2), gc.leaky_relu(X[i], 0.2)),
    (gc.leaky_relu(X[i]), gc.leaky_relu(X[i], 0.01)),
    (gc.elu(alpha=0.5, x=X[i]), gc.elu(X[i], 0.5)),
    (gc.clip(X[i], max=1, min=0), gc.clip(X[i], 0, 1)),
    (gc.atan2(X[i], x=2), gc.atan2(X[i], 2)),
], ids=str)
def test_arguments_have_the_names_of_pytorch(named: gc.Expr, placed: gc.Expr) -> None:
    assert named.node == placed.node


def test_a_new_function_has_the_keywords_and_defaults_of_its_body() -> None:
    swish = gc.function("steep_swish", lambda x, beta=2: x * gc.sigmoid(beta * x))
    assert swish(X[i]).node == swish(X[i], beta=2).node == swish(X[i], 2).node != swish(X[i], beta=3).node
    assert str(inspect.signature(swish)) == "(x, beta=2)"
