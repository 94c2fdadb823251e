"""Recurrences → steps: sequential loops around the loops of their statements.

Where a step contains a product for the contraction engine, all threads go through the steps together, with barriers; else one kernel
holds the whole recurrence, and threads share it only where it falls into independent ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import sympy as sp

from graphc.analysis.order import Scan, ordered, shared_dimensions
from graphc.ir.expr import Access, Call, FloorDiv, Index
from graphc.ir.graph import reads
from graphc.ir.nest import Assign, For, If, Kernel, Loop, LoopPlan, Moment, Nest, Node, Step
from graphc.ir.show import statement as show
from graphc.ir.statement import Range, Statement, rename
from graphc.ir.tree import accesses, contains, indices_of
from graphc.schedule.aligned import aligned
from graphc.schedule.beginnings import Beginnings
from graphc.schedule.bodies import divided
from graphc.schedule.contributions import joined
from graphc.schedule.cost import cost
from graphc.schedule.fronts import in_fronts
from graphc.schedule.interior import split_interior
from graphc.schedule.merge import distinct_locals, merged, read_tensors, scalarised, written_tensors
from graphc.schedule.recurrence import at_moment, length, moment_of, shared_indices, steps_of
from graphc.schedule.ring import rings

if TYPE_CHECKING:
    from graphc.schedule.lower import _Scheduler

__all__ = ["Builder", "recurrence"]

FEW = 8
"""What a step of a recurrence computes in so many iterations, one thread of a GPU does as fast as all together."""

LINE = 16
"""Recurrences side by side of which a thread takes all or none: what two threads write does not share a line of the cache, and fills
vectors."""

_ZERO = sp.Integer(0)


def recurrence(worker: _Scheduler, group: Sequence[str], statements: Sequence[Statement]) -> list[Step]:
    """The steps of a recurrence; what is computed before it has been added to the worker's steps when this returns.

    Args:
        worker: makes loops of statements.
        group: the tensors that depend on each other.
        statements: all of theirs.
    """
    moving = [s for s in statements if set(reads(s)) & set(group)]
    (scan,) = ordered(moving, group)
    assert isinstance(scan, Scan)
    still = [s for s in statements if not any(s is m for m in moving)]
    inside = [s for s in still if _joins(s, scan)]
    outside = [s for s in still if not any(s is i for i in inside)]
    for name in group:
        own = [s for s in outside if s.target == name]
        if own:
            worker.define(name, own)
    builder = Builder(worker, Beginnings(worker.tensors, {s.target for s in outside}))
    if worker.target.vector_innermost:
        in_steps = any(builder.is_product(s) for s in scan.body if isinstance(s, Statement))
    else:
        in_steps = builder.is_wide(scan, statements, group)
    if in_steps:
        return builder.together(replace(scan, body=_late(inside, scan.body)))
    scan = replace(scan, body=(*inside, *scan.body))
    worker.rings |= rings(scan, worker.graph, worker.tensors, {s.target for s in outside})
    whole = builder.alone(group, [*inside, *moving], inside)
    return in_fronts(whole, worker.tensors) if worker.target.vector_innermost else [whole]


def _joins(statement: Statement, scan: Scan) -> bool:
    """Whether a statement that reads nothing of the recurrence is better computed in its steps, where its rows are in cache."""
    plain = isinstance(statement.subscripts[dict(scan.dimensions)[statement.target]], Index)
    return plain and statement.op in ("=", "+=") and not (statement.reduced or statement.scatters or contains(statement.value, Call))


def _late(inside: Sequence[Statement], body: Sequence[Statement | Scan]) -> tuple[Statement | Scan, ...]:
    """The items of a step, each of the first ones right before what reads its target: behind a product that adds to the same
    tensor, and in one kernel with what comes next."""
    result = list(body)
    for statement in reversed(inside):
        needed = [statement.target in {r for s in (steps_of(i) if isinstance(i, Scan) else (i,)) for r in reads(s)} for i in result]
        result.insert(needed.index(True) if True in needed else len(result), statement)
    return tuple(result)


@dataclass
class _Run:
    """Statements of one step that are computed in one kernel: every thread meets only what it has written itself.

    Attributes:
        shared: the index of the first statement that is divided among threads; None for one thread.
        extent: of the shared loops.
        owned: the dimension along which each tensor that is written is divided.
        statements: with whether each adds to what is there.
    """

    shared: Index | None
    extent: sp.Expr | None
    owned: dict[str, int] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    body: tuple[Node, ...] = ()
    locals: set[str] = field(default_factory=set)


@dataclass
class Builder:
    """Makes the loops of one recurrence.

    Attributes:
        worker: makes the loops of single statements.
        beginnings: what has to be 0 first.
        variables: of the loops around.
    """

    worker: _Scheduler
    beginnings: Beginnings
    variables: tuple[Moment, ...] = ()

    def _entered(self, scan: Scan) -> tuple[Moment, sp.Expr, tuple[Statement | Scan, ...], Builder]:
        """The loop's variable, number of steps and body, and the builder for what is inside."""
        tensors = self.worker.tensors
        taken = {str(z) for t in tensors.values() for e in t.shape for z in e.free_symbols} | {v.name for v in self.variables}
        moment, extent = moment_of(scan, taken), length(scan, tensors)
        facts = (*self.beginnings.facts, moment, sp.expand(extent - 1 - moment))
        along = self.beginnings.along | {*scan.dimensions}
        inner = Builder(self.worker, replace(self.beginnings, facts=facts, along=along, set_once=frozenset()), (*self.variables, moment))
        return moment, extent, tuple(at_moment(i, scan, moment, extent) for i in scan.body), inner

    # -------------------------------------------------------------------------------------------------- one kernel
    def alone(self, group: Sequence[str], statements: Sequence[Statement], inside: Sequence[Statement]) -> Nest:
        """The whole recurrence as one kernel."""
        loop, total = "; ".join(map(show, statements)), sp.Add(*map(cost, statements))
        shared = shared_indices(statements, group, self.worker.tensors)
        common = extent = None
        owned: dict[str, int] = {}
        if shared is not None:
            owned = shared_dimensions(statements, group) or {}
            extent = statements[0].range_of(shared[id(statements[0])]).extent
            common = _common_name(statements, shared)
            renamed = {id(s): rename(s, {shared[id(s)]: common}) for s in statements}
            inside, statements = ([renamed[id(s)] for s in group_] for group_ in (inside, statements))
        (scan,) = ordered([s for s in statements if not any(s is i for i in inside)], group)
        assert isinstance(scan, Scan)
        scan = replace(scan, body=joined((*inside, *scan.body), dict(scan.dimensions), self.worker.tensors))
        grain = LINE if self.worker.target.vector_innermost and any(s.subscripts[-1] == common for s in steps_of(scan)) else 1
        body = self._steps(scan, common, extent, grain, owned)
        how = "step by step" + (f", each thread its own {common}" if common is not None else "")
        plan = LoopPlan(loop, "scan", (), str(common or ""), how, "every read is of an earlier step")
        return _nest(statements, body, None if extent is None else FloorDiv(extent + grain - 1, grain), plan, total)

    def _steps(
        self, scan: Scan, common: Index | None, extent: sp.Expr | None, grain: int, owned: Mapping[str, int]
    ) -> tuple[Node, ...]:
        """The loops of a recurrence of which `common` is divided among threads, along the dimensions that are `owned`: all steps of one
        after the other, unless neighbours in memory are different recurrences."""
        if common is None or extent is None:
            return split_interior(self.nodes([scan]), {})
        if any(s.subscripts[-1] == common for s in steps_of(scan)):
            whole = replace(self, beginnings=replace(self.beginnings, owned=owned))
            return split_interior(divided(whole.nodes([scan]), common, grain), {})
        one = Moment(str(common))
        facts = (one, sp.expand(extent - 1 - one))
        inner = Builder(self.worker, Beginnings(self.worker.tensors, self.beginnings.started, facts, frozenset(owned.items())), (one,))
        body = split_interior(inner.nodes([_at_one(scan, common, one)]), {})
        return (For(Index(one.name), (_ZERO,), (extent,), body, True),)

    def nodes(self, items: Sequence[Statement | Scan]) -> tuple[Node, ...]:
        """The loops of statements and sequential loops, one after the other."""
        found: list[Node] = []
        for item in items:
            if isinstance(item, Scan):
                found += [node for zero in self.beginnings.fixed(item) for node in self.worker.bodies.inside(zero, False)]
                moment, extent, body, inner = self._entered(item)
                found.append(For(Index(moment.name), (_ZERO,), (extent,), inner.nodes(body), descending=item.descending))
            else:
                found += [node for s, adding in self.beginnings.begun(item) for node in self.worker.bodies.inside(s, adding)]
        return tuple(found)

    # ------------------------------------------------------------------------------------------------------ a team
    def is_product(self, statement: Statement) -> bool:
        """Whether the contraction engine can compute the statement in a step."""
        target = statement.subscripts
        always = tuple(d for d in statement.domain if len(indices_of(d)) > 1 or not set(indices_of(d)) <= set(target))
        return self.worker.roles(replace(statement, domain=always)) is not None

    def is_wide(self, scan: Scan, statements: Sequence[Statement], group: Sequence[str]) -> bool:
        """Whether a step is a loop that is worth all threads: not one number, nor one for each of independent recurrences."""
        if any(isinstance(item, Scan) for item in scan.body):
            return False
        shared = shared_indices(statements, group, self.worker.tensors) or {}
        along = dict(scan.dimensions)
        for s in steps_of(scan):
            alone = {s.subscripts[along[s.target]], shared.get(id(s))}
            width = sp.expand(sp.Mul(*(r.extent for r in s.ranges if r.index not in alone)))
            if not width.is_Integer or width > FEW:
                return True
        return False

    def together(self, scan: Scan) -> list[Step]:
        """The recurrence as a loop of steps that all threads take together."""
        scan = replace(scan, body=joined(scan.body, dict(scan.dimensions), self.worker.tensors))
        moment, extent, items, inner = self._entered(scan)
        later = {r for s in self.worker.graph.statements if s.target not in dict(scan.dimensions) for r in reads(s)}
        return [Loop(moment, (extent,), scan.descending, inner.step(items, moment, extent, later))]

    def step(self, items: Sequence[Statement | Scan], moment: Moment, extent: sp.Expr, later: set[str]) -> tuple[Step, ...]:
        """What all threads do in one of `extent` steps.

        Args:
            items: at the moment, in order.
            moment: the variable of the loop of steps.
            extent: number of steps in all.
            later: tensors that are read outside of the loop.
        """
        steps: list[Step] = []
        run: _Run | None = None

        def close() -> None:
            if run is not None:
                steps.append(self.kernel(run, moment, extent))

        for item in items:
            if isinstance(item, Scan):
                close()
                run = _Run(None, None, {}, steps_of(item), self.nodes([item]))
                close()
                run = None
                continue
            begun = self.beginnings.begun(item)
            if len(begun) == 2 and not begun[1][1] and item.target not in self.worker.rings:
                self.worker.define(item.target, [_at_all(begun[0][0], moment, extent)], complete=True)
                begun = begun[1:]
            for statement, adding in begun:
                bare = replace(statement, domain=())
                roles = None if any(indices_of(d) for d in statement.domain) else self.worker.roles(bare)
                if roles is None and not self.worker.target.vector_innermost:
                    steps += self.worker.apart(statement, adding)
                    continue
                if roles is None:
                    grown = self.joined(run, statement, adding)
                    if grown is not run:
                        close()
                    run = grown
                    continue
                close()
                run = None
                step = self.worker.contract(bare, roles, adding)
                plan = replace(step.plan, loop=show(statement), strategy=f"in every step of {moment}: {step.plan.strategy}")
                steps.append(replace(step, when=statement.domain, plan=plan, cost=step.cost * extent))
        close()
        fused = (self.fused(s, steps, later, moment, extent) if isinstance(s, Nest) else s for s in steps)
        return tuple(s for s in fused if s is not None)

    def fused(self, step: Nest, steps: Sequence[Step], later: set[str], moment: Moment, extent: sp.Expr) -> Nest | None:
        """The kernel of a run with joined loops, and without the stores of tensors that nobody else reads; None if it has no others."""
        tensors = self.worker.tensors
        own = {step.writes, *step.also}
        others = [s for s in steps if s is not step]
        touched = {n for s in others for n in (s.writes, *s.also, *s.reads)}
        private = own - later - touched - set(self.worker.graph.outputs)
        taken = {str(z) for t in tensors.values() for e in t.shape for z in e.free_symbols} | {v.name for v in self.variables}
        facts = (moment, sp.expand(extent - 1 - moment))
        body = merged(aligned(step.kernel.body, tensors, facts), {}, long=True)
        body = scalarised(body, lambda n: tensors[n].dtype, private, taken | _names(step.kernel.body))
        body = split_interior(body, {str(moment): (_ZERO, extent)})
        written = written_tensors(body)
        if not written:
            return None
        arrays = (*written, *(n for n in step.kernel.arrays if n in read_tensors(body) and n not in written))
        return replace(step, kernel=replace(step.kernel, body=body, arrays=arrays), writes=written[0], also=written[1:])

    def joined(self, run: _Run | None, statement: Statement, adding: bool) -> _Run:
        """The run with one statement more, or a new run if a thread would need what another one computes."""
        plain = [(d, s) for d, s in enumerate(statement.subscripts) if isinstance(s, Index) and statement.range_of(s).lower == 0]
        for dimension, index in plain:
            extent = statement.range_of(index).extent
            if run is None:
                run = _Run(index, extent)
            elif run.shared is None or sp.expand(run.extent - extent) != 0 or not _owns(run, statement, dimension, index):
                continue
            run.owned.setdefault(statement.target, dimension)
            run.statements.append(statement)
            run.body += distinct_locals(divided(self.worker.bodies.inside(statement, adding), index), run.locals)
            return run
        if run is not None:
            return self.joined(None, statement, adding)
        return _Run(None, None, {}, [statement], self.worker.bodies.inside(statement, adding))

    def kernel(self, run: _Run, moment: Moment, steps: sp.Expr) -> Nest:
        """The kernel of a run."""
        loop, total = "; ".join(map(show, run.statements)), sp.Add(*map(cost, run.statements)) * steps
        plan = LoopPlan(loop, "scan", (), str(run.shared or ""), f"in every step of {moment}")
        return _nest(run.statements, run.body, run.extent, plan, total)


def _names(nodes: Sequence[Node]) -> set[str]:
    """Names of the variables and indices of a body."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, Assign):
            found.add(node.name.name)
        elif isinstance(node, For | If):
            found |= _names(node.body) | ({str(node.index)} if isinstance(node, For) else set())
    return found


def _at_one(item: Statement | Scan, shared: Index, one: Moment) -> Any:
    """A statement, or the statements of a sequential loop, for one of the recurrences that are independent of each other."""
    if isinstance(item, Scan):
        return replace(item, body=tuple(_at_one(i, shared, one) for i in item.body))
    return rename(replace(item, ranges=tuple(r for r in item.ranges if r.index != shared)), {shared: one})


def _at_all(statement: Statement, moment: Moment, steps: sp.Expr) -> Statement:
    """A statement of one step as a statement of all steps."""
    index = Index(moment.name)
    moved = rename(statement, {moment: index})
    return replace(moved, ranges=(Range(index, _ZERO, steps), *moved.ranges))


def _owns(run: _Run, statement: Statement, dimension: int, index: Index) -> bool:
    """Whether a thread that has the statement's iterations of `index` needs nothing of a run that others have written."""
    if run.owned.get(statement.target, dimension) != dimension:
        return False
    parts = (statement.value, *statement.subscripts)
    touched = [a for part in parts for a in accesses(part) if isinstance(a, Access) and a.tensor in run.owned]
    return all(a.subscripts[run.owned[a.tensor]] == index for a in touched)


def _common_name(statements: Sequence[Statement], shared: dict[int, Index]) -> Index:
    """One index for all statements in place of the one that each shares."""
    others = {str(r.index) for s in statements for r in s.ranges if r.index != shared[id(s)]}
    name = str(shared[id(statements[0])])
    while name in others:
        name += "_"
    index: Index = Index(name)
    return index


def _nest(statements: Sequence[Statement], body: tuple[Node, ...], extent: sp.Expr | None, plan: LoopPlan, total: sp.Expr) -> Nest:
    written = tuple(dict.fromkeys(s.target for s in statements))
    sources = tuple(dict.fromkeys(r for s in statements for r in reads(s) if r not in written))
    kernel = Kernel("scan", plan.loop, (*written, *sources), body, extent)
    return Nest(kernel, plan, sources, written[0], total, written[1:])
