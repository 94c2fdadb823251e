"""Recurrences of which few rows are kept: a sweep forward that keeps every k-th row, a sweep back that computes k rows again at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Literal

import sympy as sp

from graphc.analysis.order import Scan, ordered
from graphc.analysis.recurrence import strong_components
from graphc.analysis.segments import Segments
from graphc.errors import CompileError, Location
from graphc.ir.affine import nonnegative
from graphc.ir.expr import Access, FloorDiv, Index, Modulo
from graphc.ir.graph import fresh_name, reads
from graphc.ir.nest import Fill, Loop, LoopPlan, Moment, Step
from graphc.ir.statement import Range, Statement
from graphc.ir.tensor import Tensor
from graphc.schedule.beginnings import Beginnings
from graphc.schedule.contributions import joined
from graphc.schedule.recurrence import at_step
from graphc.schedule.scan import Builder

if TYPE_CHECKING:
    from graphc.schedule.lower import _Scheduler

__all__ = ["Sweeps"]

Sweep = Literal["forward", "backward"]

_ZERO = sp.Integer(0)


class Sweeps:
    """Makes the steps of both sweeps.

    Args:
        worker: makes the loops of single statements; its rings get the rows.
        plan: what the sweeps compute.
    """

    def __init__(self, worker: _Scheduler, plan: Segments) -> None:
        self.worker, self.plan, self.line = worker, plan, plan.line
        self.definitions = worker.graph.definitions()
        self.groups: list[tuple[str, ...]] = []
        members = {*plan.line.dimensions, *plan.sums}
        names = {str(r.index) for n in members for s in self.definitions[n] for r in s.ranges}
        names |= {str(z) for t in worker.tensors.values() for e in t.shape for z in e.free_symbols}
        first = next(str(i) for n in plan.line.dimensions for s in self.definitions[n] if (i := self.line.index(s)) is not None)
        times = {str(self.line.index(s)) for n in members for s in self.definitions[n]}
        others = {str(r.index) for n in members for s in self.definitions[n] for r in s.ranges if r.index != self.line.index(s)}
        self.moment: Moment = Moment(_free(first, (names - times) | others))
        self.segment: Moment = Moment(_free("segment", names | {self.moment.name}))
        self.steps = plan.line.steps
        self.segments = FloorDiv(self.steps + plan.every - 1, plan.every)
        self.kept = {name: self._keep(name, rows) for name, rows in plan.kept.items()}
        worker.rings |= {name: (plan.line.dimensions[name], rows) for name, rows in plan.rows.items()}

    def _keep(self, name: str, rows: int) -> str:
        """A tensor for the rows before each segment."""
        info, dimension = self.worker.tensors[name], self.line.dimensions[name]
        kept = fresh_name(f"{name}.kept", self.worker.tensors)
        rest = (*info.shape[:dimension], *info.shape[dimension + 1 :])
        self.worker.tensors[kept] = Tensor(kept, (self.segments, sp.Integer(rows), *rest), info.dtype, "defined", info.group)
        return kept

    # ---------------------------------------------------------------------------------------------------- the order
    def arranged(self, groups: Sequence[tuple[str, ...]]) -> Iterator[tuple[list[tuple[str, ...]], Sweep | None]]:
        """The sweeps, each behind what is computed before it, in an order in which everything is there when it is read; None at the end.

        Raises:
            CompileError: there is none.
        """
        plan = self.plan
        self.groups = list(groups)
        place: dict[str, str | tuple[str, ...]] = {n: g for g in groups for n in g}
        place |= dict.fromkeys((*plan.first, *(plan.sums - plan.late)), "forward")
        place |= dict.fromkeys((*(self.line.dimensions.keys() - plan.first), *plan.late), "backward")
        sources: dict[str | tuple[str, ...], dict[str | tuple[str, ...], None]] = {}
        for name, found in self.definitions.items():
            if found:
                sources.setdefault(place[name], {}).update(dict.fromkeys(place[r] for s in found for r in reads(s) if r in place))
        order = list(dict.fromkeys(place[n] for g in groups for n in g))
        run: list[tuple[str, ...]] = []
        for component in strong_components(order, lambda p: sources.get(p, {})):
            if len(component) > 1:
                marked = next(t.name for t in self.worker.graph.tensors if t.every)
                raise CompileError(f"{marked} cannot be checkpointed: what is computed beside it needs it, and it needs that.",
                                   fix=f"take gc.checkpoint({marked}, …) away.")
            if isinstance(component[0], tuple):
                run.append(component[0])
                continue
            yield run, "forward" if component[0] == "forward" else "backward"
            run = []
        yield run, None

    # --------------------------------------------------------------------------------------------------- the sweeps
    def forward(self) -> list[Step]:
        """Every step once."""
        plan = self.plan
        sums = plan.sums - plan.late
        begun = self._begin(sums)
        items = [*self._items(plan.first), *self._adding(sums)]
        found = self._step(items, sums, {*plan.whole, *sums, *self.kept.values()}, tuple(self._saving()))
        return [*begun, *self._loop(found, self.line.descending)]

    def backward(self) -> list[Step]:
        """Segment after segment from the last one on: its steps once more, and then back through them."""
        plan = self.plan
        if not (plan.last or plan.late):
            return []
        begun = self._begin(plan.late)
        used = {r for n in (*plan.last, *plan.late) for s in self.definitions[n] for r in reads(s)}
        again = self._step(self._items(plan.again), (), plan.whole | used)
        back = self._step([*self._items(plan.last), *self._adding(plan.late)], plan.late, plan.whole | plan.late)
        first = sp.expand(plan.every * self.segment)
        down = self.line.descending
        body = (*self._loading(), *self._loop(again, down, first), *self._loop(back, not down, first))
        return [*begun, Loop(self.segment, (self.segments,), not down, body)] if body else begun

    def _loop(self, steps: tuple[Step, ...], descending: bool, first: sp.Expr | None = None) -> list[Step]:
        if not steps:
            return []
        if first is None:
            return [Loop(self.moment, (self.steps,), descending, steps)]
        return [Loop(self.moment, (sp.expand(first + self.plan.every), self.steps), descending, steps, first)]

    def _begin(self, sums: Collection[str]) -> list[Step]:
        """What is in the sums before the sweep adds to them."""
        found: list[Step] = []
        for name in self.definitions:
            if name in sums:
                before = [s for s in self.definitions[name] if self.line.index(s) is None]
                if before:
                    self.worker.define(name, before)
                else:
                    found.append(Fill(name, LoopPlan(f"{name} = 0", "fill", (), "elements", "set to 0 before it is added to")))
        return found

    # ------------------------------------------------------------------------------------------------ what a step does
    def _items(self, names: Collection[str]) -> list[Statement | Scan]:
        """The statements of one step that compute some of the tensors with rows."""
        found: list[Statement | Scan] = []
        for group in self.groups:
            if not set(group) & set(names):
                continue
            statements = [s for n in group for s in self.definitions[n]]
            moving = [s for s in statements if set(reads(s)) & set(group)]
            if not moving:
                found += self.worker.bodies.ordered(statements)
                continue
            (scan,) = ordered(moving, group)
            assert isinstance(scan, Scan)
            along = all(self.line.dimensions[n] == d for n, d in scan.dimensions)
            still = [s for s in statements if not any(s is m for m in moving)]
            found += _of(names, (*still, *(scan.body if along else (scan,))))
        return list(joined(found, self.line.dimensions, self.worker.tensors))

    def _adding(self, sums: Collection[str]) -> list[Statement]:
        return [s for n in self.definitions if n in sums for s in self.definitions[n] if self.line.index(s) is not None]

    def _step(
        self, items: Sequence[Statement | Scan], started: Collection[str], later: Collection[str], more: tuple[Statement, ...] = ()
    ) -> tuple[Step, ...]:
        facts = (self.moment, sp.expand(self.steps - 1 - self.moment))
        along = frozenset(self.line.dimensions.items())
        beginnings = Beginnings(self.worker.tensors, set(started), facts, along, frozenset(self.kept.values()))
        builder = Builder(self.worker, beginnings, (self.segment, self.moment))
        return builder.step([*map(self._placed, items), *more], self.moment, self.steps, set(later))

    def _placed(self, item: Statement | Scan) -> Statement | Scan:
        if isinstance(item, Scan):
            return replace(item, body=tuple(map(self._placed, item.body)))
        index = self.line.index(item)
        assert index is not None
        return at_step(item, index, self.moment, self.moment, self.steps)

    # -------------------------------------------------------------------------------------------------- what is kept
    def _saving(self) -> Iterator[Statement]:
        """Copies of the rows before a segment, made in the step that computes them."""
        every, down = self.plan.every, self.line.descending
        for name, kept in self.kept.items():
            for age in range(1, self.plan.kept[name] + 1):
                border = sp.expand(self.moment - age + 1 if down else self.moment + age)
                inside = border - every if down else self.steps - 1 - border
                left, right, ranges = self._row(name, kept, FloorDiv(border, every), age, self.moment)
                domain = tuple(c for c in (-Modulo(border, every), sp.expand(inside)) if not nonnegative(c))
                yield Statement(kept, left, "=", Access(name, *right), ranges, domain, location=self._location(name))

    def _loading(self) -> tuple[Step, ...]:
        """Copies of the rows before a segment back to where its steps look for them."""
        every, down = self.plan.every, self.line.descending
        found = []
        for name, kept in self.kept.items():
            for age in range(1, self.plan.kept[name] + 1):
                number = self.segment + 1 if down else self.segment
                row = sp.expand(every * number + age - 1 if down else every * number - age)
                right, left, ranges = self._row(name, kept, number, age, row)
                domain = (sp.expand(self.steps - 1 - row) if down else self.segment - 1,)
                found.append(Statement(name, left, "=", Access(kept, *right), ranges, domain, location=self._location(name)))
        facts = (self.segment, sp.expand(self.segments - 1 - self.segment))
        builder = Builder(self.worker, Beginnings(self.worker.tensors, set(), facts, set_once=frozenset(self.kept)), (self.segment,))
        return builder.step(found, self.segment, self.segments, {*self.kept})

    def _row(
        self, name: str, kept: str, number: sp.Expr, age: int, row: sp.Expr
    ) -> tuple[tuple[sp.Expr, ...], tuple[sp.Expr, ...], tuple[Range, ...]]:
        """The subscripts of a kept row and of the row itself, and the loops over it."""
        shape, dimension = self.worker.tensors[name].shape, self.line.dimensions[name]
        taken = {self.moment.name, self.segment.name}
        indices = [Index(_free(f"i{d}", taken)) for d in range(len(shape)) if d != dimension]
        rest = [e for d, e in enumerate(shape) if d != dimension]
        ranges = tuple(Range(i, _ZERO, e) for i, e in zip(indices, rest, strict=True))
        own = (*indices[:dimension], row, *indices[dimension:])
        return (number, sp.Integer(age - 1), *indices), own, ranges

    def _location(self, name: str) -> Location | None:
        return self.definitions[name][0].location


def _of(names: Collection[str], items: Sequence[Statement | Scan]) -> Iterator[Statement | Scan]:
    """The items that compute some tensors: a recurrence may have others of which all rows are there."""
    for item in items:
        if isinstance(item, Scan):
            body = tuple(_of(names, item.body))
            if body:
                yield replace(item, body=body)
        elif item.target in names:
            yield item


def _free(name: str, taken: set[str]) -> str:
    return next(text for k in count(1) if (text := name if k == 1 else f"{name}{k}") not in taken)
