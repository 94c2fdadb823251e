"""A part of a right side as a tensor of its own: what passes share that take expressions apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy as sp

from graphc.analysis.touches import Path
from graphc.ir.dtypes import dtype_of, settle
from graphc.ir.expr import Access, Where
from graphc.ir.graph import fresh_name
from graphc.ir.origin import Part
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, indices_of, postorder
from graphc.passes.guard import guard

__all__ = ["either", "part", "paths"]


def part(
    value: sp.Expr, path: Path, statement: Statement, word: str, why: str, parts: Sequence[Access], tensors: dict[str, Tensor],
    known: tuple[sp.Expr, ...],
) -> tuple[Statement, Access]:
    """A statement ``T.word[i,j] = value`` under the conditions of `path` for a part of a statement of T, and what reads it.

    The tensor, over the indices that the part needs, is added to `tensors`; `parts` are reads of other parts; `known` holds
    expressions that are ≥ 0 in every call.
    """
    for condition, truth in reversed(path):
        value = Where(condition, value, sp.Integer(0)) if truth else Where(condition, sp.Integer(0), value)
    needed = set(indices_of(value))
    ranges = tuple(r for r in statement.ranges if r.index in needed)
    indices = tuple(r.index for r in ranges)
    target = tensors[statement.target]
    name = fresh_name(f"{statement.target}.{word}", tensors)
    stored = settle(dtype_of(value, lambda n: tensors[n].dtype), target.dtype)
    tensors[name] = Tensor(name, tuple(r.upper for r in ranges), stored, "defined", target.group)
    order = tuple(a for a in (*statement.order, *parts) if a in accesses(value))
    domain = tuple(d for d in statement.domain if set(indices_of(d)) <= needed)
    made = Statement(name, indices, "=", value, ranges, domain, order, statement.location, Part(why, statement))
    found: Access = Access(name, *indices)
    return guard(made, tensors, known), found


def paths(value: sp.Expr) -> Mapping[sp.Basic, Path | None]:
    """The conditions under which each node is evaluated; None where it is a subscript."""
    found: dict[sp.Basic, Path | None] = {value: ()}
    for node in reversed(postorder(value)):
        path = found.get(node)
        for argument in node.args:
            inner = None if isinstance(node, Access) else path
            if isinstance(node, Where) and path is not None and argument is not node.condition:
                inner = (*path, (node.condition, argument is node.value))
            found[argument] = either(found[argument], inner) if argument in found else inner
    return found


def either(a: Path | None, b: Path | None) -> Path | None:
    """Where something is evaluated that is evaluated on two paths: the shorter one if the other goes on from there, what is before a
    condition if it is evaluated in both branches; None otherwise."""
    if a == () or b == ():
        return ()
    if a is None or b is None:
        return None
    shared = min(len(a), len(b))
    if len(a) == len(b) and a[:-1] == b[:-1] and a[-1][0] == b[-1][0]:
        return a if a == b else a[:-1]
    return a[:shared] if a[:shared] == b[:shared] else None
