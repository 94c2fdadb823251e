"""A statement: the only thing that a program consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import count
from typing import Any

import sympy as sp

from graphc.errors import Location
from graphc.ir.expr import Access, BoundaryAccess, Index, Reduce
from graphc.ir.origin import Origin, Rewrite
from graphc.ir.tree import accesses, contains, indices_of, postorder, substitute

__all__ = ["Range", "Statement", "behind", "bound_indices", "fresh_index", "fresh_indices", "plain_ranges", "rename", "revised", "zeros"]


@dataclass(frozen=True, slots=True)
class Range:
    """``lower <= index < upper``."""

    index: Index
    lower: sp.Expr
    upper: sp.Expr

    @property
    def extent(self) -> sp.Expr:
        return self.upper - self.lower

    @property
    def ends(self) -> tuple[sp.Expr, sp.Expr]:
        """The first and the last value."""
        return self.lower, self.upper - 1

    def constraints(self) -> tuple[sp.Expr, sp.Expr]:
        """The range as expressions that must be ≥ 0."""
        return _limits(self.index, self.lower, self.upper)


@lru_cache(maxsize=50_000)
def behind(position: sp.Expr, extent: sp.Expr) -> sp.Expr:
    """How many elements lie behind a position: ≥ 0 if it is not beyond the last one.

    Cached because every pass asks for it, and because equal facts are then the same objects.
    """
    return sp.expand(extent - 1 - position)


@lru_cache(maxsize=50_000)
def _limits(index: Index, lower: sp.Expr, upper: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    return sp.expand(index - lower), behind(index, upper)


def bound_indices(value: sp.Expr) -> tuple[Index, ...]:
    """Indices of the reductions in an expression."""
    if not contains(value, Reduce):
        return ()
    return tuple(index for node in postorder(value) if isinstance(node, Reduce) for index in node.indices)


@dataclass(frozen=True)
class Statement:
    """``for indices: target[subscripts] op value``, restricted to the points where every expression of `domain` is ≥ 0.

    It has no slots, so that what every pass asks for is computed once.

    Attributes:
        target: name of the tensor that is written.
        subscripts: integer expressions; an `Access` among them makes the statement a scatter.
        op: "=" assigns, "+=" contributes to a sum, another reduction's name ("max", "argmin", …) reduces over the indices that
            do not occur in `subscripts` and assigns the result.
        value: the right-hand side.
        ranges: one per index, bound indices of nested reductions included, in the order in which loops are shown.
        domain: affine expressions over indices and sizes that must be ≥ 0, beyond the ranges.
        order: the reads in the order in which the user wrote them, for display only.
        location: the line of the user's program.
        origin: how a derived or rewritten statement came about; None for what the user wrote.
    """

    target: str
    subscripts: tuple[sp.Expr, ...]
    op: str
    value: sp.Expr
    ranges: tuple[Range, ...]
    domain: tuple[sp.Expr, ...] = ()
    order: tuple[Access, ...] = field(default=(), compare=False)
    location: Location | None = field(default=None, compare=False)
    origin: Origin | None = field(default=None, compare=False, repr=False)

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Names of the tensors that are read, in subscripts as well, each once."""
        return tuple(dict.fromkeys(access.tensor for access in self.accesses))

    @cached_property
    def accesses(self) -> tuple[Access | BoundaryAccess, ...]:
        """The distinct reads, those in subscripts of the target as well."""
        return tuple(dict.fromkeys(access for part in (self.value, *self.subscripts) for access in accesses(part)))

    @cached_property
    def bound(self) -> tuple[Index, ...]:
        """Indices of nested reductions."""
        return bound_indices(self.value)

    @cached_property
    def free(self) -> tuple[Index, ...]:
        """Indices of the left side, in loop order."""
        left = {index for subscript in self.subscripts for index in indices_of(subscript)}
        return tuple(r.index for r in self.ranges if r.index in left)

    @cached_property
    def reduced(self) -> tuple[Index, ...]:
        """Indices that are summed (or otherwise reduced) over, in loop order."""
        rest = set(self.free) | set(self.bound)
        return tuple(r.index for r in self.ranges if r.index not in rest)

    @cached_property
    def loops(self) -> tuple[Range, ...]:
        """Ranges of the free and reduced indices, in loop order."""
        bound = set(self.bound)
        return tuple(r for r in self.ranges if r.index not in bound)

    def range_of(self, index: Index) -> Range:
        return next(r for r in self.ranges if r.index == index)

    @cached_property
    def scatters(self) -> bool:
        return any(contains(subscript, Access) for subscript in self.subscripts)

    def constraints(self) -> tuple[sp.Expr, ...]:
        """Ranges and domain as expressions that are ≥ 0 at every point of the loops."""
        return self._constraints

    @cached_property
    def _constraints(self) -> tuple[sp.Expr, ...]:
        return tuple(c for r in self.loops for c in r.constraints()) + self.domain


def plain_ranges(shape: tuple[sp.Expr, ...]) -> tuple[Range, ...]:
    """One index per dimension, over all of it."""
    return tuple(Range(Index("ijklmnpq"[d] if d < 8 else f"i{d}"), sp.Integer(0), extent) for d, extent in enumerate(shape))


def fresh_indices(statement: Statement, wanted: Sequence[str]) -> tuple[Index, ...]:
    """Indices that the statement does not have: the wanted names, with a number behind those that are taken."""
    parts = (statement.value, *statement.subscripts, *statement.domain)
    used = {str(r.index) for r in statement.ranges} | {str(s) for part in parts for s in postorder(part) if s.is_Symbol}
    used |= {statement.target, *(a.tensor for part in parts for a in accesses(part))}
    used |= {name.removesuffix(".grad") for name in used}
    found = []
    for name in wanted:
        fresh = next(n for k in count(1) if (n := name if k == 1 else f"{name}{k}") not in used)
        used.add(fresh)
        found.append(Index(fresh))
    return tuple(found)


def fresh_index(statement: Statement, wanted: str) -> Index:
    """One index that the statement does not have."""
    return fresh_indices(statement, (wanted,))[0]


def zeros(target: str, shape: tuple[sp.Expr, ...], origin: Origin | None = None) -> Statement:
    """``for i,j: T[i,j] = 0``: what defines a tensor to which nothing contributes."""
    ranges = plain_ranges(shape)
    return Statement(target, tuple(r.index for r in ranges), "=", sp.Integer(0), ranges, origin=origin)


def revised(statement: Statement, name: str, rule: str | tuple[Statement, ...], **changes: Any) -> Statement:
    """The statement with other fields, which remembers the rewrite; the statement itself if they are what it has already.

    A nested reduction that a new `value` lacks takes the ranges of its indices along: they would be summed over.
    """
    if "value" in changes and "ranges" not in changes and statement.bound:
        lost = set(statement.bound) - set(bound_indices(changes["value"]))
        changes["ranges"] = tuple(r for r in statement.ranges if r.index not in lost)
    if all(getattr(statement, field) == value for field, value in changes.items()):
        return statement
    return replace(statement, **changes, origin=Rewrite(name, rule, statement))


def rename(statement: Statement, mapping: dict[sp.Basic, sp.Expr]) -> Statement:
    """The statement with indices (or whole reads) replaced everywhere; `mapping` sends indices to indices."""
    if not mapping:
        return statement
    return replace(
        statement,
        subscripts=tuple(substitute(s, mapping) for s in statement.subscripts),
        value=substitute(statement.value, mapping),
        ranges=tuple(
            Range(mapping.get(r.index, r.index), substitute(r.lower, mapping), substitute(r.upper, mapping))
            for r in statement.ranges
        ),
        domain=tuple(substitute(d, mapping) for d in statement.domain),
        order=tuple(substitute(a, mapping) for a in statement.order),
    )
