"""The steps of a recurrence as rows of other tensors too: what is computed from it step by step, and what it is computed from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from graphc.analysis.order import Scan, ordered
from graphc.analysis.recurrence import components
from graphc.ir.affine import linear, nonnegative, span
from graphc.ir.expr import Access, Index
from graphc.ir.graph import Graph, reads
from graphc.ir.statement import Range, Statement
from graphc.ir.tree import accesses, contains, indices_of

__all__ = ["Timeline", "scan_of", "timeline"]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Tensors with a row per step.

    Attributes:
        steps: how many there are.
        descending: whether the recurrence runs from the last row to the first.
        dimensions: along which each tensor has its rows.
    """

    steps: sp.Expr
    descending: bool
    dimensions: Mapping[str, int]

    def rows(self, statement: Statement) -> list[tuple[str, sp.Expr]]:
        """The tensors with rows that a statement reads, each with the row."""
        return [(a.tensor, a.subscripts[self.dimensions[a.tensor]]) for a in _reads(statement) if a.tensor in self.dimensions]

    def touched(self, statement: Statement) -> list[sp.Expr]:
        """The rows that a statement reads or writes."""
        own = self.dimensions.get(statement.target)
        return [*(row for _, row in self.rows(statement)), *([] if own is None else [statement.subscripts[own]])]

    def index(self, statement: Statement) -> Index | None:
        """The index t of a statement whose rows are all t, t+1, t-1 … or t-1-k for a few k, the one on its left side t itself."""
        rows = self.touched(statement)
        if not rows or any(contains(row, Access) for row in rows):
            return None
        own = self.dimensions.get(statement.target)
        left = () if own is None else (statement.subscripts[own],)
        candidates = [i for i in left or indices_of(rows[0]) if isinstance(i, Index) and all(_reach(row, i, statement) for row in rows)]
        candidates = [i for i in candidates if self._within(statement.range_of(i))]
        if len(candidates) > 1:
            candidates = [i for i in candidates if sp.expand(statement.range_of(i).extent - self.steps) == 0]
        return candidates[0] if len(candidates) == 1 else None

    def _within(self, values: Range) -> bool:
        """Whether an index has no values but steps: what it does at others would be left out."""
        return nonnegative(values.lower) and nonnegative(sp.expand(self.steps - values.upper))

    def constant(self, statement: Statement) -> sp.Expr | None:
        """The row of a statement that touches only one, the same in all its iterations."""
        rows = self.touched(statement)
        if not rows or any(indices_of(row) or contains(row, Access) or sp.expand(row - rows[0]) != 0 for row in rows):
            return None
        return rows[0]

    def ahead(self, statement: Statement) -> Iterator[tuple[str, int]]:
        """The tensors that a statement reads, and how many steps after its own each row is computed: the first and the last of a window."""
        index = self.index(statement)
        assert index is not None
        for name, row in self.rows(statement):
            for distance in _reach(row, index, statement) or ():
                yield name, -distance if self.descending else distance


def _reach(row: sp.Expr, index: Index, statement: Statement) -> tuple[int, int] | None:
    """Between which numbers ``row - index`` lies, if that does not depend on sizes."""
    distance = sp.expand(row - index)
    others = indices_of(distance)
    if index in others or linear(distance) is None:
        return None
    limits = {i: (statement.range_of(i).lower, statement.range_of(i).upper - 1) for i in others}
    least, most = span(distance, limits)
    return (int(least), int(most)) if least.is_Integer and most.is_Integer else None


def scan_of(graph: Graph, group: Sequence[str]) -> Scan | None:
    """The sequential loop of tensors that depend on each other; None if they need none, or several."""
    moving = [s for n in group for s in graph.definitions()[n] if set(reads(s)) & set(group)]
    found = ordered(moving, group)
    return found[0] if len(found) == 1 and isinstance(found[0], Scan) else None


def timeline(graph: Graph, name: str) -> Timeline | None:
    """The rows of a recurrent tensor and of everything that goes along with them; None if its recurrence does not go row by row."""
    scan = scan_of(graph, next(g for g in components(graph) if name in g))
    if scan is None or any(offset for _, offset in scan.offsets):
        return None
    found, tensors = dict(scan.dimensions), graph.by_name()
    steps = tensors[name].shape[found[name]]
    if any(sp.expand(tensors[n].shape[d] - steps) != 0 for n, d in scan.dimensions):
        return None
    size = 0
    while len(found) > size:
        size = len(found)
        for statement in graph.statements:
            found |= _joining(statement, Timeline(steps, scan.descending, found), graph)
    return Timeline(steps, scan.descending, found)


def _joining(statement: Statement, line: Timeline, graph: Graph) -> dict[str, int]:
    """Tensors that have rows because a statement goes over rows: the one that it writes, and temporaries that are read to write rows."""
    index = line.index(statement)
    if index is None:
        return {}
    own = line.dimensions.get(statement.target)
    reading = [] if own is None else [a for a in _reads(statement) if a.tensor not in line.dimensions]
    candidates = [(statement.target, statement.subscripts)] * (own is None) + [(a.tensor, a.subscripts) for a in reading]
    found = {}
    for name, subscripts in candidates:
        along = [d for d, s in enumerate(subscripts) if not contains(s, Access) and sp.expand(s - index).is_Integer]
        tensor = graph.tensor(name)
        if len(along) == 1 and not tensor.is_input and sp.expand(tensor.shape[along[0]] - line.steps) == 0:
            found[name] = along[0]
    return found


def _reads(statement: Statement) -> list[Access]:
    return [a for part in (statement.value, *statement.subscripts) for a in accesses(part) if isinstance(a, Access)]
