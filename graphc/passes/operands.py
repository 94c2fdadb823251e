"""Sums of products of expressions become sums of products of two tensors, which the contraction engine computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import prod

import sympy as sp

from graphc.analysis.recurrence import cyclic
from graphc.ir.affine import is_affine, nonnegative
from graphc.ir.dtypes import is_float
from graphc.ir.expr import Access, BoundaryAccess, Compare, Index, Reduce, Where, all_of, build
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.origin import Part
from graphc.ir.statement import Range, Statement, plain_ranges, revised
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, contains, indices_of, substitute

__all__ = ["store_operands"]

_TYPICAL = 64
"""What a symbolic extent is taken to be when groupings are compared."""

_LITTLE = 4096
"""Multiply-adds below which a product with literal extents stays a loop."""

_ZERO = sp.Integer(0)

_MOST = 6
"""Factors that are grouped."""


def store_operands(graph: Graph) -> Graph:
    """``U[b,i] += relu(X[b,j])*A[j,i]*c[i]`` becomes ``U.operand[b,j] = relu(X[b,j])``, a product of two tensors and a map.

    Factors that do not contain a summed index are multiplied behind the sum; the others become two operands, each stored where it is no
    tensor as it stands. That costs one pass over arrays that have fewer elements than there are products.
    """
    worker = _Worker(dict(graph.by_name()), cyclic(graph))
    statements = [piece for s in graph.statements for piece in worker.pieces(s)]
    return replace(graph, tensors=tuple(worker.tensors.values()), statements=tuple(statements))


@dataclass
class _Worker:
    tensors: dict[str, Tensor]
    recurrent: set[str]

    def pieces(self, statement: Statement) -> list[Statement]:
        """The statements in its place, itself if it is no such product."""
        factors = [f for f in sp.Mul.make_args(statement.value) if contains(f, (Access, Index))]
        reduced = set(statement.reduced)
        inner = [f for f in factors if reduced & set(indices_of(f))]
        outer = [f for f in factors if not reduced & set(indices_of(f))]
        if not self._suitable(statement) or not 2 <= len(inner) <= _MOST or {*indices_of(sp.Tuple(*inner))} < reduced:
            return [statement]
        if len(inner) == 2 and not outer and all(isinstance(f, Access) for f in inner):
            return [statement]
        grouping = self._grouping(statement, inner)
        if grouping is None:
            return [statement]
        made: list[Statement] = []
        operands = [self._operand(statement, group, made) for group in grouping]
        constants = [f for f in sp.Mul.make_args(statement.value) if f not in factors]
        product = build(lambda: sp.Mul(*constants, *operands))
        if not outer:
            return [*made, revised(statement, "operands", tuple(made), value=product, order=tuple(accesses(product)))]
        free = [statement.range_of(i) for i in statement.free]
        name = self._new(statement, "sum", free)
        total = Access(name, *(r.index for r in free))
        made.append(self._part(statement, name, "+=", product, statement.loops, "the sum without the factors before it"))
        value = self._unless_empty(statement, build(lambda: sp.Mul(total, *outer)))
        return [*made, revised(statement, "operands", tuple(made), value=value, ranges=tuple(free), order=tuple(accesses(value)))]

    @staticmethod
    def _unless_empty(statement: Statement, value: sp.Expr) -> sp.Expr:
        """The value, 0 where nothing is summed: the factor behind the sum may be infinite."""
        extents = [e for i in statement.reduced if not nonnegative((e := statement.range_of(i).extent) - 1)]
        conditions = [Compare(">", e, _ZERO) for e in extents]
        if not conditions:
            return value
        return Where(all_of(conditions), value, _ZERO)

    def _suitable(self, s: Statement) -> bool:
        """Whether it sums floats on a box whose extents are no negative numbers, and reads nothing in a way the engine cannot."""
        return (
            s.op == "+=" and bool(s.reduced) and not s.domain and not s.scatters and not s.bound and s.target not in self.recurrent
            and is_float(self.tensors[s.target].dtype)
            and all(r.lower == 0 and nonnegative(r.upper) and not indices_of(r.upper) for r in s.loops)
            and not contains(s.value, (BoundaryAccess, Reduce))
            and all(self.tensors[a.tensor].dtype == self.tensors[s.target].dtype for a in accesses(s.value))
            and all(is_affine(x) and len(indices_of(x)) <= 1 for x in s.subscripts)
        )

    def _grouping(self, statement: Statement, factors: Sequence[sp.Expr]) -> tuple[list[sp.Expr], list[sp.Expr]] | None:
        """The two groups of factors for which the least has to be stored, if each misses an index of the left side that the other has."""
        free, loops = set(statement.free), {r.index for r in statement.loops}
        extents = {r.index: self._size(r.extent) for r in statement.loops}
        if all(r.extent.is_Integer for r in statement.loops) and prod(extents.values()) <= _LITTLE:
            return None
        found: list[tuple[int, int, list[sp.Expr], list[sp.Expr]]] = []
        for one, other in _halves(factors):
            left, right = ({*indices_of(sp.Tuple(*group))} & loops for group in (one, other))
            if free - left and free - right and all(self._storable(statement, g) for g in (one, other)) and left & right - free:
                cost = sum(prod(extents[i] for i in indices) for group, indices in ((one, left), (other, right)) if not _plain(group))
                found.append((cost, len(found), one, other))
        if not found:
            return None
        *_, one, other = min(found, key=lambda grouping: grouping[:2])
        return one, other

    def _in_its_place(self, statement: Statement, group: Sequence[sp.Expr]) -> bool:
        """Whether the group is a function of reads at one place, and most of what is stored for all places is read."""
        if not _at_one_place(group, self.tensors):
            return False
        place = next(iter(accesses(sp.Tuple(*group))))
        points = prod(self._size(statement.range_of(i).extent) for i in indices_of(place))
        return prod(map(self._size, self.tensors[place.tensor].shape)) <= 4 * points

    def _storable(self, statement: Statement, group: Sequence[sp.Expr]) -> bool:
        """Whether the product of a group is a read, a function of reads at one place, or one of reads with plain subscripts."""
        reads = [a for f in group for a in accesses(f)]
        if _plain(group) or self._in_its_place(statement, group):
            return all(is_affine(x) for a in reads for x in a.subscripts)
        return all(x.is_Symbol or x.is_Integer for a in reads for x in a.subscripts)

    @staticmethod
    def _size(extent: sp.Expr) -> int:
        typical = sp.expand(extent).xreplace({s: sp.Integer(_TYPICAL) for s in extent.free_symbols})
        return max(int(typical), 1) if typical.is_Integer else _TYPICAL

    def _operand(self, statement: Statement, group: Sequence[sp.Expr], made: list[Statement]) -> Access:
        """What stands for a group; the statement that stores it goes to `made`."""
        only = group[0]
        if isinstance(only, Access) and len(group) == 1:
            return only
        value = build(lambda: sp.Mul(*group))
        if self._in_its_place(statement, group):
            place = next(iter(accesses(value)))
            ranges = plain_ranges(self.tensors[place.tensor].shape)
            own = tuple(r.index for r in ranges)
            value = substitute(value, {a: Access(a.tensor, *own) for a in accesses(value)})
            subscripts = place.subscripts
        else:
            inside = set(indices_of(value))
            ranges = tuple(r for r in statement.loops if r.index in inside)
            subscripts = own = tuple(r.index for r in ranges)
        name = self._new(statement, "operand", ranges)
        made.append(self._part(statement, name, "=", value, ranges, "a factor of the sum"))
        stored: Access = Access(name, *subscripts)
        return stored

    def _new(self, statement: Statement, what: str, ranges: Sequence[Range]) -> str:
        target = self.tensors[statement.target]
        name = fresh_name(f"{statement.target}.{what}", self.tensors)
        self.tensors[name] = Tensor(name, tuple(r.upper for r in ranges), target.dtype, "defined", target.group)
        return name

    def _part(self, statement: Statement, name: str, op: str, value: sp.Expr, ranges: Sequence[Range], what: str) -> Statement:
        own = tuple(r.index for r in ranges) if op == "=" else statement.free
        return Statement(name, own, op, value, tuple(ranges), (), tuple(accesses(value)), statement.location, Part(what, statement))


def _halves(factors: Sequence[sp.Expr]) -> Iterator[tuple[list[sp.Expr], list[sp.Expr]]]:
    """All ways to put the factors into two groups; the first one is in the first."""
    first, *rest = factors
    for count in range(len(rest)):
        for chosen in combinations(range(len(rest)), count):
            yield [first, *(rest[k] for k in chosen)], [f for k, f in enumerate(rest) if k not in chosen]


def _plain(group: Sequence[sp.Expr]) -> bool:
    return len(group) == 1 and isinstance(group[0], Access)


def _at_one_place(group: Sequence[sp.Expr], tensors: dict[str, Tensor]) -> bool:
    """Whether the factors read one element each of tensors of one shape, all with the same subscripts, and use indices nowhere else."""
    reads = list(dict.fromkeys(a for f in group for a in accesses(f)))
    if not reads or any(not isinstance(a, Access) for a in reads):
        return False
    places, shapes = {a.subscripts for a in reads}, {tensors[a.tensor].shape for a in reads}
    if len(places) > 1 or len(shapes) > 1 or not all(indices_of(x) for x in reads[0].subscripts):
        return False
    return not any(indices_of(substitute(f, {a: sp.Dummy() for a in reads})) for f in group)
