"""JAX: the operations that the losses use, and jitted calls with gradients and updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from comparison.cases import Arrays, Case
from comparison.losses import LOSSES
from comparison.timed import Timed, by_name

VERSION = jax.__version__
DIMENSIONS = ("NCHW", "OIHW", "NCHW")

sigmoid, relu, exp, square = jax.nn.sigmoid, jax.nn.relu, jnp.exp, jnp.square
where, clip, stack, moveaxis, einsum = jnp.where, jnp.clip, jnp.stack, jnp.moveaxis, jnp.einsum
arange, zeros_like, full_like = jnp.arange, jnp.zeros_like, jnp.full_like
cumsum, logsumexp, max, scan = jnp.cumsum, jax.nn.logsumexp, jnp.max, lax.scan


def gelu(x: Array) -> Array:
    return jax.nn.gelu(x, approximate=False)


def linear(x: Array, w: Array, b: Array) -> Array:
    return x @ w + b


def cross_entropy(z: Array, y: Array) -> Array:
    return -picked(jax.nn.log_softmax(z), y).mean()


def conv2d(x: Array, w: Array, b: Array | None, stride: int, padding: int) -> Array:
    out = lax.conv_general_dilated(x, w, (stride, stride), [(padding, padding)] * 2, dimension_numbers=DIMENSIONS)
    return out if b is None else out + b[:, None, None]


def conv2d_image_gradient(shape: Any, w: Array, g: Array, padding: int) -> Array:
    return jax.vjp(lambda x: conv2d(x, w, None, 1, padding), jnp.zeros(shape, g.dtype))[1](g)[0]


def conv2d_filter_gradient(x: Array, shape: Any, g: Array, padding: int) -> Array:
    return jax.vjp(lambda w: conv2d(x, w, None, 1, padding), jnp.zeros(shape, g.dtype))[1](g)[0]


def max_pool2d(x: Array, size: int, stride: int) -> Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, size, size), (1, 1, stride, stride), "VALID")


def layer_norm(x: Array, gain: Array, bias: Array, eps: float) -> Array:
    centred = x - x.mean(1, keepdims=True)
    return centred * lax.rsqrt(square(centred).mean(1, keepdims=True) + eps) * gain + bias


def l1_distances(x: Array, y: Array) -> Array:
    return jnp.abs(x[:, None, :] - y[None, :, :]).sum(-1)


def picked(x: Array, labels: Array) -> Array:
    return jnp.take_along_axis(x, labels[:, None], 1)


def embedding(table: Array, rows: Array) -> Array:
    return table[rows]


def pad(x: Array, before: int, after: int, value: float) -> Array:
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(before, after)], constant_values=value)


def rnn(x: Array, Wx: Array, Wh: Array, b: Array) -> Array:
    def cell(h: Array, fed: Array) -> tuple[Array, Array]:
        h = jnp.tanh(fed + h @ Wh)
        return h, h

    return scan(cell, jnp.zeros((x.shape[1], Wh.shape[0]), x.dtype), x @ Wx + b)[1]


def lstm(x: Array, Wx: Array, Wh: Array, b: Array) -> Array:
    def cell(state: tuple[Array, Array], fed: Array) -> tuple[tuple[Array, Array], Array]:
        h, c = state
        enter, forget, new, out = jnp.split(fed + h @ Wh, 4, axis=1)
        c = sigmoid(forget) * c + sigmoid(enter) * jnp.tanh(new)
        h = sigmoid(out) * jnp.tanh(c)
        return (h, c), h

    start = jnp.zeros((x.shape[1], Wh.shape[0]), x.dtype)
    return scan(cell, (start, start), x @ Wx + b)[1]


Update = Callable[[Any, Any, Any], Any]


def sgd(parameter: Array, slope: Array, state: Any) -> Any:
    return parameter - 1e-4 * slope, state


def momentum(parameter: Array, slope: Array, state: Any) -> Any:
    speed = 0.9 * state[0] + slope
    return parameter - 0.01 * speed, (speed, *state[1:])


def adam(parameter: Array, slope: Array, state: Any) -> Any:
    mean, variance, steps = 0.9 * state[0] + 0.1 * slope, 0.999 * state[1] + 0.001 * square(slope), state[2] + 1
    move = mean / (1 - 0.9**steps) / (jnp.sqrt(variance / (1 - 0.999**steps)) + 1e-8)
    return parameter - 1e-3 * move, (mean, variance, steps)


UPDATES: dict[str, Update] = {"sgd": sgd, "momentum": momentum, "adam": adam}


def supports(mode: str, case: Case) -> bool:
    return case.name in LOSSES


def prepare(mode: str, case: Case, arrays: Arrays, threads: int) -> Timed:
    """What is timed: a jitted value, a loss with gradients, or a training step. Threads are limited by the environment."""
    jax.config.update("jax_enable_x64", any(a.dtype == np.float64 for a in arrays.values()))
    given = {n: jnp.asarray(a if a.dtype.kind == "f" else a.astype(np.int32)) for n, a in arrays.items()}
    data = {n: a for n, a in given.items() if n not in case.wanted}
    parameters = tuple(given[n] for n in case.wanted)

    def loss(parameters: Any, data: Any) -> Any:
        from comparison import in_jax

        return LOSSES[case.name](in_jax, **dict(zip(case.wanted, parameters)), **data)

    if case.optimiser:
        return stepping(case, loss, parameters, data)
    if case.wanted:
        slopes = jax.jit(jax.value_and_grad(loss))
        return lambda: jax.block_until_ready(slopes(parameters, data)), lambda found: by_name(case, [found[0], *found[1]])
    value = jax.jit(loss)
    return lambda: jax.block_until_ready(value((), data)), lambda found: by_name(case, [found])


def stepping(case: Case, loss: Callable[..., Any], parameters: tuple[Array, ...], data: dict[str, Array]) -> Timed:
    assert case.optimiser is not None
    update = UPDATES[case.optimiser]

    def advance(parameters: Any, states: Any, data: Any) -> Any:
        found, slopes = jax.value_and_grad(loss)(parameters, data)
        new = [update(p, s, state) for p, s, state in zip(parameters, slopes, states)]
        return found, tuple(p for p, _ in new), tuple(state for _, state in new)

    advanced = jax.jit(advance, donate_argnums=(0, 1))
    now: list[Any] = [parameters, tuple((jnp.zeros_like(p), jnp.zeros_like(p), jnp.zeros((), p.dtype)) for p in parameters)]

    def step() -> Any:
        found, *now[:] = jax.block_until_ready(advanced(*now, data))
        return found

    return step, lambda found: by_name(case, [np.array(a) for a in (found, *now[0])])
