"""Range, shape and dtype inference, joint over all definitions of a tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import sympy as sp

from graphc.errors import Location, NotationError, ShapeError
from graphc.frontend.expression import display
from graphc.frontend.recorded import Recorded
from graphc.frontend.tensor import Tensor
from graphc.ir.affine import is_affine, linear, nonnegative, span, to_expr
from graphc.ir.dtypes import dtype_of, promote, settle, summed
from graphc.ir.expr import Access, FloorDiv, Index, Reduce
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
        if len(waiting) == len(tensor.statements) and tensor.key not in self.shapes:
            self._settle_ranges(tensor, 0, tensor.statements[0], final=True)
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
            self._unknown(open_indices[0], statement)
        self.ranges[tensor.key, position] = tuple(Range(i, *found[i]) for i in names)
        return True

    def _unknown(self, index: Index, statement: Recorded) -> None:
        raise ShapeError(
            f"The range of the index {index} cannot be inferred: it occurs plainly in no tensor of known shape, "
            "and no single access bounds it.", at=((statement.text, str(index), statement.location),),
            fix=f'declare its range: {index} = gc.index("{index}", n).',
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

    def _largest_range(
        self, index: Index, found: dict[Index, tuple[sp.Expr, sp.Expr]], tensor: Tensor, statement: Recorded, final: bool
    ) -> tuple[sp.Expr, sp.Expr] | None:
        """The largest range that keeps every access inside.

        Quotients of the index count where nothing else in the program bounds it, and beside other bounds if it is known which is less.
        """
        written = (statement.value, *statement.subscripts, *statement.lost)
        accessed = [a for part in written for a in accesses(part) if isinstance(a, Access)]
        inside = [(a.subscripts, self.shapes[a.tensor]) for a in accessed if a.tensor in self.shapes and a.tensor != tensor.key]
        direct, by_quotients = _limits(index, found, inside)
        if not direct and not by_quotients and tensor.key in self.shapes:
            direct, by_quotients = _limits(index, found, [(statement.subscripts, self.shapes[tensor.key])])
        if not direct and not (by_quotients and final):
            return None
        facts = [high - low - 1 for low, high in found.values()]
        for limits in ([*direct, *by_quotients], direct or by_quotients):
            lowers, uppers = [_ZERO, *(low for low, _ in limits)], [high for _, high in limits]
            lower, upper = _extreme(lowers, True, facts), _extreme(uppers, False, facts)
            if lower is not None and upper is not None:
                return lower, upper
        shown = " and ".join(display(u) for u in dict.fromkeys(uppers if upper is None else lowers))
        raise ShapeError(f"The range of the index {index} is bounded by {shown}, which cannot be compared.",
                         at=((statement.text, str(index), statement.location),), fix=f'declare its range: gc.index("{index}", n).')

    # ---------------------------------------------------------------------------------------------------- shapes
    def _shape(self, tensor: Tensor) -> tuple[sp.Expr, ...]:
        rank = tensor.ndim or 0
        return tuple(self._extent(tensor, dimension) for dimension in range(rank))

    def _extent(self, tensor: Tensor, dimension: int) -> sp.Expr:
        plain: list[tuple[sp.Expr, Recorded]] = []
        others: list[sp.Expr] = []
        for position, statement in enumerate(tensor.statements):
            subscript = statement.subscripts[dimension]
            settled = self.ranges.get((tensor.key, position))
            ranges = {r.index: (r.lower, r.upper) for r in settled} if settled else self.plain[tensor.key, position]
            if isinstance(subscript, Index):
                if subscript in ranges:
                    plain.append((ranges[subscript][1], statement))
            elif is_affine(subscript) and all(i in ranges for i in indices_of(subscript)):
                others.append(span(subscript, {i: (low, high - 1) for i, (low, high) in ranges.items()})[1] + 1)
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
            return sp.expand(plain[0][0])
        others = [e for e in others if not (e.is_Integer and e <= 0)]
        largest = _extreme(others, largest=True) if others else None
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
    kind = dtype_of(statement.value, of)
    return promote(kind, *(dtype_of(a, of) for a in statement.lost)) if kind in ("weak_int", "int64") else kind


def same(a: sp.Expr, b: sp.Expr) -> bool:
    return a == b or linear(a - b) == linear(_ZERO)


def _limits(
    index: Index, found: dict[Index, tuple[sp.Expr, sp.Expr]], inside: Iterable[tuple[Sequence[sp.Expr], Sequence[sp.Expr]]]
) -> tuple[list[tuple[sp.Expr, sp.Expr]], list[tuple[sp.Expr, sp.Expr]]]:
    """What pairs of subscripts and shape say about an index: where it stands directly in a subscript, and where in a quotient."""
    direct: list[tuple[sp.Expr, sp.Expr]] = []
    by_quotients: list[tuple[sp.Expr, sp.Expr]] = []
    for subscripts, shape in inside:
        for subscript, extent in zip(subscripts, shape, strict=True):
            limits = _solve(subscript, _ZERO, extent - 1, index, found)
            if limits is not None:
                form = linear(subscript)
                (direct if form is not None and form.coefficient(index) else by_quotients).append(limits)
    return direct, by_quotients


def _solve(
    subscript: sp.Expr, least: sp.Expr, most: sp.Expr, index: Index, found: dict[Index, tuple[sp.Expr, sp.Expr]]
) -> tuple[sp.Expr, sp.Expr] | None:
    """Half-open limits of `index` that keep ``least ≤ subscript ≤ most`` for all values of the indices in `found`.

    None where it occurs in no term or in several that do not make one (``i%k`` is ``i - k*(i//k)``), or beside indices of unknown range.
    """
    terms = sp.Add.make_args(sp.expand(subscript))
    form = linear(sp.Add(*(term for term in terms if index in term.free_symbols)))
    rest = sp.Add(*(term for term in terms if index not in term.free_symbols))
    carriers = [(atom, factor) for atom, factor in form.terms if index in atom.free_symbols] if form is not None else []
    if form is None or len(carriers) != 1 or not is_affine(rest):
        return None
    atom, factor = carriers[0]
    rest = sp.expand(rest + to_expr(form) - factor * atom)
    if any(other not in found for other in indices_of(rest)):
        return None
    low, high = span(rest, {i: (lower, upper - 1) for i, (lower, upper) in found.items()})
    if factor > 0:
        first, last = -FloorDiv(low - least, factor), FloorDiv(most - high, factor)
    else:
        first, last = -FloorDiv(most - high, -factor), FloorDiv(low - least, -factor)
    if isinstance(atom, FloorDiv):
        k = atom.divisor
        return _solve(atom.numerator, k * first, k * last + k - 1, index, found)
    return first, last + 1


def _extreme(values: Sequence[sp.Expr], largest: bool, facts: Sequence[sp.Expr] = ()) -> sp.Expr | None:
    """The largest (smallest) of several size expressions if that is the same one for all sizes."""
    distinct = list(dict.fromkeys(sp.expand(v) for v in values))
    for candidate in distinct:
        if all(other is candidate or nonnegative(candidate - other if largest else other - candidate, facts) for other in distinct):
            return candidate
    return None


def _by_coefficient(subscript: sp.Basic) -> list[Index]:
    """The indices of a subscript, those with the largest coefficients first."""
    form = linear(subscript)
    return sorted(indices_of(subscript), key=lambda index: -abs(form.coefficient(index)) if form else 0)
