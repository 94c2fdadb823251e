"""Range, shape and dtype inference, joint over all definitions of a tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import sympy as sp

from graphc.analysis.conditions import nonzero_where
from graphc.analysis.touches import places
from graphc.errors import Location, NotationError, ShapeError
from graphc.frontend.expression import display
from graphc.frontend.limits import Box, Limits, Read, decided_extreme, kept_inside, limits, reach
from graphc.frontend.recorded import Recorded
from graphc.frontend.tensor import Tensor
from graphc.ir.affine import is_affine, linear, span
from graphc.ir.dtypes import dtype_of, promote, settle, summed
from graphc.ir.expr import Access, BoundaryAccess, Index, Reduce
from graphc.ir.statement import Range
from graphc.ir.tree import accesses, indices_of, postorder

__all__ = ["Inference", "same"]

_ZERO = sp.Integer(0)


@dataclass(frozen=True, slots=True)
class _Vote:
    """An extent claimed for an index by a plain occurrence."""

    extent: sp.Expr
    access: str
    owner: Tensor
    dimension: int


@dataclass
class Inference:
    """Facts found so far; filled tensor by tensor, each after those it reads."""

    by_key: dict[str, Tensor]
    shapes: dict[str, tuple[sp.Expr, ...]] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    ranges: dict[tuple[str, int], tuple[Range, ...]] = field(default_factory=dict)
    plain: dict[tuple[str, int], dict[Index, tuple[sp.Expr, sp.Expr]]] = field(default_factory=dict)
    """What is known of the ranges of statements that wait for others: declared ranges, and extents of plain occurrences."""
    ahead: set[str] = field(default_factory=set)
    """Tensors whose types were asked for before they were known: those of recurrences."""

    def settle(self, tensors: Sequence[Tensor]) -> None:
        """Find ranges, shapes and types of tensors, each of which comes after those it reads unless they form a recurrence.

        One that begins with what the others have waits for them.
        """
        waiting = list(tensors)
        while waiting:
            refused: list[tuple[Tensor, ShapeError]] = []
            for tensor in waiting:
                try:
                    self._settle(tensor)
                except ShapeError as error:
                    if all(source.key in self.shapes for s in tensor.statements for _, source in s.reads if source is not tensor):
                        raise
                    refused.append((tensor, error))
            if len(refused) == len(waiting):
                raise refused[0][1]
            waiting = [tensor for tensor, _ in refused]
        self._settle_recurrences(tensors)

    def _settle(self, tensor: Tensor) -> None:
        if tensor.declared_shape is not None:
            self.shapes[tensor.key] = tensor.declared_shape
        if not tensor.statements:
            if tensor.declared_shape is None:
                self._undefined(tensor)
            self.dtypes[tensor.key] = tensor.declared_dtype or "float32"
            return
        waiting = []
        for position, statement in enumerate(tensor.statements):
            if not self._settle_ranges(tensor, position, statement, final=False):
                waiting.append(position)
        if len(waiting) == len(tensor.statements) and tensor.key not in self.shapes and self._bounds_every_dimension(tensor):
            self.shapes[tensor.key] = self._shape(tensor)
        if len(waiting) == len(tensor.statements) and tensor.key not in self.shapes:
            self._settle_ranges(tensor, waiting.pop(0), tensor.statements[0], final=True)
        if tensor.key not in self.shapes:
            self.shapes[tensor.key] = self._shape(tensor)
        for position in waiting:
            self._settle_ranges(tensor, position, tensor.statements[position], final=True)
        self.dtypes[tensor.key] = tensor.declared_dtype or self._dtype(tensor)

    def _settle_recurrences(self, tensors: Sequence[Tensor]) -> None:
        """Find the types again where tensors refer to themselves, until they fit: a round passes them on by a tensor or more."""
        for _ in range(2 * len(self.ahead)):
            before = dict(self.dtypes)
            for tensor in tensors:
                if tensor.statements and not tensor.declared_dtype:
                    self.dtypes[tensor.key] = self._dtype(tensor)
            if self.dtypes == before:
                break

    def _undefined(self, tensor: Tensor) -> None:
        if tensor.ndim == 0:
            self.shapes[tensor.key] = ()
            return
        readers = [(s, a) for t in self.by_key.values() for s in t.statements for a, owner in s.reads if owner is tensor]
        declared = (tensor.name, tensor.name, tensor.location)
        raise NotationError(f"{tensor.name} is read but neither defined nor declared with a shape.",
                            at=(*((s.text, s.shown(a), s.location) for s, a in readers[:1]), declared),
                            fix=f'define it ({tensor.name}[…] = …), or declare it as an input: gc.tensor("{tensor.name}", N, …).')

    # --------------------------------------------------------------------------------------------------- ranges
    def _settle_ranges(self, tensor: Tensor, position: int, statement: Recorded, final: bool) -> bool:
        names = self._loop_order(statement)
        found: dict[Index, tuple[sp.Expr, sp.Expr]] = {i: (low, high) for i, low, high in statement.declared}
        for index in names:
            if index not in found:
                extent = self._plain_extent(index, tensor, statement, final)
                if extent is not None:
                    found[index] = (_ZERO, extent)
        self.plain[tensor.key, position] = dict(found)
        open_indices = [i for i in names if i not in found]
        progress = True
        while open_indices and progress:
            progress = False
            for index in tuple(open_indices):
                limits = self._largest_range(index, found, tensor, statement, final)
                if limits is not None:
                    found[index] = limits
                    open_indices.remove(index)
                    progress = True
        if open_indices:
            if not final:
                return False
            self._unknown(open_indices[0], found, tensor, statement)
        self.ranges[tensor.key, position] = tuple(Range(i, *found[i]) for i in names)
        return True

    def _unknown(self, index: Index, found: Box, tensor: Tensor, statement: Recorded) -> None:
        no_bound = "no single access bounds it"
        for access, read in self._reads(tensor, statement):
            if read.path and kept_inside(index, found, read):
                no_bound = f"no access bounds it: {statement.shown(access)} is read only where a condition keeps it inside"
        raise ShapeError(
            f"The range of the index {index} cannot be inferred: it occurs plainly in no tensor of known shape, and {no_bound}.",
            at=((statement.text, str(index), statement.location),), fix=f'declare its range: {index} = gc.index("{index}", n).',
        )

    def _loop_order(self, statement: Recorded) -> list[Index]:
        """Left indices, then summed ones, then bound ones; each in order of appearance in the source, those of one subscript by falling
        coefficient (49*f + 7*y + x)."""
        if statement.indices:
            return list(statement.indices)
        found: dict[Index, None] = {}
        free = statement.unbound
        declared = [i for i, _, _ in statement.declared]
        for subscript in statement.subscripts:
            for index in _by_coefficient(subscript):
                found.setdefault(index)
        for access, _ in statement.reads:
            for subscript in access.args:
                for index in _by_coefficient(subscript):
                    if index in free:
                        found.setdefault(index)
        for index in indices_of(statement.value):
            if index in free:
                found.setdefault(index)
        for part in postorder(statement.value):
            if isinstance(part, Reduce):
                for index in part.indices:
                    found.setdefault(index)
        for index in declared:
            if index in free:
                found.setdefault(index)
        return list(found)

    def _plain_extent(self, index: Index, tensor: Tensor, statement: Recorded, final: bool) -> sp.Expr | None:
        votes: list[_Vote] = []
        for part in (statement.value, *statement.subscripts, *statement.lost):
            for access in accesses(part):
                owner = self.by_key[access.tensor]
                if owner is tensor or access.tensor not in self.shapes:
                    continue
                for dimension, (subscript, extent) in enumerate(zip(access.subscripts, self.shapes[access.tensor], strict=True)):
                    if subscript == index:
                        votes.append(_Vote(extent, statement.shown(access), owner, dimension))
        if votes:
            for vote in votes[1:]:
                if not same(vote.extent, votes[0].extent):
                    self._clash(index, votes[0], vote, statement)
            return votes[0].extent
        if tensor.key in self.shapes and (final or tensor.declared_shape is not None):
            for subscript, extent in zip(statement.subscripts, self.shapes[tensor.key], strict=True):
                if subscript == index:
                    return extent
        return None

    def _clash(self, index: Index, first: _Vote, second: _Vote, statement: Recorded) -> None:
        raise ShapeError(
            f"The index {index} runs over {display(first.extent)} elements in dimension {first.dimension} of {first.owner.name} "
            f"and over {display(second.extent)} in dimension {second.dimension} of {second.owner.name}.",
            at=((statement.text, (first.access, second.access), statement.location), self._declaration(first), self._declaration(second)),
            fix=f'use different indices, equal sizes, or declare the range: gc.index("{index}", n).',
        )

    def _declaration(self, vote: _Vote) -> tuple[str, str, Location | None]:
        """Where the extents of the tensor come from."""
        tensor = vote.owner
        if tensor.declared_shape is None and tensor.statements:
            return tensor.statements[0].text, tensor.statements[0].left, tensor.statements[0].location
        return f"{tensor.name}({', '.join(display(e) for e in self.shapes[tensor.key])})", "", tensor.location

    def _reads(self, tensor: Tensor, statement: Recorded) -> list[tuple[Access, Read]]:
        """The accesses of other tensors whose shapes are known."""
        written = (statement.value, *statement.subscripts, *statement.lost)
        return [(access, Read(access.subscripts, self.shapes[access.tensor], path)) for part in written for access, _, path in places(part)
                if isinstance(access, Access) and access.tensor in self.shapes and access.tensor != tensor.key]

    def _own_reads(self, tensor: Tensor, statement: Recorded) -> list[Read]:
        """The reads of the tensor that is defined, in the dimensions to which no statement gives a row outside; of views the plain ones."""
        shape = self.shapes[tensor.key]
        inside = [d for d, extent in enumerate(shape) if not any(_beyond(s.subscripts[d], extent) for s in tensor.statements)]
        found = []
        for access, _, path in places(statement.value):
            if isinstance(access, Access | BoundaryAccess) and access.tensor == tensor.key:
                bounding = [d for d in inside if isinstance(access, Access) or isinstance(access.subscripts[d], Index)]
                found.append(Read([access.subscripts[d] for d in bounding], [shape[d] for d in bounding], path))
        return found

    def _largest_range(
        self, index: Index, found: dict[Index, tuple[sp.Expr, sp.Expr]], tensor: Tensor, statement: Recorded, final: bool
    ) -> tuple[sp.Expr, sp.Expr] | None:
        """The largest range that keeps every access inside; conditions bound an index where the terms of a sum are 0 elsewhere.

        Quotients of the index count where nothing else in the program bounds it, and beside other bounds if it is known which is less.
        """
        direct, by_quotients = limits(index, found, (read for _, read in self._reads(tensor, statement)))
        if not _above(direct) and (final or index not in statement.subscripts):
            term = _term(index, statement)
            direct.append((None, None if term is None else reach(index, found, nonzero_where(term))))
        if not _above(direct) and not _above(by_quotients) and tensor.key in self.shapes:
            left, left_by_quotients = limits(index, found, [Read(statement.subscripts, self.shapes[tensor.key])])
            direct, by_quotients = direct + left, by_quotients + left_by_quotients
        if final and not _above(direct) and not _above(by_quotients) and tensor.key in self.shapes:
            own, own_by_quotients = limits(index, found, self._own_reads(tensor, statement))
            direct, by_quotients = direct + own, by_quotients + own_by_quotients
        if not _above(direct) and not (final and _above(by_quotients)):
            return None
        facts = [high - low - 1 for low, high in found.values()]
        for chosen in ([*direct, *by_quotients], direct if _above(direct) else by_quotients):
            lowers = [_ZERO, *(low for low, _ in chosen if low is not None)]
            uppers = _above(chosen)
            lower, upper = decided_extreme(lowers, True, facts), decided_extreme(uppers, False, facts)
            if lower is not None and upper is not None:
                return lower, upper
        shown = " and ".join(display(u) for u in dict.fromkeys(uppers if upper is None else lowers))
        raise ShapeError(f"The range of the index {index} is bounded by {shown}, which cannot be compared.",
                         at=((statement.text, str(index), statement.location),), fix=f'declare its range: gc.index("{index}", n).')

    # ---------------------------------------------------------------------------------------------------- shapes
    def _shape(self, tensor: Tensor) -> tuple[sp.Expr, ...]:
        rank = tensor.ndim or 0
        return tuple(self._extent(tensor, dimension) for dimension in range(rank))

    def _bounds_every_dimension(self, tensor: Tensor) -> bool:
        """Whether what is known of the ranges, though of no statement all, gives an extent to every dimension."""
        known = [(s, self.plain[tensor.key, position]) for position, s in enumerate(tensor.statements)]
        return all(any(s.subscripts[d] in ranges for s, ranges in known) for d in range(tensor.ndim or 0))

    def _extent(self, tensor: Tensor, dimension: int) -> sp.Expr:
        plain: list[tuple[sp.Expr, Recorded]] = []
        others: list[sp.Expr] = []
        moving: list[sp.Expr] = []
        for position, statement in enumerate(tensor.statements):
            subscript = statement.subscripts[dimension]
            settled = self.ranges.get((tensor.key, position))
            ranges = {r.index: (r.lower, r.upper) for r in settled} if settled else self.plain[tensor.key, position]
            if isinstance(subscript, Index):
                if subscript in ranges:
                    plain.append((ranges[subscript][1], statement))
            elif is_affine(subscript) and all(i in ranges for i in indices_of(subscript)):
                others.append(sp.expand(span(subscript, {i: (low, high - 1) for i, (low, high) in ranges.items()})[1] + 1))
                moving += others[-1:] if indices_of(subscript) else []
        for extent, statement in plain[1:]:
            if not same(extent, plain[0][0]):
                first, second = plain[0][1], statement
                raise ShapeError(
                    f"Two definitions of {tensor.name} disagree about dimension {dimension}: "
                    f"{display(plain[0][0])} and {display(extent)} elements.",
                    at=((first.text, first.left, first.location), (second.text, second.left, second.location)),
                    fix=f'declare the shape: gc.tensor("{tensor.name}", …), or the ranges of the indices.',
                )
        if plain:
            extent = sp.expand(plain[0][0])
            largest = decided_extreme([extent, *moving], largest=True)
            return extent if largest is None else largest
        others = [e for e in others if not (e.is_Integer and e <= 0)]
        largest = decided_extreme(others, largest=True) if others else None
        if largest is None:
            statement = tensor.statements[0]
            at = ((statement.text, statement.left, statement.location),)
            raise ShapeError(f"The extent of dimension {dimension} of {tensor.name} cannot be inferred.", at=at,
                             fix=f'declare the shape: gc.tensor("{tensor.name}", …).')
        return sp.expand(largest)

    def _dtype(self, tensor: Tensor) -> str:
        def of(key: str) -> str:
            if key not in self.dtypes and not self.by_key[key].declared_dtype:
                self.ahead.add(key)
            return self.dtypes.get(key, self.by_key[key].declared_dtype or "weak_int")

        kinds = [(s.op, _written(s, of)) for s in tensor.statements]
        return settle(promote(*(summed(kind) if op == "+=" else kind for op, kind in kinds)))


def _written(statement: Recorded, of: Callable[[str], str]) -> str:
    """The type of a right side as it was written: that of ``X[i]**0`` is the type of X, not that of 1."""
    kind = promote(dtype_of(statement.value, of), *(t if isinstance(t, str) else dtype_of(t, of) for t in statement.types - {"sum"}))
    return summed(kind) if "sum" in statement.types else kind


def same(a: sp.Expr, b: sp.Expr) -> bool:
    return a == b or linear(a - b) == linear(_ZERO)


def _beyond(subscript: sp.Expr, extent: sp.Expr) -> bool:
    """Whether it is a row outside, as in an initial slice."""
    return not indices_of(subscript) and bool(subscript.is_negative or sp.expand(subscript - extent).is_nonnegative)


def _above(found: Iterable[Limits]) -> list[sp.Expr]:
    """The bounds from above."""
    return [high for _, high in found if high is not None]


def _term(index: Index, statement: Recorded) -> sp.Expr | None:
    """What is added up over the values of an index; None where it is not summed, nor an index of ``+=``."""
    for part in postorder(statement.value):
        if isinstance(part, Reduce) and index in part.indices:
            return part.body if part.op == "sum" else None
    return statement.value if statement.op == "+=" else None


def _by_coefficient(subscript: sp.Basic) -> list[Index]:
    """The indices of a subscript, those with the largest coefficients first."""
    form = linear(subscript)
    return sorted(indices_of(subscript), key=lambda index: -abs(form.coefficient(index)) if form else 0)
