"""How a recurrence is computed with few of its rows in memory: what the forward sweep computes, and what the backward sweep.

Griewank (Optim. Methods Softw. 1, 1992) with one level: every k-th step is kept, and the backward sweep computes the k steps of a segment
again before it goes through them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from graphc.analysis.recurrence import components
from graphc.analysis.timeline import Timeline, scan_of, timeline
from graphc.errors import CompileError, GraphcError
from graphc.ir.expr import Access
from graphc.ir.graph import Graph, reads
from graphc.ir.origin import Derivative, Tangent, lineage
from graphc.ir.show import Order, expression, statement_body
from graphc.ir.statement import Statement
from graphc.ir.tree import accesses, contains, indices_of

__all__ = ["Segments", "check_marks", "segments"]


WIDEST = 16
"""Rows that are kept before each segment: every one is copied by a statement of its own."""


@dataclass(frozen=True, slots=True)
class Segments:
    """Two sweeps over the rows of a timeline.

    Attributes:
        line: the tensors with rows.
        every: rows of a segment.
        whole: tensors of which all rows are kept: results, and what is read by statements outside of the sweeps.
        sums: tensors without rows that a sweep adds to.
        first: tensors with rows that the forward sweep computes.
        again: those of them that the backward sweep computes again.
        last: those that the backward sweep computes on its way back; some of them are in `first` too.
        late: the sums that the backward sweep adds to; the others belong to the forward sweep.
        kept: how many rows before each segment are kept, by tensor.
        rows: how many rows of a tensor exist at a time; tensors that are whole are not listed.
    """

    line: Timeline
    every: int
    whole: frozenset[str]
    sums: frozenset[str]
    first: frozenset[str]
    again: frozenset[str]
    last: frozenset[str]
    late: frozenset[str]
    kept: Mapping[str, int]
    rows: Mapping[str, int]


def check_marks(graph: Graph) -> None:
    """Every tensor that `graphc.checkpoint` has marked is a recurrence, and all are marked alike.

    Raises:
        CompileError: a tensor is none, or two have segments of different lengths.
    """
    marked = [t for t in graph.tensors if t.every]
    for tensor in marked:
        group = next(g for g in components(graph) if tensor.name in g)
        definitions = graph.definitions()
        if len(group) == 1 and not any(tensor.name in reads(s) for s in definitions[tensor.name]):
            raise _refusal(f"{tensor.name} cannot be checkpointed: it is no recurrence.", tensor.name, definitions[tensor.name],
                           f"give gc.checkpoint a tensor that reads its own earlier elements, such as {tensor.name}[t-1].")
    for tensor in marked[1:]:
        if tensor.every != marked[0].every:
            raise _refusal(f"{marked[0].name} is checkpointed every {marked[0].every} steps, but {tensor.name} every {tensor.every}.",
                           tensor.name, graph.definitions()[tensor.name], "give all recurrences of a program the same every=.")


def segments(graph: Graph) -> Segments | None:
    """The sweeps of a graph with a marked recurrence; None if there is none.

    Raises:
        CompileError: all rows of the recurrence are needed at a time.
    """
    marked = [t for t in graph.tensors if t.every]
    if not marked:
        return None
    line = timeline(graph, marked[0].name)
    definitions = graph.definitions()
    if line is None:
        raise _refusal(f"{marked[0].name} cannot be checkpointed: its rows are not computed one after the other.",
                       marked[0].name, definitions[marked[0].name], "checkpoint a recurrence over one index, h[t] from h[t-1].")
    planner = _Planner(graph, line)
    for tensor in marked:
        planner.require(tensor.name)
    return planner.plan(marked[0].every)


def _refusal(what: str, name: str, statements: Iterable[Statement], fix: str) -> GraphcError:
    return CompileError(what, at=tuple((statement_body(s), _places(s, name), s.location) for s in list(statements)[:3]), fix=fix)


def _places(s: Statement, name: str) -> tuple[str, ...]:
    """How a statement writes the elements of a tensor."""
    found = (Access(s.target, *s.subscripts), *(a for part in (s.value, *s.subscripts) for a in accesses(part)))
    return tuple(expression(a, Order.of(s)) for a in found if a.tensor == name)


class _Planner:
    """Finds the tensors and statements that take part: all that fit, by dropping what does not until nothing has to be dropped."""

    def __init__(self, graph: Graph, line: Timeline) -> None:
        self.graph, self.line, self.definitions = graph, line, graph.definitions()
        self.groups = [g for g in components(graph) if any(self.definitions[n] for n in g)]
        self.reasons: dict[str, Statement] = {}
        dropped = True
        while dropped:
            self._classify()
            dropped = self._drop()

    # -------------------------------------------------------------------------------------------------- who is when
    def _classify(self) -> None:
        """Which tensors depend on a complete sweep or (the third) on both, and which rows belong to the backward sweep."""
        rows, ahead = self.line.dimensions, self.line.ahead
        self.after: set[str] = set()
        self.last: set[str] = set()
        self.third: set[str] = set()
        for group in self.groups:
            sources = {r for n in group for s in self.definitions[n] for r in reads(s)} - set(group)
            if not set(group) <= rows.keys():
                if sources & (self.after | rows.keys()):
                    self.after |= set(group)
                if sources & (self.third | self.last) or any(self._is_late(s) for n in group for s in self.definitions[n]):
                    self.third |= set(group)
                continue
            scan = scan_of(self.graph, group) if self._recurs(group) else None
            backwards = scan is not None and self._temporal(group) and scan.descending != self.line.descending
            early = [d for n in group for s in self.definitions[n] if self.line.index(s) is not None for _, d in ahead(s)]
            if backwards or sources & (self.after | self.last) or any(d > 0 for d in early):
                self.last |= set(group)

    def _recurs(self, group: tuple[str, ...]) -> bool:
        return len(group) > 1 or any(group[0] in reads(s) for s in self.definitions[group[0]])

    def _temporal(self, group: tuple[str, ...]) -> bool:
        """Whether a recurrence goes along the rows, rather than inside of each."""
        statements = [s for n in group for s in self.definitions[n]]
        return any(name in group and d for s in statements if self.line.index(s) is not None for name, d in self.line.ahead(s))

    # ----------------------------------------------------------------------------------------------- who takes part
    def _drop(self) -> bool:
        """Take the groups out of which a tensor does not fit; whether there were any."""
        found = dict(self.line.dimensions)
        for group in self.groups:
            members = [n for n in group if n in found]
            if members and (len(members) < len(group) or not self._fits(group)):
                for name in members:
                    del found[name]
        if len(found) == len(self.line.dimensions):
            return False
        self.line = replace(self.line, dimensions=found)
        return True

    def _fits(self, group: tuple[str, ...]) -> bool:
        last = bool(set(group) & self.last)
        if last and not set(group) <= self.last:
            return False
        for name in group:
            for s in self.definitions[name]:
                if self.line.index(s) is None or (s.op not in ("=", "+=") and len(self.definitions[name]) > 1):
                    return False
                if last and any(source in self.last and d < 0 for source, d in self.line.ahead(s)):
                    return False
                if set(reads(s)) & self.third:
                    return False
        if self._recurs(group) and self._temporal(group):
            scan = scan_of(self.graph, group)
            if scan is None or any(self.line.dimensions[n] != d for n, d in scan.dimensions):
                return False
            return not any(o for _, o in scan.offsets) and last == (scan.descending != self.line.descending)
        return True

    def _adds(self, s: Statement) -> bool:
        """Whether a statement without rows on its left side adds up something of each row."""
        index = self.line.index(s)
        if index is None or s.op != "+=" or any(index in indices_of(x) and not contains(x, Access) for x in s.subscripts):
            return False
        late = any(d > 0 for _, d in self.line.ahead(s)) or set(reads(s)) & (self.after | self.last)
        return not (late and (set(reads(s)) & self.third or any(n in self.last and d < 0 for n, d in self.line.ahead(s))))

    def _outside(self) -> tuple[set[str], set[str]]:
        """The tensors whose rows are all kept, and the sums of the sweeps."""
        rows = self.line.dimensions.keys()
        reading = {n: [s for s in found if set(reads(s)) & rows] for n, found in self.definitions.items() if n not in rows}
        # One number is not divided among threads; `graphc.passes.by_rows` has made it a sum of rows.
        sums = {n for n, found in reading.items() if found and self.graph.tensor(n).shape and all(map(self._adds, found))}
        while early := {n for n in sums if self._needs_sweep(n, sums)}:
            sums -= early
        whole = {n for n in self.graph.outputs if n in rows}
        for name, found in reading.items():
            if name not in sums:
                for s in found:
                    for r in set(reads(s)) & rows:
                        whole.add(r)
                        self.reasons.setdefault(r, s)
        # A sum of what is there as a whole needs no sweep.
        return whole, {n for n in sums if not {r for s in reading[n] for r in reads(s)} & rows <= whole}

    def _needs_sweep(self, name: str, sums: Iterable[str]) -> bool:
        """Whether what is in a sum beside what is added of each row has to wait for the sweep that it is part of."""
        late = {n for n in sums if any(map(self._is_late, self.definitions[n]))}
        unknown = self.third | late if name in late else self.after
        return any(set(reads(s)) & unknown for s in self.definitions[name] if not set(reads(s)) & self.line.dimensions.keys())

    def require(self, name: str) -> None:
        """Refuse a marked tensor that does not take part.

        Raises:
            CompileError: see above.
        """
        whole, _ = self._outside()
        fix = f"take gc.checkpoint({name}, …) away"
        if name in self.graph.outputs:
            raise _refusal(f"{name} is checkpointed, but all of it is asked for.", name, self.definitions[name],
                           f"leave {name} out of the outputs, or {fix}.")
        if name not in self.line.dimensions:
            raise _refusal(f"{name} cannot be checkpointed: its recurrence does not fit into one sweep forward and one back.",
                           name, self.definitions[name], f"{fix}, or read rows at t, t-1, … only.")
        if name in self.last:
            raise _refusal(f"{name} cannot be checkpointed: it is computed from results of the recurrence that is.",
                           name, self.definitions[name], f"{fix}.")
        if name in whole and any(isinstance(o, Derivative | Tangent) for o in lineage(self.reasons[name].origin)):
            raise _refusal(f"{name} is checkpointed, but a derivative needs all its steps at a time.",
                           name, [self.reasons[name]], f"{fix}.")
        if name in whole:
            raise _refusal(f"{name} is checkpointed, but one statement needs all its steps at a time.", name, [self.reasons[name]],
                           f"read {name} at steps t, t-1, … of a loop over all steps, or at a constant step, and add what depends on its "
                           f"sums to another tensor; or {fix}.")

    # ----------------------------------------------------------------------------------------------------- the plan
    def plan(self, every: int) -> Segments:
        line, rows = self.line, set(self.line.dimensions)
        whole, sums = self._outside()
        late = {n for n in sums if any(self._is_late(s) for s in self.definitions[n])}
        adding = {n: [s for s in self.definitions[n] if set(reads(s)) & rows] for n in sums}
        last = {n for n in self.last if n in rows}
        backward = [s for n in (*last, *late) for s in (adding.get(n) or self.definitions[n])]
        again = self._needed({r for s in backward for r in reads(s)} & rows - last - whole, whole) - whole
        last |= self._at_once(again, backward)
        again -= last
        backward = [s for n in (*last, *late) for s in (adding.get(n) or self.definitions[n])]
        returned = [*backward, *(s for n in again for s in self.definitions[n])]
        kept = {n: m for n in again if (m := self._farthest(n, returned, -1))}
        wanted = {r for n in sums - late for s in adding[n] for r in reads(s)} & rows | (whole - last) | kept.keys()
        first = self._needed(wanted, frozenset())
        forward = [*(s for n in first for s in self.definitions[n]), *(s for n in sums - late for s in adding[n])]
        wide = next((n for n, m in kept.items() if m > WIDEST), None)
        if wide is not None:
            what = f"{wide} cannot be checkpointed: a step needs the {kept[wide]} before it, and {WIDEST} can be kept with each segment."
            raise _refusal(what, wide, self.definitions[wide], f"take gc.checkpoint({wide}, …) away, or use a shorter window.")
        every = max(every, *kept.values(), 1)
        length = {}
        for name in (first | again | last) - whole:
            used = {1 + self._farthest(name, forward, -1), 1 + self._farthest(name, returned, 1 if name in last else -1)}
            if name in again and any(name in reads(s) for s in backward):
                # All rows of a segment are computed before the first is read, also one that no step reads.
                used.add(every + self._farthest(name, returned, -1) + max(0, self._farthest(name, backward, 1)))
            length[name] = max(used)
        whole_, sums_, first_, again_, last_, late_ = map(frozenset, (whole, sums, first, again, last, late))
        return Segments(line, every, whole_, sums_, first_, again_, last_, late_, kept, length)

    def _at_once(self, again: set[str], backward: Sequence[Statement]) -> set[str]:
        """What the backward sweep computes again, but no recurrence needs: each step of it when it is needed itself."""
        recurrent = {n for g in self.groups if again & set(g) and self._recurs(g) and self._temporal(g) for n in g} & again
        rest = again - self._needed(recurrent, frozenset())
        while True:
            users = [*backward, *(s for n in rest for s in self.definitions[n])]
            early = {n for n in rest if self._farthest(n, users, -1)}
            if not early:
                return rest
            rest -= self._needed(early, frozenset())

    def _is_late(self, s: Statement) -> bool:
        sources = set(reads(s))
        if not sources & self.line.dimensions.keys():
            return False
        if sources & (self.after | self.last):
            return True
        return self.line.index(s) is not None and any(d > 0 for _, d in self.line.ahead(s))

    def _needed(self, names: set[str], known: Iterable[str]) -> set[str]:
        """The tensors with rows that are computed on the way to some of them; those that are `known` are there."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found and name not in known:
                found.add(name)
                waiting += [r for s in self.definitions[name] for r in reads(s) if r in self.line.dimensions]
        return found

    def _farthest(self, name: str, statements: Iterable[Statement], sign: int) -> int:
        """How many steps before (sign -1) or after (1) its own a statement reads a row."""
        return max((0, *(sign * d for s in statements for n, d in self.line.ahead(s) if n == name)))
