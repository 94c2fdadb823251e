"""Unroll and jam: four iterations of a loop around an innermost loop become one, so that what the inner loop reads is read once for four.

Callahan, Carr and Kennedy, "Improving register allocation for subscripted variables", PLDI 1990. LLVM does this for loops that are much
simpler only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from itertools import count

import sympy as sp

from graphc.ir.expr import Access, Call, FloorDiv, build
from graphc.ir.functions import FUNCTIONS
from graphc.ir.nest import Assign, For, If, Local, Nest, Node, Step, Store
from graphc.ir.tree import accesses, contains, postorder, substitute, symbols_of

__all__ = ["jammed"]

TIMES = 4
"""Iterations that become one."""

_LITTLE = 24
"""Nodes of an expression up to which four of it are jammed, and the cost of a function: a longer one does not wait for what it reads."""
_CHEAP = 6

_SHORT = 16
"""Literal extents below which a loop stays as it is."""


def jammed(step: Step) -> Step:
    """The step with the loops jammed that add to the elements of a row again and again."""
    if not isinstance(step, Nest):
        return step
    body = _nodes(step.kernel.body)
    return step if body == step.kernel.body else replace(step, kernel=replace(step.kernel, body=body))


def _nodes(nodes: Sequence[Node]) -> tuple[Node, ...]:
    made: list[Node] = []
    for node in nodes:
        if isinstance(node, For):
            inner = _rows(node)
            made += _divided(node, inner) if inner else [replace(node, body=_nodes(node.body))]
        elif isinstance(node, If):
            made.append(replace(node, body=_nodes(node.body)))
        else:
            made.append(node)
    return tuple(made)


def _rows(loop: For) -> tuple[Node, ...]:
    """``for j: c = …; for k: T[k] += f(j, k, c)`` → four c, and ``T[k] += f(j) + f(j+1) + f(j+2) + f(j+3)``; a maximum likewise."""
    *before, last = loop.body
    if not _suitable(loop) or not isinstance(last, For) or not all(isinstance(n, Assign) for n in before):
        return ()
    stores = [n for n in last.body if isinstance(n, Store)]
    if len(stores) < len(last.body) or not all(_is_cheap(s.value) and (s.accumulate or _own(s) in accesses(s.value)) for s in stores):
        return ()
    written = {s.tensor for s in stores}
    parts = [*(a.value for a in before if isinstance(a, Assign)), *(substitute(s.value, {_own(s): Local("own")}) for s in stores)]
    if any(loop.index in symbols_of(x) for s in stores for x in s.subscripts) or loop.index in _free(last):
        return ()
    if len(written) < len(stores) or any(a.tensor in written for e in parts for a in accesses(e)):
        return ()
    if not any(_moves(s.value, loop, before) for s in stores) or _carried(before):
        return ()
    taken = {str(s) for e in parts for s in symbols_of(e)} | written | {str(last.index)}
    copies = [_Copy(loop, before, number, taken) for number in range(TIMES)]
    sums = [replace(s, value=_joined(s, [c.of(s.value) for c in copies])) for s in stores]
    # A loop each: LLVM compares the addresses of what is stored and read before it takes vectors, and gives up where there are many.
    return (*(a for c in copies for a in c.assigns), *(replace(last, body=(s,)) for s in sums))


def _own(store: Store) -> sp.Expr:
    """What the element held before."""
    own: sp.Expr = Access(store.tensor, *store.subscripts)
    return own


def _joined(store: Store, values: Sequence[sp.Expr]) -> sp.Expr:
    """The value after several iterations: ``f(j) + f(j+1)``, ``maximum(maximum(T[k], f(j)), f(j+1))``."""
    if store.accumulate:
        return build(lambda: sp.Add(*values, evaluate=False))
    return build(lambda: reduce(lambda before, value: substitute(value, {_own(store): before}), values))


class _Copy:
    """An iteration of a loop: its index and its variables are others."""

    def __init__(self, loop: For, own: Sequence[Node], number: int, taken: set[str]) -> None:
        self.mapping: dict[sp.Basic, sp.Expr] = {loop.index: loop.index + number} if number else {}
        names = {n.name for n in own if isinstance(n, Assign)}
        if number:
            fresh = {name: next(n for k in count(1) if (n := f"{name.name}{'_' * (k + 1)}{number}") not in taken) for name in names}
            self.mapping |= {name: Local(text) for name, text in fresh.items()}
        self.assigns = [self.node(n) for n in own]

    def of(self, expression: sp.Expr) -> sp.Expr:
        return substitute(expression, self.mapping) if self.mapping else expression

    def node(self, node: Node) -> Node:
        if isinstance(node, Assign):
            name = self.mapping.get(node.name, node.name)
            assert isinstance(name, Local)
            return replace(node, name=name, value=self.of(node.value))
        assert isinstance(node, Store)
        return replace(node, subscripts=tuple(map(self.of, node.subscripts)), value=self.of(node.value))


def _suitable(loop: For) -> bool:
    if loop.shared or loop.descending or loop.step != 1 or len(loop.lower) != 1 or len(loop.upper) != 1:
        return False
    extent = sp.expand(loop.upper[0] - loop.lower[0])
    return not extent.is_Integer or bool(extent >= _SHORT)


def _is_cheap(value: sp.Expr) -> bool:
    parts = list(postorder(value))
    calls = [p.function for p in parts if isinstance(p, Call)]
    plain = not any(contains(x, Access) for a in accesses(value) for x in a.subscripts)
    return plain and len(parts) <= _LITTLE and all(f in FUNCTIONS and FUNCTIONS[f].cost <= _CHEAP for f in calls)


def _free(loop: For) -> set[sp.Basic]:
    return {s for e in (*loop.lower, *loop.upper) for s in symbols_of(e)}


def _carried(assigns: Sequence[Node]) -> bool:
    """Whether a variable is used before it is set: it holds something of the iteration before."""
    names = [n.name for n in assigns if isinstance(n, Assign)]
    return any(set(names[k:]) & symbols_of(n.value) for k, n in enumerate(assigns) if isinstance(n, Assign))


def _moves(value: sp.Expr, loop: For, before: Sequence[Node]) -> bool:
    """Whether the value is another in the next iteration."""
    names = {n.name for n in before if isinstance(n, Assign)}
    return bool(({loop.index} | names) & symbols_of(value))


def _divided(loop: For, body: tuple[Node, ...]) -> list[Node]:
    """The loop in steps of four, and the iterations that are left."""
    low, high = loop.lower[0], loop.upper[0]
    end = sp.expand(low + TIMES * FloorDiv(sp.expand(high - low), TIMES))
    main = replace(loop, upper=(end,), body=body, step=TIMES)
    if sp.expand(end - high) == 0:
        return [main]
    return [main, replace(loop, lower=(end,) if sp.expand(high - low).is_Integer else (low, end))]
