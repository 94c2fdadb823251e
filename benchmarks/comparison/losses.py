"""The workloads once for every framework: functions of a module `xp` that has the operations (`in_torch`, `in_jax`) and of arrays by name.

They are written as a user of the framework would write them: an operation of the framework where it has one, broadcasting otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from comparison.cases import ALEXNET, LAYERS, RADIUS, SPEED, STEPS, VGG

Loss = Callable[..., Any]
FAR = 1e8


def two_layers(xp: ModuleType, x: Any, y: Any, w1: Any, w2: Any) -> Any:
    return xp.square(xp.sigmoid(x @ w1) @ w2 - y).sum()


def perceptron(xp: ModuleType, x: Any, y: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any) -> Any:
    h = xp.relu(xp.linear(x, w1, b1))
    h = xp.relu(xp.linear(h, w2, b2))
    return xp.cross_entropy(xp.linear(h, w3, b3), y)


def lenet(xp: ModuleType, x: Any, y: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, w4: Any, b4: Any) -> Any:
    h = xp.max_pool2d(xp.relu(xp.conv2d(x, w1, b1, 1, 2)), 2, 2)
    h = xp.max_pool2d(xp.relu(xp.conv2d(h, w2, b2, 1, 2)), 2, 2)
    h = xp.relu(xp.linear(h.reshape(h.shape[0], -1), w3, b3))
    return xp.cross_entropy(xp.linear(h, w4, b4), y)


def head(xp: ModuleType, h: Any, a: dict[str, Any]) -> Any:
    """Three linear layers on flattened images."""
    h = h.reshape(h.shape[0], -1)
    for layer in range(2):
        h = xp.relu(xp.linear(h, a[f"fw{layer}"], a[f"fb{layer}"]))
    return xp.linear(h, a["fw2"], a["fb2"])


def vgg16(xp: ModuleType, x: Any, **a: Any) -> Any:
    layer = 0
    for block in VGG:
        for _ in block:
            x, layer = xp.relu(xp.conv2d(x, a[f"w{layer}"], a[f"b{layer}"], 1, 1)), layer + 1
        x = xp.max_pool2d(x, 2, 2)
    return head(xp, x, a)


def alexnet(xp: ModuleType, x: Any, y: Any, **a: Any) -> Any:
    for layer, (_, _, stride, padding, pooled) in enumerate(ALEXNET):
        x = xp.relu(xp.conv2d(x, a[f"w{layer}"], a[f"b{layer}"], stride, padding))
        x = xp.max_pool2d(x, 3, 2) if pooled else x
    return xp.cross_entropy(head(xp, x, a), y)


def convolution(way: str) -> Loss:
    """The forward pass of a convolution, or one of its two gradients."""

    def passed(xp: ModuleType, x: Any, w: Any, g: Any) -> Any:
        padding = w.shape[-1] // 2
        if way == "fwd":
            return xp.conv2d(x, w, None, 1, padding)
        return xp.conv2d_image_gradient(x.shape, w, g, padding) if way == "bwd_data" else xp.conv2d_filter_gradient(x, w.shape, g, padding)

    return passed


def bilinear(xp: ModuleType, A: Any, B: Any, T: Any) -> Any:
    return (xp.sigmoid(xp.einsum("hik,hjk->hij", A, B)) * T).sum()


def product(xp: ModuleType, A: Any, B: Any) -> Any:
    return A @ B


def softmax(xp: ModuleType, z: Any, lab: Any) -> Any:
    return xp.cross_entropy(z, lab)


def layer_norm(xp: ModuleType, x: Any, gain: Any, bias: Any, T: Any) -> Any:
    return (xp.layer_norm(x, gain, bias, 1e-5) * T).sum()


def gelu(xp: ModuleType, x: Any, T: Any) -> Any:
    return (xp.gelu(x) * T).sum()


def l1_distances(xp: ModuleType, X: Any, Y: Any, T: Any) -> Any:
    return (xp.l1_distances(X, Y) * T).sum()


def maxout(xp: ModuleType, x: Any, w: Any, b: Any, T: Any) -> Any:
    return (xp.max(xp.linear(x, w, b).reshape(x.shape[0], -1, 4), -1) * T).sum()


def soft_dtw(xp: ModuleType, x: Any, y: Any) -> Any:
    """Diagonal by diagonal: the entries of one diagonal depend on the two before, not on each other."""
    rows, columns = x.shape[1], y.shape[1]
    i, d = xp.arange(rows), xp.arange(rows + columns - 1)[:, None]
    inside = (d - i >= 0) & (d - i < columns)
    costs = xp.square(x[:, None, :] - y[:, xp.clip(d - i, 0, columns - 1)])
    start = xp.pad(xp.zeros_like(x[:, :1]), 0, rows, FAR)
    nothing = xp.full_like(start, FAR)

    def diagonal(carry: Any, of: Any) -> Any:
        older, last = carry
        cost, valid = of
        near = xp.stack([older[:, :-1], last[:, :-1], last[:, 1:]])
        soft = xp.where(valid, cost - xp.logsumexp(-near, 0), FAR)
        return (last, xp.pad(soft, 1, 0, FAR)), soft[:, -1]

    _, ends = xp.scan(diagonal, (start, nothing), (xp.moveaxis(costs, 1, 0), inside))
    return ends[-1].sum()


def bilateral(xp: ModuleType, I: Any, T: Any) -> Any:  # noqa: E741
    rows, columns = T.shape
    middle = I[RADIUS : RADIUS + rows, RADIUS : RADIUS + columns]
    total, weights = 0, 0
    for r in range(2 * RADIUS + 1):
        for s in range(2 * RADIUS + 1):
            seen = I[r : r + rows, s : s + columns]
            distance = ((r - RADIUS) ** 2 + (s - RADIUS) ** 2) / (2 * 2.0**2)
            weight = xp.exp(xp.square(seen - middle) * (-1 / (2 * 0.15**2)) - distance)
            total, weights = total + weight * seen, weights + weight
    return (total / weights * T).sum()


def gaussian_kernel(xp: ModuleType, X: Any, Y: Any, T: Any) -> Any:
    squares = xp.square(X).sum(1)[:, None] + xp.square(Y).sum(1)[None, :]
    return (xp.exp(-0.02 * (squares - 2 * (X @ Y.T))) * T).sum()


def hinge(xp: ModuleType, S: Any, lab: Any) -> Any:
    """The term of the label itself is 1 in every row."""
    margins = xp.relu(S - xp.picked(S, lab) + 1)
    return margins.sum() / S.shape[0] - 1


def rnn(xp: ModuleType, Wx: Any, Wh: Any, b: Any, x: Any, G: Any) -> Any:
    return (xp.rnn(x, Wx, Wh, b) * G).sum()


def lstm(xp: ModuleType, Wx: Any, Wh: Any, b: Any, x: Any, G: Any) -> Any:
    return (xp.lstm(x, Wx, Wh, b) * G).sum()


def cumulative_sum(xp: ModuleType, x: Any, G: Any) -> Any:
    return (xp.cumsum(x, 1) * G).sum()


def wave(xp: ModuleType, u0: Any, tgt: Any) -> Any:
    def advanced(carry: Any, _: Any) -> Any:
        before, now = carry
        wide = xp.pad(now, 1, 1, 0)
        return (now, 2 * now - before + SPEED * (wide[:-2] - 2 * now + wide[2:])), None

    (_, last), _ = xp.scan(advanced, (u0, u0), xp.arange(STEPS))
    return 0.5 * xp.square(last - tgt).sum()


def embedding(xp: ModuleType, E: Any, idx: Any, G: Any) -> Any:
    return (xp.embedding(E, idx) * G).sum()


def scaled_sum(xp: ModuleType, a: Any, x: Any, b: Any, g: Any) -> Any:
    return (g * (a * x + b)).sum()


LOSSES: dict[str, Loss] = {
    "W1.step": two_layers, "W1.grad": two_layers, "W2.step": perceptron, "W3.step": lenet,
    **{f"W4.{layer}_{way}": convolution(way) for layer in LAYERS for way in ("fwd", "bwd_data", "bwd_w")},
    "W5": bilinear, "product.512": product, "product.1024": product, "product.2048": product,
    "W6.softmax": softmax, "W6.layernorm": layer_norm, "W6.gelu": gelu,
    "W7.l1dist": l1_distances, "W7.maxout": maxout, "W7.softdtw": soft_dtw, "W7.bilateral": bilateral, "W7.rbf": gaussian_kernel,
    "W7.hinge": hinge, "W8.rnn": rnn, "W8.lstm": lstm, "W8.cumsum": cumulative_sum, "W8.wave": wave, "W9": embedding,
    "W10.fwd": lambda xp, a, x, b: a * x + b, "W10.grad": scaled_sum, "W11.vgg16_fwd": vgg16, "W11.alexnet_grad": alexnet,
}
