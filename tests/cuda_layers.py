"""Layers of `graphc.nn` with their gradients, and small nets that are trained: programs for the checks of the target "cuda"."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import graphc as gc
from tests.cuda_programs import Case, normal

__all__ = ["LAYERS"]

nn = gc.nn
LABELS = np.array([1, 0, 3])
SIGNS = np.float32([[1, -1, 1, 1], [-1, 1, 1, -1], [1, 1, -1, -1]])


def layer(function: str, *arrays: Any, rows: int = 1, **arguments: Any) -> Case:
    """The layer, and the gradients of a weighted sum of it.

    Args:
        function: of `graphc.nn`.
        arrays: its arguments; a tuple is the shape of random numbers.
        rows: number of arrays of which the first dimension has a symbolic size.
        arguments: its options.
    """
    given, tensors = dict[str, np.ndarray](), []
    for k, array in enumerate(arrays):
        if array is None:
            tensors.append(None)
            continue
        array = normal(*array, seed=k) if isinstance(array, tuple) else array
        given[f"a{k}"] = array
        shape = (gc.dim("N"), *array.shape[1:]) if k < rows else array.shape
        tensors.append(gc.tensor(f"a{k}", *(shape or ((),)), dtype=str(array.dtype)))
    y = getattr(nn, function)(*tensors, **arguments)
    wrt = [t for t in tensors if t is not None and given[t.name].dtype.kind == "f"]
    if not y.shape:
        return [y, *gc.grad(y, wrt)], given
    seed = gc.tensor("seed", *y.shape)
    gradients = gc.grad(y, wrt, seed=seed)
    shape = gc.compile(y, target="interpret")(**given).shape
    return [y, *gradients], {**given, "seed": normal(*shape, seed=9)}


def recurrent(function: str, gates: int) -> Case:
    """All states, and the gradients of their squares."""
    shapes = {"x": (4, 2, 3), "h0": (2, 5), "c0": (2, 5), "w_ih": (gates * 5, 3), "w_hh": (gates * 5, 5), "b_ih": (gates * 5,),
              "b_hh": (gates * 5,)}
    arrays = {n: normal(*shape, seed=k) for k, (n, shape) in enumerate(shapes.items()) if n != "c0" or function == "lstm"}
    tensors = {n: gc.tensor(n, *((gc.dim("T"), *a.shape[1:]) if n == "x" else a.shape)) for n, a in arrays.items()}
    y, _ = getattr(nn, function)(*tensors.values())
    L, (t, b, i) = gc.tensor("L"), gc.indices("t b i")
    L[()] += y[t, b, i] ** 2
    return [y, L, *gc.grad(L, list(tensors.values()))], arrays


def trained(net: gc.nn.Sequential, *shape: int, optimiser: Callable[[gc.Tensor], dict[Any, Any]]) -> Case:
    """The loss, and the parameters after a step."""
    x, label = gc.tensor("x", gc.dim("N"), *shape[1:]), gc.tensor("label", gc.dim("N"), dtype="int64")
    loss = nn.cross_entropy(net(x), label)
    updates = optimiser(loss) | net.updates
    state = gc.compile(loss, updates=updates, target="interpret").init(seed=0)
    return [loss, *updates.values()], {**state, "x": normal(*shape), "label": np.arange(shape[0]) % 3}


def lenet() -> Case:
    net = nn.Sequential(nn.Conv2d(3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5),
                        nn.ReLU(), nn.Linear(3))  # fmt: skip
    return trained(net, 2, 1, 8, 8, optimiser=partial(gc.optim.sgd, lr=0.1, momentum=0.9))


def perceptron() -> Case:
    net = nn.Sequential(nn.Linear(8, bias=False), nn.BatchNorm1d(), nn.Tanh(), nn.Dropout(0.1, 7), nn.Linear(3))
    return trained(net, 6, 2, optimiser=partial(gc.optim.adam, lr=0.1))


LAYERS: dict[str, Callable[[], Case]] = {
    "linear": partial(layer, "linear", (3, 4), (2, 4), (2,)),
    **{name: partial(layer, name, (3, 4)) for name in (
        "relu", "leaky_relu", "elu", "sigmoid", "tanh", "gelu", "silu", "softplus", "softmax", "log_softmax", "normalize")},
    "mse_loss": partial(layer, "mse_loss", (3, 4), (3, 4), rows=2),
    "huber_loss": partial(layer, "huber_loss", (3, 4), (3, 4), delta=0.7, rows=2),
    "cross_entropy": partial(layer, "cross_entropy", (3, 4), LABELS, label_smoothing=0.1, rows=2),
    "binary_cross_entropy": partial(layer, "binary_cross_entropy_with_logits", (3, 4), (SIGNS + 1) / 2, rows=2),
    "multi_margin_loss": partial(layer, "multi_margin_loss", (3, 4), LABELS, rows=2),
    "conv1d": partial(layer, "conv1d", (2, 2, 7), (3, 2, 3), (3,), stride=2, padding=1),
    "conv2d": partial(layer, "conv2d", (1, 2, 6, 5), (2, 2, 3, 3), (2,), padding=1),
    "conv2d_strided": partial(layer, "conv2d", (1, 2, 6, 5), (2, 2, 3, 3), None, stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
    "conv2d_groups": partial(layer, "conv2d", (2, 4, 4, 3), (6, 2, 2, 1), None, groups=2),
    "conv3d": partial(layer, "conv3d", (1, 1, 3, 4, 3), (2, 1, 2, 2, 3), (2,), padding=(0, 1, 1)),
    "conv_transpose2d": partial(layer, "conv_transpose2d", (1, 2, 2, 3), (2, 2, 3, 2), (2,), stride=2),
    "max_pool2d": partial(layer, "max_pool2d", (1, 2, 5, 5), kernel_size=3, stride=2, padding=1),
    "avg_pool2d": partial(layer, "avg_pool2d", (1, 2, 5, 5), kernel_size=3, stride=2, padding=1),
    "adaptive_avg_pool2d": partial(layer, "adaptive_avg_pool2d", (1, 2, 5, 7), output_size=(3, 4)),
    "layer_norm": partial(layer, "layer_norm", (2, 3, 4), normalized_shape=(3, 4)),
    "group_norm": partial(layer, "group_norm", (2, 4, 2, 3), num_groups=2),
    "batch_norm": partial(layer, "batch_norm", (3, 2, 2, 2), None, None, (2,), (2,), training=True),
    "embedding": partial(layer, "embedding", LABELS, (4, 3)),
    "maxout": partial(layer, "maxout", (2, 3), (2, 4, 3), (2, 4)),
    "attention": partial(layer, "scaled_dot_product_attention", (2, 3, 4), (2, 3, 4), (2, 3, 2), is_causal=True, rows=3),
    "rnn": partial(recurrent, "rnn", 1), "lstm": partial(recurrent, "lstm", 4), "gru": partial(recurrent, "gru", 3),
    "lenet": lenet, "perceptron": perceptron,
}  # fmt: skip
