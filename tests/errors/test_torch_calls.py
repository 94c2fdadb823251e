"""Operators of PyTorch that are made or called wrongly."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import graphc as gc

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install graphc[torch]")

pytestmark = pytest.mark.peers

N, K = gc.dims("N K")
n, k = gc.indices("n k")
X, A, label, Y = gc.tensor("X", N, K), gc.tensor("A", K), gc.tensor("label", N, dtype="int64"), gc.tensor("Y")
Y[n] = gc.exp(gc.sum(X[n, k] * A[k], over=k)) * (label[n] + 1)


def operator() -> Any:
    return gc.to_torch(Y, inputs=[X, A, label], name="layer")


def tensors() -> list[Any]:
    return [torch.ones(3, 2), torch.ones(2), torch.zeros(3, dtype=torch.int64)]


def test_operator_of_a_number(rejects):
    with rejects(gc.NotationError):
        gc.to_torch(3.0)


def test_operator_of_a_tensor_of_pytorch(rejects):
    with rejects(gc.NotationError):
        gc.to_torch([Y, torch.ones(2)])


def test_operator_of_nothing(rejects):
    with rejects(gc.NotationError):
        gc.to_torch([])


def test_operator_with_a_name_that_is_none(rejects):
    with rejects(gc.ArgumentError):
        gc.to_torch(Y, name="my layer")


def test_operator_without_inputs(rejects):
    constant = gc.tensor("constant")
    constant[gc.index("i", 3)] = 1.5
    with rejects(gc.ArgumentError):
        gc.to_torch(constant)


def test_operator_without_an_input(rejects):
    with rejects(gc.ArgumentError, call=True):
        operator()(torch.ones(3, 2), torch.ones(2))


def net() -> Any:
    return gc.to_torch(gc.nn.Dropout(name="drop")(gc.nn.Linear(3, name="fc")(gc.tensor("x", N, 2))), name="net")


def test_operator_without_the_parameters_of_a_layer(rejects):
    with rejects(gc.ArgumentError, call=True):
        net()(x=torch.ones(3, 2))


def test_module_without_the_step_of_dropout(rejects):
    with rejects(gc.ArgumentError, call=True):
        net().module()(x=torch.ones(3, 2))


def test_module_with_a_parameter_in_a_dictionary(rejects):
    with rejects(gc.ArgumentError, call=True):
        weighted("W").module(K=2)({"W": torch.ones(2)}, torch.ones(1, 2))


def test_operator_with_an_input_that_it_does_not_have(rejects):
    with rejects(gc.ArgumentError, call=True):
        operator()(*tensors(), labels=torch.zeros(3))


def test_operator_with_an_input_twice(rejects):
    with rejects(gc.ArgumentError, call=True):
        operator()(torch.ones(3, 2), X=torch.ones(3, 2))


def test_operator_with_too_many_inputs(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.to_torch(Y, inputs=[X], name="layer")(*tensors())


def test_operator_with_an_array_of_numpy(rejects):
    x, _, labels = tensors()
    with rejects(gc.ArgumentError, call=True):
        operator()(x, np.ones(2, "float32"), labels)


def test_operator_with_a_number(rejects):
    x, _, labels = tensors()
    with rejects(gc.ArgumentError, call=True):
        operator()(x, 1.0, labels)


def test_operator_with_another_dtype(rejects):
    x, a, labels = tensors()
    with rejects(gc.DtypeError, call=True):
        operator()(x.double(), a, labels)


def test_operator_with_a_dtype_that_graphc_does_not_have(rejects):
    x, a, labels = tensors()
    with rejects(gc.DtypeError, call=True):
        operator()(x, a.to(torch.complex64), labels)


def test_operator_with_a_gradient_of_integers(rejects):
    x, a, labels = tensors()
    with rejects(gc.DtypeError, call=True):
        operator()(x, a, labels.float().requires_grad_())


def test_operator_with_tensors_on_two_devices(rejects):
    x, a, labels = tensors()
    with rejects(gc.ArgumentError, call=True):
        operator()(x, a.to("meta"), labels)


def test_operator_with_a_sparse_tensor(rejects):
    x, a, labels = tensors()
    with rejects(gc.ArgumentError, call=True):
        operator()(x.to_sparse(), a, labels)


def test_operator_with_a_nested_tensor(rejects):
    _, a, labels = tensors()
    with rejects(gc.ArgumentError, call=True):
        operator()(torch.nested.nested_tensor([torch.ones(2), torch.ones(1)]), a, labels)


def test_operator_with_a_tensor_without_memory(rejects):
    x, a, labels = tensors()
    x.untyped_storage().resize_(0)
    with rejects(gc.ArgumentError, call=True):
        operator()(x, a, labels)


def test_operator_in_forward_mode(rejects):
    x, a, labels = tensors()
    with rejects(gc.DifferentiationError, call=True):
        torch.func.jvp(lambda a: operator()(x, a, labels), (a,), (a,))


def test_operator_with_another_rank(rejects):
    x, a, labels = tensors()
    with rejects(gc.ShapeError, call=True):
        operator()(x[0], a, labels)


def test_operator_with_sizes_that_differ(rejects):
    x, a, labels = tensors()
    with rejects(gc.ShapeError, call=True):
        operator()(x.requires_grad_(), a, labels[:2])


def test_operator_with_an_input_that_changes_before_its_gradient(rejects):
    x, a, labels = tensors()
    y = operator()(x, a.requires_grad_(), labels)
    x += 1
    with rejects(gc.ArgumentError, call=True):
        y.sum().backward()


def test_operator_with_a_wrong_shape_in_a_compiled_function():
    x, a, labels = tensors()
    f = operator()
    with pytest.raises(Exception, match="has 1 dimension and shape"):
        torch.compile(lambda x: f(x, a, labels), fullgraph=True, backend="eager")(x[0])


def test_module_without_parameters(rejects):
    with rejects(gc.ArgumentError, call=True):
        operator().module()


def weighted(name: str) -> Any:
    W, Z = gc.parameter(name, K, init="normal"), gc.tensor("Z")
    Z[n] += X[n, k] * W[k]
    return gc.to_torch(Z, inputs=[X], name="weighted")


def test_module_without_a_size(rejects):
    with rejects(gc.ArgumentError, call=True):
        weighted("W").module()


def test_module_with_an_initial_value_of_nothing(rejects):
    with rejects(gc.ArgumentError, call=True):
        weighted("W").module(initial={"w": torch.ones(2)})


def test_module_with_an_initial_value_of_another_rank(rejects):
    with rejects(gc.ShapeError, call=True):
        weighted("W").module(initial={"W": torch.ones(2, 2)})


def test_module_with_a_parameter_named_as_a_method(rejects):
    with rejects(gc.ArgumentError, call=True):
        weighted("train").module(K=2)


def test_module_with_too_many_inputs(rejects):
    with rejects(gc.ArgumentError, call=True):
        weighted("W").module(K=2)(torch.ones(1, 2), torch.ones(2))


def test_module_with_an_input_twice(rejects):
    with rejects(gc.ArgumentError, call=True):
        weighted("W").module(K=2)(torch.ones(1, 2), X=torch.ones(1, 2))


def test_module_with_a_parameter_as_an_argument(rejects):
    with rejects(gc.ArgumentError, call=True):
        weighted("W").module(K=2)(torch.ones(1, 2), W=torch.ones(2))


def test_module_that_is_saved_with_a_function(rejects):
    W, Z = gc.parameter("W", K, init=lambda generator, shape: generator.normal(size=shape)), gc.tensor("Z")
    Z[n] += X[n, k] * W[k]
    f = gc.to_torch(Z, inputs=[X], name="weighted")
    with rejects(gc.NotationError):
        pickle.dumps(f)


@pytest.mark.parametrize("kind", ["fractions", "large"])
def test_module_with_an_initial_value_of_another_dtype(rejects, kind):
    W, Z = gc.parameter("W", K, dtype="uint8", init="zeros"), gc.tensor("Z")
    Z[n] += X[n, k] * W[k]
    with rejects(gc.DtypeError, call=True):
        gc.to_torch(Z, inputs=[X]).module(initial={"W": [1.7, 2.9] if kind == "fractions" else [1, 300]})


def test_module_with_an_initial_value_of_text(rejects):
    with rejects(gc.ArgumentError, call=True):
        weighted("W").module(initial={"W": ["a", "b"]})
