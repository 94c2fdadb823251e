"""Transforms against ``torch.func``, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gc

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install graphc[torch]")
func, F = torch.func, torch.nn.functional

pytestmark = pytest.mark.peers

b, i, j, k, t, c, f, p, q, r, s = gc.indices("b i j k t c f p q r s")
random = np.random.default_rng(3)

Program = tuple[dict[str, gc.Tensor], gc.Tensor, Callable[..., Any], dict[str, Any]]


def dense() -> Program:
    """A batch of two-layer networks with softmax."""
    X, A, B = gc.tensor("X", 4, 3), gc.tensor("A", 3, 5), gc.tensor("B", 5, 2)
    H, Z, Y = gc.tensors("H Z Y")
    H[b, i] = gc.tanh(gc.sum(X[b, j] * A[j, i], over=j))
    Z[b, i] += H[b, j] * B[j, i]
    Y[b, i] = gc.exp(Z[b, i]) / gc.sum(gc.exp(Z[b, j]), over=j)
    data = {"X": random.normal(size=(4, 3)), "A": random.normal(size=(3, 5)), "B": random.normal(size=(5, 2))}
    return {"X": X, "A": A, "B": B}, Y, lambda X, A, B: torch.softmax(torch.tanh(X @ A) @ B, 1), data


def convolution() -> Program:
    """Padding, stride, relu and max pooling."""
    x, w = gc.tensor("x", 1, 2, 6, 5), gc.tensor("w", 3, 2, 3, 3)
    y, z = gc.tensor("y", 1, 3, 3, 5), gc.tensor("z", 1, 3, 3, 2)
    u, v = gc.index("u", 1), gc.index("v", 2)
    y[b, f, p, q] += gc.pad(x, 0)[b, c, 2 * p + r - 1, q + s - 1] * w[f, c, r, s]
    z[b, f, p, q] = gc.max(gc.relu(y[b, f, p + u, 2 * q + v]), over=(u, v))
    data = {"x": random.normal(size=(1, 2, 6, 5)), "w": random.normal(size=(3, 2, 3, 3))}

    def reference(x: Any, w: Any) -> Any:
        return F.max_pool2d(torch.relu(F.conv2d(x, w, stride=(2, 1), padding=1)), (1, 2))

    return {"x": x, "w": w}, z, reference, data


def recurrent() -> Program:
    x, W, h0, h = gc.tensor("x", 4, 3), gc.tensor("W", 3, 3), gc.tensor("h0", 3), gc.tensor("h")
    h[t, i] = gc.tanh(gc.sum(W[i, k] * h[t - 1, k], over=k) + x[t, i])
    h[-1, i] = h0[i]
    data = {"x": random.normal(size=(4, 3)), "W": random.normal(size=(3, 3)), "h0": random.normal(size=3)}

    def reference(x: Any, W: Any, h0: Any) -> Any:
        rows, state = [], h0
        for row in x:
            state = torch.tanh(W @ state + row)
            rows.append(state)
        return torch.stack(rows)

    return {"x": x, "W": W, "h0": h0}, h, reference, data


def embedding() -> Program:
    """A gather, normalised rows, a product of elements and a condition on values."""
    E, tok = gc.tensor("E", 5, 3), gc.tensor("tok", 4, dtype="int64")
    e, y = gc.tensors("e y")
    e[t, i] = E[tok[t], i] / gc.sqrt(gc.sum(E[tok[t], j] ** 2, over=j))
    y[t] = gc.prod(gc.where(e[t, i] > 0, e[t, i], 2 * e[t, i]), over=i)
    data = {"E": random.normal(size=(5, 3)), "tok": np.array([1, 3, 1, 0])}

    def reference(E: Any, tok: Any) -> Any:
        rows = E[tok]
        rows = rows / rows.pow(2).sum(1, keepdim=True).sqrt()
        return torch.where(rows > 0, rows, 2 * rows).prod(1)

    return {"E": E, "tok": tok}, y, reference, data


PROGRAMS = (dense, convolution, recurrent, embedding)


def values(outputs: Any, data: dict[str, Any], target: str = "interpret") -> Any:
    program = gc.compile(outputs, target=target, precision="float64")
    return program(**{n: a for n, a in data.items() if n in program.inputs})


def tensors(data: dict[str, Any]) -> dict[str, Any]:
    return {n: torch.tensor(a) for n, a in data.items()}


@pytest.mark.parametrize("make", PROGRAMS)
def test_jacobian(make: Callable[[], Program]) -> None:
    inputs, output, reference, data = make()
    given = tensors(data)
    chosen = [n for n in inputs if n != "tok"]
    found = values(gc.jacobian(output, [inputs[n] for n in chosen]), data)
    for name, got in zip(chosen, found, strict=True):
        want = func.jacrev(lambda x: reference(**given | {name: x}))(given[name])  # noqa: B023
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", PROGRAMS)
def test_hessian(make: Callable[[], Program]) -> None:
    inputs, output, reference, data = make()
    name, loss = next(iter(inputs)), gc.tensor("loss")
    letters = tuple(gc.index(f"i{d}") for d in range(output.ndim or 0))
    loss[()] += gc.sin(output[letters])
    given = tensors(data)
    got = values(gc.hessian(loss, inputs[name]), data)
    want = func.hessian(lambda x: reference(**given | {name: x}).sin().sum())(given[name])
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", PROGRAMS)
def test_vmap_of_a_jacobian_and_a_jacobian_of_vmap(make: Callable[[], Program]) -> None:
    inputs, output, reference, data = make()
    name = next(iter(inputs))
    given = tensors(data)
    batch = random.normal(size=(2, *data[name].shape))

    def jacobians(x: Any) -> Any:
        return func.jacrev(lambda y: reference(**given | {name: y}))(x)

    want = torch.stack([jacobians(x) for x in torch.tensor(batch)]).numpy()
    got = values(gc.vmap(gc.jacobian(output, inputs[name]), {inputs[name]: 2}), data | {name: batch})
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)
    blocks = values(gc.jacobian(gc.vmap(output, {inputs[name]: 2}), inputs[name]), data | {name: batch})
    rank = output.ndim or 0
    for row in range(2):
        for column in range(2):
            block = blocks[(row, *[slice(None)] * rank, column)]
            np.testing.assert_allclose(block, want[row] * (row == column), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", PROGRAMS)
def test_hessian_of_vmap(make: Callable[[], Program]) -> None:
    """Second derivatives of a sum of losses, one per element of the batch, with respect to what they share."""
    inputs, output, reference, data = make()
    name, other = list(inputs)[:2]
    if other == "tok":
        name, other = other, name
    losses, loss = gc.tensors("losses loss")
    letters = tuple(gc.index(f"i{d}") for d in range(output.ndim or 0))
    losses[()] += gc.sin(output[letters])
    loss[()] += gc.vmap(losses, {inputs[name]: 2})[b]
    batch = np.stack([data[name], data[name][::-1]])
    given = tensors(data)
    got = values(gc.hessian(loss, inputs[other]), data | {name: batch})

    def total(x: Any) -> Any:
        return sum(reference(**given | {name: row, other: x}).sin().sum() for row in torch.tensor(batch))

    np.testing.assert_allclose(got, func.hessian(total)(given[other]).numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", PROGRAMS)
def test_gradient_of_a_jacobian(make: Callable[[], Program]) -> None:
    inputs, output, reference, data = make()
    name, total = next(iter(inputs)), gc.tensor("total")
    matrix = gc.jacobian(output, inputs[name])
    letters = tuple(gc.index(f"i{d}") for d in range(matrix.ndim or 0))
    total[()] += gc.cos(matrix[letters])
    got = values(gc.grad(total, inputs[name]), data)
    given = tensors(data)

    def functional(x: Any) -> Any:
        return func.jacrev(lambda y: reference(**given | {name: y}))(x).cos().sum()

    np.testing.assert_allclose(got, func.grad(functional)(given[name]).numpy(), rtol=1e-9, atol=1e-12)


def test_jacobians_on_the_cpu() -> None:
    inputs, output, reference, data = dense()
    given = tensors(data)
    got = values(gc.jacobian(output, inputs["X"]), data, "cpu")
    want = func.jacrev(lambda x: reference(**given | {"X": x}))(given["X"])
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-10, atol=1e-12)
