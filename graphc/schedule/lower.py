"""Statements → steps: loops with bounds, accumulators, hoisted reads; or a call of the contraction engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import sympy as sp

from graphc.analysis.recurrence import components
from graphc.analysis.segments import segments
from graphc.ir.affine import linear
from graphc.ir.dtypes import dtype_of, is_float
from graphc.ir.expr import Access, Call, FloorDiv, Index, Modulo
from graphc.ir.graph import Graph, reads
from graphc.ir.nest import Assign, Contract, Fill, For, Group, If, Kernel, Local, LoopPlan, Moment, Nest, Node, Step, Store
from graphc.ir.show import statement as show
from graphc.ir.statement import Range, Statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, contains, indices_of, substitute
from graphc.schedule.bodies import Bodies, divided, plus
from graphc.schedule.branchless import branchless
from graphc.schedule.classify import Contraction, Order, contraction_roles, independent, is_flat, loop_order, shared_index
from graphc.schedule.cost import cost
from graphc.schedule.decide import decided
from graphc.schedule.fuse import Unit, units
from graphc.schedule.interior import split_interior
from graphc.schedule.jam import jammed
from graphc.schedule.lanes import over_lanes
from graphc.schedule.line import in_line
from graphc.schedule.lookup import looked_up
from graphc.schedule.once import once
from graphc.schedule.peel import peeled
from graphc.schedule.ring import Ring, folded
from graphc.schedule.rows import flat_step, rows_step
from graphc.schedule.scan import recurrence
from graphc.schedule.scatter import sorted_scatter
from graphc.schedule.segments import Sweeps
from graphc.schedule.share import shared
from graphc.schedule.target import Target
from graphc.schedule.unread import without_unread

__all__ = ["PARTIAL", "SCRATCH", "schedule"]

FEW = 512
"""Iterations up to which a reduction is one loop of one thread."""

PORTION = 4096
"""Floats that are summed up before the sum is added to a total."""

SCRATCH = 2**20
"""Elements for sums of parts of the depth of a contraction."""

PARTIAL = "partial"
"""Suffix of the tensors that hold partial sums."""

_ZERO, _ONE = sp.Integer(0), sp.Integer(1)


def schedule(
    graph: Graph, target: Target, in_place: Mapping[str, str] = MappingProxyType({}), accumulate: str | None = None
) -> tuple[Graph, tuple[Step, ...]]:
    """Steps that compute the outputs of a graph, in an order in which every tensor is complete before it is read.

    Args:
        graph: canonical, with functions expanded.
        target: what the machine has.
        in_place: updates that overwrite their inputs, and these.
        accumulate: type of accumulators of float sums, None for the tensor's own.

    Returns:
        The graph with the tensors of partial sums added, and the steps.
    """
    plan = segments(graph)
    worker = _Scheduler(graph, target, accumulate)
    definitions = graph.definitions()
    groups = sorted((g for g in components(graph) if any(definitions[n] for n in g)), key=lambda g: g[0] in in_place)
    if plan is None:
        worker.units(groups, in_place)
    else:
        sweeps = Sweeps(worker, plan)
        for run, sweep in sweeps.arranged(groups):
            worker.units(run, in_place)
            if sweep is not None:
                worker.steps += sweeps.forward() if sweep == "forward" else sweeps.backward()
    steps = folded(worker.steps, worker.rings, worker.tensors, plan.rows if plan is not None else ())
    steps = tuple(once(shared(looked_up(decided(step), worker.tensors), worker.tensors)) for step in steps)
    if target.vector_innermost:
        steps = tuple(branchless(peeled(step), worker.tensors) for step in steps)
    if not target.vector_innermost:
        steps = tuple(over_lanes(step, in_place) for step in steps)
    elif accumulate is None:
        steps = tuple(map(jammed, steps))
    return replace(graph, tensors=tuple(worker.tensors.values())), without_unread(steps)


class _Scheduler:
    def __init__(self, graph: Graph, target: Target, accumulate: str | None) -> None:
        self.tensors = dict(graph.by_name())
        self.graph, self.target, self.wide = graph, target, accumulate
        self.rings: dict[str, Ring] = {}
        self.steps: list[Step] = []
        self.bodies = Bodies(self.tensors, target, accumulate)

    # ------------------------------------------------------------------------------------------------ statements
    def units(self, groups: Sequence[tuple[str, ...]], in_place: Mapping[str, str]) -> None:
        """All statements of groups of tensors, those that touch the same rows together."""
        definitions = self.graph.definitions()
        joining = self.target.joins_rows and self.wide is None
        found = units(groups, definitions, self.tensors, self.is_contraction, in_place) if joining else [Unit(g) for g in groups]
        for unit in found:
            first, *others = unit.names
            if unit.depth and (others or len(definitions[first]) > 1):
                self.steps.append(rows_step(self.bodies, unit, definitions, in_place, self.graph))
            elif others or any(first in reads(s) for s in definitions[first]):
                self.steps += recurrence(self, unit.names, [s for n in unit.names for s in definitions[n]])
            else:
                self.define(first, definitions[first])

    def define(self, name: str, statements: Sequence[Statement], complete: bool = False) -> None:
        """All statements of one tensor: the ones that set it first, then the ones that add to it.

        Where they do not set every element, the others become 0, unless the definition is `complete` without them.
        """
        ordered = self.bodies.ordered(statements)
        complete = complete or self.bodies.complete(ordered)
        if not complete:
            self.steps.append(Fill(name, LoopPlan(f"{name} = 0", "fill", (), "elements", "set to 0 before it is added to")))
        for position, statement in enumerate(ordered):
            self._statement(statement, adding=statement.op == "+=" and (position > 0 or not complete))


    def apart(self, statement: Statement, adding: bool) -> list[Step]:
        """The steps of one statement, which are not among those of the program."""
        before, self.steps = self.steps, []
        self._statement(statement, adding)
        made, self.steps = self.steps, before
        return made

    def is_contraction(self, statement: Statement) -> bool:
        """Whether the contraction engine computes the statement."""
        return self.roles(statement) is not None

    def roles(self, statement: Statement) -> Contraction | None:
        """Roles of the indices if the contraction engine computes the statement."""
        engine = self.target.has_engine and self.wide is None
        roles = contraction_roles(statement, self.tensors, self.target) if engine else None
        if roles is None or self._tiny(statement, roles):
            return None
        touched = (Access(statement.target, *statement.subscripts), roles.first, roles.second, *roles.here)
        # Rows of a ring do not lie one behind the other.
        return None if any(a.tensor in self.rings and indices_of(a.subscripts[self.rings[a.tensor][0]]) for a in touched) else roles

    def _statement(self, statement: Statement, adding: bool) -> None:
        roles = self.roles(statement)
        if roles is not None:
            self.steps.append(self.contract(statement, roles, adding))
            return
        if is_flat(statement, self.tensors):
            self.steps.append(flat_step(self.bodies, [(statement, adding)], {statement.target}))
            return
        if statement.scatters and not self.target.vector_innermost and self._scattered(statement, adding):
            return
        order = loop_order(statement, self.target.vector_innermost)
        few = _few(statement.range_of(i).extent for i in (*statement.free, *statement.reduced))
        if statement.op == "+=" and not statement.free and statement.reduced and not few:
            self._total(statement, order, adding)
        elif self.bodies.grows_in_place(statement, order):
            self._nest(statement, order, self.bodies.selected_in_place(statement, order), statement.op, "rows of results in place")
        elif statement.op not in ("=", "+="):
            self._nest(statement, order, self.bodies.selected(statement, order), self._kind(statement), "one accumulator per result")
        elif statement.reduced and not order.inner_left:
            self._nest(statement, order, self.bodies.summed(statement, order, adding), self._sum(statement), "summed in a register")
        elif statement.reduced and not statement.scatters:
            self._nest(statement, order, self.bodies.in_place(statement, order, adding), "sum", "rows added in place")
        else:
            self._nest(statement, order, self.bodies.mapped(statement, order, adding), self._kind(statement), "element by element")

    def _scattered(self, statement: Statement, adding: bool) -> bool:
        """Steps of a GPU for a sum where integers point, by as many threads as there are items or elements."""
        if any(contains(e, Moment) for e in (statement.value, *statement.subscripts, *statement.domain)):
            return False
        own = dtype_of(statement.value, lambda n: self.tensors[n].dtype)
        whole = self.tensors[statement.target].dtype in ("int32", "int64") and not is_float(own) and own != "weak_float"
        if statement.op == "+=" and whole:
            every = tuple(r.index for r in statement.loops)
            store = Store(statement.target, statement.subscripts, statement.value, True, True)
            body = self.bodies.loops(statement, every, (store,), hoist=False, guard=True)
            order = Order(every, True, "integers have the same sum in any order")
            self._nest(statement, order, body, "scatter", "added atomically", apart=every)
            return True
        steps = sorted_scatter(statement, self.tensors, self.bodies.accumulator_type(statement), adding)
        self.steps += steps
        return bool(steps)

    @staticmethod
    def _sum(statement: Statement) -> str:
        return "scatter" if statement.scatters else "sum"

    @staticmethod
    def _kind(statement: Statement) -> str:
        if statement.scatters:
            return "scatter"
        if statement.op not in ("=", "+="):
            return statement.op.replace("_split", "")
        gathers = any(contains(s, Access) for a in accesses(statement.value) for s in a.subscripts)
        return "gather" if gathers else "map"

    @staticmethod
    def _tiny(statement: Statement, roles: Contraction) -> bool:
        """Literal extents so small that plain loops, which the compiler unrolls, are better."""
        extents = [statement.range_of(i).extent for i in (*roles.rows, *roles.columns, *roles.depth)]
        return _few(extents)

    # ------------------------------------------------------------------------------------------------------ steps
    def _nest(
        self,
        statement: Statement,
        order: Order,
        body: tuple[Node, ...],
        kind: str,
        strategy: str,
        shared: Index | None = None,
        extent: sp.Expr | None = None,
        apart: tuple[Index, ...] = (),
    ) -> None:
        if self.target.vector_innermost:
            shared = shared if shared is not None else shared_index(statement, order)
            if shared is not None and extent is None:
                extent = statement.range_of(shared).extent
                body = divided(body, shared)
            body, together = split_interior(body, {}), str(shared or "")
        else:
            body, extent, apart = in_line(body, apart or independent(statement))
            together = " ".join(map(str, apart))
        names = tuple(dict.fromkeys((statement.target, *reads(statement))))
        roles = {"sum": "reduction", "map": "map", "gather": "gather", "scatter": "scatter"}.get(kind, "reduction")
        plan = LoopPlan(show(statement), roles, tuple(map(str, order.indices)), together, strategy, order.reason)
        kernel = Kernel(kind, show(statement), names, body, extent)
        self.steps.append(Nest(kernel, plan, reads(statement), statement.target, cost(statement)))

    def contract(self, statement: Statement, roles: Contraction, adding: bool) -> Contract:
        operands = (Access(statement.target, *statement.subscripts), roles.first, roles.second, *roles.here)
        batch, rows, columns, depth = (self._group(statement, g, operands) for g in (roles.batch, roles.rows, roles.columns, roles.depth))
        constants = tuple(tuple(_split(_constant(s))[0] for s in o.subscripts) for o in operands)
        starts = tuple(self._start(o) for o in operands)
        names = {"batch": roles.batch, "rows": roles.rows, "columns": roles.columns, "depth": roles.depth}
        words = "; ".join(f"{k} {' '.join(map(str, v))}" for k, v in names.items() if v)
        order = (*roles.batch, *roles.rows, *roles.columns, *roles.depth)
        plan = LoopPlan(show(statement), "contraction", tuple(map(str, order)), "tiles", f"contraction engine: {words}")
        names_of = tuple(o.tensor for o in operands)
        scratch = self._scratch(self.tensors[statement.target]) if not self.target.vector_innermost else ""
        return Contract(names_of, batch, rows, columns, depth, constants, roles.scale, adding, plan, cost(statement), starts,
                        when=statement.domain, inner=roles.inner, scratch=scratch)

    def _scratch(self, target: Tensor) -> str:
        """A tensor for sums of parts of the depth, the same for all contractions of one type."""
        name = f".sums.{target.dtype}"
        self.tensors.setdefault(name, Tensor(name, (sp.Integer(SCRATCH),), target.dtype, "defined", target.group))
        return name

    def _start(self, operand: Access) -> sp.Expr:
        """How many elements the variables of loops of steps move an operand."""
        shape = self.tensors[operand.tensor].shape
        parts = [_split(_constant(s))[1] for s in operand.subscripts]
        if operand.tensor in self.rings:
            dimension, rows = self.rings[operand.tensor]
            parts[dimension] = Modulo(parts[dimension], rows)
        return sp.Add(*(p * sp.Mul(*shape[d + 1 :]) for d, p in enumerate(parts)))

    @staticmethod
    def _group(statement: Statement, indices: Sequence[Index], operands: Sequence[Access]) -> Group:
        ranges = [statement.range_of(i) for i in indices]
        coefficients = tuple(tuple(tuple(_coefficient(s, i) for s in operand.subscripts) for i in indices) for operand in operands)
        return Group(tuple(sp.expand(r.extent) for r in ranges), tuple(r.lower for r in ranges), coefficients)

    def _total(self, statement: Statement, order: Order, adding: bool) -> None:
        """A sum to a single element: partial sums of blocks of the outermost loop, always the same number of them."""
        name = f"{statement.target}.{PARTIAL}"
        while name in self.tensors:
            name += "_"
        info = self.tensors[statement.target]
        dtype = self.bodies.accumulator_type(statement)
        blocks = sp.Integer(self.target.partial_sums)
        self.tensors[name] = Tensor(name, (blocks,), dtype, "defined", info.group)
        outer = order.indices[0]
        block, total = Index(".block"), Local("total")
        r = statement.range_of(outer)
        low, high = (
            (r.lower + FloorDiv(sp.expand(b * r.extent), int(blocks)) for b in (block, block + 1))
            if sp.expand(r.extent).is_Integer
            else (r.lower + Call("split", block, r.extent, blocks), r.lower + Call("split", block + 1, r.extent, blocks))
        )
        restricted = replace(statement, ranges=tuple(Range(outer, low, high) if x.index == outer else x for x in statement.ranges))
        self.bodies.facts = r.constraints()
        body: tuple[Node, ...] = (
            Assign(total, _ZERO, dtype),
            *self.bodies.summing(restricted, order.indices, total, dtype, (), True),
            Store(name, (block,), total),
        )
        self.bodies.facts = ()
        if self.target.vector_innermost:
            body = split_interior(body, {str(outer): (r.lower, r.upper)})
            if not (r.extent.is_Integer and r.extent <= PORTION * blocks):
                body = tuple(_in_portions(node, total, dtype) for node in body)
        nest = (For(block, (_ZERO,), (blocks,), body, True),)
        partial = replace(statement, target=name, subscripts=(block,))
        kernel = Kernel("total", show(statement), tuple(dict.fromkeys((name, *reads(statement)))), nest, blocks)
        plan = LoopPlan(
            show(statement), "reduction", tuple(map(str, order.indices)), "blocks", f"{blocks} partial sums, then their sum", order.reason
        )
        self.steps.append(Nest(kernel, plan, reads(partial), name, cost(statement)))
        final = (
            Assign(total, _ZERO, dtype),
            For(block, (_ZERO,), (blocks,), (Assign(total, total + Access(name, block), dtype),)),
            *self.bodies.loops(
                replace(statement, domain=self.bodies.beyond(replace(statement, domain=()), ())),
                (),
                (Store(statement.target, statement.subscripts, total, adding),),
                guard=True,
            ),
        )
        plan = LoopPlan(f"{statement.target}[()] = sum of {name}", "reduction", ("block",), "", "sum of the partial sums")
        needed = (name, *dict.fromkeys(a.tensor for s in statement.subscripts for a in accesses(s)))
        kernel = Kernel("finish", plan.loop, (statement.target, *needed), final, None)
        self.steps.append(Nest(kernel, plan, needed, statement.target, blocks))


def _in_portions(node: Node, total: Local, dtype: str) -> Node:
    """A long loop that adds floats to `total` as one that adds sums of portions, so that rounding errors stay small."""
    if isinstance(node, If):
        return replace(node, body=tuple(_in_portions(n, total, dtype) for n in node.body))
    if not isinstance(node, For) or not is_float(dtype) or len(node.body) != 1:
        return node
    (term,) = node.body
    if not isinstance(term, Assign) or term.name != total or isinstance(term.value, Local):
        return node
    begin, part = Index(".portion"), Local("part")
    own = replace(term, name=part, value=substitute(term.value, {total: part}))
    inner = replace(node, lower=(begin,), upper=(*node.upper, begin + PORTION), body=(own,))
    return replace(node, index=begin, step=PORTION, body=(Assign(part, _ZERO, dtype), inner, Assign(total, plus(total, part), dtype)))


def _few(extents: Iterable[sp.Expr]) -> bool:
    """Whether a loop over all of this is shorter than what it takes to divide or to pack it."""
    count = sp.Mul(*extents)
    return bool(count.is_Integer and count <= FEW)


def _constant(subscript: sp.Expr) -> sp.Expr:
    """The part of a subscript without indices."""
    return sp.Add(*(t for t in sp.Add.make_args(sp.expand(subscript)) if not indices_of(t)))


def _split(constant: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """The part without and, if there is any, everything with variables of loops of steps: a subscript at which nothing may be read
    is never an address."""
    return (_ZERO, constant) if contains(constant, Moment) else (constant, _ZERO)


def _coefficient(subscript: sp.Expr, index: Index) -> int:
    form = linear(subscript)
    assert form is not None
    return form.coefficient(index)
