"""Normalisation: elements shifted and scaled by the statistics of those around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import graphc as gc
from graphc.nn.axes import axes, check_groups, check_shape, dimension, extents, refuse
from graphc.requests import check_number, refuse_calls

__all__ = ["batch_norm", "group_norm", "layer_norm", "normalize"]


def batch_norm(
    x: gc.Tensor, running_mean: gc.Tensor | None, running_var: gc.Tensor | None, weight: gc.Tensor | None = None,
    bias: gc.Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5, *, name: str = "batch_norm",
    updates: dict[gc.Tensor, gc.Tensor] | None = None,
) -> gc.Tensor:
    """``(x - μ)/√(σ² + eps)·weight + bias`` for each channel (Ioffe and Szegedy, ICML 2015).

    Args:
        x: of shape N×C or N×C×….
        running_mean, running_var: of shape C; μ and σ² unless training.
        weight, bias: of shape C.
        training: whether μ and σ² are those of `x`, over all dimensions but C.
        momentum: the share of the new statistics in ``running_mean`` and ``running_var``.
        eps: keeps the root from 0.
        name: of the result.
        updates: where the new running statistics go: pass it on to `graphc.compile`. Those that are there already, of an earlier call in
            the same program, are what the new ones begin with.

    Raises:
        ArgumentError: a channel has only one element in training; where that depends on sizes, the call of the program raises it.
    """
    (n, c, *p), y = axes("batch_norm", x, "nchwdefg", 2), gc.tensor(name)
    _check_channels("batch_norm", x, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    check_number("nn.batch_norm", "momentum", momentum, 0, 1)
    check_number("nn.batch_norm", "eps", eps, 0)
    factor, shift = 1 if weight is None else weight[c], 0 if bias is None else bias[c]
    if not training:
        if running_mean is None or running_var is None:
            raise refuse("batch_norm", "there are no running statistics", "training=False", "pass them, or write training=True.")
        y[n, c, *p] = (x[n, c, *p] - running_mean[c]) * gc.rsqrt(running_var[c] + eps) * factor + shift
        return y
    mean, variance = gc.tensor(f"{name}.mean"), gc.tensor(f"{name}.variance")
    count = _several(x, variance)
    mean[c] = gc.mean(x[n, c, *p], over=(n, *p))
    variance[c] = gc.mean((x[n, c, *p] - mean[c]) ** 2, over=(n, *p))
    y[n, c, *p] = (x[n, c, *p] - mean[c]) * gc.rsqrt(variance[c] + eps) * factor + shift
    if updates is not None and running_mean is not None and running_var is not None:
        for running, now in ((running_mean, mean[c]), (running_var, count / (count - 1) * variance[c])):
            before, updates[running] = updates.get(running, running), gc.tensor(f"{running.name}.new")
            updates[running][c] = (1 - momentum) * before[c] + momentum * now
    return y


def layer_norm(
    x: gc.Tensor, normalized_shape: int | Sequence[Any], weight: gc.Tensor | None = None, bias: gc.Tensor | None = None,
    eps: float = 1e-5, *, name: str = "layer_norm",
) -> gc.Tensor:
    """``(x - μ)/√(σ² + eps)·weight + bias`` over the last dimensions, those of `normalized_shape` (Ba, Kiros and Hinton, 2016).

    >>> import graphc as gc
    >>> print(gc.loops(gc.nn.layer_norm(gc.tensor("x", gc.dim("N"), 8), 8)))
    for i:  layer_norm.mean[i] = mean(x[i,j], over=j)
    for i:  layer_norm.variance[i] = mean((x[i,j] - layer_norm.mean[i])**2, over=j)
    for i,j:  layer_norm[i,j] = (x[i,j] - layer_norm.mean[i])/sqrt(layer_norm.variance[i] + 1e-05)
    """
    wanted = extents("layer_norm", "normalized_shape", normalized_shape)
    check_number("nn.layer_norm", "eps", eps, 0)
    i = axes("layer_norm", x, least=len(wanted))
    lead, inner = i[: len(i) - len(wanted)], i[len(i) - len(wanted) :]
    if any(isinstance(e, Integral) and isinstance(d, int) and e != d for e, d in zip(wanted, x.shape[len(lead) :], strict=True)):
        raise refuse("layer_norm", f"normalized_shape={normalized_shape!r} does not end the shape of {x!r}",
                     f"normalized_shape={normalized_shape!r}", "give the last extents of the tensor.")
    for part, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None:
            check_shape("layer_norm", part, tensor, x.shape[len(lead) :], x)
    mean, variance, y = gc.tensor(f"{name}.mean"), gc.tensor(f"{name}.variance"), gc.tensor(name)
    mean[lead] = gc.mean(x[i], over=inner)
    variance[lead] = gc.mean((x[i] - mean[lead]) ** 2, over=inner)
    scaled = (x[i] - mean[lead]) * gc.rsqrt(variance[lead] + eps)
    y[i] = scaled * (1 if weight is None else weight[inner]) + (0 if bias is None else bias[inner])
    return y


def group_norm(
    x: gc.Tensor, num_groups: int, weight: gc.Tensor | None = None, bias: gc.Tensor | None = None, eps: float = 1e-5,
    *, name: str = "group_norm",
) -> gc.Tensor:
    """``(x - μ)/√(σ² + eps)·weight + bias`` over groups of channels of each image (Wu and He, ECCV 2018)."""
    (n, c, *p), channels = axes("group_norm", x, "nchwdefg", 2), x.shape[1]
    check_number("nn.group_norm", "eps", eps, 0)
    num_groups = check_groups("group_norm", num_groups, "num_groups", channels=channels)
    if not isinstance(channels, int):
        raise refuse("group_norm", f"{x!r} has no fixed number of channels to divide into {num_groups} groups", x.name,
                     "declare the channels as an integer.")
    _check_channels("group_norm", x, weight=weight, bias=bias)
    size = channels // num_groups
    g, k = gc.index("g", num_groups), gc.index("k", size)
    mean, variance, y = gc.tensor(f"{name}.mean"), gc.tensor(f"{name}.variance"), gc.tensor(name)
    mean[n, g] = gc.mean(x[n, g * size + k, *p], over=(k, *p))
    variance[n, g] = gc.mean((x[n, g * size + k, *p] - mean[n, g]) ** 2, over=(k, *p))
    scaled = (x[n, c, *p] - mean[n, c // size]) * gc.rsqrt(variance[n, c // size] + eps)
    y[n, c, *p] = scaled * (1 if weight is None else weight[c]) + (0 if bias is None else bias[c])
    return y


def normalize(x: gc.Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, *, name: str = "normalize") -> gc.Tensor:
    """``x`` divided by ``(Σ |x|^p)^(1/p)`` along a dimension, or by `eps` where that is less.

    The derivative of that root at 0 is 0; with p = 0 it is the number of elements that are not 0.
    """
    i, dim = axes("normalize", x, least=1), dimension("normalize", x, dim)
    check_number("nn.normalize", "p", p, infinite=True)
    check_number("nn.normalize", "eps", eps, 0)
    other, norm, y = (*i[:dim], gc.index("s"), *i[dim + 1 :]), gc.tensor(f"{name}.norm"), gc.tensor(name)
    rest, element = (*i[:dim], *i[dim + 1 :]), gc.abs(x[other])
    if p == float("inf"):
        norm[rest] = gc.max(element, over=other[dim])
    elif p in (0, 1):
        norm[rest] = gc.sum(element if p else gc.where(element > 0, 1.0, 0.0), over=other[dim])
    else:
        total, power = gc.tensor(f"{name}.total"), x[other] ** 2 if p == 2 else gc.power(element, p)
        total[rest] = gc.sum(gc.where(element > 0, power, 0) if p < 1 else power, over=other[dim])
        norm[rest] = gc.where(total[rest] > 0, gc.sqrt(total[rest]) if p == 2 else gc.power(total[rest], 1 / p), 0)
    y[i] = x[i] / gc.maximum(norm[rest], eps)
    return y


def _several(x: gc.Tensor, variance: gc.Tensor) -> Any:
    """How many elements a channel has, of which there have to be two: one has no variance."""
    extents = [extent for d, extent in enumerate(x.shape) if d != 1]
    fix = "pass more examples, or normalise by running statistics: training=False."
    if all(isinstance(extent, int) and extent == 1 for extent in extents):
        raise refuse("batch_norm", f"{x!r} has only one element per channel, which has no variance,", x.name, fix)
    if not any(isinstance(extent, int) and extent != 1 for extent in extents):
        sizes = [1 - extent for extent in extents if not isinstance(extent, int)]
        what = f"Each channel of {x.name} has fewer than two elements in gc.nn.batch_norm, so it has no variance."
        refuse_calls(variance, sizes, what, fix)
    return math.prod(extents)


def _check_channels(layer: str, x: gc.Tensor, **given: gc.Tensor | None) -> None:
    """Refuse what has not one element per channel."""
    for name, tensor in given.items():
        if tensor is not None:
            check_shape(layer, name, tensor, x.shape[1:2], x)
