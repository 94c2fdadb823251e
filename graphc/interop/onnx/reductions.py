"""Operators that reduce dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import graphc as gc
from graphc.interop.onnx.node import Node, Unsupported, axes_of, indices

__all__ = ["REDUCTIONS", "arg_reduction", "reduction"]

def _reductions() -> dict[str, Callable[[Any, Any], Any]]:
    return {
        "ReduceSum": lambda x, over: gc.sum(x, over=over),
        "ReduceMean": lambda x, over: gc.mean(x, over=over),
        "ReduceMax": lambda x, over: gc.max(x, over=over),
        "ReduceMin": lambda x, over: gc.min(x, over=over),
        "ReduceProd": lambda x, over: gc.prod(x, over=over),
        "ReduceL1": lambda x, over: gc.sum(gc.abs(x), over=over),
        "ReduceL2": lambda x, over: gc.sqrt(gc.sum(x**2, over=over)),
        "ReduceLogSum": lambda x, over: gc.log(gc.sum(x, over=over)),
        "ReduceLogSumExp": lambda x, over: gc.logsumexp(x, over=over),
        "ReduceSumSquare": lambda x, over: gc.sum(x**2, over=over),
    }


REDUCTIONS: dict[str, Callable[[Any, Any], Any]] = _reductions()


def reduction(node: Node) -> gc.Tensor:
    x, axes = node.tensor(0), node.given("axes", 1)
    if axes in (None, []) and node.attribute("noop_with_empty_axes", 0):
        if node.kind not in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"):
            raise Unsupported("noop_with_empty_axes=1 without axes")
        return x
    gone = axes_of(axes or None, len(x.shape))
    i, y = indices(len(x.shape)), gc.tensor(node.name)
    y[_kept(node, i, gone)] = REDUCTIONS[node.kind](x[i], tuple(i[d] for d in gone)) if gone else x[i]
    return y


def _kept(node: Node, i: tuple[Any, ...], gone: list[int]) -> tuple[Any, ...]:
    if node.attribute("keepdims", 1):
        return tuple(0 if d in gone else k for d, k in enumerate(i))
    return tuple(k for d, k in enumerate(i) if d not in gone)


def arg_reduction(node: Node) -> gc.Tensor:
    x = node.tensor(0)
    gone = axes_of(node.attribute("axis", 0), len(x.shape))
    i, y = indices(len(x.shape)), gc.tensor(node.name)
    y[_kept(node, i, gone)] = (gc.argmax if node.kind == "ArgMax" else gc.argmin)(x[i], over=i[gone[0]])
    return y
