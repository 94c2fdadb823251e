"""Statements → steps: loops with bounds, accumulators, hoisted reads; or a call of the contraction engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import sympy as sp

from graphc.analysis.order import Scan, ordered
from graphc.analysis.recurrence import components
from graphc.ir.affine import linear
from graphc.ir.dtypes import dtype_of, is_float, settle
from graphc.ir.expr import (
    Access,
    Call,
    Compare,
    FloorDiv,
    Index,
    Logical,
    accesses,
    contains,
    indices_of,
    postorder,
    substitute,
)
from graphc.ir.functions import FUNCTIONS
from graphc.ir.graph import Graph, reads
from graphc.ir.nest import Assign, Contract, Fill, For, Group, If, Kernel, Local, LoopPlan, Nest, Node, Report, Step, Store, Unravel
from graphc.ir.show import statement as show
from graphc.ir.statement import Range, Statement, zeros
from graphc.ir.tensor import Tensor
from graphc.schedule.classify import Contraction, Order, contraction_roles, is_flat, loop_order, shared_index
from graphc.schedule.fuse import Unit, at_row, row_facts, row_names, units
from graphc.schedule.hoist import hoisted
from graphc.schedule.merge import distinct_locals, merged, read_tensors, scalarised, written_tensors
from graphc.schedule.recurrence import at_moment, length, moment_of, shared_indices
from graphc.schedule.selection import never_empty, selection
from graphc.schedule.target import Target

__all__ = ["PARTIAL", "schedule"]

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
        in_place: updates that overwrite their inputs, and these; they are computed as late as possible.
        accumulate: type of accumulators of float sums, None for the tensor's own.

    Returns:
        The graph with the tensors of partial sums added, and the steps.
    """
    worker = _Scheduler(graph, target, accumulate)
    definitions = graph.definitions()
    groups = [g for g in components(graph) if any(definitions[n] for n in g)]
    ordered_groups = sorted(groups, key=lambda g: g[0] in in_place)
    if not target.joins_rows or accumulate is not None:
        found = [Unit(g) for g in ordered_groups]
    else:
        found = units(ordered_groups, definitions, worker.tensors, worker.is_contraction, in_place)
    for unit in found:
        first, *others = unit.names
        if unit.depth and others:
            worker.rows(unit, definitions, in_place, graph)
        elif others or any(first in reads(s) for s in definitions[first]):
            worker.recur(unit.names, [s for n in unit.names for s in definitions[n]])
        else:
            worker.define(first, definitions[first])
    return replace(graph, tensors=tuple(worker.tensors.values())), tuple(worker.steps)


class _Scheduler:
    def __init__(self, graph: Graph, target: Target, accumulate: str | None) -> None:
        self.tensors = dict(graph.by_name())
        self.target, self.wide = target, accumulate
        self.steps: list[Step] = []
        self.facts: tuple[sp.Expr, ...] = ()
        self.label = ""

    # ------------------------------------------------------------------------------------------------ statements
    def define(self, name: str, statements: Sequence[Statement]) -> None:
        """All statements of one tensor: the ones that set it first, then the ones that add to it."""
        ordered = self._ordered(statements)
        complete = self._complete(ordered)
        if not complete:
            self.steps.append(Fill(name, LoopPlan(f"{name} = 0", "fill", (), "elements", "set to 0 before it is added to")))
        for position, statement in enumerate(ordered):
            self._statement(statement, adding=statement.op == "+=" and (position > 0 or not complete))

    def _ordered(self, statements: Sequence[Statement]) -> list[Statement]:
        """Assignments first, then what sets every element."""
        return sorted(statements, key=lambda s: (s.op == "+=", not self._covers(s)))

    def _complete(self, ordered: Sequence[Statement]) -> bool:
        """Whether the first statement of a tensor sets every element."""
        first = ordered[0]
        return self._covers(first) and (len(ordered) == 1 or first.op != "=" or len([s for s in ordered if s.op == "="]) == 1)

    def recur(self, group: Sequence[str], statements: Sequence[Statement]) -> None:
        """A recurrence: what does not depend on it first, then one kernel with sequential loops around the rest."""
        moving = [s for s in statements if set(reads(s)) & set(group)]
        for name in group:
            self.steps.append(Fill(name, LoopPlan(f"{name} = 0", "fill", (), "elements", "set to 0 before it is added to")))
        for s in sorted((s for s in statements if not any(s is m for m in moving)), key=lambda s: s.op == "+="):
            self._statement(s, adding=s.op == "+=")
        shared = shared_indices(moving, group, self.tensors)
        names = {str(z) for t in self.tensors.values() for e in t.shape for z in e.free_symbols}
        body = self._sequence(ordered(moving, group), names, {str(i): i for i in (shared or {}).values()})
        one = next(iter(shared.values())) if shared else None
        extent = next(s.range_of(shared[id(s)]).extent for s in moving) if shared else None
        touched = tuple(dict.fromkeys((*group, *(r for s in moving for r in reads(s)))))
        loop = "; ".join(show(s) for s in moving)
        how = "step by step" + (f", each thread its own {one}" if one is not None else "")
        plan = LoopPlan(loop, "scan", (), str(one or ""), how, "every read is of an earlier step")
        external = tuple(n for n in touched if n not in group)
        self.steps.append(
            Nest(Kernel("scan", loop, touched, body, extent), plan, external, group[0], sp.Add(*map(_cost, moving)), tuple(group[1:]))
        )

    def _sequence(self, items: Sequence[Statement | Scan], taken: set[str], shared: dict[str, Index]) -> tuple[Node, ...]:
        nodes: list[Node] = []
        for item in items:
            if isinstance(item, Scan):
                moment = moment_of(item, taken)
                extent = length(item, self.tensors)
                inner = tuple(at_moment(i, item, moment, extent) for i in item.body)
                body = self._sequence(inner, taken | {moment.name}, shared)
                nodes.append(For(Index(moment.name), (_ZERO,), (extent,), body, descending=item.descending))
            else:
                index = next((i for i in item.free if str(i) in shared), None)
                body = self._inside(item)
                nodes += _mark(body, index) if index is not None else body
        return tuple(nodes)

    def _inside(self, statement: Statement, adding: bool = True) -> tuple[Node, ...]:
        """The loops of one statement in a step of a recurrence, whose target has been set to 0, or in a row."""
        order = loop_order(statement, self.target.vector_innermost)
        if statement.op not in ("=", "+="):
            return self._selected(statement, order)
        if statement.reduced and not order.inner_left:
            return self._summed(statement, order, adding)
        if statement.reduced and not statement.scatters:
            return self._rows(statement, order, adding)
        return self._mapped(statement, order, adding)

    def rows(self, unit: Unit, definitions: Mapping[str, Sequence[Statement]], in_place: Mapping[str, str], graph: Graph) -> None:
        """Several tensors, row by row, in one kernel."""
        statements = [s for n in unit.names for s in self._ordered(definitions[n])]
        sizes = {str(z) for t in self.tensors.values() for e in t.shape for z in e.free_symbols}
        extents = self.tensors[unit.names[0]].shape[: unit.depth]
        rows = row_names(statements, unit.depth, sizes)
        self.facts = row_facts(rows, extents)
        taken = {str(r.index) for s in statements for r in s.ranges} | {m.name for m in rows} | sizes
        body: list[Node] = []
        for name in unit.names:
            found = self._ordered(definitions[name])
            complete = self._complete(found)
            if not complete:
                body += self._inside(at_row(zeros(name, self.tensors[name].shape), rows, extents), False)
            for position, s in enumerate(found):
                self.label = show(s)
                nodes = self._inside(at_row(s, rows, extents), s.op == "+=" and (position > 0 or not complete))
                body += distinct_locals(nodes, taken)
        self.facts, self.label = (), ""
        outside = {r for s in graph.statements if s.target not in unit.names for r in reads(s)} | set(graph.outputs)
        same = {new: old for new, old in in_place.items() if new in unit.names}
        nodes = merged(body, same)
        nodes = scalarised(nodes, lambda n: self.tensors[n].dtype, set(unit.names) - outside, taken)
        written = written_tensors(nodes)
        extent = sp.expand(sp.Mul(*extents))
        if len(rows) == 1:
            nest: tuple[Node, ...] = (For(Index(rows[0].name), (_ZERO,), (extent,), nodes, True),)
        else:
            line = Index("_".join(m.name for m in rows))
            parts = tuple((Index(m.name), e) for m, e in zip(rows, extents, strict=True))
            nest = (For(line, (_ZERO,), (extent,), (Unravel(line, parts), *nodes), True),)
        texts = [show(s) for s in statements]
        external = tuple(dict.fromkeys(r for s in statements for r in reads(s) if r not in unit.names))
        plan = LoopPlan("; ".join(texts), "rows", tuple(m.name for m in rows), " ".join(m.name for m in rows), "row by row",
                        "all of them touch the same rows")
        touched = (*written, *(r for r in (*external, *unit.names) if r in read_tensors(nodes) and r not in written))
        kernel = Kernel("rows", "\n".join(texts), touched, nest, extent)
        self.steps.append(Nest(kernel, plan, external, written[0], sp.Add(*map(_cost, statements)), written[1:]))

    def _covers(self, statement: Statement) -> bool:
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

    def _roles(self, statement: Statement) -> Contraction | None:
        """Roles of the indices if the contraction engine computes the statement."""
        roles = contraction_roles(statement, self.tensors) if self.target.has_engine and self.wide is None else None
        return roles if roles is not None and not self._tiny(statement, roles) else None

    def is_contraction(self, statement: Statement) -> bool:
        """Whether the contraction engine computes the statement."""
        return self._roles(statement) is not None

    def _statement(self, statement: Statement, adding: bool) -> None:
        roles = self._roles(statement)
        if roles is not None:
            self.steps.append(self._contract(statement, roles, adding))
            return
        if is_flat(statement, self.tensors):
            self._flat(statement, adding)
            return
        order = loop_order(statement, self.target.vector_innermost)
        if statement.op == "+=" and not statement.free and statement.reduced:
            self._total(statement, order, adding)
        elif statement.op not in ("=", "+="):
            self._nest(statement, order, self._selected(statement, order), self._kind(statement), "one accumulator per result")
        elif statement.reduced and not order.inner_left:
            self._nest(statement, order, self._summed(statement, order, adding), "sum", "summed in a register")
        elif statement.reduced and not statement.scatters:
            self._nest(statement, order, self._rows(statement, order, adding), "sum", "rows added in place")
        else:
            self._nest(statement, order, self._mapped(statement, order, adding), self._kind(statement), "element by element")

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
        return all(e.is_Integer for e in extents) and sp.Mul(*extents) <= 512

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
    ) -> None:
        shared = shared if shared is not None else shared_index(statement, order)
        if shared is not None and extent is None:
            extent = statement.range_of(shared).extent
            body = _mark(body, shared)
        names = tuple(dict.fromkeys((statement.target, *reads(statement))))
        roles = {"sum": "reduction", "map": "map", "gather": "gather", "scatter": "scatter"}.get(kind, "reduction")
        plan = LoopPlan(show(statement), roles, tuple(map(str, order.indices)), str(shared or ""), strategy, order.reason)
        kernel = Kernel(kind, show(statement), names, body, extent)
        self.steps.append(Nest(kernel, plan, reads(statement), statement.target, _cost(statement)))

    def _flat(self, statement: Statement, adding: bool) -> None:
        """One loop over all elements, whatever the number of dimensions."""
        element = Index("e")
        flat = {a: Access(a.tensor, element) for a in accesses(statement.value) if isinstance(a, Access) and a.subscripts}
        value = substitute(statement.value, flat)
        extent = sp.Mul(*(statement.range_of(i).extent for i in statement.free))
        scalars = [a for a in accesses(value) if isinstance(a, Access) and not a.subscripts and a.tensor != statement.target]
        lets = {a: Local(f"c{k}") for k, a in enumerate(scalars)}
        body: tuple[Node, ...] = (
            *(Assign(name, a, self.tensors[a.tensor].dtype) for a, name in lets.items()),
            For(element, (_ZERO,), (extent,), (Store(statement.target, (element,), substitute(value, dict(lets)), adding),), True),
        )
        names = tuple(dict.fromkeys((statement.target, *reads(statement))))
        plan = LoopPlan(show(statement), "map", ("e",), "e", "element by element", "all arrays have one shape and are contiguous")
        kernel = Kernel("map", show(statement), names, body, extent, True)
        self.steps.append(Nest(kernel, plan, reads(statement), statement.target, _cost(statement)))

    def _contract(self, statement: Statement, roles: Contraction, adding: bool) -> Contract:
        operands = (Access(statement.target, *statement.subscripts), roles.first, roles.second)
        batch, rows, columns, depth = (self._group(statement, g, operands) for g in (roles.batch, roles.rows, roles.columns, roles.depth))
        of_target, of_first, of_second = (tuple(_constant(s) for s in o.subscripts) for o in operands)
        names = {"batch": roles.batch, "rows": roles.rows, "columns": roles.columns, "depth": roles.depth}
        words = "; ".join(f"{k} {' '.join(map(str, v))}" for k, v in names.items() if v)
        order = (*roles.batch, *roles.rows, *roles.columns, *roles.depth)
        plan = LoopPlan(show(statement), "contraction", tuple(map(str, order)), "tiles", f"contraction engine: {words}")
        names_of = (statement.target, roles.first.tensor, roles.second.tensor)
        constants = (of_target, of_first, of_second)
        return Contract(names_of, batch, rows, columns, depth, constants, roles.scale, adding, plan, _cost(statement))

    @staticmethod
    def _group(statement: Statement, indices: Sequence[Index], operands: Sequence[Access]) -> Group:
        ranges = [statement.range_of(i) for i in indices]
        coefficients = tuple(tuple(tuple(_coefficient(s, i) for s in operand.subscripts) for i in indices) for operand in operands)
        return Group(tuple(sp.expand(r.extent) for r in ranges), tuple(r.lower for r in ranges), coefficients)

    # ------------------------------------------------------------------------------------------------- loop bodies
    def _mapped(self, statement: Statement, order: Order, adding: bool) -> tuple[Node, ...]:
        store = Store(statement.target, statement.subscripts, statement.value, adding or statement.scatters)
        return self._loops(statement, order.indices, (store,), guard=True)

    def _rows(self, statement: Statement, order: Order, adding: bool) -> tuple[Node, ...]:
        """Reduced loops around a loop along the left side; the row is set to 0 first."""
        inner = order.indices[-1]
        left = [i for i in order.indices[:-1] if i in statement.free]
        rest = [i for i in order.indices if i not in left]
        body = self._loops(statement, rest, (Store(statement.target, statement.subscripts, statement.value, True),), outer=left)
        if not adding:
            r = statement.range_of(inner)
            body = (For(inner, (r.lower,), (r.upper,), (Store(statement.target, statement.subscripts, _ZERO),)), *body)
        return self._wrap(statement, left, body)

    def _accumulator_type(self, statement: Statement) -> str:
        dtype = self.tensors[statement.target].dtype
        return self.wide if self.wide is not None and is_float(dtype) else dtype

    def _summed(self, statement: Statement, order: Order, adding: bool) -> tuple[Node, ...]:
        left = [i for i in order.indices if i in statement.free]
        rest = [i for i in order.indices if i not in left]
        total = Local("total")
        dtype = self._accumulator_type(statement)
        body = (
            Assign(total, _ZERO, dtype),
            *self._summing(statement, rest, total, dtype, left),
            Store(statement.target, statement.subscripts, total, adding),
        )
        return self._wrap(statement, left, body)

    def _summing(
        self, statement: Statement, rest: Sequence[Index], total: Local, dtype: str, outer: Sequence[Index], guard: bool = False
    ) -> tuple[Node, ...]:
        """Loops that add to `total`; with several loops every innermost one has a sum of its own, so that rounding errors stay small."""
        if len(rest) < 2:
            return self._loops(statement, rest, (Assign(total, _plus(total, statement.value), dtype),), outer, guard=guard)
        row = Local("row")
        inner = self._loops(statement, rest[-1:], (Assign(row, _plus(row, statement.value), dtype),), (*outer, *rest[:-1]))
        body = (Assign(row, _ZERO, dtype), *inner, Assign(total, _plus(total, row), dtype))
        return self._loops(statement, rest[:-1], body, outer, hoist=False, guard=guard)

    def _total(self, statement: Statement, order: Order, adding: bool) -> None:
        """A sum to a single element: partial sums of blocks of the outermost loop, always the same number of them."""
        name = f"{statement.target}.{PARTIAL}"
        while name in self.tensors:
            name += "_"
        info = self.tensors[statement.target]
        dtype = self._accumulator_type(statement)
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
        self.facts = r.constraints()
        body: tuple[Node, ...] = (
            Assign(total, _ZERO, dtype),
            *self._summing(restricted, order.indices, total, dtype, (), True),
            Store(name, (block,), total),
        )
        self.facts = ()
        nest = (For(block, (_ZERO,), (blocks,), body, True),)
        partial = replace(statement, target=name, subscripts=(block,))
        kernel = Kernel("total", show(statement), tuple(dict.fromkeys((name, *reads(statement)))), nest, blocks)
        plan = LoopPlan(
            show(statement), "reduction", tuple(map(str, order.indices)), "blocks", f"{blocks} partial sums, then their sum", order.reason
        )
        self.steps.append(Nest(kernel, plan, reads(partial), name, _cost(statement)))
        final = (
            Assign(total, _ZERO, dtype),
            For(block, (_ZERO,), (blocks,), (Assign(total, total + Access(name, block), dtype),)),
            Store(statement.target, statement.subscripts, total, adding),
        )
        plan = LoopPlan(f"{statement.target}[()] = sum of {name}", "reduction", ("block",), "", "sum of the partial sums")
        self.steps.append(Nest(Kernel("finish", plan.loop, (statement.target, name), final, None), plan, (name,), statement.target, blocks))

    def _selected(self, statement: Statement, order: Order) -> tuple[Node, ...]:
        """Reductions other than sums: an accumulator and the rule how a value enters it."""
        left = [i for i in order.indices if i in statement.free]
        rest = [i for i in order.indices if i not in left]
        own = settle(dtype_of(statement.value, lambda n: self.tensors[n].dtype))
        start, update, result = selection(statement, own)
        after: tuple[Node, ...] = ()
        if statement.op.startswith(("max", "min", "arg")) and statement.domain and not never_empty(statement):
            empty = Local("empty")
            start, update = (*start, Assign(empty, sp.true, "bool")), (*update, Assign(empty, sp.false, "bool"))
            after = (If(empty, (Report(self.label or show(statement)),)),)
        body = (
            *start,
            *self._loops(statement, rest, update, left, hoist=False),
            *after,
            Store(statement.target, statement.subscripts, result),
        )
        return self._wrap(statement, left, body)

    # ---------------------------------------------------------------------------------------------------- loops
    def _wrap(self, statement: Statement, left: Sequence[Index], body: tuple[Node, ...]) -> tuple[Node, ...]:
        return self._loops(statement, left, body, hoist=False, guard=True)

    def _loops(
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
                body = (If(tests[0] if len(tests) == 1 else Logical("and", *tests), body),)
            body = (For(index, tuple(dict.fromkeys(lower)), tuple(dict.fromkeys(upper)), body),)
            if lets and position == len(order) - 1:
                body = (*lets, *body)
        everywhere = [Compare(">=", c, _ZERO) for c in statement.domain if guard and not indices_of(c)]
        if everywhere:
            body = (If(everywhere[0] if len(everywhere) == 1 else Logical("and", *everywhere), body),)
        return body


def _plus(total: Local, value: sp.Expr) -> sp.Expr:
    return Call("plus", total, value)


def _mark(body: tuple[Node, ...], shared: Index) -> tuple[Node, ...]:
    """Mark the loops over the shared index."""
    marked: list[Node] = []
    for node in body:
        if isinstance(node, For):
            inner = _mark(node.body, shared)
            marked.append(replace(node, body=inner, shared=node.index == shared))
        elif isinstance(node, If):
            marked.append(replace(node, body=_mark(node.body, shared)))
        else:
            marked.append(node)
    return tuple(marked)


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


def _constant(subscript: sp.Expr) -> sp.Expr:
    """The part of a subscript without indices."""
    return sp.Add(*(t for t in sp.Add.make_args(sp.expand(subscript)) if not indices_of(t)))


def _coefficient(subscript: sp.Expr, index: Index) -> int:
    form = linear(subscript)
    assert form is not None
    return form.coefficient(index)


def _cost(statement: Statement) -> sp.Expr:
    """Scalar operations of the whole nest, a box assumed."""
    operations = 0
    for node in postorder(statement.value):
        if isinstance(node, sp.Add | sp.Mul):
            operations += len(node.args) - 1
        elif isinstance(node, Call):
            operations += FUNCTIONS[node.function].cost if node.function in FUNCTIONS else 1
        elif isinstance(node, sp.Pow):
            operations += 4
    return sp.Mul(*(r.extent for r in statement.loops)) * (operations + 1)
