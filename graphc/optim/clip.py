"""Gradients that are not too large, to be passed to an optimiser in the place of the loss."""

from __future__ import annotations

import math
from typing import Any

import graphc as gc
from graphc.optim.gradients import gradients, subscripts
from graphc.requests import check_number

__all__ = ["clip_grad_norm", "clip_grad_value"]


def clip_grad_value(loss: Any, clip_value: float) -> dict[gc.Tensor, gc.Tensor]:
    """Gradients with every element between ``-clip_value`` and ``clip_value``.

    Args:
        loss: a scalar tensor, or a dict from parameters to their gradients.
        clip_value: the largest magnitude that stays.

    Returns:
        A dict from parameters to gradients, which every optimiser takes in the place of the loss.

    Raises:
        ArgumentError: the loss depends on no parameter, or `clip_value` is negative.

    >>> import graphc as gc
    >>> i, w, L = gc.index("i"), gc.parameter("w", 3), gc.tensor("L")
    >>> L[()] += w[i]**4
    >>> print(gc.loops(*gc.optim.clip_grad_value(L, 0.5).values()))
    for i:  w.grad[i] += 4*w[i]**3
    for i:  w.grad.clipped[i] = clip(w.grad[i], -0.5, 0.5)
    """
    check_number("optim.clip_grad_value", "clip_value", clip_value)
    clipped = {}
    for parameter, gradient in gradients(loss, "clip_grad_value").items():
        i = subscripts(parameter)
        clipped[parameter] = gc.tensor(f"{gradient.name}.clipped")
        clipped[parameter][i] = gc.clip(gradient[i], -clip_value, clip_value)
    return clipped


def clip_grad_norm(loss: Any, max_norm: float) -> dict[gc.Tensor, gc.Tensor]:
    """Gradients scaled by one factor, so that the Euclidean norm of all of them together is at most `max_norm`.

    As ``torch.nn.utils.clip_grad_norm_`` the factor is ``max_norm / (norm + 1e-6)`` where that is less than 1.

    Args:
        loss: a scalar tensor, or a dict from parameters to their gradients.
        max_norm: the largest norm that stays; an infinite one leaves the gradients as they are.

    Returns:
        A dict from parameters to gradients, which every optimiser takes in the place of the loss.

    Raises:
        ArgumentError: the loss depends on no parameter, or `max_norm` is negative.

    >>> import graphc as gc
    >>> i, w, L = gc.index("i"), gc.parameter("w", 3), gc.tensor("L")
    >>> L[()] += w[i]**2
    >>> print(gc.loops(*gc.optim.clip_grad_norm(L, 1).values()))
    for i:  w.grad[i] += 2*w[i]
    for i:  grad_norm.square[()] += w.grad[i]**2
    grad_norm.factor[()] = minimum(1, 1/(sqrt(grad_norm.square[()]) + 1e-06))
    for i:  w.grad.clipped[i] = w.grad[i]*grad_norm.factor[()]
    """
    check_number("optim.clip_grad_norm", "max_norm", max_norm, infinite=True)
    found = gradients(loss, "clip_grad_norm")
    if math.isinf(max_norm):
        return found
    square, factor, clipped = gc.tensor("grad_norm.square"), gc.tensor("grad_norm.factor"), {}
    for gradient in found.values():
        i = subscripts(gradient)
        square[()] += gradient[i] ** 2
    factor[()] = gc.minimum(1, max_norm / (gc.sqrt(square[()]) + 1e-6))
    for parameter, gradient in found.items():
        i = subscripts(parameter)
        clipped[parameter] = gc.tensor(f"{gradient.name}.clipped")
        clipped[parameter][i] = gradient[i] * factor[()]
    return clipped
