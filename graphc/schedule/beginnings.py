"""What has to be 0 before the statements of a recurrence add to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import sympy as sp

from graphc.analysis.order import Scan
from graphc.ir.affine import nonnegative
from graphc.ir.expr import Index
from graphc.ir.statement import Range, Statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import indices_of
from graphc.schedule.recurrence import steps_of

__all__ = ["Beginnings"]

_ZERO = sp.Integer(0)


@dataclass(frozen=True)
class Beginnings:
    """Sets to 0, before the first statement of a tensor, what that or a later one adds to.

    Attributes:
        tensors: by name.
        started: tensors whose elements have been set, so that statements add to them; those that are begun are added.
        facts: expressions in the variables of the loops around that are ≥ 0.
        along: the dimensions of tensors that the loops around go along.
        set_once: tensors of which every statement sets other elements, and none has to be 0 before.
        owned: the dimension of each tensor along which its elements are divided among threads.
    """

    tensors: Mapping[str, Tensor]
    started: set[str]
    facts: tuple[sp.Expr, ...] = ()
    along: frozenset[tuple[str, int]] = frozenset()
    set_once: frozenset[str] = frozenset()
    owned: Mapping[str, int] = field(default_factory=dict)

    def begun(self, statement: Statement) -> list[tuple[Statement, bool]]:
        """The statement, after one that sets to 0 what it only adds to; with each, whether it adds."""
        if statement.target in self.set_once:
            return [(statement, False)]
        if statement.target in self.started:
            return [(statement, True)]
        self.started.add(statement.target)
        rows = self._rows(statement)
        others = [d for d in statement.domain if d not in rows]
        if self._is_whole(statement) and not others:
            return [(statement, False)]
        zero = self._zero(statement, self._outside(statement))
        if self._is_whole(statement) and len(others) == 1 and not indices_of(others[0]):
            return [(replace(zero, domain=(*zero.domain, sp.expand(-others[0] - 1))), False), (statement, False)]
        return [(zero, False), (statement, True)]

    def fixed(self, scan: Scan) -> list[Statement]:
        """Statements that set to 0, before a loop, the elements that one of its steps adds to."""
        along = dict(scan.dimensions)
        found = []
        for s in steps_of(scan):
            if not isinstance(s.subscripts[along[s.target]], Index) and s.target not in self.started | self.set_once:
                self.started.add(s.target)
                found.append(self._zero(s, self._outside(s)))
        return found

    def _row(self, statement: Statement) -> set[int]:
        """The dimensions of the target in which a step has one place."""
        return {d for d in range(len(statement.subscripts)) if (statement.target, d) in self.along}

    def _rows(self, statement: Statement) -> set[sp.Expr]:
        """What is ≥ 0 where the place of a step is an element of the target."""
        shape, row = self.tensors[statement.target].shape, self._row(statement)
        return {sp.expand(c) for d, (s, e) in enumerate(zip(statement.subscripts, shape, strict=True)) if d in row for c in (s, e - 1 - s)}

    def _outside(self, statement: Statement) -> tuple[sp.Expr, ...]:
        """Those conditions that do not hold in every step."""
        return tuple(sorted((c for c in self._rows(statement) if not nonnegative(c, self.facts)), key=str))

    def _is_whole(self, statement: Statement) -> bool:
        """Whether the statement sets every element of a row, but for conditions."""
        shape, row = self.tensors[statement.target].shape, self._row(statement)
        inner = [(s, e) for d, (s, e) in enumerate(zip(statement.subscripts, shape, strict=True)) if d not in row]
        if statement.scatters or len({s for s, _ in inner}) < len(inner) or not all(isinstance(s, Index) for s, _ in inner):
            return False
        ranges = [(statement.range_of(s), e) for s, e in inner]
        return all(r.lower == 0 and sp.expand(r.upper - e) == 0 for r, e in ranges)

    def _zero(self, statement: Statement, domain: tuple[sp.Expr, ...]) -> Statement:
        """What sets to 0 all that steps or threads do not divide among them: of a diagonal, what lies beside it as well."""
        shape, row = self.tensors[statement.target].shape, self._row(statement)
        own = self.owned.get(statement.target)
        subscripts: list[sp.Expr] = []
        ranges: list[Range] = []
        for d, (subscript, extent) in enumerate(zip(statement.subscripts, shape, strict=True)):
            others = subscripts if own is None or d == own else (*subscripts, statement.subscripts[own])
            index = subscript if isinstance(subscript, Index) and subscript not in others else Index(f"z{d}")
            subscripts.append(subscript if d in row else index)
            if d not in row:
                ranges.append(Range(index, _ZERO, extent))
        return Statement(statement.target, tuple(subscripts), "=", _ZERO, tuple(ranges), domain, location=statement.location)
