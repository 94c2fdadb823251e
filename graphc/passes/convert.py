"""Sums are converted to the type of their tensor once they are complete."""

from __future__ import annotations

from dataclasses import replace

from graphc.ir.dtypes import dtype_of, is_float, is_integer, promote, settle
from graphc.ir.expr import Access
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.origin import Part
from graphc.ir.statement import Statement, plain_ranges
from graphc.ir.tensor import Tensor

__all__ = ["convert_sums", "loses"]


def loses(stored: str, kind: str) -> bool:
    """Whether a sum of values of a kind is not the sum of what each of them is when it is stored.

    >>> loses("int64", "float32"), loses("bool", "weak_int"), loses("int8", "int64"), loses("bool", "bool")
    (True, True, False, False)
    """
    return not is_float(stored) and (is_float(kind) or (stored == "bool" and kind not in ("bool", "weak_bool")))


def convert_sums(graph: Graph) -> Graph:
    """``Y[i] += X[i,j]`` into integers becomes ``Y.sum[i] += X[i,j]`` in X's type and ``Y[i] = Y.sum[i]``."""
    tensors = dict(graph.by_name())
    statements = list(graph.statements)
    for name, defining in graph.definitions().items():
        target, kinds = tensors[name], [dtype_of(s.value, lambda n: tensors[n].dtype) for s in defining]
        if not any(s.op == "+=" and loses(target.dtype, kind) for s, kind in zip(defining, kinds, strict=True)):
            continue
        whole = fresh_name(f"{name}.sum", tensors)
        tensors[whole] = Tensor(whole, target.shape, _joint(kinds), "defined", target.group)
        statements = [replace(s, target=whole) if s.target == name else s for s in statements]
        statements.append(_conversion(target, whole, defining[-1]))
    return graph if len(statements) == len(graph.statements) else replace(
        graph, tensors=tuple(tensors.values()), statements=tuple(statements))


def _joint(kinds: list[str]) -> str:
    """A type for a sum of values of these kinds: beside floats, integers are in float64."""
    joint = settle(promote(*kinds))
    if not is_float(joint):
        return "int64"
    return "float64" if any(is_integer(kind) or kind == "weak_int" for kind in kinds) else joint


def _conversion(target: Tensor, whole: str, source: Statement) -> Statement:
    ranges = plain_ranges(target.shape)
    subscripts = tuple(r.index for r in ranges)
    origin = Part(f"the conversion to {target.dtype}", source)
    return Statement(target.name, subscripts, "=", Access(whole, *subscripts), ranges, location=source.location, origin=origin)
