"""RNN, GRU and LSTM: a recurrence for each direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import graphc as gc
from graphc.interop.onnx.node import Node, Unsupported

__all__ = ["recurrent"]

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


class _Direction:
    """The gates of one direction: T×B×I in, every state as T×B×H in the order of its own time."""

    def __init__(self, node: Node, d: int, reverse: bool) -> None:
        self.node, self.d, self.reverse, self.size = node, d, reverse, node.attribute("hidden_size")
        self.x, self.w, self.r, self.b = node.tensor(0), node.tensor(1), node.tensor(2), node.optional(3)
        self.t, self.n, self.j, self.k = gc.indices("t b j k")
        self.i = gc.index("i", self.size)
        self.gates = GATES[node.kind]
        rows = self.gates * self.size
        if repr([self.w.shape[1], *self.r.shape[1:]]) != repr([rows, rows, self.size]):
            raise Unsupported(f"weights of shapes {tuple(self.w.shape)} and {tuple(self.r.shape)} with hidden_size={self.size}")
        self.prefix = f"{node.name}.{'reverse' if reverse else 'forward'}"

    def tensor(self, name: str) -> gc.Tensor:
        return gc.tensor(self.node.scope.name(f"{self.prefix}.{name}"))

    def inputs(self, g: int) -> Any:
        """What enters gate g from outside, with the bias of that half."""
        time = self.x.shape[0] - 1 - self.t if self.reverse else self.t
        product = gc.sum(self.x[time, self.n, self.j] * self.w[self.d, g * self.size + self.i, self.j], over=self.j)
        return product if self.b is None else product + self.b[self.d, g * self.size + self.i]

    def states(self, g: int, h: Callable[[Any], Any]) -> Any:
        """What enters gate g from the state before, of which h gives the element k, with the bias of that half."""
        product = gc.sum(h(self.k) * self.r[self.d, g * self.size + self.i, self.k], over=self.k)
        return product if self.b is None else product + self.b[self.d, (self.gates + g) * self.size + self.i]

    def start(self, state: gc.Tensor, k: int) -> None:
        """The state before the first step: an input, or zeros."""
        first = self.node.optional(k)
        n, i = gc.index("b", self.x.shape[1]), self.i
        state[-1, n, i] = 0 if first is None else first[self.d, n, i]


def _rnn(run: _Direction) -> tuple[gc.Tensor, ...]:
    h, (t, n, i) = run.tensor("state"), (run.t, run.n, run.i)
    run.start(h, 5)
    names = run.node.attribute("activations", ["Tanh"])
    function = {"Tanh": gc.tanh, "Relu": gc.relu, "Sigmoid": gc.sigmoid}.get(names[min(run.d, len(names) - 1)])
    if function is None:
        raise Unsupported(f"the activation {names[0]}")
    h[t, n, i] = function(run.inputs(0) + run.states(0, lambda k: h[t - 1, n, k]))
    return (h,)


def _lstm(run: _Direction) -> tuple[gc.Tensor, ...]:
    """Gates in the order input, output, forget, memory."""
    (h, c), (t, n, i) = (run.tensor("state"), run.tensor("memory")), (run.t, run.n, run.i)
    enter, leave, forget, new = (run.tensor(gate) for gate in ("enter", "leave", "forget", "new"))
    run.start(h, 5)
    run.start(c, 6)
    for g, (gate, function) in enumerate(((enter, gc.sigmoid), (leave, gc.sigmoid), (forget, gc.sigmoid), (new, gc.tanh))):
        gate[t, n, i] = function(run.inputs(g) + run.states(g, lambda k: h[t - 1, n, k]))
    c[t, n, i] = forget[t, n, i] * c[t - 1, n, i] + enter[t, n, i] * new[t, n, i]
    h[t, n, i] = leave[t, n, i] * gc.tanh(c[t, n, i])
    return h, c


def _gru(run: _Direction) -> tuple[gc.Tensor, ...]:
    """Gates in the order update, reset, new."""
    h, (t, n, i) = run.tensor("state"), (run.t, run.n, run.i)
    update, reset, new = (run.tensor(gate) for gate in ("update", "reset", "new"))
    run.start(h, 5)
    update[t, n, i] = gc.sigmoid(run.inputs(0) + run.states(0, lambda k: h[t - 1, n, k]))
    reset[t, n, i] = gc.sigmoid(run.inputs(1) + run.states(1, lambda k: h[t - 1, n, k]))
    if run.node.attribute("linear_before_reset", 0):
        new[t, n, i] = gc.tanh(run.inputs(2) + reset[t, n, i] * run.states(2, lambda k: h[t - 1, n, k]))
    else:
        new[t, n, i] = gc.tanh(run.inputs(2) + run.states(2, lambda k: reset[t, n, k] * h[t - 1, n, k]))
    h[t, n, i] = (1 - update[t, n, i]) * new[t, n, i] + update[t, n, i] * h[t - 1, n, i]
    return (h,)


KINDS = {"RNN": _rnn, "LSTM": _lstm, "GRU": _gru}


def recurrent(node: Node) -> tuple[gc.Tensor, ...]:
    """All states T×D×B×H, and the last ones, D×B×H, of each direction."""
    if node.has(4):
        raise Unsupported("lengths of sequences")
    if node.has(7):
        raise Unsupported("peepholes")
    if not isinstance(node.attribute("hidden_size"), int):
        raise Unsupported("the attribute hidden_size is missing")
    reversed_ = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[node.attribute("direction", "forward")]
    runs = [_Direction(node, d, reverse) for d, reverse in enumerate(reversed_)]
    states = [KINDS[node.kind](run) for run in runs]
    x, (t, n, i) = runs[0].x, gc.indices("t b i")
    shape = (len(runs), x.shape[1], runs[0].size)
    everything = gc.tensor(node.name, x.shape[0], *shape, dtype=x.dtype)
    last = [gc.tensor(node.scope.name(name or f"{node.outputs[0]}.last"), *shape, dtype=x.dtype)
            for _, name in zip(states[0], [*node.outputs[1:], "", ""], strict=False)]
    for d, (run, found) in enumerate(zip(runs, states, strict=True)):
        everything[t, d, n, i] = found[0][x.shape[0] - 1 - t if run.reverse else t, n, i]
        for y, state in zip(last, found, strict=True):
            y[d, n, i] = state[x.shape[0] - 1, n, i]
    return everything, *last
