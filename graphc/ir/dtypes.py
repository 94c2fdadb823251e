"""Data types: promotion like NumPy's arrays, with Python numbers, indices and sizes weak."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sympy as sp

from graphc.ir.expr import INFINITY, NAN, Access, BoundaryAccess, Call, Compare, FloorDiv, Index, Logical, Modulo, Reduce, Size, Where
from graphc.ir.functions import FUNCTIONS
from graphc.ir.random import RANDOM
from graphc.ir.reductions import EXTREMES, REDUCTIONS
from graphc.ir.tree import postorder

__all__ = ["DTYPES", "dtype_of", "exceeds_64_bits", "is_float", "is_integer", "promote", "reduced_type", "settle", "summed"]

DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
_WEAK = {"weak_bool": 0, "weak_int": 1, "weak_float": 2}
_SAFE = 2
"""Products of so many indices fit into 64 bits: no array has 2**31 rows and 2**31 columns."""
_SMALL = frozenset({"bool", "weak_bool", "int8", "int16", "int32", "uint8"})  # their sums and products are int64


def is_float(dtype: str) -> bool:
    return dtype.startswith("float") or dtype == "weak_float"


def is_integer(dtype: str) -> bool:
    return "int" in dtype


def promote(*dtypes: str) -> str:
    """The common type of operands; weak types give way to the strong ones of their kind. A fraction of integers has no precision of
    its own.

    >>> promote("float32", "weak_float"), promote("float32", "int64"), promote("int32", "weak_int"), promote("int32", "weak_float")
    ('float32', 'float32', 'int32', 'weak_float')
    """
    strong = [dtype for dtype in dtypes if dtype not in _WEAK]
    weak = max((_WEAK[dtype] for dtype in dtypes if dtype in _WEAK), default=0)
    if not strong:
        return ("weak_bool", "weak_int", "weak_float")[weak]
    floats = [dtype for dtype in strong if is_float(dtype)]
    if floats:
        return "float64" if "float64" in floats else "float32"
    if weak == 2:
        return "weak_float"
    result = str(np.result_type(*strong))
    return "int64" if result == "bool" and weak == 1 else result


def _of_call(name: str, operands: list[str]) -> str:
    if name in RANDOM:
        return RANDOM[name]
    kind = FUNCTIONS[name].kind if name in FUNCTIONS else "float"
    joint = promote(*operands)
    if kind == "integer":
        return "int64"
    if kind == "same":
        return joint
    return promote(joint, "weak_float")


def _of_reduce(op: str, body: str) -> str:
    if op in ("any", "all"):
        return "bool"
    if op in ("argmax", "argmin"):
        return "int64"
    if op in ("mean", "logsumexp"):
        return promote(body, "weak_float")
    if op in ("sum", "prod"):
        return summed(body)
    if op in REDUCTIONS:
        return promote(body, dtype_of(REDUCTIONS[op].combine(Access("a"), Access("b")), lambda _: body))
    return body


def summed(dtype: str) -> str:
    """The type of a sum or product of such elements: of bools and of integers with fewer than 64 bits int64, as in NumPy.

    >>> summed("uint8"), summed("bool"), summed("float32")
    ('int64', 'int64', 'float32')
    """
    return "int64" if dtype in _SMALL else dtype


def _padded(stored: str, fill: sp.Basic, kind: str) -> str:
    """The type of a tensor read with a constant outside: one that holds both; 0 and 1 are also truth values."""
    if isinstance(fill, sp.Integer) and stored in DTYPES and not is_float(stored):
        least, most = (0, 1) if stored == "bool" else (np.iinfo(stored).min, np.iinfo(stored).max)
        return stored if least <= int(fill) <= most else "int64"
    return promote(stored, kind)


def dtype_of(expression: sp.Expr, tensor_dtype: Callable[[str], str]) -> str:
    """The type of an expression, possibly weak; `tensor_dtype` gives the type of a tensor by name."""
    found: dict[sp.Basic, str] = {}

    def of(node: sp.Basic) -> str:
        if isinstance(node, Access):
            return tensor_dtype(node.tensor)
        if isinstance(node, BoundaryAccess):
            stored = tensor_dtype(node.tensor)
            return _padded(stored, node.fill, found[node.fill]) if "pad" in node.modes else stored
        if isinstance(node, Compare | Logical) or node in (sp.true, sp.false):
            return "bool"
        if isinstance(node, Index | Size | FloorDiv | Modulo | sp.Integer):
            return "weak_int"
        if isinstance(node, sp.Number) or node in (INFINITY, NAN):
            return "weak_float"
        if isinstance(node, Where):
            return promote(found[node.value], found[node.other])
        if isinstance(node, Reduce):
            return _of_reduce(node.op, found[node.body])
        if isinstance(node, Call):
            return _of_call(node.function, [found[argument] for argument in node.arguments])
        if isinstance(node, sp.Pow):
            base, exponent = found[node.base], found[node.exp]
            whole = isinstance(node.exp, sp.Integer) and node.exp >= 0
            joint = base if whole else promote(base, exponent, "weak_float")
            return "int64" if joint == "bool" else joint
        if isinstance(node, sp.Add | sp.Mul):
            joint = promote(*(found[argument] for argument in node.args))
            return "int64" if joint == "bool" else joint
        return "weak_int"

    for node in postorder(expression):
        found[node] = of(node)
    return found[expression]


def exceeds_64_bits(node: sp.Basic) -> bool:
    """Whether an integer may need more than 64 bits although each of its indices and sizes does not.

    >>> j = Index("j")
    >>> exceeds_64_bits(j**2), exceeds_64_bits(j**3), exceeds_64_bits(Reduce("prod", j + 1, (j,)))
    (False, True, True)
    """
    return _degree(node) > _SAFE


def _degree(node: sp.Basic) -> float:
    """How many indices and sizes are multiplied with each other."""
    match node:
        case Index() | Size() | FloorDiv() | Modulo():
            return 1
        case sp.Add():
            return max(map(_degree, node.args))
        case sp.Mul():
            return sum(map(_degree, node.args))
        case sp.Pow():
            return _degree(node.base) * int(node.exp) if isinstance(node.exp, sp.Integer) else 0
        case Where():
            return max(_degree(node.value), _degree(node.other))
        case Call():
            return max(map(_degree, node.arguments), default=0)
        case Reduce():
            return _degree_of_reduction(node.op, node.body, len(node.indices))
    return 0


def _degree_of_reduction(op: str, body: sp.Expr, indices: int) -> float:
    """The same of a reduction over so many indices: a sum has as many terms as these have values, a product as many factors."""
    degree = _degree(body)
    if op == "sum":
        return degree + indices if degree else 0
    return degree if op.removesuffix("_split") in ("max", "min", *EXTREMES) else float("inf")


def reduced_type(op: str, value: sp.Expr, tensor_dtype: Callable[[str], str], stored: str) -> str:
    """The type in which values are multiplied or compared by a reduction whose result is `stored` in some type.

    Indices are numbers: they become floats where 64 bits may be too few and floats are stored.

    >>> j = Index("j")
    >>> [reduced_type("prod", j + 1, str, dtype) for dtype in ("int64", "float32")], reduced_type("max", j, str, "float32")
    (['int64', 'float32'], 'int64')
    """
    kind = dtype_of(value, tensor_dtype)
    if kind == "weak_int" and op.startswith("arg"):
        return "float64" if exceeds_64_bits(value) else "int64"
    if kind == "weak_int" and is_float(stored) and _degree_of_reduction(op, value, 0) > _SAFE:
        return stored
    return settle(kind, stored)


def settle(dtype: str, around: str = "float32") -> str:
    """The type in which a value of a weak type is stored: a weak float as what is computed `around` it, if that is a float.

    >>> settle("weak_int"), settle("weak_float"), settle("weak_float", "float64"), settle("weak_float", "int64")
    ('int64', 'float32', 'float64', 'float32')
    """
    stored = around if is_float(around) else "float32"
    return {"weak_bool": "bool", "weak_int": "int64", "weak_float": stored}.get(dtype, dtype)
