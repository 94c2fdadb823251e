"""Sums that are added where integers point, by many threads and always in one order: the items are sorted by where they go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import sympy as sp

from graphc.analysis.conditions import counted_where
from graphc.ir.dtypes import is_float
from graphc.ir.expr import Access, Compare, Index, Logical, all_of
from graphc.ir.graph import fresh_name, reads
from graphc.ir.nest import Assign, For, If, Kernel, Local, LoopPlan, Nest, Node, Outside, Sort, Step, Store, Unravel
from graphc.ir.show import statement as show
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, indices_of
from graphc.schedule.bodies import plus
from graphc.schedule.cost import cost

__all__ = ["sorted_scatter"]

_ZERO, _ONE = sp.Integer(0), sp.Integer(1)
_NONE = sp.Integer(2**63 - 1)
"""The key of an item that goes nowhere."""


def sorted_scatter(statement: Statement, tensors: dict[str, Tensor], dtype: str, adding: bool) -> tuple[Step, ...]:
    """Three steps: the keys of all items, their order, and a sum for every element of the target; none if that is not possible.

    The tensors that they need are added to `tensors`.

    Args:
        statement: a sum with integers on its left side.
        tensors: by name.
        dtype: of the accumulator.
        adding: whether it adds to what is there.
    """
    target = tensors[statement.target]
    plain = [s for s in statement.subscripts if isinstance(s, Index) and sum(s in x.free_symbols for x in statement.subscripts) == 1]
    keyed = [d for d, s in enumerate(statement.subscripts) if s not in plain]
    own = [statement.range_of(i) for i in plain]
    items = [r for r in statement.loops if r.index not in plain]
    if statement.op != "+=" or not is_float(target.dtype) or any(r.lower != 0 for r in (*own, *items)) or not items:
        return ()
    if any(set(c.free_symbols) & set(plain) for c in statement.domain):
        return ()
    count = sp.expand(sp.Mul(*(r.extent for r in items)))
    keys = sp.expand(sp.Mul(*(target.shape[d] for d in keyed)))
    names = []
    for part, extent in (("items", 2 * count), ("order", count), ("starts", keys + 1)):
        name = fresh_name(f"{statement.target}.{part}", tensors)
        tensors[name] = Tensor(name, (sp.expand(extent),), "int64", "defined", target.group)
        names.append(name)
    of_items, order, starts = names

    item, key, total = Index(".item"), Local("_key"), Local("total")
    unravel = Unravel(item, tuple((r.index, r.extent) for r in items))
    tests = [Compare(">=", c, _ZERO) for c in statement.domain]
    place = sp.Add(*(statement.subscripts[d] * sp.Mul(*(target.shape[e] for e in keyed if e > d)) for d in keyed))
    found: tuple[Node, ...] = (Assign(key, place, "int64"), *_outside(statement, target, keyed, key))
    if tests:
        found = (If(all_of(tests), found),)
    first = (For(item, (_ZERO,), (count,), (
        unravel, Assign(key, _NONE, "int64"), *found,
        If(Compare("!=", key, _NONE), (Assign(key, key * 2**32 + item, "int64"),)), Store(of_items, (item,), key)), True),)  # fmt: skip
    asked = (*statement.subscripts, *counted_where(statement.value))
    integers = tuple(dict.fromkeys(a.tensor for s in asked for a in accesses(s)))
    text = show(statement)
    plan = LoopPlan(f"{of_items}: where the items of {statement.target} go", "map", ("item",), "items", "a key for each item")
    kernel = Kernel("keys", text, (of_items, *integers), first, count)
    steps: list[Step] = [Nest(kernel, plan, integers, of_items, count)]
    plan = LoopPlan(f"{order} = items sorted by key", "scatter", ("item",), "item", "a bitonic sort: the same order in every call")
    steps.append(Sort(of_items, order, starts, count, keys, plan))

    line, place_of, chosen = Index(".line"), Index(".place"), Local("_item")
    width = sp.expand(sp.Mul(*(r.extent for r in own)))
    body: tuple[Node, ...] = (
        Unravel(line, ((Index(".to"), keys), *((r.index, r.extent) for r in own))),
        Assign(total, _ZERO, dtype),
        For(place_of, (Access(starts, Index(".to")),), (Access(starts, Index(".to") + 1),), (
            Assign(chosen, Access(order, place_of), "int64"), replace(unravel, line=chosen),
            Assign(total, plus(total, statement.value), dtype))),
        *_stored(statement, target, keyed, total, adding),
    )  # fmt: skip
    external = tuple(dict.fromkeys((order, starts, *(r for r in reads(statement) if r not in integers or r in _in_value(statement)))))
    kernel = Kernel("scatter", text, (statement.target, *external), (For(line, (_ZERO,), (sp.expand(keys * width),), body, True),),
                    sp.expand(keys * width))
    plan = LoopPlan(text, "scatter", ("line",), "line", "a sum for each element, of its items in order", "deterministic")
    steps.append(Nest(kernel, plan, external, statement.target, cost(statement)))
    return tuple(steps)


def _in_value(statement: Statement) -> set[str]:
    return {a.tensor for a in accesses(statement.value)}


def _outside(statement: Statement, target: Tensor, keyed: list[int], key: Local) -> Iterator[Node]:
    """Items whose subscript lies outside go nowhere, and the call fails if one of their terms counts."""
    tests = counted_where(statement.value)
    used = {i for test in tests for i in indices_of(test)}
    for d in keyed:
        subscript = statement.subscripts[d]
        if isinstance(subscript, Access):
            bad = Logical("or", Compare("<", subscript, _ZERO), Compare(">=", subscript, target.shape[d]))
            fails: Node = Outside(subscript.tensor, target.name, d, subscript, show(statement))
            if tests:
                fails = If(all_of(tests), (fails,))
            for r in (statement.range_of(i) for e, i in enumerate(statement.subscripts) if e not in keyed and i in used):
                fails = For(r.index, (r.lower,), (r.upper,), (fails,))
            yield If(bad, (fails, Assign(key, _NONE, "int64")))


def _stored(statement: Statement, target: Tensor, keyed: list[int], total: Local, adding: bool) -> Iterator[Node]:
    """The sum, where its key says."""
    subscripts = list(statement.subscripts)
    rest: sp.Expr = Index(".to")
    parts = tuple((Index(f".k{d}"), target.shape[d]) for d in keyed)
    if len(keyed) == 1:
        subscripts[keyed[0]] = rest
    else:
        yield Unravel(Index(".to"), parts)
        for d, (index, _) in zip(keyed, parts, strict=True):
            subscripts[d] = index
    yield Store(statement.target, tuple(subscripts), total, adding)
