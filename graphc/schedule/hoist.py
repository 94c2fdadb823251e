"""Reads and products that do not change in the innermost loop are computed in front of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import sympy as sp

from graphc.analysis.legality import in_range
from graphc.ir.dtypes import dtype_of, promote, settle
from graphc.ir.expr import Access, Call, Index, Where, build
from graphc.ir.nest import Assign, Local, Node, Store
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, contains, indices_of, symbols_of

__all__ = ["hoisted", "invariants", "substitute_products"]


def hoisted(
    statement: Statement,
    order: Sequence[Index],
    body: tuple[Node, ...],
    outer: Sequence[Index],
    tensors: dict[str, Tensor],
    more: tuple[sp.Expr, ...],
) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Move what does not change in the innermost loop in front of it, if it is provably in range there."""
    inner = order[-1]
    known = {*outer, *order[:-1]}
    facts = (
        *more,
        *(c for i in known for c in statement.range_of(i).constraints()),
        *(d for d in statement.domain if set(indices_of(d)) <= known),
    )
    found: dict[sp.Expr, Local] = {}
    taken = {str(r.index) for r in statement.ranges}
    for part in invariants(statement.value, lambda node: inner in symbols_of(node)):
        safe = all(
            not contains(s, Access) and in_range(s, e, facts)
            for a in accesses(part)
            for s, e in zip(a.subscripts, tensors[a.tensor].shape, strict=True)
        )
        if safe and all(a.tensor != statement.target for a in accesses(part)):
            found.setdefault(part, Local(next(n for k in count(len(found)) if (n := f"c{k}") not in taken)))
            taken.add(found[part].name)
    if not found:
        return body, ()
    stored = tensors[statement.target].dtype
    whole = promote(settle(dtype_of(statement.value, lambda n: tensors[n].dtype), stored), stored)
    lets = tuple(Assign(name, part, _own_type(part, tensors, whole)) for part, name in found.items())
    return tuple(_replaced(node, dict(found)) for node in body), lets


def _own_type(part: sp.Expr, tensors: dict[str, Tensor], whole: str) -> str:
    return settle(dtype_of(part, lambda n: tensors[n].dtype), whole)


def _replaced(node: Node, mapping: dict[sp.Basic, sp.Expr]) -> Node:
    if isinstance(node, Store | Assign):
        return replace(node, value=substitute_products(node.value, mapping))
    return node


def substitute_products(value: sp.Expr, mapping: dict[sp.Basic, sp.Expr]) -> sp.Expr:
    """Replace hoisted parts; a hoisted product may be some of the factors of a larger one."""
    products = {frozenset(p.args): name for p, name in mapping.items() if isinstance(p, sp.Mul)}

    def walk(node: sp.Basic) -> sp.Basic:
        if node in mapping:
            return mapping[node]
        if isinstance(node, sp.Mul):
            for factors, name in products.items():
                if factors <= set(node.args):
                    rest = [walk(a) for a in node.args if a not in factors]
                    return build(lambda: sp.Mul(name, *rest))  # noqa: B023
        if not node.args or isinstance(node, Access):
            return node
        arguments = [walk(a) for a in node.args]
        return node if all(a is b for a, b in zip(arguments, node.args, strict=True)) else build(lambda: node.func(*arguments))

    return walk(value)


def invariants(value: sp.Expr, varies: Callable[[sp.Basic], bool]) -> list[sp.Expr]:
    """Largest parts that do not vary and are worth a variable, outside of lazy branches."""
    found: list[sp.Expr] = []

    def walk(node: sp.Basic) -> None:
        if not contains(node, (Access, Call)):
            return
        if not varies(node):
            found.append(node)
            return
        if isinstance(node, Where):
            walk(node.condition)
            return
        if isinstance(node, sp.Mul):
            still = [a for a in node.args if not varies(a)]
            if len(still) > 1 and any(contains(a, (Access, Call)) for a in still):
                found.append(build(lambda: sp.Mul(*still)))
                for a in node.args:
                    if a not in still:
                        walk(a)
                return
        if isinstance(node, Access):
            return
        for a in node.args:
            walk(a)

    walk(value)
    return found
