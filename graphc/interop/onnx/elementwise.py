"""Operators that compute every element alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import graphc as gc
from graphc.interop.onnx.node import Node, Operand, Unsupported, indices

__all__ = [
    "BINARY", "FORMULAS", "PLAIN", "binary", "broadcast", "cast", "clip", "dropout", "identity", "map_elements", "power", "prelu",
    "unary", "variadic", "where", "widened",
]


def broadcast(*operands: Operand) -> tuple[tuple[Any, ...], list[Any], tuple[Any, ...]]:
    """One index per dimension of the result, the element of each operand, and the shape; extents of 1 fit any other, as in NumPy."""
    shapes = [x.shape if isinstance(x, gc.Tensor) else () for x in operands]
    rank = max(map(len, shapes))
    i, full = indices(rank), [(1,) * (rank - len(s)) + tuple(s) for s in shapes]
    one = [all(_one(s[d]) for s in full) for d in range(rank)]
    elements: list[Any] = []
    for x, shape in zip(operands, shapes, strict=True):
        first = rank - len(shape)
        place = tuple(0 if _one(e) and not one[first + d] else i[first + d] for d, e in enumerate(shape))
        elements.append(x[place] if isinstance(x, gc.Tensor) else x)
    return i, elements, tuple(next((s[d] for s in full if not _one(s[d])), 1) for d in range(rank))


def _one(extent: Any) -> bool:
    return isinstance(extent, int) and extent == 1


def map_elements(node: Node, function: Callable[..., Any], *operands: Operand) -> gc.Tensor:
    """The function of operands that are broadcast."""
    i, elements, shape = broadcast(*operands)
    y = node.result(shape)
    y[i] = function(*elements)
    return y


def widened(node: Node, x: gc.Tensor) -> gc.Tensor:
    """The numbers of a tensor as float64."""
    i, y = indices(len(x.shape)), gc.tensor(node.scope.name(f"{node.outputs[0]}.{x.name}"), x.shape, dtype="float64")
    y[i] = x[i]
    return y


# --------------------------------------------------------------------------------------------------------------- one argument


def _selu(x: Any, node: Node) -> Any:
    alpha, gamma = node.attribute("alpha", 1.67326319217681884765625), node.attribute("gamma", 1.05070102214813232421875)
    return gamma * gc.elu(x, alpha)


def _celu(x: Any, node: Node) -> Any:
    alpha = node.attribute("alpha", 1.0)
    return gc.maximum(x, 0) + gc.minimum(0, alpha * gc.expm1(x / alpha))


def _hard_sigmoid(x: Any, node: Node) -> Any:
    return gc.clip(node.attribute("alpha", 0.2) * x + node.attribute("beta", 0.5), 0, 1)


def _gelu(x: Any, node: Node) -> Any:
    if node.attribute("approximate", "none") == "none":
        return gc.gelu(x)
    return 0.5 * x * (1 + gc.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


PLAIN: tuple[str, ...] = (
    "Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Log", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Sqrt", "Tan", "Tanh",
)
"""Functions that the notation has, under the same name in lower case."""


def _formulas() -> dict[str, tuple[Callable[[Any, Node], Any], tuple[str, ...]]]:
    return {
        "Celu": (_celu, ("alpha",)),
        "Cosh": (lambda x, _: (gc.exp(x) + gc.exp(-x)) / 2, ()),
        "Elu": (lambda x, node: gc.elu(x, node.attribute("alpha", 1.0)), ("alpha",)),
        "Gelu": (_gelu, ()),
        "HardSigmoid": (_hard_sigmoid, ("alpha", "beta")),
        "HardSwish": (lambda x, _: x * gc.clip(x / 6 + 0.5, 0, 1), ()),
        "LeakyRelu": (lambda x, node: gc.leaky_relu(x, node.attribute("alpha", 0.01)), ("alpha",)),
        "Mish": (lambda x, _: x * gc.tanh(gc.softplus(x)), ()),
        "Neg": (lambda x, _: -x, ()),
        "Not": (lambda x, _: x == 0, ()),
        "Reciprocal": (lambda x, _: 1 / x, ()),
        "Selu": (_selu, ("alpha", "gamma")),
        "Sinh": (lambda x, _: (gc.exp(x) - gc.exp(-x)) / 2, ()),
        "Softsign": (lambda x, _: x / (1 + gc.abs(x)), ()),
        "Swish": (lambda x, node: x * gc.sigmoid(node.attribute("alpha", 1.0) * x), ("alpha",)),
        "ThresholdedRelu": (lambda x, node: gc.where(x > node.attribute("alpha", 1.0), x, 0), ("alpha",)),
    }


FORMULAS: dict[str, tuple[Callable[[Any, Node], Any], tuple[str, ...]]] = _formulas()
"""The function of an element and the node, and the attributes that it looks at."""


# -------------------------------------------------------------------------------------------------------------------- several


def _divide(a: Any, b: Any) -> Any:
    return a / b


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b, "Sub": lambda a, b: a - b, "Mul": lambda a, b: a * b, "Div": _divide,
    "And": lambda a, b: (a != 0) & (b != 0), "Or": lambda a, b: (a != 0) | (b != 0), "Xor": lambda a, b: (a != 0) != (b != 0),
    "Equal": lambda a, b: a == b, "Greater": lambda a, b: a > b, "GreaterOrEqual": lambda a, b: a >= b, "Less": lambda a, b: a < b,
    "LessOrEqual": lambda a, b: a <= b,
}  # fmt: skip


def binary(node: Node) -> gc.Tensor:
    operands = node.operands(0, 1)
    if node.kind == "Div" and all(map(_whole, operands)):
        raise Unsupported("of integers, which are computed")
    return map_elements(node, BINARY[node.kind], *operands)


def power(node: Node) -> gc.Tensor:
    """Of the type of the base; powers of integers by fractions are computed in float64, and cut."""
    base, exponent = node.operands(0, 1)
    if not _whole(base):
        return map_elements(node, gc.power, base, exponent)
    if not isinstance(exponent, gc.Tensor) and exponent >= 0 and float(exponent).is_integer():
        return map_elements(node, lambda x: x ** int(exponent), base)
    if _whole(exponent):
        raise Unsupported("of integers, which are computed")
    return map_elements(node, gc.power, widened(node, node.tensor(0)), exponent)


def _whole(operand: Operand) -> bool:
    return "int" in operand.dtype if isinstance(operand, gc.Tensor) else isinstance(operand, int)


def variadic(node: Node) -> gc.Tensor:
    """Sum, Mean, Max and Min of several operands."""
    operands = node.operands(*range(len(node.inputs)))
    function = {"Sum": lambda a, b: a + b, "Mean": lambda a, b: a + b, "Max": gc.maximum, "Min": gc.minimum}[node.kind]
    share = 1 / len(operands) if node.kind == "Mean" else 1
    return map_elements(node, lambda *values: reduce(function, values) * share if share != 1 else reduce(function, values), *operands)


def unary(node: Node) -> gc.Tensor:
    function = getattr(gc, node.kind.lower()) if node.kind in PLAIN else lambda x: FORMULAS[node.kind][0](x, node)
    return map_elements(node, function, *node.operands(0))


def where(node: Node) -> gc.Tensor:
    return map_elements(node, lambda c, a, b: gc.where(c != 0, a, b), *node.operands(0, 1, 2))


def prelu(node: Node) -> gc.Tensor:
    return map_elements(node, lambda x, slope: gc.where(x > 0, x, slope * x), *node.operands(0, 1))


def clip(node: Node) -> gc.Tensor:
    """Bounds are attributes before version 11, and may be left out."""
    places = [k for k in (1, 2) if node.has(k)]
    operands = node.operands(0, *places)
    limits = [(gc.maximum, gc.minimum)[k - 1] for k in places]
    for name, limit in (("min", gc.maximum), ("max", gc.minimum)):
        if name in node.attributes:
            operands, limits = [*operands, node.attributes[name]], [*limits, limit]

    def clipped(x: Any, *bounds: Any) -> Any:
        for limit, bound in zip(limits, bounds, strict=True):
            x = limit(x, bound)
        return x

    return map_elements(node, clipped, *operands)


def identity(node: Node) -> gc.Tensor:
    """The operand itself; where it has the name of a result of the file, as a tensor of that name."""
    return node.tensor(0)


def dropout(node: Node) -> gc.Tensor:
    if node.has(2) and node.constant(2).item():
        raise Unsupported("training mode")
    return node.tensor(0)


def cast(node: Node) -> gc.Tensor:
    from graphc.interop.onnx.types import name_of_type

    x, dtype = node.tensor(0), name_of_type(node.attribute("to"))
    if x.dtype == dtype:
        return x
    i, y = indices(len(x.shape)), gc.tensor(node.name, x.shape, dtype=dtype)
    if dtype == "bool":
        y[i] = x[i] != 0
    elif "int" in dtype and x.dtype.startswith("float"):
        y[i] = gc.where(x[i] < 0, gc.ceil(x[i]), gc.floor(x[i]))
    else:
        y[i] = x[i]
    return y
