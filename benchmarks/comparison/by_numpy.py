"""NumPy with gradients derived by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from comparison.cases import SPEED, STEPS, Arrays, Case
from comparison.timed import Timed, by_name

VERSION = np.__version__
Array = Any
"""An array of float32 or float64; what is computed has the type of what is given."""


def logistic(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def two_layers(x: Array, y: Array, w1: Array, w2: Array) -> tuple[Array, ...]:
    h = logistic(x @ w1)
    error = h @ w2 - y
    back = 2 * error
    return (error * error).sum(), x.T @ (back @ w2.T * (h * (1 - h))), h.T @ back


def bilinear(A: Array, B: Array, T: Array) -> tuple[Array, ...]:
    y = logistic(A @ B.transpose(0, 2, 1))
    back = T * y * (1 - y)
    return (y * T).sum(), back @ B, back.transpose(0, 2, 1) @ A


def softmax(z: Array, lab: Array) -> tuple[Array, ...]:
    rows, count = np.arange(len(z)), z.dtype.type(len(z))
    shifted = z - z.max(1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(1, keepdims=True)
    loss = (np.log(sums[:, 0]) - shifted[rows, lab]).mean()
    exponentials /= sums * count
    exponentials[rows, lab] -= 1 / count
    return loss, exponentials


def layer_norm(x: Array, gain: Array, bias: Array, T: Array) -> tuple[Array, ...]:
    centred = x - x.mean(1, keepdims=True)
    scale = 1 / np.sqrt((centred * centred).mean(1, keepdims=True) + x.dtype.type(1e-5))
    y = centred * scale
    back = T * gain
    moved = scale * (back - back.mean(1, keepdims=True) - y * (back * y).mean(1, keepdims=True))
    return ((y * gain + bias) * T).sum(), moved, (T * y).sum(0), T.sum(0)


def gelu(x: Array, T: Array) -> tuple[Array, ...]:
    from scipy.special import erf

    half, root, normal = map(x.dtype.type, (0.5, np.sqrt(0.5), 1 / np.sqrt(2 * np.pi)))
    below = half + half * erf(root * x)
    return (x * below * T).sum(), T * (below + x * normal * np.exp(-half * x * x))


def gaussian_kernel(X: Array, Y: Array, T: Array) -> tuple[Array, ...]:
    rate = X.dtype.type(0.02)
    squares = (X * X).sum(1)[:, None] + (Y * Y).sum(1)[None, :] - 2 * (X @ Y.T)
    weighted = np.exp(-rate * squares) * T
    back = -2 * rate * weighted
    return weighted.sum(), back.sum(1)[:, None] * X - back @ Y, back.sum(0)[:, None] * Y - back.T @ X


def hinge(S: Array, lab: Array) -> tuple[Array, ...]:
    rows, count = np.arange(len(S)), S.dtype.type(len(S))
    margins = np.maximum(S - S[rows, lab][:, None] + 1, 0)
    margins[rows, lab] = 0
    back = (margins > 0) / count
    back[rows, lab] = -back.sum(1)
    return margins.sum() / count, back


def cumulative_sum(x: Array, G: Array) -> tuple[Array, ...]:
    return (np.cumsum(x, 1) * G).sum(), np.cumsum(G[:, ::-1], 1)[:, ::-1]


def advanced(before: Array, now: Array) -> Array:
    """One step of the wave equation; its adjoint is itself."""
    new = (2 - 2 * SPEED) * now - before
    new[1:] += SPEED * now[:-1]
    new[:-1] += SPEED * now[1:]
    return new


def wave(u0: Array, tgt: Array) -> tuple[Array, ...]:
    before = now = u0
    for _ in range(STEPS):
        before, now = now, advanced(before, now)
    error = now - tgt
    later, back = np.zeros_like(error), error
    for _ in range(STEPS):
        later, back = back, advanced(later, back)
    return (error * error).sum() / 2, back - later


def embedding(E: Array, idx: Array, G: Array) -> tuple[Array, ...]:
    back = np.zeros_like(E)
    np.add.at(back, idx, G)
    return (E[idx] * G).sum(), back


def scaled_sum(a: Array, x: Array, b: Array, g: Array) -> tuple[Array, ...]:
    return (g * (a * x + b)).sum(), g * x, g * a, g


FUNCTIONS: dict[str, Callable[..., tuple[Array, ...]]] = {
    "W1.step": two_layers, "W1.grad": two_layers, "W5": bilinear,
    **{f"product.{size}": lambda A, B: (A @ B,) for size in (512, 1024, 2048)},
    "W6.softmax": softmax, "W6.layernorm": layer_norm, "W6.gelu": gelu, "W7.rbf": gaussian_kernel, "W7.hinge": hinge,
    "W8.cumsum": cumulative_sum, "W8.wave": wave, "W9": embedding, "W10.fwd": lambda a, x, b: (a * x + b,), "W10.grad": scaled_sum,
}


def supports(mode: str, case: Case) -> bool:
    return case.name in FUNCTIONS


def prepare(mode: str, case: Case, arrays: Arrays, threads: int) -> Timed:
    """What is timed. Threads are limited by the environment."""
    function = FUNCTIONS[case.name]
    if not case.optimiser:
        return lambda: function(**arrays), lambda found: by_name(case, found)
    assert case.optimiser == "sgd"
    state = {n: arrays[n].copy() for n in case.wanted}
    given, rate = {**arrays, **state}, next(iter(state.values())).dtype.type(1e-4)

    def step() -> Array:
        loss, *slopes = function(**given)
        for parameter, slope in zip(state.values(), slopes):
            parameter -= rate * slope
        return loss

    return step, lambda loss: by_name(case, [loss, *(a.copy() for a in state.values())])
