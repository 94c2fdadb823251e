"""Activations: one function of every element, or of every row."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import graphc as gc
from graphc.nn.axes import axes, dimension, refuse
from graphc.requests import check_number

__all__ = ["elu", "gelu", "leaky_relu", "log_softmax", "relu", "sigmoid", "silu", "softmax", "softplus", "tanh"]


def _elementwise(layer: str, x: gc.Tensor, function: Callable[[Any], Any], name: str) -> gc.Tensor:
    i, y = axes(layer, x), gc.tensor(name)
    y[i] = function(x[i])
    return y


def relu(x: gc.Tensor, inplace: bool = False, *, name: str = "relu") -> gc.Tensor:
    """``max(0, x)``; its derivative at 0 is 0.

    Here and in other activations `inplace` is there because PyTorch has it. It changes nothing: where results lie is the compiler's matter.

    >>> import graphc as gc
    >>> print(gc.loops(gc.nn.relu(gc.tensor("x", 3))))
    for i:  relu[i] = relu(x[i])
    """
    return _elementwise("relu", x, gc.relu, name)


def leaky_relu(x: gc.Tensor, negative_slope: float = 0.01, inplace: bool = False, *, name: str = "leaky_relu") -> gc.Tensor:
    """``x`` where it is positive, else ``negative_slope·x``."""
    return _elementwise("leaky_relu", x, lambda e: gc.leaky_relu(e, negative_slope), name)


def elu(x: gc.Tensor, alpha: float = 1.0, inplace: bool = False, *, name: str = "elu") -> gc.Tensor:
    """``x`` where it is positive, else ``alpha·(exp(x) - 1)``."""
    return _elementwise("elu", x, lambda e: gc.elu(e, alpha), name)


def sigmoid(x: gc.Tensor, *, name: str = "sigmoid") -> gc.Tensor:
    """``1/(1 + exp(-x))``."""
    return _elementwise("sigmoid", x, gc.sigmoid, name)


def tanh(x: gc.Tensor, *, name: str = "tanh") -> gc.Tensor:
    """The hyperbolic tangent."""
    return _elementwise("tanh", x, gc.tanh, name)


def gelu(x: gc.Tensor, approximate: str = "none", *, name: str = "gelu") -> gc.Tensor:
    """``x`` times the probability that a normal number is less (Hendrycks and Gimpel, 2016).

    With ``approximate="tanh"`` it is ``x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))``.
    """
    if approximate not in ("none", "tanh"):
        raise refuse("gelu", f"approximate={approximate!r} is unknown", f"approximate={approximate!r}", 'use "none" or "tanh".')
    if approximate == "tanh":
        return _elementwise("gelu", x, lambda e: e / 2 * (1 + gc.tanh(math.sqrt(2 / math.pi) * (e + 0.044715 * e**3))), name)
    return _elementwise("gelu", x, gc.gelu, name)


def silu(x: gc.Tensor, inplace: bool = False, *, name: str = "silu") -> gc.Tensor:
    """``x·sigmoid(x)``."""
    return _elementwise("silu", x, gc.silu, name)


def softplus(x: gc.Tensor, beta: float = 1.0, threshold: float = 20.0, *, name: str = "softplus") -> gc.Tensor:
    """``log(1 + exp(beta·x))/beta``.

    `threshold` is there because PyTorch has it, which returns x beyond it. It changes nothing: the formula does not overflow.
    """
    check_number("nn.softplus", "beta", beta, 0, positive=True)
    return _elementwise("softplus", x, lambda e: gc.softplus(beta * e) / beta, name)


def softmax(x: gc.Tensor, dim: int = -1, *, name: str = "softmax") -> gc.Tensor:
    """``exp(x)`` divided by its sum along the dimension; of any size without overflow.

    >>> import graphc as gc
    >>> print(gc.loops(gc.nn.softmax(gc.tensor("x", 2, 3))))
    for i,j:  softmax[i,j] = exp(x[i,j])/sum(exp(x[i,k]), over=k)
    """
    i, other, k = _along(x, dim, "softmax")
    y = gc.tensor(name)
    y[i] = gc.exp(x[i]) / gc.sum(gc.exp(x[other]), over=k)
    return y


def log_softmax(x: gc.Tensor, dim: int = -1, *, name: str = "log_softmax") -> gc.Tensor:
    """The logarithm of `softmax`."""
    i, other, k = _along(x, dim, "log_softmax")
    y = gc.tensor(name)
    y[i] = x[i] - gc.logsumexp(x[other], over=k)
    return y


def _along(x: gc.Tensor, dim: int, layer: str) -> tuple[tuple[Any, ...], tuple[Any, ...], Any]:
    """Indices of an element, of the elements that differ from it in one dimension, and the index of that dimension."""
    i, k, d = axes(layer, x, "ijlmnopq", 1), gc.index("k"), dimension(layer, x, dim)
    return i, (*i[:d], k, *i[d + 1 :]), k
