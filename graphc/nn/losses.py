"""Losses: predictions and targets in, a scalar out (their values with ``reduction="none"``); and penalties on weights."""

from __future__ import annotations

from typing import Any

import graphc as gc
from graphc.nn.axes import axes, check_integers, check_rank, check_shape, reduced, refuse
from graphc.requests import check_number

__all__ = [
    "binary_cross_entropy_with_logits", "cross_entropy", "elastic_net", "huber_loss", "l1", "l1_loss", "l2", "mse_loss",
    "multi_margin_loss", "perceptron_loss",
]


def mse_loss(x: gc.Tensor, target: gc.Tensor, *, reduction: str = "mean", name: str = "mse_loss") -> gc.Tensor:
    """``(x - target)²``."""
    i = _alike("mse_loss", x, target=target)
    return reduced("mse_loss", (x[i] - target[i]) ** 2, i, reduction, name)


def l1_loss(x: gc.Tensor, target: gc.Tensor, *, reduction: str = "mean", name: str = "l1_loss") -> gc.Tensor:
    """``|x - target|``."""
    i = _alike("l1_loss", x, target=target)
    return reduced("l1_loss", gc.abs(x[i] - target[i]), i, reduction, name)


def huber_loss(
    x: gc.Tensor, target: gc.Tensor, reduction: str = "mean", delta: float = 1.0, *, name: str = "huber_loss"
) -> gc.Tensor:
    """``(x - target)²/2``, beyond `delta` continued along its tangent (Huber, 1964)."""
    i = _alike("huber_loss", x, target=target)
    check_number("nn.huber_loss", "delta", delta, positive=True, infinite=True)
    distance = gc.abs(x[i] - target[i])
    return reduced("huber_loss", gc.where(distance < delta, distance**2 / 2, delta * (distance - delta / 2)), i, reduction, name)


def cross_entropy(
    logits: gc.Tensor, labels: gc.Tensor, weight: gc.Tensor | None = None, *, ignore_index: int | None = None, reduction: str = "mean",
    label_smoothing: float = 0.0, name: str = "cross_entropy",
) -> gc.Tensor:
    """The negative logarithm of the softmax of `logits` at the labels.

    Args:
        logits: scores of shape C, N×C or N×C×d….
        labels: integer labels of shape (), N or N×d…, or probabilities of the shape of `logits`.
        weight: of each class; the mean is then a weighted one.
        ignore_index: a label that does not count, neither in the sum nor in the mean.
        reduction: "mean", "sum" or "none".
        label_smoothing: the share of the uniform distribution in the labels.
        name: of the result.

    >>> import graphc as gc
    >>> x, label = gc.tensor("x", gc.dim("N"), 10), gc.tensor("label", gc.dim("N"), dtype="int64")
    >>> print(gc.loops(gc.nn.cross_entropy(x, label)))
    cross_entropy[()] = mean(logsumexp(x[n,c], over=c) - x[n,label[n]], over=n)
    """
    rank, c, k = check_rank("cross_entropy", logits, 1), gc.index("c"), gc.index("k")
    batch, places = ((gc.index("n"),) if rank > 1 else ()), tuple(gc.index(name) for name in "hwdefg"[: max(rank - 2, 0)])
    free, classes = (*batch, *places), logits.shape[min(rank - 1, 1)]
    check_number("nn.cross_entropy", "label_smoothing", label_smoothing, 0, 1)
    if weight is not None:
        check_shape("cross_entropy", "weight", weight, (classes,), logits)
    total = gc.logsumexp(logits[*batch, c, *places], over=c)
    if check_rank("cross_entropy", labels, 0) == rank:
        check_shape("cross_entropy", "labels", labels, logits.shape, logits)
        if ignore_index is not None:
            raise refuse("cross_entropy", f"ignore_index={ignore_index!r} is a label, but {labels!r} has probabilities",
                         f"ignore_index={ignore_index!r}", "leave it out, or pass integer labels.")
        share = (1 - label_smoothing) * labels[*batch, k, *places] + label_smoothing / classes
        each = share * (total - logits[*batch, k, *places])
        return reduced("cross_entropy", gc.sum(each if weight is None else weight[k] * each, over=k), free, reduction, name)
    check_integers("cross_entropy", "labels", labels)
    check_shape("cross_entropy", "labels", labels, (*logits.shape[: len(batch)], *logits.shape[2:]), logits)
    label, counts = labels[free], None if ignore_index is None else labels[free] != ignore_index
    if counts is not None:
        known = gc.tensor(f"{name}.label", dtype="int64")
        known[free] = gc.where(counts, label, 0)
        label = known[free]
    value = total - logits[*batch, label, *places]
    factor: Any = 1 if weight is None else weight[label]
    if label_smoothing:
        each = total - logits[*batch, k, *places]
        spread = gc.mean(each if weight is None else weight[k] * each, over=k)
        value = (1 - label_smoothing) * factor * value + label_smoothing * spread
    elif weight is not None:
        value = factor * value
    if counts is not None:
        value, factor = gc.where(counts, value, 0), gc.where(counts, factor, 0)
    if (weight is None and counts is None) or reduction != "mean":
        return reduced("cross_entropy", value, free, reduction, name)
    loss = gc.tensor(name)
    loss[()] = gc.sum(value, over=free) / gc.sum(factor, over=free) if free else value / factor
    return loss


def binary_cross_entropy_with_logits(
    x: gc.Tensor, target: gc.Tensor, weight: gc.Tensor | None = None, *, reduction: str = "mean",
    pos_weight: gc.Tensor | float | None = None, name: str = "binary_cross_entropy",
) -> gc.Tensor:
    """``-target·log σ(x) - (1 - target)·log(1 - σ(x))``, times `weight` if given; `pos_weight` multiplies the first summand.

    `pos_weight` is a number, or a tensor of the shape of the last dimensions of `x`.
    """
    i = _alike("binary_cross_entropy_with_logits", x, target=target)
    if weight is not None:
        _alike("binary_cross_entropy_with_logits", x, weight=weight)
    value = gc.softplus(x[i]) - x[i] * target[i]
    if pos_weight is not None:
        factor: Any = pos_weight
        if isinstance(pos_weight, gc.Tensor):
            rank = min(len(pos_weight.shape), len(i))
            check_shape("binary_cross_entropy_with_logits", "pos_weight", pos_weight, x.shape[len(i) - rank :], x)
            factor = pos_weight[i[len(i) - rank :]]
        else:
            check_number("nn.binary_cross_entropy_with_logits", "pos_weight", pos_weight, float("-inf"))
        value = factor * target[i] * gc.softplus(-x[i]) + (1 - target[i]) * gc.softplus(x[i])
    return reduced("binary_cross_entropy_with_logits", value if weight is None else weight[i] * value, i, reduction, name)


def multi_margin_loss(
    x: gc.Tensor, target: gc.Tensor, p: int = 1, margin: float = 1.0, weight: gc.Tensor | None = None, *, reduction: str = "mean",
    name: str = "multi_margin_loss",
) -> gc.Tensor:
    """The multiclass SVM: ``Σ_{c≠label} max(0, margin - x[label] + x[c])^p``, divided by the number of classes as PyTorch does.

    Args:
        x: N×C scores.
        target: N integer labels.
        p: 1 or 2.
        margin: by how much the score of the label has to be greater.
        weight: of each class, by the label.
        reduction: "mean", "sum" or "none".
        name: of the result.
    """
    check_rank("multi_margin_loss", x, 2, 2)
    _labels("multi_margin_loss", x, target)
    if p not in (1, 2):
        raise refuse("multi_margin_loss", f"p={p!r} is neither 1 nor 2", f"p={p!r}", "give 1 or 2.")
    if weight is not None:
        check_shape("multi_margin_loss", "weight", weight, x.shape[1:], x)
    n, c = gc.indices("n c")
    gap = gc.relu(margin - x[n, target[n]] + x[n, c]) ** p
    each = gap if weight is None else weight[target[n]] * gap
    return reduced("multi_margin_loss", gc.mean(gc.where(c != target[n], each, 0), over=c), [n], reduction, name)


def perceptron_loss(x: gc.Tensor, target: gc.Tensor, *, reduction: str = "mean", name: str = "perceptron_loss") -> gc.Tensor:
    """What is missing to be right (Rosenblatt, 1958).

    With labels of the shape of `x`, which are ±1, ``max(0, -target·x)``; with N×C scores and N integer labels
    ``max_c x[c] - x[label]``.
    """
    if check_rank("perceptron_loss", x, 1) == check_rank("perceptron_loss", target, 0):
        i = _alike("perceptron_loss", x, target=target)
        return reduced("perceptron_loss", gc.relu(-target[i] * x[i]), i, reduction, name)
    check_rank("perceptron_loss", x, 2, 2)
    _labels("perceptron_loss", x, target)
    n, c = gc.indices("n c")
    return reduced("perceptron_loss", gc.max(x[n, c], over=c) - x[n, target[n]], [n], reduction, name)


def l1(w: gc.Tensor, *, name: str = "l1") -> gc.Tensor:
    """``Σ |w|``."""
    return reduced("l1", gc.abs(w[axes("l1", w)]), axes("l1", w), "sum", name)


def l2(w: gc.Tensor, *, name: str = "l2") -> gc.Tensor:
    """``Σ w²``."""
    return reduced("l2", w[axes("l2", w)] ** 2, axes("l2", w), "sum", name)


def elastic_net(w: gc.Tensor, alpha: float, beta: float, *, name: str = "elastic_net") -> gc.Tensor:
    """``Σ beta·w² + alpha·|w|`` (Zou and Hastie, 2005)."""
    i = axes("elastic_net", w)
    return reduced("elastic_net", beta * w[i] ** 2 + alpha * gc.abs(w[i]), i, "sum", name)


def _alike(layer: str, x: gc.Tensor, **others: gc.Tensor) -> tuple[Any, ...]:
    """Indices of the elements of tensors of one shape."""
    i = axes(layer, x)
    for name, tensor in others.items():
        check_shape(layer, name, tensor, x.shape, x)
    return i


def _labels(layer: str, x: gc.Tensor, target: gc.Tensor) -> None:
    """Refuse what are not as many integers as x has rows."""
    check_shape(layer, "target", target, x.shape[:1], x)
    check_integers(layer, "target", target)
