"""Recurrent layers: T×B×I in, all states T×B×H and the last ones out; PyTorch's weights and order of gates."""

from __future__ import annotations

from typing import Any

import graphc as gc
from graphc.nn.axes import check_rank, check_shape, refuse

__all__ = ["gru", "lstm", "rnn"]


def rnn(
    x: gc.Tensor, h0: gc.Tensor, w_ih: gc.Tensor, w_hh: gc.Tensor, b_ih: gc.Tensor | None = None, b_hh: gc.Tensor | None = None,
    nonlinearity: str = "tanh", *, name: str = "rnn",
) -> tuple[gc.Tensor, gc.Tensor]:
    """``h[t] = tanh(w_ih·x[t] + b_ih + w_hh·h[t-1] + b_hh)`` (Elman, 1990).

    Args:
        x: T×B×I.
        h0: B×H, what comes before the first step.
        w_ih, w_hh: H×I and H×H.
        b_ih, b_hh: H.
        nonlinearity: "tanh" or "relu".
        name: of the result.

    Returns:
        All states, T×B×H, and the last one, B×H.

    >>> import graphc as gc
    >>> x, h0 = gc.tensor("x", gc.dim("T"), 2, 3), gc.tensor("h0", 2, 4)
    >>> h, last = gc.nn.rnn(x, h0, gc.tensor("w_ih", 4, 3), gc.tensor("w_hh", 4, 4))
    >>> print(gc.loops(h))
    for t,b,i:  rnn.input[t,b,i] = sum(x[t,b,j]*w_ih[i,j], over=j)
    for b,i:  rnn[-1,b,i] = h0[b,i]
    for t,b,i:  rnn[t,b,i] = tanh(rnn.input[t,b,i] + sum(rnn[t-1,b,k]*w_hh[i,k], over=k))
    """
    if nonlinearity not in ("tanh", "relu"):
        raise refuse("rnn", f"nonlinearity={nonlinearity!r} is unknown", f"nonlinearity={nonlinearity!r}", 'use "tanh" or "relu".')
    (t, b, i, k), h = gc.indices("t b i k"), gc.tensor(name)
    _check("rnn", 1, x, (h0,), w_ih, w_hh, b_ih, b_hh)
    u = _inputs(x, w_ih, b_ih, b_hh, name)
    h[-1, b, i] = h0[b, i]
    before = u[t, b, i] + gc.sum(h[t - 1, b, k] * w_hh[i, k], over=k)
    h[t, b, i] = gc.tanh(before) if nonlinearity == "tanh" else gc.relu(before)
    return h, _last(h, x)


def lstm(
    x: gc.Tensor, h0: gc.Tensor, c0: gc.Tensor, w_ih: gc.Tensor, w_hh: gc.Tensor, b_ih: gc.Tensor | None = None,
    b_hh: gc.Tensor | None = None, *, name: str = "lstm",
) -> tuple[gc.Tensor, tuple[gc.Tensor, gc.Tensor]]:
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; with forget gates).

    Args:
        x: T×B×I.
        h0, c0: B×H, state and memory before the first step.
        w_ih, w_hh: 4H×I and 4H×H, the rows of the gates in the order input, forget, memory, output.
        b_ih, b_hh: 4H.
        name: of the result.

    Returns:
        All states, T×B×H, and the last state and memory, each B×H.
    """
    _check("lstm", 4, x, (h0, c0), w_ih, w_hh, b_ih, b_hh)
    size = h0.shape[1]
    (t, b, k), i, h, c = gc.indices("t b k"), gc.index("i", size), gc.tensor(name), gc.tensor(f"{name}.memory")
    u = _inputs(x, w_ih, b_ih, b_hh, name)
    enter, forget, new, leave = (gc.tensor(f"{name}.{gate}") for gate in ("enter", "forget", "new", "leave"))
    for g, (gate, function) in enumerate(((enter, gc.sigmoid), (forget, gc.sigmoid), (new, gc.tanh), (leave, gc.sigmoid))):
        gate[t, b, i] = function(u[t, b, g * size + i] + gc.sum(h[t - 1, b, k] * w_hh[g * size + i, k], over=k))
    h[-1, b, i], c[-1, b, i] = h0[b, i], c0[b, i]
    c[t, b, i] = forget[t, b, i] * c[t - 1, b, i] + enter[t, b, i] * new[t, b, i]
    h[t, b, i] = leave[t, b, i] * gc.tanh(c[t, b, i])
    return h, (_last(h, x), _last(c, x))


def gru(
    x: gc.Tensor, h0: gc.Tensor, w_ih: gc.Tensor, w_hh: gc.Tensor, b_ih: gc.Tensor | None = None, b_hh: gc.Tensor | None = None,
    *, name: str = "gru",
) -> tuple[gc.Tensor, gc.Tensor]:
    """Gated recurrent units (Cho et al., EMNLP 2014).

    Args:
        x: T×B×I.
        h0: B×H, the state before the first step.
        w_ih, w_hh: 3H×I and 3H×H, the rows of the gates in the order reset, update, new.
        b_ih, b_hh: 3H.
        name: of the result.

    Returns:
        All states, T×B×H, and the last one, B×H.
    """
    _check("gru", 3, x, (h0,), w_ih, w_hh, b_ih, b_hh)
    size = h0.shape[1]
    (t, b, k), i, h = gc.indices("t b k"), gc.index("i", size), gc.tensor(name)
    u = _inputs(x, w_ih, b_ih, None, name)
    reset, update, new = (gc.tensor(f"{name}.{gate}") for gate in ("reset", "update", "new"))

    def recurrent(g: int) -> Any:
        product = gc.sum(h[t - 1, b, k] * w_hh[g * size + i, k], over=k)
        return product if b_hh is None else product + b_hh[g * size + i]

    reset[t, b, i] = gc.sigmoid(u[t, b, i] + recurrent(0))
    update[t, b, i] = gc.sigmoid(u[t, b, size + i] + recurrent(1))
    new[t, b, i] = gc.tanh(u[t, b, 2 * size + i] + reset[t, b, i] * recurrent(2))
    h[-1, b, i] = h0[b, i]
    h[t, b, i] = (1 - update[t, b, i]) * new[t, b, i] + update[t, b, i] * h[t - 1, b, i]
    return h, _last(h, x)


def _check(
    layer: str, gates: int, x: gc.Tensor, before: tuple[gc.Tensor, ...], w_ih: gc.Tensor, w_hh: gc.Tensor, *biases: gc.Tensor | None
) -> None:
    """Refuse what does not go with T×B×I inputs and B×H states."""
    check_rank(layer, x, 3, 3)
    for name, state in zip(("h0", "c0"), before, strict=False):
        check_shape(layer, name, state, (x.shape[1], before[0].shape[-1] if name == "c0" else "H"), x)
    size = before[0].shape[1]
    rows = gates * size if isinstance(size, int) else f"{gates}·{size}"
    check_shape(layer, "w_ih", w_ih, (rows, x.shape[2]), x)
    check_shape(layer, "w_hh", w_hh, (rows, size), before[0])
    for name, bias in zip(("b_ih", "b_hh"), biases, strict=True):
        if bias is not None:
            check_shape(layer, name, bias, (rows,), before[0])


def _inputs(x: gc.Tensor, w_ih: gc.Tensor, b_ih: gc.Tensor | None, b_hh: gc.Tensor | None, name: str) -> gc.Tensor:
    """What enters the gates from outside, for all steps at once."""
    (t, b, i, j), u = gc.indices("t b i j"), gc.tensor(f"{name}.input")
    total = gc.sum(x[t, b, j] * w_ih[i, j], over=j)
    for bias in (b_ih, b_hh):
        total = total if bias is None else total + bias[i]
    u[t, b, i] = total
    return u


def _last(h: gc.Tensor, x: gc.Tensor) -> gc.Tensor:
    (b, i), last = gc.indices("b i"), gc.tensor(f"{h.name}.last")
    last[b, i] = h[x.shape[0] - 1, b, i]
    return last
