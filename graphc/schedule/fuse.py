"""Tensors whose rows can be computed one after the other in one kernel, while they are in cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

import sympy as sp

from graphc.errors import InternalError
from graphc.ir.affine import nonnegative
from graphc.ir.expr import Access, Index
from graphc.ir.graph import reads
from graphc.ir.nest import Moment
from graphc.ir.statement import Statement, rename
from graphc.ir.tensor import Tensor
from graphc.ir.tree import indices_of

__all__ = ["Unit", "at_row", "row_facts", "row_names", "units"]

LARGEST = 12
"""Tensors of one kernel: more make kernels that no two programs share and that take long to compile."""


OUTER = 2
"""Dimensions whose loops become the shared one: enough for all threads, and few divisions."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Tensors that are computed together: a recurrence, or (depth > 0) rows along their first `depth` dimensions."""

    names: tuple[str, ...]
    depth: int = 0


def units(
    groups: Sequence[tuple[str, ...]],
    definitions: Mapping[str, Sequence[Statement]],
    tensors: Mapping[str, Tensor],
    alone: Callable[[Statement], bool],
    in_place: Mapping[str, str],
) -> list[Unit]:
    """Join tensors that touch the same rows, in an order in which every tensor is complete before another unit reads it.

    Args:
        groups: tensors in a valid order, recurrences together.
        definitions: statements by tensor.
        tensors: by name.
        alone: whether a statement is a job of its own (the contraction engine's).
        in_place: new values that are written into the array of an input: they come after every other read of that input.
    """
    worker = _Joiner(definitions, tensors, in_place)
    for group in groups:
        sources = {r for n in group for s in definitions[n] for r in reads(s)}
        recurs = len(group) > 1 or group[0] in sources
        worker.add(group, 0 if recurs else row_depth(definitions[group[0]], tensors, alone))
    return worker.sorted()


class _Joiner:
    """A graph of units that grows by one tensor at a time."""

    def __init__(self, definitions: Mapping[str, Sequence[Statement]], tensors: Mapping[str, Tensor], in_place: Mapping[str, str]) -> None:
        self.definitions, self.tensors, self.in_place = definitions, tensors, in_place
        self.reads = {name: {r for s in statements for r in reads(s)} for name, statements in definitions.items()}
        self.readers: dict[str, set[str]] = {}
        for name, sources in self.reads.items():
            for source in sources:
                self.readers.setdefault(source, set()).add(name)
        self.overwritten: dict[str, list[str]] = {}
        for new, old in in_place.items():
            self.overwritten.setdefault(old, []).append(new)
        self.made: dict[int, Unit] = {}
        self.unit_of: dict[str, int] = {}
        self.order: dict[str, int] = {}
        self.rows: dict[str, list[tuple[str, int]]] = {}

    def add(self, group: tuple[str, ...], depth: int) -> None:
        number = len(self.unit_of)
        self.made[number] = Unit(group, depth)
        self.unit_of |= dict.fromkeys(group, number)
        self.order |= {n: len(self.order) + k for k, n in enumerate(group)}
        if not depth:
            return
        while True:
            near = {self.unit_of[n] for n in self._near(self.made[number].names) if n in self.unit_of} - {number}
            for other in sorted(near, reverse=True):
                joint = self._joint_depth(self.made[other], self.made[number])
                if joint and not self._between(other, number) and not self._between(number, other):
                    break
            else:
                return
            names = (*self.made[other].names, *self.made[number].names)
            self.made[number] = Unit(tuple(sorted(names, key=self.order.__getitem__)), joint)
            self.unit_of |= dict.fromkeys(names, number)
            del self.made[other]

    def _near(self, names: Sequence[str]) -> set[str]:
        """Tensors that these ones read, and those that read the same."""
        sources = {r for n in names for r in self.reads[n]}
        return sources | {n for r in sources if self.tensors[r].shape for n in self.readers[r]}

    def _before(self, number: int) -> set[int]:
        """Units that must be complete before this one starts."""
        names = self.made[number].names
        needed = {r for n in names for r in self.reads[n]}
        needed |= {r for n in names if n in self.in_place for r in self.readers.get(self.in_place[n], ())}
        return {self.unit_of[n] for n in needed if n in self.unit_of} - {number}

    def _after(self, number: int) -> set[int]:
        """Units that cannot start before this one is complete."""
        names = self.made[number].names
        users = {n for name in names for n in self.readers.get(name, ())}
        users |= {new for name in names for r in self.reads[name] for new in self.overwritten.get(r, ())}
        return {self.unit_of[n] for n in users if n in self.unit_of} - {number}

    def _between(self, first: int, last: int) -> bool:
        """Whether another unit needs the first one and is needed by the last one: from the side on which less waits."""
        after, before = list(self._after(first) - {last}), list(self._before(last) - {first})
        behind, ahead = set(after), set(before)
        while after and before and behind.isdisjoint(ahead):
            waiting, seen, step = (after, behind, self._after) if len(after) <= len(before) else (before, ahead, self._before)
            found = step(waiting.pop()) - seen
            waiting += found
            seen |= found
        return not behind.isdisjoint(ahead)

    def _joint_depth(self, a: Unit, b: Unit) -> int:
        """How many leading dimensions two units can share; 0 if nothing is won by joining them."""
        if not a.depth or len(a.names) + len(b.names) > LARGEST:
            return 0
        names = (*a.names, *b.names)
        shapes = [self.tensors[u.names[0]].shape for u in (a, b)]
        depth = min(a.depth, b.depth)
        depth = next((d for d in range(depth) if sp.expand(shapes[0][d] - shapes[1][d]) != 0), depth)
        members = {*names, *(self.in_place[n] for n in names if n in self.in_place)}
        found = [self._along(u.names) for u in (a, b)]
        at_row = [{*u.names, *(name for name, (_, most) in along.items() if most)} for u, along in zip((a, b), found, strict=True)]
        if at_row[0].isdisjoint(at_row[1]):
            return 0
        return min([depth, *(least for along in found for name, (least, _) in along.items() if name in members)])

    def _along(self, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        """For each tensor that is read: how many leading subscripts at least and at most are those of the row."""
        found: dict[str, tuple[int, int]] = {}
        for name in names:
            if name not in self.rows:
                self.rows[name] = [
                    (access.tensor, _common(access.subscripts, s.subscripts))
                    for s in self.definitions[name] for access in s.accesses if isinstance(access, Access)
                ]
            for tensor, common in self.rows[name]:
                least, most = found.get(tensor, (common, common))
                found[tensor] = (min(least, common), max(most, common))
        return found

    def sorted(self) -> list[Unit]:
        """Every unit after those that it needs, and of those that could be next the one behind which the least is to be done: the gradient
        of a layer's weights before that of the layer before, so that what only they need is not kept."""
        missing = {number: self._before(number) for number in self.made}
        after = {number: self._after(number) for number in self.made}
        order = self._sorted(missing, after, dict.fromkeys(self.made, 0))
        heights: dict[int, int] = {}
        for number in reversed(order):
            heights[number] = max((1 + heights[user] for user in after[number]), default=0)
        heights |= {number: len(order) for number, needed in missing.items() if not needed}  # nothing is kept for them
        return [self.made[number] for number in self._sorted(missing, after, heights)]

    def _sorted(self, before: Mapping[int, set[int]], after: Mapping[int, set[int]], heights: Mapping[int, int]) -> list[int]:
        """A topological order, by height and otherwise in the order of the tensors."""
        ranks = {number: (heights[number], min(self.order[n] for n in unit.names), number) for number, unit in self.made.items()}
        missing = {number: len(needed) for number, needed in before.items()}
        ready = [ranks[number] for number, count in missing.items() if not count]
        heapify(ready)
        done: list[int] = []
        while ready:
            done.append(heappop(ready)[-1])
            for user in after[done[-1]]:
                missing[user] -= 1
                if not missing[user]:
                    heappush(ready, ranks[user])
        if len(done) < len(self.made):
            raise InternalError("Units of a program wait for each other.")
        return done


def _common(a: Sequence[sp.Expr], b: Sequence[sp.Expr]) -> int:
    """Number of leading parts that are equal."""
    return next((d for d, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def row_depth(statements: Sequence[Statement], tensors: Mapping[str, Tensor], alone: Callable[[Statement], bool]) -> int:
    """Number of leading dimensions along which the statements of one tensor fall into independent rows with a loop left inside."""
    rank = len(statements[0].subscripts)
    depth = min(max(rank - 1, 1), rank, OUTER)
    for s in statements:
        if alone(s):
            return 0
        plain = next((d for d, x in enumerate(s.subscripts) if not isinstance(x, Index) or x in s.subscripts[:d]), rank)
        depth = min(depth, plain)
    return depth


def row_names(statements: Sequence[Statement], depth: int, taken: set[str]) -> tuple[Moment, ...]:
    """Variables of the loops over rows: the indices of the first statement, where nothing else is called so."""
    inner = {str(r.index) for s in statements for r in s.ranges if r.index not in s.subscripts[:depth]} | taken
    names: list[Moment] = []
    for index in statements[0].subscripts[:depth]:
        name = str(index)
        while name in inner:
            name += "_"
        inner.add(name)
        names.append(Moment(name))
    return tuple(names)


def at_row(statement: Statement, rows: Sequence[Moment], extents: Sequence[sp.Expr]) -> Statement:
    """The statement for one row: its leading indices become the variables of loops outside, their ranges conditions."""
    leading = statement.subscripts[: len(rows)]
    mapping: dict[sp.Basic, sp.Expr] = dict(zip(leading, rows, strict=True))
    ranges = [statement.range_of(i) for i in leading if isinstance(i, Index)]
    moved = rename(replace(statement, ranges=tuple(r for r in statement.ranges if r.index not in mapping)), mapping)
    facts = row_facts(rows, extents)
    found = [sp.expand(c.xreplace(mapping)) for c in (*statement.domain, *(c for r in ranges for c in r.constraints()))]
    return replace(moved, domain=tuple(c for c in dict.fromkeys(found) if indices_of(c) or not nonnegative(c, facts)))


def row_facts(rows: Sequence[Moment], extents: Sequence[sp.Expr]) -> tuple[sp.Expr, ...]:
    return tuple(f for m, e in zip(rows, extents, strict=True) for f in (m, e - 1 - m))
