"""PyTorch: the operations that the losses use, and calls with gradients by autograd and updates by torch.optim, eager or compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from comparison.cases import Arrays, Case
from comparison.losses import LOSSES
from comparison.timed import Timed, by_name

VERSION = torch.__version__

sigmoid, relu, exp, square, gelu = torch.sigmoid, torch.relu, torch.exp, torch.square, F.gelu
where, clip, stack, moveaxis, einsum = torch.where, torch.clip, torch.stack, torch.moveaxis, torch.einsum
arange, zeros_like, full_like = torch.arange, torch.zeros_like, torch.full_like
cumsum, logsumexp, cross_entropy = torch.cumsum, torch.logsumexp, F.cross_entropy


def max(x: Tensor, axis: int) -> Tensor:
    return torch.amax(x, axis)


def linear(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return torch.addmm(b, x, w)


def conv2d(x: Tensor, w: Tensor, b: Tensor | None, stride: int, padding: int) -> Tensor:
    return F.conv2d(x, w, b, stride, padding)


def conv2d_image_gradient(shape: Any, w: Tensor, g: Tensor, padding: int) -> Tensor:
    return torch.nn.grad.conv2d_input(shape, w, g, padding=padding)


def conv2d_filter_gradient(x: Tensor, shape: Any, g: Tensor, padding: int) -> Tensor:
    return torch.nn.grad.conv2d_weight(x, shape, g, padding=padding)


def max_pool2d(x: Tensor, size: int, stride: int) -> Tensor:
    return F.max_pool2d(x, size, stride)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[1:], gain, bias, eps)


def l1_distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, p=1)


def picked(x: Tensor, labels: Tensor) -> Tensor:
    return x.gather(1, labels[:, None])


def embedding(table: Tensor, rows: Tensor) -> Tensor:
    return F.embedding(rows, table)


def pad(x: Tensor, before: int, after: int, value: float) -> Tensor:
    return F.pad(x, (before, after), value=value)


def scan(advanced: Callable[..., Any], carry: Any, over: Any) -> Any:
    """A Python loop, which is what a recurrence is without a kernel of its own."""
    outputs = []
    for of in zip(*over) if isinstance(over, tuple) else over:
        carry, output = advanced(carry, of)
        outputs.append(output)
    return carry, None if outputs[0] is None else torch.stack(outputs)


@torch.compiler.disable
def rnn(x: Tensor, Wx: Tensor, Wh: Tensor, b: Tensor) -> Tensor:
    start = x.new_zeros(1, x.shape[1], Wh.shape[0])
    return torch.rnn_tanh(x, start, [Wx.T, Wh.T, b, torch.zeros_like(b)], True, 1, 0.0, True, False, False)[0]


@torch.compiler.disable
def lstm(x: Tensor, Wx: Tensor, Wh: Tensor, b: Tensor) -> Tensor:
    """A kernel of its own, which torch.compile leaves as it is (as it does with nn.LSTM)."""
    start = x.new_zeros(1, x.shape[1], Wh.shape[0])
    return torch.lstm(x, (start, start), [Wx.T, Wh.T, b, torch.zeros_like(b)], True, 1, 0.0, True, False, False)[0]


def optimiser(name: str, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    if name == "adam":
        return torch.optim.Adam(parameters, lr=1e-3)
    return torch.optim.SGD(parameters, lr=1e-4) if name == "sgd" else torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def supports(mode: str, case: Case) -> bool:
    return case.name in LOSSES


def prepare(mode: str, case: Case, arrays: Arrays, threads: int) -> Timed:
    """What is timed: a value, a loss with gradients, or a training step."""
    from comparison import in_torch

    torch.set_num_threads(threads)
    tensors = {n: torch.tensor(a).requires_grad_(n in case.wanted) for n, a in arrays.items()}
    parameters = [tensors[n] for n in case.wanted]
    compiled = torch.compile if mode == "torch.compile" else lambda function: function
    loss = compiled(LOSSES[case.name])

    def value() -> Any:
        with torch.no_grad():
            return [loss(in_torch, **tensors)]

    def gradients() -> Any:
        found = loss(in_torch, **tensors)
        return [found, *torch.autograd.grad(found, parameters)]

    if case.optimiser:
        return stepping(case, lambda: loss(in_torch, **tensors), parameters, compiled)
    return (gradients if case.wanted else value), lambda found: by_name(case, [t.detach().numpy() for t in found])


def stepping(case: Case, loss: Callable[[], Tensor], parameters: list[Tensor], compiled: Callable[..., Any]) -> Timed:
    assert case.optimiser is not None
    update = optimiser(case.optimiser, parameters)
    updated = compiled(update.step)

    def step() -> Tensor:
        update.zero_grad()
        found = loss()
        found.backward()
        updated()
        return found

    return step, lambda found: by_name(case, [t.detach().numpy().copy() for t in (found, *parameters)])
