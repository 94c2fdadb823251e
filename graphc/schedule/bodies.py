"""Loops with bounds, accumulators and hoisted reads around one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sympy as sp

from graphc.analysis.conditions import counted_where
from graphc.ir.affine import linear, nonnegative
from graphc.ir.dtypes import is_float, reduced_type
from graphc.ir.expr import INFINITY, Access, Call, Compare, FloorDiv, Index, Logical, Where, all_of
from graphc.ir.graph import reads
from graphc.ir.nest import Assign, For, If, Local, Node, Report, Store
from graphc.ir.reductions import REDUCTIONS
from graphc.ir.show import statement as show
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, contains, indices_of, substitute
from graphc.schedule.classify import ACCUMULATED, Order, everywhere, loop_order
from graphc.schedule.hoist import hoisted
from graphc.schedule.selection import never_empty, selection
from graphc.schedule.target import Target

__all__ = ["Bodies", "divided", "plus"]

_ZERO = sp.Integer(0)

SEVERAL = 32
"""Literal extents below which the place of a maximum is kept while it is looked for: one loop instead of two."""


class Bodies:
    """Makes the loops of statements.

    Attributes:
        tensors: by name; shared with the scheduler, which adds some.
        facts: what is ≥ 0 around the statement that is being written.
        label: the statement as the user knows it, if it is another one.
    """

    def __init__(self, tensors: dict[str, Tensor], target: Target, accumulate: str | None) -> None:
        self.tensors, self.target, self.wide = tensors, target, accumulate
        self.facts: tuple[sp.Expr, ...] = ()
        self.label = ""

    def inside(self, statement: Statement, adding: bool = True) -> tuple[Node, ...]:
        """The loops of one statement in a step of a recurrence, whose target has been set to 0, or in a row."""
        order = loop_order(statement, self.target.vector_innermost)
        if self.grows_in_place(statement, order):
            return self.selected_in_place(statement, order)
        if statement.op not in ("=", "+="):
            return self.selected(statement, order)
        if statement.reduced and not order.inner_left:
            return self.summed(statement, order, adding)
        if statement.reduced and not statement.scatters:
            return self.in_place(statement, order, adding)
        return self.mapped(statement, order, adding)

    def ordered(self, statements: Sequence[Statement]) -> list[Statement]:
        """Assignments first, then what sets every element."""
        return sorted(statements, key=lambda s: (s.op == "+=", not self.covers(s)))

    def complete(self, ordered: Sequence[Statement]) -> bool:
        """Whether the first statement of a tensor sets every element."""
        first = ordered[0]
        return self.covers(first) and (len(ordered) == 1 or first.op != "=" or len([s for s in ordered if s.op == "="]) == 1)

    def covers(self, statement: Statement) -> bool:
        """Whether the statement sets every element of its target."""
        if (
            statement.scatters
            or not all(isinstance(s, Index) for s in statement.subscripts)
            or len(set(statement.subscripts)) < len(statement.subscripts)
        ):
            return False
        if any(not set(indices_of(d)) & set(statement.reduced) for d in statement.domain):
            return False
        shape = self.tensors[statement.target].shape
        ranges = [statement.range_of(s) for s in statement.subscripts]
        return all(r.lower == 0 and sp.expand(r.upper - e) == 0 for r, e in zip(ranges, shape, strict=True))

    def mapped(self, statement: Statement, order: Order, adding: bool) -> tuple[Node, ...]:
        store = Store(statement.target, statement.subscripts, statement.value, adding or statement.scatters)
        return self.loops(statement, order.indices, (store,), hoist=self.target.vector_innermost, guard=True)

    def in_place(self, statement: Statement, order: Order, adding: bool) -> tuple[Node, ...]:
        """Reduced loops around a loop along the left side; the row is set to 0 first."""
        inner = order.indices[-1]
        left = [i for i in order.indices[:-1] if i in statement.free]
        rest = [i for i in order.indices if i not in left]
        body = self.loops(statement, rest, (Store(statement.target, statement.subscripts, statement.value, True),), outer=left)
        if not adding:
            r = statement.range_of(inner)
            body = (For(inner, (r.lower,), (r.upper,), (Store(statement.target, statement.subscripts, _ZERO),)), *body)
        return self.wrap(statement, left, body)

    def accumulator_type(self, statement: Statement) -> str:
        dtype = self.tensors[statement.target].dtype
        return self.wide if self.wide is not None and is_float(dtype) else dtype

    def summed(self, statement: Statement, order: Order, adding: bool) -> tuple[Node, ...]:
        left = [i for i in order.indices if i in statement.free]
        rest = [i for i in order.indices if i not in left]
        total = Local("total")
        dtype = self.accumulator_type(statement)
        body = (
            Assign(total, _ZERO, dtype),
            *self.summing(statement, rest, total, dtype, left),
            *self._counted(statement, left, rest, Store(statement.target, statement.subscripts, total, adding or statement.scatters)),
        )
        guarded = replace(statement, domain=(*statement.domain, *self.beyond(statement, left), *self._any(statement)))
        return self.wrap(guarded, left, body)

    def _counted(self, statement: Statement, left: Sequence[Index], rest: Sequence[Index], store: Store) -> tuple[Node, ...]:
        """The write of a sum to where integers point; if these point outside, only where one of its terms counts."""
        conditions = counted_where(statement.value) if statement.scatters else ()
        # A condition may be what makes those behind it legal to ask.
        first = next((k for k, c in enumerate(conditions) if not set(indices_of(c)) <= set(left)), len(conditions))
        tests, inner = conditions[:first], conditions[first:]
        body: tuple[Node, ...] = (store,)
        if inner:
            counts, inside = Local("counts"), self._points_inside(Access(statement.target, *statement.subscripts))
            found = Logical("or", counts, all_of(inner))
            look = self.loops(statement, rest, (Assign(counts, found, "bool"),), left, hoist=False)
            body = (If(inside, body), If(Logical("not", inside), (Assign(counts, sp.false, "bool"), *look, If(counts, body))))
        return (If(all_of(tests), body),) if tests else body

    def _points_inside(self, access: Access) -> sp.Expr:
        """Whether the integers that are subscripts lie inside their tensors, those that say where to find others first."""
        looked_up = [(a, s, d) for a in accesses(access) for d, s in enumerate(a.subscripts) if isinstance(s, Access)]
        looked_up.sort(key=lambda place: len(accesses(place[1])))
        tests = []
        for a, s, d in looked_up:
            tests += [Compare("<=", _ZERO, s)] * (not self.tensors[s.tensor].dtype.startswith("u"))  # C's compilers know what is unsigned
            tests.append(Compare("<", s, self.tensors[a.tensor].shape[d]))
        return all_of(tests)

    @staticmethod
    def _any(statement: Statement) -> tuple[sp.Expr, ...]:
        """What must be ≥ 0 for a sum to have terms: only a term may say that an integer that it is added at points outside."""
        extents = [sp.expand(statement.range_of(i).extent) for i in statement.reduced] if statement.scatters else []
        return tuple(e - 1 for e in extents if not nonnegative(sp.expand(e - 1)))

    def beyond(self, statement: Statement, left: Sequence[Index]) -> tuple[sp.Expr, ...]:
        """What must be ≥ 0 for a write after the sum, beyond what the conditions on the left indices alone imply.

        All conditions together imply it, but where no summed index fulfils them, a sum of nothing would be written outside.
        """
        facts = (
            *self.facts,
            *(c for i in left for c in statement.range_of(i).constraints()),
            *(d for d in statement.domain if set(indices_of(d)) <= set(left)),
        )
        accessed = [Access(statement.target, *statement.subscripts), *(a for s in statement.subscripts for a in accesses(s))]
        pairs = [
            (s, extent)
            for a in accessed
            for s, extent in zip(a.subscripts, self.tensors[a.tensor].shape, strict=True)
            if not contains(s, Access)
        ]
        return tuple(sp.expand(c) for s, extent in pairs for c in (s, extent - 1 - s) if not nonnegative(c, facts))

    def summing(
        self, statement: Statement, rest: Sequence[Index], total: Local, dtype: str, outer: Sequence[Index], guard: bool = False
    ) -> tuple[Node, ...]:
        """Loops that add to `total`; with several loops every innermost one has a sum of its own, so that rounding errors stay small."""
        if len(rest) < 2:
            return self.loops(statement, rest, (Assign(total, plus(total, statement.value), dtype),), outer, guard=guard)
        row = Local("row")
        inner = self.loops(statement, rest[-1:], (Assign(row, plus(row, statement.value), dtype),), (*outer, *rest[:-1]))
        body = (Assign(row, _ZERO, dtype), *inner, Assign(total, plus(total, row), dtype))
        return self.loops(statement, rest[:-1], body, outer, hoist=False, guard=guard)

    def selected(self, statement: Statement, order: Order) -> tuple[Node, ...]:
        """Reductions other than sums: an accumulator and the rule how a value enters it."""
        left = [i for i in order.indices if i in statement.free]
        rest = [i for i in order.indices if i not in left]
        user = statement.op in REDUCTIONS
        stored = self.tensors[statement.target].dtype
        own = stored if user else reduced_type(statement.op, statement.value, lambda n: self.tensors[n].dtype, stored)
        if self._found_at_last(statement, rest, own):
            return self.wrap(statement, left, self._first_of_extreme(statement, rest[0], own, left))
        start, update, result = selection(statement, own, stored, rest, branches=not self.target.vector_innermost)
        after = self._nothing(statement)
        if _has_no_value(statement) and not never_empty(statement):
            empty = Local("empty")
            start, update = (*start, Assign(empty, sp.true, "bool")), (*update, Assign(empty, sp.false, "bool"))
            after = (If(empty, (self._report(statement),)),)
        body = (
            *start,
            *self.loops(statement, rest, update, left, hoist=False),
            *after,
            Store(statement.target, statement.subscripts, result),
        )
        return self.wrap(statement, left, body)

    def _nothing(self, statement: Statement) -> tuple[Node, ...]:
        """Reports an extremum over an empty range; one without conditions is tested before the call."""
        extents = [sp.expand(statement.range_of(i).extent) for i in statement.reduced] if _has_no_value(statement) else []
        return tuple(If(Compare("<=", e, _ZERO), (self._report(statement),)) for e in extents if not nonnegative(e - 1, self.facts))

    def _report(self, statement: Statement) -> Report:
        return Report(self.label or show(statement))

    def _found_at_last(self, statement: Statement, rest: Sequence[Index], dtype: str) -> bool:
        """Whether the place of an extreme value is looked for when it is known: two loops, each of vectors.

        Only of what is read: LLVM may round what is computed otherwise in the second loop than in the first.
        """
        if statement.op not in ("argmax", "argmin") or statement.domain or len(rest) > 1 or not is_float(dtype):
            return False
        extent = statement.range_of(rest[0]).extent
        return self.target.vector_innermost and not (extent.is_Integer and extent < SEVERAL) and isinstance(statement.value, Access)

    def _first_of_extreme(self, statement: Statement, index: Index, dtype: str, left: Sequence[Index]) -> tuple[Node, ...]:
        """The first place where the value is the extreme one, or NaN, which then is the extreme one."""
        best, here, place, r = Local("best"), Local("here"), Local("place"), statement.range_of(index)
        start, function = (INFINITY, "minimum") if statement.op == "argmin" else (-INFINITY, "maximum")
        found = Logical("or", Compare("==", here, best), Compare("!=", here, here))
        at = Where(found, sp.expand(index - r.lower), r.extent)
        extreme = (Assign(best, Call(function, best, statement.value), dtype),)
        search = (Assign(here, statement.value, dtype), Assign(place, Call("minimum", place, at), "int64"))
        return (
            Assign(best, start, dtype), *self.loops(statement, (index,), extreme, left, hoist=False),
            Assign(place, r.extent, "int64"), *self.loops(statement, (index,), search, left, hoist=False),
            Store(statement.target, statement.subscripts, place),
        )  # fmt: skip

    def grows_in_place(self, statement: Statement, order: Order) -> bool:
        """Whether a reduction other than a sum is computed in the elements of a row, in the type that they have."""
        stored = self.tensors[statement.target].dtype
        own = reduced_type(statement.op, statement.value, lambda n: self.tensors[n].dtype, stored)
        plain = statement.op in ACCUMULATED and order.inner_left and everywhere(statement) and self.wide is None
        exact = is_float(stored) or stored == "int64"  # other integers cannot hold the value at which a maximum starts
        return plain and exact and own == stored and statement.target not in reads(statement)

    def selected_in_place(self, statement: Statement, order: Order) -> tuple[Node, ...]:
        """The same in reduced loops around a loop along the left side: the accumulators are the results where they are stored."""
        stored = self.tensors[statement.target].dtype
        (start,), (update,), best = selection(statement, stored, stored, statement.reduced)
        assert isinstance(start, Assign)
        assert isinstance(update, Assign)
        inner = order.indices[-1]
        left = [i for i in order.indices[:-1] if i in statement.free]
        rest = [i for i in order.indices if i not in left]
        value = substitute(update.value, {best: Access(statement.target, *statement.subscripts)})
        begun = (Store(statement.target, statement.subscripts, start.value), *self._nothing(statement))
        body = (
            *self.loops(statement, (inner,), begun, outer=left, hoist=False),
            *self.loops(statement, rest, (Store(statement.target, statement.subscripts, value),), outer=left),
        )
        return self.wrap(statement, left, body)

    def wrap(self, statement: Statement, left: Sequence[Index], body: tuple[Node, ...]) -> tuple[Node, ...]:
        return self.loops(statement, left, body, hoist=False, guard=True)

    def loops(
        self,
        statement: Statement,
        order: Sequence[Index],
        body: tuple[Node, ...],
        outer: Sequence[Index] = (),
        hoist: bool = True,
        guard: bool = False,
    ) -> tuple[Node, ...]:
        """Loops over `order` inside loops over `outer` that exist already.

        Every condition of the domain bounds the innermost loop whose index it contains; `guard` tests those without any.
        """
        if hoist and order:
            body, lets = hoisted(statement, order, body, outer, self.tensors, self.facts)
        else:
            lets = ()
        for position in range(len(order) - 1, -1, -1):
            index = order[position]
            known = {*outer, *order[:position]}
            r = statement.range_of(index)
            lower, upper = [r.lower], [r.upper]
            tests: list[sp.Expr] = []
            for condition in statement.domain:
                names = set(indices_of(condition))
                if index in names and names <= known | {index}:
                    _bound(condition, index, lower, upper, tests)
            if tests:
                body = (If(all_of(tests), body),)
            body = (For(index, tuple(dict.fromkeys(lower)), tuple(dict.fromkeys(upper)), body),)
            if lets and position == len(order) - 1:
                body = (*lets, *body)
        everywhere = [Compare(">=", c, _ZERO) for c in statement.domain if guard and not indices_of(c)]
        if everywhere:
            body = (If(all_of(everywhere), body),)
        return body


def _has_no_value(statement: Statement) -> bool:
    """Whether the statement is an extremum under conditions, which has no value over nothing."""
    return bool(statement.domain) and statement.op.removeprefix("arg").removesuffix("_split") in ("max", "min")


def plus(total: Local, value: sp.Expr) -> sp.Expr:
    return Call("plus", total, value)


def _bound(condition: sp.Expr, index: Index, lower: list[sp.Expr], upper: list[sp.Expr], tests: list[sp.Expr]) -> None:
    """Turn ``condition ≥ 0`` into a bound of `index`, or into a test if it is inside a quotient."""
    form = linear(condition)
    assert form is not None
    if any(not a.is_Symbol and index in a.free_symbols for a, _ in form.terms):
        tests.append(Compare(">=", condition, _ZERO))
        return
    factor = form.coefficient(index)
    rest = sp.expand(condition - factor * index)
    if factor > 0:
        lower.append(sp.expand(-FloorDiv(rest, factor)))
    else:
        upper.append(sp.expand(FloorDiv(rest, -factor) + 1))


def divided(body: tuple[Node, ...], shared: Index, grain: int = 1) -> tuple[Node, ...]:
    """The loops over an index marked as divided among threads, in portions of `grain` iterations."""
    marked: list[Node] = []
    for node in body:
        if isinstance(node, For):
            own = node.index == shared
            marked.append(replace(node, body=divided(node.body, shared, grain), shared=own, grain=grain if own else 1))
        elif isinstance(node, If):
            marked.append(replace(node, body=divided(node.body, shared, grain)))
        else:
            marked.append(node)
    return tuple(marked)
