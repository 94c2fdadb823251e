"""Layers and losses against torch.nn.functional: value and gradients, in float64 through the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gc

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install graphc[torch]")
F = torch.nn.functional
nn = gc.nn

pytestmark = pytest.mark.peers


def real(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def compare(function: str, arrays: list[Any], *, reference: Any = None, **arguments: Any) -> None:
    """Output, and gradients of a weighted sum of it with respect to all float arrays, beside PyTorch's."""
    names = [f"a{k}" for k, a in enumerate(arrays) if a is not None]
    given = dict(zip(names, (a for a in arrays if a is not None), strict=True))
    tensors = {n: gc.tensor(n, *a.shape, dtype=str(a.dtype)) if a.ndim else gc.tensor(n, (), dtype=str(a.dtype)) for n, a in given.items()}
    left, right = iter(names), iter(names)
    y = getattr(nn, function)(*(None if a is None else tensors[next(left)] for a in arrays), **arguments)
    held = {n: torch.tensor(a, requires_grad=a.dtype.kind == "f") for n, a in given.items()}
    expected = (reference or getattr(F, function))(*(None if a is None else held[next(right)] for a in arrays), **arguments)
    wrt = [n for n in names if held[n].requires_grad]
    seed = real(*expected.shape, seed=1)
    gradients = gc.grad(y, [tensors[n] for n in wrt], seed=gc.tensor("seed", tuple(expected.shape), dtype="float64"))
    program = gc.compile([y, *gradients], target="interpret")
    got = program(**{n: a for n, a in (given | {"seed": seed}).items() if n in program.inputs})
    slopes = torch.autograd.grad(expected, [held[n] for n in wrt], torch.tensor(seed), allow_unused=True)
    wanted = [expected.detach().numpy(), *(np.zeros(given[n].shape) if s is None else s.numpy() for n, s in zip(wrt, slopes, strict=True))]
    assert y.shape == tuple(expected.shape)
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


LABELS = np.array([1, 0, 3], "int64")
SIGNS = np.array([[1, -1, 1, 1], [-1, 1, 1, -1], [1, 1, -1, -1]], "float64")
SHARES = np.random.default_rng(0).dirichlet(np.ones(4), size=3)


@pytest.mark.parametrize(("function", "arrays", "arguments"), [
    ("linear", [real(3, 4), real(2, 4), real(2)], {}),
    ("linear", [real(2, 3, 4), real(2, 4), None], {}),
    ("linear", [real(4), real(2, 4), real(2)], {}),
    ("relu", [real(3, 4)], {}),
    ("leaky_relu", [real(3, 4)], {"negative_slope": 0.2}),
    ("elu", [real(3, 4)], {"alpha": 0.5}),
    ("sigmoid", [real(3)], {}),
    ("tanh", [real(2, 1, 2)], {}),
    ("gelu", [real(3, 4)], {}),
    ("silu", [real(3, 4)], {}),
    ("softplus", [real(3, 4)], {"beta": 2.0}),
    ("softmax", [real(3, 4)], {"dim": -1}),
    ("softmax", [real(2, 3, 4)], {"dim": 1}),
    ("log_softmax", [real(2, 3, 2)], {"dim": 0}),
])
def test_elements_and_rows(function: str, arrays: list[Any], arguments: dict[str, Any]) -> None:
    compare(function, arrays, **arguments)


@pytest.mark.parametrize(("function", "arrays", "arguments"), [
    ("mse_loss", [real(3, 4), real(3, 4, seed=2)], {}),
    ("mse_loss", [real(3), real(3, seed=2)], {"reduction": "none"}),
    ("l1_loss", [real(3, 4), real(3, 4, seed=2)], {"reduction": "sum"}),
    ("huber_loss", [real(3, 4), real(3, 4, seed=2)], {"delta": 0.7}),
    ("cross_entropy", [real(3, 4), LABELS], {}),
    ("cross_entropy", [real(3, 4), LABELS], {"label_smoothing": 0.1}),
    ("cross_entropy", [real(3, 4), LABELS], {"reduction": "none"}),
    ("cross_entropy", [real(3, 4), SHARES], {"label_smoothing": 0.2}),
    ("cross_entropy", [real(4), np.array(2)], {}),
    ("cross_entropy", [real(1, 4, 3), LABELS[None]], {}),
    ("binary_cross_entropy_with_logits", [real(3, 4), (SIGNS + 1) / 2], {}),
    ("multi_margin_loss", [real(3, 4), LABELS], {}),
    ("multi_margin_loss", [real(3, 4), LABELS], {"p": 2, "margin": 0.5, "reduction": "none"}),
])
def test_losses(function: str, arrays: list[Any], arguments: dict[str, Any]) -> None:
    compare(function, arrays, **arguments)


def test_weighted_cross_entropy() -> None:
    weight = np.array([0.5, 1.0, 2.0, 0.1])
    for smoothing in (0.0, 0.3):
        x, label = gc.tensor("x", 3, 4, dtype="float64"), gc.tensor("label", 3, dtype="int64")
        loss = nn.cross_entropy(x, label, gc.tensor("weight", 4, dtype="float64"), label_smoothing=smoothing)
        got = gc.compile(loss, target="interpret")(x=real(3, 4), label=LABELS, weight=weight)
        expected = F.cross_entropy(torch.tensor(real(3, 4)), torch.tensor(LABELS), torch.tensor(weight), label_smoothing=smoothing)
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-10)


def test_perceptron_losses() -> None:
    compare("perceptron_loss", [real(3, 4), SIGNS], reference=lambda x, t: F.relu(-t * x).mean())
    compare("perceptron_loss", [real(3, 4), LABELS], reference=lambda x, t: (x.max(1).values - x[torch.arange(3), t]).mean())


def test_penalties() -> None:
    compare("l1", [real(3, 4)], reference=lambda w: w.abs().sum())
    compare("l2", [real(3)], reference=lambda w: (w**2).sum())
    compare("elastic_net", [real(2, 3)], reference=lambda w, alpha, beta: (beta * w**2 + alpha * w.abs()).sum(), alpha=0.3, beta=0.2)


@pytest.mark.parametrize(("function", "image", "weight", "arguments"), [
    ("conv1d", (2, 2, 7), (3, 2, 3), {"stride": 2, "padding": 1}),
    ("conv2d", (1, 2, 5, 4), (2, 2, 3, 2), {}),
    ("conv2d", (1, 2, 6, 5), (2, 2, 3, 3), {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}),
    ("conv2d", (2, 4, 4, 3), (6, 2, 2, 1), {"groups": 2}),
    ("conv2d", (1, 3, 3, 3), (3, 1, 2, 2), {"groups": 3, "padding": 1, "stride": 2}),
    ("conv2d", (1, 1, 4, 4), (1, 1, 1, 3), {"padding": "same"}),
    ("conv3d", (1, 1, 3, 4, 3), (2, 1, 2, 2, 3), {"padding": (0, 1, 1)}),
    ("conv_transpose2d", (1, 2, 2, 3), (2, 2, 3, 2), {}),
    ("conv_transpose2d", (1, 4, 2, 2), (4, 1, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}),
    ("conv_transpose2d", (1, 2, 2, 2), (2, 1, 2, 2), {"stride": (1, 3), "dilation": 2}),
])
def test_convolutions(function: str, image: tuple[int, ...], weight: tuple[int, ...], arguments: dict[str, Any]) -> None:
    filters = weight[0] if "transpose" not in function else weight[1] * arguments.get("groups", 1)
    compare(function, [real(*image), real(*weight), real(filters)], **arguments)
    compare(function, [real(*image), real(*weight), None], **arguments)


@pytest.mark.parametrize(("function", "image", "arguments"), [
    ("max_pool2d", (2, 1, 4, 5), {"kernel_size": 2}),
    ("max_pool2d", (1, 2, 5, 5), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("max_pool2d", (1, 1, 5, 6), {"kernel_size": (2, 3), "stride": 1, "dilation": (2, 1)}),
    ("avg_pool2d", (2, 1, 4, 5), {"kernel_size": 2}),
    ("avg_pool2d", (1, 2, 5, 5), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("avg_pool2d", (1, 2, 5, 4), {"kernel_size": (3, 2), "padding": 1, "count_include_pad": False}),
    ("adaptive_avg_pool2d", (1, 2, 4, 6), {"output_size": 2}),
    ("adaptive_avg_pool2d", (1, 2, 5, 7), {"output_size": (3, 4)}),
    ("adaptive_avg_pool2d", (1, 2, 3, 5), {"output_size": 1}),
])
def test_pooling(function: str, image: tuple[int, ...], arguments: dict[str, Any]) -> None:
    compare(function, [real(*image)], **arguments)


def test_flatten() -> None:
    compare("flatten", [real(2, 3, 2, 2)], reference=lambda x: torch.flatten(x, 1))
    compare("flatten", [real(2, 3, 2, 2)], reference=torch.flatten, start_dim=0, end_dim=2)
    compare("flatten", [real(2, 3, 1, 1)], reference=lambda x: torch.flatten(x, 1))
    compare("flatten", [real(2, 1, 4, 1)], reference=lambda x: torch.flatten(x, 1))


def test_embedding_and_maxout() -> None:
    compare("embedding", [LABELS, real(4, 3)])
    compare("embedding", [LABELS[None], real(4, 2)])
    arrays = [real(2, 3), real(2, 4, 3), real(2, 4)]
    compare("maxout", arrays, reference=lambda x, w, b: (torch.einsum("bj,kij->bki", x, w) + b).max(1).values)


def test_fractional_pooling_takes_windows_in_order() -> None:
    x, key = gc.tensor("x", 2, 1, 7, 9, dtype="float64"), gc.tensor("key", (), dtype="int64")
    y = nn.fractional_max_pool2d(x, 2, (3, 5), key)
    image = np.broadcast_to(np.arange(63.0).reshape(7, 9), (2, 1, 7, 9))
    program = gc.compile(y, target="interpret")
    rows = (program(x=image, key=3) // 9)[:, 0, :, 0]
    assert y.shape == (2, 1, 3, 5) and (np.diff(rows) > 0).all() and (rows[:, 0] == 1).all() and (rows[:, -1] == 6).all()
    assert (program(x=image, key=3) == program(x=image, key=3)).all()
    assert any((program(x=image, key=3) != program(x=image, key=k)).any() for k in range(4, 8))


@pytest.mark.parametrize(("function", "arrays", "arguments"), [
    ("layer_norm", [real(3, 4)], {"normalized_shape": (4,)}),
    ("layer_norm", [real(2, 3, 4)], {"normalized_shape": (3, 4), "eps": 0.1}),
    ("group_norm", [real(2, 4, 2, 3)], {"num_groups": 2}),
    ("group_norm", [real(2, 3)], {"num_groups": 1}),
    ("normalize", [real(3, 4)], {}),
    ("normalize", [real(3, 4)], {"p": 1, "dim": 0}),
    ("normalize", [real(2, 3, 2)], {"p": 3.0}),
    ("normalize", [real(3, 4)], {"p": float("inf")}),
    ("batch_norm", [real(3, 4), None, None, real(4), real(4, seed=2)], {"training": True}),
    ("batch_norm", [real(3, 2, 2, 2), None, None, real(2), None], {"training": True, "eps": 0.1}),
    ("batch_norm", [real(3, 2, 2), None, None], {"training": True}),
])
def test_normalisation(function: str, arrays: list[Any], arguments: dict[str, Any]) -> None:
    compare(function, arrays, **arguments)


def test_affine_normalisation() -> None:
    x, w, b = real(3, 4), real(4), real(4, seed=2)
    tensors = [gc.tensor("x", 3, 4, dtype="float64"), gc.tensor("w", 4, dtype="float64"), gc.tensor("b", 4, dtype="float64")]
    outputs = [nn.layer_norm(tensors[0], 4, *tensors[1:]), nn.group_norm(tensors[0], 2, *tensors[1:])]
    got = gc.compile(outputs, target="interpret")(x=x, w=w, b=b)
    given = [torch.tensor(a) for a in (x, w, b)]
    for a, expected in zip(got, (F.layer_norm(given[0], (4,), *given[1:]), F.group_norm(given[0], 2, *given[1:])), strict=True):
        np.testing.assert_allclose(a, expected.numpy(), rtol=1e-10)


def test_running_statistics() -> None:
    x, mean, var = gc.tensor("x", gc.dim("N"), 2, 3, dtype="float64"), *gc.tensors("mean var", 2, dtype="float64")
    updates: dict[Any, Any] = {}
    y = nn.batch_norm(x, mean, var, training=True, momentum=0.3, updates=updates)
    state = {"mean": real(2), "var": np.abs(real(2))}
    expected = [torch.tensor(state["mean"].copy()), torch.tensor(state["var"].copy())]
    gc.compile(y, updates=updates, target="interpret")(state, x=real(3, 2, 3))
    F.batch_norm(torch.tensor(real(3, 2, 3)), *expected, training=True, momentum=0.3)
    np.testing.assert_allclose([state["mean"], state["var"]], torch.stack(expected).numpy(), rtol=1e-10)
    z = gc.compile(nn.batch_norm(x, mean, var), target="interpret")(state, x=real(3, 2, 3))
    np.testing.assert_allclose(z, F.batch_norm(torch.tensor(real(3, 2, 3)), *expected).numpy(), rtol=1e-10)


def test_attention() -> None:
    arrays = [real(2, 3, 4), real(2, 3, 4, seed=2), real(2, 3, 2)]
    compare("scaled_dot_product_attention", arrays)
    compare("scaled_dot_product_attention", arrays, is_causal=True)
    compare("scaled_dot_product_attention", [*arrays, real(3, 3)], scale=0.3)
    compare("scaled_dot_product_attention", [a[:, None] for a in arrays] + [np.tril(np.ones((3, 3), bool), 1)])


GATES = {"rnn": 1, "lstm": 4, "gru": 3}


@pytest.mark.parametrize(("function", "target"), [
    *((name, "interpret") for name in GATES), *(pytest.param(name, "cpu", marks=pytest.mark.slow) for name in ("lstm", "gru")),
])
def test_recurrent_layers(function: str, target: str) -> None:
    steps, batch, inputs, size, gates = 3, 2, 2, 3, GATES[function]
    shapes = {"x": (steps, batch, inputs), "h0": (batch, size), "c0": (batch, size), "w_ih": (gates * size, inputs),
              "w_hh": (gates * size, size), "b_ih": (gates * size,), "b_hh": (gates * size,)}
    arrays = {n: real(*shape, seed=len(n)) for n, shape in shapes.items() if n != "c0" or function == "lstm"}
    tensors = {n: gc.tensor(n, *a.shape, dtype="float64") for n, a in arrays.items()}
    y, last = getattr(nn, function)(*tensors.values())
    state = last[1] if isinstance(last, tuple) else last
    loss, (t, b, i) = gc.tensor("loss"), gc.indices("t b i")
    loss[()] += y[t, b, i] ** 2
    loss[()] += gc.sin(state[b, i])
    gradients = gc.grad(loss, list(tensors.values()))
    got = gc.compile([y, state, *gradients], target=target)(**arrays)
    module = getattr(torch.nn, function.upper())(inputs, size, dtype=torch.float64)
    given = {n: torch.tensor(a, requires_grad=True) for n, a in arrays.items()}
    weights = {f"{kind}_{part}_l0": given[f"{kind[0]}_{part}"] for kind in ("weight", "bias") for part in ("ih", "hh")}
    before = (given["h0"][None], given["c0"][None]) if function == "lstm" else given["h0"][None]
    out, after = torch.func.functional_call(module, weights, (given["x"], before))
    after = (after[1] if function == "lstm" else after)[0]
    slopes = torch.autograd.grad((out**2).sum() + after.sin().sum(), list(given.values()))
    for a, expected in zip(got, [out.detach(), after.detach(), *slopes], strict=True):
        np.testing.assert_allclose(a, expected.numpy(), rtol=1e-9, atol=1e-10)
