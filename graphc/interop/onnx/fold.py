"""What is known when the file is read is computed then: extents, axes, limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.interop.onnx.node import Constant, Node, Unsupported, axes_of
from graphc.interop.onnx.types import name_of_type

__all__ = ["folded"]

Array = NDArray[Any]

LARGEST = 2**24
"""So many elements are computed when the file is read; what is larger is left to the program."""


def folded(node: Node) -> Constant | None:
    """The value of a node whose operands are all known, and no weights; None for other nodes and operators, and for large values.

    Elements may be sizes, which are computed with like numbers.

    Raises:
        Unsupported: the operands and attributes do not fit together.
    """
    if node.kind == "Constant":
        return Constant(_given(node))
    values = [node.scope.values.get(name) for name in node.inputs if name]
    known = [v for v in values if isinstance(v, Constant) and not _is_weight(v)]
    if node.kind not in _FOLDS or not values or len(known) != len(values):
        return None
    if node.kind == "ConstantOfShape" and (known[0].array.dtype == object or math.prod(known[0].array.tolist()) > LARGEST):
        return None
    try:
        found = _FOLDS[node.kind](node, *(v.array for v in known))
    except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError) as error:
        raise Unsupported(f"its constants and attributes do not fit together ({error})") from None
    if isinstance(found, np.ndarray | np.generic):
        return Constant(np.asarray(found)) if found.size <= LARGEST else None
    size = np.empty((), object)
    size[()] = found
    return Constant(size)


def _is_weight(value: Constant) -> bool:
    return value.weight and value.array.dtype.kind == "f" and value.array.ndim > 0


def _given(node: Node) -> Array:
    for name, value in node.attributes.items():
        if name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
            default = {"value_float": np.float32, "value_floats": np.float32}.get(name, np.int64)
            found = np.asarray(value) if name == "value" else np.asarray(value, default)
            if found.dtype == object:
                break
            return found
    raise Unsupported("a value that is no number")


def _cast(node: Node, x: Array) -> Array:
    return x if x.dtype == object else x.astype(name_of_type(node.attribute("to")))


def _divide(node: Node, a: Array, b: Array) -> Array:
    """Of integers towards zero; of sizes as `//`, because they are not negative."""
    if a.dtype.kind in "iu" and b.dtype.kind in "iu":
        if (b == 0).any():
            raise ZeroDivisionError("integers divided by 0")
        return np.sign(a) * np.sign(b) * (abs(a) // abs(b))
    return a / b if a.dtype.kind == "f" or b.dtype.kind == "f" else a // b


def _equal(node: Node, a: Array, b: Array) -> Array:
    """A size equals itself and no negative number."""
    if object not in (a.dtype, b.dtype):
        return np.asarray(a == b)
    left, right = np.broadcast_arrays(a.astype(object), b.astype(object))
    return np.array([_same(x, y) for x, y in zip(left.flat, right.flat, strict=True)], bool).reshape(left.shape)


def _same(a: Any, b: Any) -> bool:
    numbers = [v for v in (a, b) if isinstance(v, int)]
    if repr(a) != repr(b) and len(numbers) < 2 and not any(v < 0 for v in numbers):
        raise Unsupported(f"whether {a} is {b} (sizes= makes numbers of sizes)")
    return repr(a) == repr(b)


def _slice(node: Node, x: Array, *_: Array) -> Array:
    starts, ends = node.given("starts", 1), node.given("ends", 2)
    axes, steps = node.given("axes", 3, list(range(len(starts)))), node.given("steps", 4, [1] * len(starts))
    place = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes_of(axes, x.ndim), steps, strict=True):
        place[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(place)]


def _unsqueeze(node: Node, x: Array, *_: Array) -> Array:
    axes = node.given("axes", 1)
    return np.expand_dims(x, tuple(axes) if isinstance(axes, list) else axes)


def _reshape(node: Node, x: Array, shape: Array) -> Array:
    return x.reshape([x.shape[d] if e == 0 and not node.attribute("allowzero", 0) else int(e) for d, e in enumerate(shape)])


def _product(node: Node, x: Array, *_: Array) -> Array:
    axes = node.given("axes", 1)
    gone = None if axes is None else tuple(axes_of(axes, x.ndim))
    return np.asarray(np.prod(x, gone, dtype=x.dtype, keepdims=bool(node.attribute("keepdims", 1))))


def _squeeze(node: Node, x: Array, *_: Array) -> Array:
    axes = node.given("axes", 1)
    return np.squeeze(x, None if axes is None else tuple(axes_of(axes, x.ndim)))


def _filled(node: Node, shape: Array) -> Array:
    value = np.asarray(node.attribute("value", np.zeros(1, np.float32)))
    return np.full([int(e) for e in shape], value.reshape(-1)[0], value.dtype)


def _range(node: Node, start: Array, end: Array, step: Array) -> Array:
    if (end - start) / step > LARGEST:
        raise Unsupported(f"a range of more than {LARGEST} elements")
    return np.arange(start.item(), end.item(), step.item(), dtype=start.dtype)


_FOLDS: dict[str, Callable[..., Any]] = {
    "Add": lambda node, a, b: a + b, "Sub": lambda node, a, b: a - b, "Mul": lambda node, a, b: a * b, "Div": _divide,
    "Neg": lambda node, x: -x, "Cast": _cast, "Concat": lambda node, *parts: np.concatenate(parts, node.attribute("axis")),
    "ConstantOfShape": _filled, "Floor": lambda node, x: np.floor(x), "Ceil": lambda node, x: np.ceil(x),
    "Equal": _equal,
    "Gather": lambda node, x, where: np.take(x, where.astype(np.int64), node.attribute("axis", 0)), "Identity": lambda node, x: x,
    "Range": _range,
    "Reshape": _reshape, "ReduceProd": _product, "Slice": _slice,
    "Sqrt": lambda node, x: np.sqrt(x), "Squeeze": _squeeze, "Transpose": lambda node, x: np.transpose(x, node.attribute("perm")),
    "Unsqueeze": _unsqueeze,
    "Where": lambda node, c, a, b: np.where(c, a, b),
}  # fmt: skip
