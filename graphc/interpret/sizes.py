"""Numbers for symbols: the values of extents and bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping

import sympy as sp

from graphc.errors import InternalError
from graphc.ir.expr import FloorDiv, Modulo

__all__ = ["size_value"]


def size_value(node: sp.Basic, sizes: Mapping[sp.Basic, int]) -> int:
    """The value of an integer expression in sizes (and indices, if the mapping has them), which may be symbols of another library."""
    if isinstance(node, sp.Integer):
        return int(node)
    if node.is_Symbol:
        return sizes[node]
    if isinstance(node, FloorDiv):
        return size_value(node.numerator, sizes) // node.divisor
    if isinstance(node, Modulo):
        return size_value(node.numerator, sizes) % node.divisor
    if isinstance(node, sp.Add):
        return sum(size_value(a, sizes) for a in node.args)
    if isinstance(node, sp.Mul):
        return math.prod(size_value(a, sizes) for a in node.args)
    if isinstance(node, sp.Pow) and isinstance(node.exp, sp.Integer) and node.exp > 0:
        return math.prod([size_value(node.base, sizes)] * int(node.exp))
    raise InternalError(f"{node} is not an integer expression in sizes.")
