"""Operators that reduce dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import graphc as gc
from graphc.interop.onnx.elementwise import widened
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


def _of_number(kind: str, x: Any) -> Any:
    """A number has no dimension to be reduced; the others give the number itself."""
    if kind in ("ReduceL1", "ReduceL2"):
        return gc.abs(x)
    return gc.log(x) if kind == "ReduceLogSum" else x**2 if kind == "ReduceSumSquare" else x


def reduction(node: Node) -> gc.Tensor:
    x, axes = node.tensor(0), node.given("axes", 1)
    if axes in (None, []) and node.attribute("noop_with_empty_axes", 0):
        if node.kind not in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"):
            raise Unsupported("noop_with_empty_axes=1 without axes")
        return x
    if "int" in x.dtype and node.kind in ("ReduceL2", "ReduceLogSum", "ReduceLogSumExp"):
        raise Unsupported("of integers")
    if "int" in x.dtype and node.kind == "ReduceMean":
        x = widened(node, x)
    gone = sorted(axes_of(axes or None, len(x.shape)))
    i = indices(len(x.shape))
    y = node.result(_kept(node, x.shape, gone, 1))
    y[_kept(node, i, gone, 0)] = REDUCTIONS[node.kind](x[i], tuple(i[d] for d in gone)) if gone else _of_number(node.kind, x[i])
    return y


def _kept(node: Node, i: Sequence[Any], gone: list[int], instead: int) -> tuple[Any, ...]:
    """Without what is reduced, or with a number instead."""
    if node.attribute("keepdims", 1):
        return tuple(instead if d in gone else k for d, k in enumerate(i))
    return tuple(k for d, k in enumerate(i) if d not in gone)


def arg_reduction(node: Node) -> gc.Tensor:
    x = node.tensor(0)
    gone = axes_of(node.attribute("axis", 0), len(x.shape))
    i, y = indices(len(x.shape)), gc.tensor(node.name)
    y[_kept(node, i, gone, 0)] = (gc.argmax if node.kind == "ArgMax" else gc.argmin)(x[i], over=i[gone[0]])
    return y
