"""Subscripts that come from integer tensors and do not change in an innermost loop are looked up and tested in front of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import sympy as sp

from graphc.analysis.conditions import counted_where
from graphc.analysis.legality import in_range
from graphc.ir.expr import Access, Compare, Index, Logical, Where, all_of
from graphc.ir.nest import Assign, For, If, Local, Loop, Moment, Nest, Node, Step, Store, nodes_in
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, contains, postorder, substitute
from graphc.schedule.bodies import plus
from graphc.schedule.merge import is_subscript
from graphc.schedule.surroundings import Facts, Surroundings

__all__ = ["looked_up"]

_ZERO = sp.Integer(0)
_Straight = Assign | Store


def looked_up(step: Step, tensors: dict[str, Tensor]) -> Step:
    """The step with two forms of every innermost loop that reads or writes through an integer tensor at a place that it does not change.

    Where the subscripts that were looked up are inside, the loop has neither lookups nor tests, and what it reads or adds to at one place
    only is kept in a variable. Otherwise the loop runs as it was, which reports the subscript that is outside if an iteration uses it.
    """
    if isinstance(step, Loop):
        return replace(step, steps=tuple(looked_up(s, tensors) for s in step.steps))
    if not isinstance(step, Nest):
        return step
    worker = _Lookups(step.kernel.body, tensors)
    body = worker.around.mapped(step.kernel.body, (), worker.rule)
    sums = {n.name for n in nodes_in(step.kernel.body) if isinstance(n, Assign) and n.name in n.value.free_symbols}
    return replace(step, kernel=replace(step.kernel, body=_counted(body, {}, sums)))


def _counted(body: Sequence[Node], chosen: dict[sp.Basic, sp.Expr], sums: set[Local]) -> tuple[Node, ...]:
    """Terms that are 0 without a condition are added only where it holds: elsewhere their subscripts need not point inside.

    `chosen` are variables that stand for a value with conditions, which is computed in front of a loop.
    """
    known, result = dict(chosen), []
    for node in body:
        if isinstance(node, For | If):
            node = replace(node, body=_counted(node.body, known, sums))
        elif isinstance(node, Assign):
            known.pop(node.name, None)
            if node.name not in sums and contains(node.value, Where):
                known[node.name] = substitute(node.value, known)
        elif isinstance(node, Store) and node.accumulate and any(isinstance(s, Access) for s in node.subscripts):
            tests = counted_where(substitute(node.value, known))
            node = If(all_of(tests), (node,)) if tests else node
        result.append(node)
    return tuple(result)


class _Lookups:
    def __init__(self, body: Sequence[Node], tensors: dict[str, Tensor]) -> None:
        self.tensors, self.around = tensors, Surroundings(body, "g")

    def rule(self, node: For | If, facts: Facts) -> tuple[Node, ...] | None:
        body = [n for n in node.body if isinstance(n, Assign | Store)]
        if not isinstance(node, For) or len(body) < len(node.body):
            return None
        places = dict.fromkeys((lookup, a.tensor, d) for n in body for a in _touched(n) for d, lookup in enumerate(a.subscripts)
                               if isinstance(lookup, Access) and self._steady(lookup, node, body, facts))
        if not places:
            return None
        found = {lookup: self.around.new("int64") for lookup in dict.fromkeys(lookup for lookup, _, _ in places)}
        tests = [t for lookup, name, d in places
                 for t in (Compare("<=", _ZERO, found[lookup]), Compare("<", found[lookup], self.tensors[name].shape[d]))]
        inside = all_of(dict.fromkeys(tests))
        plain = [_without(n, found) for n in body]
        lets = tuple(Assign(name, lookup, "int64") for lookup, name in found.items())
        return *lets, If(inside, self._kept(node, plain, facts, set(found.values()))), If(Logical("not", inside), (node,))

    def _steady(self, lookup: Access, loop: For, body: Sequence[_Straight], facts: Facts) -> bool:
        """Whether the integer that is looked up is there, and the same, in all iterations."""
        written: set[object] = {n.tensor for n in body if isinstance(n, Store)} | {n.name for n in body if isinstance(n, Assign)}
        return not self._changes(lookup, loop, written) and self._readable(lookup, facts, set())

    @staticmethod
    def _changes(node: sp.Basic, loop: For, written: set[object]) -> bool:
        """Whether an expression depends on the variable of a loop or on what the loop writes."""
        return any(
            (isinstance(p, Index | Moment) and str(p) == str(loop.index)) or p in written or (isinstance(p, Access) and p.tensor in written)
            for p in postorder(node)
        )

    def _readable(self, access: Access, facts: Facts, tested: set[Local]) -> bool:
        return all(s in tested or (not contains(s, (Access, Local)) and in_range(s, e, facts))
                   for s, e in zip(access.subscripts, self.tensors[access.tensor].shape, strict=True))

    def _kept(self, loop: For, body: list[_Straight], facts: Facts, tested: set[Local]) -> tuple[Node, ...]:
        """The loop, with a variable for what it reads at one place, and for what it adds up at one place."""
        written: set[object] = {n.tensor for n in body if isinstance(n, Store)} | {n.name for n in body if isinstance(n, Assign)}
        before: list[Node] = []
        after: list[Node] = []
        values: dict[sp.Basic, sp.Expr] = {}
        for access in dict.fromkeys(a for n in body for a in accesses(n.value) if isinstance(a, Access)):
            steady = not self._changes(access, loop, written) and self._readable(access, facts, tested)
            if set(access.subscripts) & tested and steady and not is_subscript(access, body):
                values[access] = self.around.new(self.tensors[access.tensor].dtype)
                before.append(Assign(values[access], access, self.around.locals[values[access]]))
        inner: list[Node] = []
        for n in body:
            n = replace(n, value=substitute(n.value, values))
            if isinstance(n, Store) and self._sums(n, loop, body):
                total = self.around.new(self.tensors[n.tensor].dtype)
                before.append(Assign(total, _ZERO, self.around.locals[total]))
                inner.append(Assign(total, plus(total, n.value), self.around.locals[total]))
                after.append(Store(n.tensor, n.subscripts, total, True))
            else:
                inner.append(n)
        return *before, replace(loop, body=tuple(inner)), *after

    def _sums(self, store: Store, loop: For, body: Sequence[_Straight]) -> bool:
        """Whether a statement adds to the same element in all iterations of a loop that no threads share and that does not read it."""
        others = [n for n in body if isinstance(n, Store) and n.tensor == store.tensor]
        read = {a.tensor for n in body for a in accesses(n.value)}
        fixed = not any(self._changes(s, loop, {n.name for n in body if isinstance(n, Assign)}) for s in store.subscripts)
        return store.accumulate and not loop.shared and len(others) == 1 and store.tensor not in read and fixed


def _touched(node: _Straight) -> Iterator[Access]:
    yield from (a for a in accesses(node.value) if isinstance(a, Access))
    if isinstance(node, Store):
        yield Access(node.tensor, *node.subscripts)


def _without(node: _Straight, found: dict[Access, Local]) -> _Straight:
    """The statement with subscripts that are known by name."""
    touched = [a for a in accesses(node.value) if isinstance(a, Access) and set(a.subscripts) & set(found)]
    value = substitute(node.value, {a: Access(a.tensor, *(found.get(s, s) for s in a.subscripts)) for a in touched})
    if isinstance(node, Store):
        return replace(node, value=value, subscripts=tuple(found.get(s, s) for s in node.subscripts))
    return replace(node, value=value)
