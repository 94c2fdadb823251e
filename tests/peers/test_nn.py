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
    ("gelu", [real(3, 4)], {"approximate": "tanh"}),
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
    ("cross_entropy", [real(3, 4), LABELS], {"ignore_index": 0}),
    ("cross_entropy", [real(3, 4), np.array([1, -7, 3])], {"ignore_index": -7, "label_smoothing": 0.2}),
    ("cross_entropy", [real(3, 4), LABELS], {"ignore_index": 1, "reduction": "none"}),
    ("cross_entropy", [real(2, 3, 4), np.array([[0, 2, 1, -100], [1, 1, -100, 0]])], {"ignore_index": -100}),
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
        given = [torch.tensor(a) for a in (real(3, 4), LABELS, weight)]
        for ignored in (None, 0):
            loss = nn.cross_entropy(x, label, gc.tensor("weight", 4, dtype="float64"), label_smoothing=smoothing, ignore_index=ignored)
            got = gc.compile(loss, target="interpret")(x=real(3, 4), label=LABELS, weight=weight)
            expected = F.cross_entropy(*given, label_smoothing=smoothing, ignore_index=-100 if ignored is None else ignored)
            np.testing.assert_allclose(got, expected.numpy(), rtol=1e-10)


def test_weighted_margin_and_binary_losses() -> None:
    def margin(x: Any, t: Any, w: Any) -> Any:
        return nn.multi_margin_loss(x, t, weight=w)

    def binary(x: Any, t: Any, w: Any, p: Any) -> Any:
        return nn.binary_cross_entropy_with_logits(x, t, w, pos_weight=p)

    x, w, label = real(3, 4), np.abs(real(4)), torch.tensor(LABELS)
    tensors = [gc.tensor("x", 3, 4, dtype="float64"), gc.tensor("t", 3, dtype="int64"), gc.tensor("w", 4, dtype="float64")]
    got = gc.compile(margin(*tensors), target="interpret")(x=x, t=LABELS, w=w)
    np.testing.assert_allclose(got, F.multi_margin_loss(torch.tensor(x), label, weight=torch.tensor(w)).numpy(), rtol=1e-10)
    target, weight = (SIGNS + 1) / 2, np.abs(real(3, 4, seed=5))
    tensors = [gc.tensor(name, *a.shape, dtype="float64") for name, a in (("x", x), ("t", target), ("w", weight), ("p", w))]
    got = gc.compile(binary(*tensors), target="interpret")(x=x, t=target, w=weight, p=w)
    given = [torch.tensor(a) for a in (x, target, weight, w)]
    np.testing.assert_allclose(got, F.binary_cross_entropy_with_logits(*given[:3], pos_weight=given[3]).numpy(), rtol=1e-10)


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


def some_convolution(seed: int) -> tuple[str, list[Any], dict[str, Any]]:
    """A convolution of small odd sizes with strides, paddings, dilations and groups of every kind."""
    random = np.random.default_rng(seed)
    rank = int(random.choice([1, 2, 2, 3]))
    groups, stride, dilation, kernel = (random.integers(1, 4, rank) for _ in range(4))
    padding, parts = random.integers(0, 3, rank), int(groups[0])
    seen, filters = int(random.integers(1, 3)) * parts, int(random.integers(1, 3)) * parts
    arguments = {"stride": stride, "padding": padding, "dilation": dilation}
    arguments = {n: tuple(map(int, v)) if len(set(v)) > 1 else int(v[0]) for n, v in arguments.items()} | {"groups": parts}
    transposed = rank == 2 and bool(random.integers(2))
    least = np.maximum(dilation * (kernel - 1) + 1 - 2 * padding, 1)
    if transposed:
        least = np.maximum((2 * padding - dilation * (kernel - 1)) // stride + 2, 1)
        arguments["output_padding"] = tuple(int(random.integers(0, max(s, d))) for s, d in zip(stride, dilation, strict=True))
    image = real(int(random.integers(1, 3)), seen, *(int(e) for e in least + random.integers(0, 4, rank)), seed=seed)
    shape = (seen, filters // parts) if transposed else (filters, seen // parts)
    bias = real(filters) if random.integers(2) else None
    return ("conv_transpose2d" if transposed else f"conv{rank}d"), [image, real(*shape, *map(int, kernel), seed=seed), bias], arguments


@pytest.mark.parametrize("seed", range(40))
def test_convolutions_of_any_kind(seed: int) -> None:
    function, arrays, arguments = some_convolution(seed)
    compare(function, arrays, **arguments)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_that_continues_the_image(mode: str) -> None:
    def padded(x: Any, weight: Any, bias: Any, padding: Any, stride: int, padding_mode: str) -> Any:
        around = (padding[1], padding[1], padding[0], padding[0])
        return F.conv2d(F.pad(x, around, mode=padding_mode), weight, bias, stride)

    arrays = [real(1, 2, 5, 4), real(3, 2, 3, 3), real(3)]
    compare("conv2d", arrays, reference=padded, padding=(2, 1), stride=2, padding_mode=mode)


@pytest.mark.parametrize(("function", "image", "arguments"), [
    ("max_pool2d", (1, 1, 5, 6), {"kernel_size": 2, "ceil_mode": True}),
    ("max_pool2d", (1, 2, 6, 7), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("max_pool2d", (1, 1, 7, 5), {"kernel_size": 2, "stride": 3, "dilation": 2, "ceil_mode": True}),
    ("avg_pool2d", (1, 1, 5, 6), {"kernel_size": 2, "ceil_mode": True}),
    ("avg_pool2d", (1, 2, 6, 7), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", (1, 2, 6, 7), {"kernel_size": (3, 2), "padding": 1, "ceil_mode": True, "count_include_pad": False}),
    ("avg_pool2d", (1, 1, 4, 4), {"kernel_size": 3, "stride": 1, "divisor_override": 2}),
    ("adaptive_avg_pool2d", (1, 1, 3, 5), {"output_size": (5, 7)}),
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


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_affine_normalisation_of_any_rank(rank: int) -> None:
    """Batch normalisation with and without training; by known statistics it is differentiated with respect to them as well."""
    def known(x: Any, *parts: Any) -> Any:
        mean, var, weight, bias = (part.reshape(-1, *[1] * (rank - 2)) for part in parts)
        return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias

    x, affine = real(*(3, 2, 2, 3, 1)[:rank]), [real(2), real(2, seed=2)]
    compare("batch_norm", [x, None, None, *affine], training=True)
    compare("batch_norm", [x, real(2, seed=3), np.abs(real(2, seed=4)), *affine], reference=known)


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


@pytest.mark.parametrize("target", ["cpu", "interpret"])
@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_of_a_query_that_looks_at_nothing(target: str, is_causal: bool) -> None:
    arrays = [real(2, 4, 3), real(2, 4, 3, seed=2), real(2, 4, 2)]
    mask = np.array([[0, 0, 0, 0], [-np.inf] * 4, [-np.inf, 0.5, -0.5, 0], [0, 0, 0, -np.inf]])
    given = [gc.tensor(name, *a.shape, dtype="float64") for name, a in zip("qkv", arrays, strict=True)]
    m, loss, (b, t, e) = gc.tensor("m", 4, 4, dtype="float64"), gc.tensor("loss"), gc.indices("b t e")
    y = nn.scaled_dot_product_attention(*given, m, is_causal=is_causal)
    loss[()] += gc.sin(y[b, t, e])
    got = gc.compile([y, *gc.grad(loss, given)], inputs=[*given, m], target=target)(*arrays, mask)
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    seen = mask + np.where(np.tril(np.ones((4, 4))) > 0, 0, -np.inf) if is_causal else mask
    expected = F.scaled_dot_product_attention(*tensors, torch.tensor(seen))
    for ours, theirs in zip(got, [expected, *torch.autograd.grad(expected.sin().sum(), tensors)], strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-9, atol=1e-12)


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


torch.manual_seed(0)
PLAIN, IMAGE = torch.nn, ("x", 1, 30, 9, 9)
BEGINNINGS = [
    (nn.Linear(300, name="a"), ("x", 1, 200), PLAIN.Linear(200, 300)),
    (nn.Conv1d(90, 5, name="a"), ("x", 1, 60, 9), PLAIN.Conv1d(60, 90, 5)),
    (nn.Conv2d(60, 5, groups=3, name="a"), IMAGE, PLAIN.Conv2d(30, 60, 5, groups=3)),
    (nn.Conv3d(20, 3, name="a"), ("x", 1, 30, 5, 5, 5), PLAIN.Conv3d(30, 20, 3)),
    (nn.ConvTranspose2d(60, 5, groups=3, name="a"), IMAGE, PLAIN.ConvTranspose2d(30, 60, 5, groups=3)),
    (nn.BatchNorm2d(name="a"), IMAGE, PLAIN.BatchNorm2d(30)),
    (nn.LayerNorm(name="a"), ("x", 1, 200), PLAIN.LayerNorm(200)),
    (nn.GroupNorm(3, name="a"), IMAGE, PLAIN.GroupNorm(3, 30)),
    (nn.RNN(100, name="a"), ("x", 3, 1, 80), PLAIN.RNN(80, 100)),
    (nn.LSTM(100, name="a"), ("x", 3, 1, 80), PLAIN.LSTM(80, 100)),
    (nn.GRU(100, name="a"), ("x", 3, 1, 80), PLAIN.GRU(80, 100)),
]


@pytest.mark.parametrize(("layer", "shape", "theirs"), BEGINNINGS, ids=[type(b[0]).__name__ for b in BEGINNINGS])
def test_parameters_begin_as_those_of_pytorch(layer: Any, shape: tuple[Any, ...], theirs: Any) -> None:
    y = layer(gc.tensor(*shape))
    mine = gc.compile(y[0] if isinstance(y, tuple) else y, updates=layer.updates, target="interpret").init(seed=0)
    expected = {f"a.{n.removesuffix('_l0')}": t.detach().numpy() for n, t in theirs.state_dict().items() if "num_batches" not in n}
    assert {n: a.shape for n, a in mine.items()} == {n: a.shape for n, a in expected.items()}
    for name, array in mine.items():
        other = expected[name]
        np.testing.assert_allclose([array.std(), np.abs(array).max()], [other.std(), np.abs(other).max()], rtol=0.25)


@pytest.mark.parametrize(("mine", "theirs"), [
    ("glorot_uniform", "xavier_uniform_"), ("glorot_normal", "xavier_normal_"), ("he_uniform", "kaiming_uniform_"),
    ("he_normal", "kaiming_normal_"), ("orthogonal", "orthogonal_"), ("normal", "normal_"),
])
@pytest.mark.parametrize("shape", [(150, 200), (60, 40, 3, 3)])
def test_initialisers(mine: str, theirs: str, shape: tuple[int, ...]) -> None:
    w, y, i = gc.parameter("w", *shape, init=mine), gc.tensor("y"), gc.indices("i j k l")[: len(shape)]
    y[i] = w[i]
    array = gc.compile(y, target="interpret").init(seed=0)["w"].reshape(shape[0], -1)
    options = {"nonlinearity": "relu"} if "kaiming" in theirs else {}
    other = getattr(torch.nn.init, theirs)(torch.empty(shape), **options).numpy().reshape(shape[0], -1)
    np.testing.assert_allclose(array.std(), other.std(), rtol=0.03)
    if "uniform" in mine:
        np.testing.assert_allclose(np.abs(array).max(), np.abs(other).max(), rtol=0.01)
    if mine == "orthogonal":
        np.testing.assert_allclose(array @ array.T, np.eye(len(array)), atol=1e-5)
