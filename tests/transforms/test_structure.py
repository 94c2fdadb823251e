"""Transforms return the structure they were given (LANGUAGE 8): tensors, lists, tuples, named tuples and dicts in each other."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import graphc as gc
from graphc.structure import flatten


class Weights(NamedTuple):
    first: Any
    second: Any


i = gc.index("i")
A, B = gc.tensors("A B", 3)
Y, L = gc.tensors("Y L")
Y[i] = A[i] ** 2 * B[i]
L[()] += Y[i]

SHAPES = {
    "tensor": A,
    "list": [A, B],
    "tuple": (A, B),
    "tuple_of_one": (A,),
    "dict": {"a": A, "b": B},
    "named": Weights(A, B),
    "nested": {"layers": [(A,), {"b": B}], "rest": []},
    "nothing": [],
}


def form(value: Any) -> Any:
    """The structure with tensors and arrays as None."""
    if isinstance(value, dict):
        return {key: form(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [form(part) for part in value]
    return None


@pytest.mark.parametrize("wrt", SHAPES.values(), ids=SHAPES)
def test_derivatives_have_the_structure_of_wrt(wrt: Any) -> None:
    gradients = gc.grad(L, wrt)
    assert form(gradients) == form(wrt)
    assert [g.name for g in flatten(gradients)[0]] == [f"{t.name}.grad" for t in flatten(wrt)[0]]
    jacobians = gc.jacobian({"y": Y, "l": L}, wrt)
    assert form(jacobians) == {"y": form(wrt), "l": form(wrt)}
    hessians = gc.hessian(L, wrt)
    parts, rebuild = flatten(wrt)
    assert form(hessians) == form(rebuild([wrt] * len(parts)))


def test_outputs_have_the_structure_of_outputs() -> None:
    outputs = Weights(Y, {"l": L})
    assert form(gc.jvp(outputs, {A: B})) == form(gc.vmap(outputs, {A: 2})) == form(outputs)
    results = gc.compile(outputs, target="interpret")(A=np.ones(3, "float32"), B=np.ones(3, "float32"))
    assert form(results) == form(outputs)


def test_a_dict_of_gradients_has_the_right_values() -> None:
    a, b = np.float32([1, 2, 3]), np.float32([4, 5, 6])
    found = gc.compile(gc.grad(L, {"b": B, "a": A}), target="interpret")(A=a, B=b)
    np.testing.assert_allclose(found["a"], 2 * a * b)
    np.testing.assert_allclose(found["b"], a**2)
    second = gc.compile(gc.hessian(L, {"b": B, "a": A}), target="interpret")(A=a, B=b)
    np.testing.assert_allclose(second["b"]["a"], np.diag(2 * a))
    np.testing.assert_allclose(second["a"]["a"], np.diag(2 * b))


def test_checks_take_the_same_structures() -> None:
    assert gc.verify(L, {"a": A, "b": (B,)})
    assert gc.check_grad(L, {"a": A, "b": (B,)}, A=np.ones(3), B=np.ones(3)) < 1e-9
