"""Scalar variables of kernel bodies: where a language with blocks declares them, and which of them only grow by addition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sympy as sp

from graphc.emit.walk import expressions_of
from graphc.ir.affine import linear
from graphc.ir.dtypes import is_integer
from graphc.ir.expr import Access, Call
from graphc.ir.nest import Assign, For, If, Local, Node, Store, Unravel
from graphc.ir.tree import accesses, postorder

__all__ = ["locals_in", "place_of", "sums_of", "type_of"]


def locals_in(node: Node) -> Iterator[Local]:
    """Scalar variables in a node, in order."""
    match node:
        case For():
            for bound in (*node.lower, *node.upper):
                yield from _in(bound)
            for part in node.body:
                yield from locals_in(part)
        case If():
            yield from _in(node.condition)
            for part in node.body:
                yield from locals_in(part)
        case Assign():
            yield from _in(node.value)
            yield node.name
        case Store():
            for e in (*node.subscripts, node.value):
                yield from _in(e)
        case Unravel():
            for _, extent in node.parts:
                yield from _in(extent)


def _in(expression: sp.Basic) -> Iterator[Local]:
    return (part for part in postorder(expression) if isinstance(part, Local))


def place_of(local: Local, body: Sequence[Node]) -> tuple[int, bool] | None:
    """Where a body declares a variable: its position, and whether with a value; None where parts of it do, each for itself."""
    found = [k for k, node in enumerate(body) if local in locals_in(node)]
    if not found:
        return None
    first = body[found[0]]
    if isinstance(first, Assign) and local not in set(_in(first.value)):
        return found[0], True
    for k in found:
        node = body[k]
        if not isinstance(node, For | If):
            return found[0], False
        own = (*node.lower, *node.upper) if isinstance(node, For) else (node.condition,)
        inner = place_of(local, node.body)
        if any(local in set(_in(e)) for e in own) or (inner is not None and not inner[1]):
            return found[0], False
    return None


def type_of(local: Local, body: Sequence[Node]) -> str:
    """Of a variable; all integers are computed in 64 bits."""
    for node in body:
        if isinstance(node, Assign) and node.name == local:
            return "int64" if is_integer(node.dtype) else node.dtype
        if isinstance(node, For | If) and (found := type_of(local, node.body)):
            return found
    return ""


def sums_of(loop: For) -> list[Local]:
    """Float variables to which a loop only adds, if nothing else goes from one iteration to the next."""
    sums: list[Local] = []
    own: set[Local] = set()
    for node in loop.body:
        if isinstance(node, Store) and _apart(node, loop) and not set(sums) & set(locals_in(node)):
            continue
        if not isinstance(node, Assign):
            return []
        terms = _terms(node)
        used = {local for term in terms for local in _in(term)}
        if used & set(sums) or node.name in sums or (node.name in used and node.name not in own):
            return []
        if len(terms) < len(_addends(node.value)) and node.name not in own:
            if not node.dtype.startswith("float"):
                return []
            sums.append(node.name)
        else:
            own.add(node.name)
    return sums


def _addends(value: sp.Expr) -> Sequence[sp.Expr]:
    if isinstance(value, Call) and value.function == "plus":
        return tuple(value.arguments)
    return tuple(value.args) if isinstance(value, sp.Add) else (value,)


def _terms(node: Assign) -> list[sp.Expr]:
    """What is added to the variable itself; all of the value if it is no such sum."""
    addends = _addends(node.value)
    others = [t for t in addends if t != node.name]
    return others if len(addends) > 1 and len(others) == len(addends) - 1 else [node.value]


def _apart(store: Store, loop: For) -> bool:
    """Whether every iteration stores to an element of its own, which no other one touches."""
    forms = [linear(s) for s in store.subscripts]
    if not any(form is not None and form.coefficient(loop.index) for form in forms):
        return False
    touched = {a.subscripts for e in expressions_of(loop.body) for a in accesses(e) if isinstance(a, Access) and a.tensor == store.tensor}
    stored = {n.subscripts for n in loop.body if isinstance(n, Store) and n.tensor == store.tensor}
    return touched | stored == {store.subscripts}
