"""Padded copies: a contraction whose loops are cut by the edges of one operand reads a copy with zeros around it instead."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy as sp

from graphc.analysis.legality import ensured, in_range
from graphc.analysis.recurrence import cyclic
from graphc.ir.affine import linear, nonnegative, span
from graphc.ir.expr import Access, Compare, Logical, Where, accesses, build, indices_of
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.origin import Part
from graphc.ir.statement import Statement, behind, plain_ranges
from graphc.ir.tensor import Tensor

__all__ = ["copy_padded"]

_ZERO = sp.Integer(0)


def copy_padded(graph: Graph) -> Graph:
    """``Y[p] += X[p+r-1]*W[r]`` on ``0 ≤ p+r-1 < N`` reads ``X.padded`` of N+2 elements, and its loops become a box.

    Only products of two tensors are treated that the contraction engine then can sum, where every condition is the range of a
    subscript of one of them; the copy costs one pass over an operand. Statements share a copy that is wide enough for all of them. Where
    `graphc.checkpoint` saves memory, only inputs are copied.
    """
    worker = _Padder(graph)
    found = [worker.padding(s) for s in graph.statements]
    for padding in filter(None, found):
        worker.widen(padding)
    statements = [piece for s, padding in zip(graph.statements, found, strict=True) for piece in worker.treated(s, padding)]
    return replace(graph, tensors=tuple(worker.tensors.values()), statements=tuple(statements))


@dataclass(frozen=True, slots=True)
class _Padding:
    """How many elements a product reads below and behind one of its factors, in every dimension."""

    factor: Access
    below: tuple[sp.Expr, ...]
    behind: tuple[sp.Expr, ...]

    def widened(self, other: _Padding) -> _Padding | None:
        """What both need, if that is known for all sizes."""
        pairs = [*zip(self.below, other.below, strict=True), *zip(self.behind, other.behind, strict=True)]
        most = [a if nonnegative(a - b) else b if nonnegative(b - a) else None for a, b in pairs]
        if None in most:
            return None
        return _Padding(self.factor, tuple(most[: len(self.below)]), tuple(most[len(self.below) :]))


class _Padder:
    def __init__(self, graph: Graph) -> None:
        self.tensors = dict(graph.by_name())
        self.recurrent = cyclic(graph)
        self.sparing = any(t.every for t in graph.tensors)
        self.known = ensured(graph.checks)
        self.wanted: dict[str, list[_Padding]] = {}
        self.copies: dict[tuple[object, ...], str] = {}

    def padding(self, statement: Statement) -> _Padding | None:
        """What has to be around a factor of the statement, if a copy with zeros around it makes the loops a box."""
        factors = [f for f in sp.Mul.make_args(statement.value) if isinstance(f, Access)]
        if statement.op != "+=" or not statement.domain or len(factors) != 2 or len(accesses(statement.value)) != 2 or statement.scatters:
            return None
        if statement.target in self.recurrent and any(f.tensor in self.recurrent for f in factors):
            return None
        conditions, left = set(map(sp.expand, statement.domain)), set(statement.free)
        own = [left & set(indices_of(f)) for f in factors]
        if own[0] <= own[1] or own[1] <= own[0]:
            return None
        for factor, other in (factors, factors[::-1]):
            if self.sparing and not self.tensors[factor.tensor].is_input:
                continue
            covered: set[sp.Expr] = set()
            for subscript, extent in zip(factor.subscripts, self.tensors[factor.tensor].shape, strict=True):
                covered |= {sp.expand(subscript), behind(subscript, extent)} & conditions
            if covered == conditions and factor.tensor != statement.target and self._inside_without(statement, factor, other):
                return self._around(statement, factor)
        return None

    def _facts(self, statement: Statement) -> tuple[sp.Expr, ...]:
        """What holds in the loops without their domain."""
        return self.known + tuple(c for r in statement.loops for c in r.constraints())

    def _inside_without(self, statement: Statement, factor: Access, other: Access) -> bool:
        """Whether what is left in the statement stays in range when its domain is dropped."""
        facts = self._facts(statement)
        return all(map(_simple, factor.subscripts)) and all(
            linear(s) is not None and in_range(s, extent, facts)
            for access in (other, Access(statement.target, *statement.subscripts))
            for s, extent in zip(access.subscripts, self.tensors[access.tensor].shape, strict=True)
        )

    def _around(self, statement: Statement, factor: Access) -> _Padding | None:
        facts, limits = self._facts(statement), {r.index: r.ends for r in statement.loops}
        below: list[sp.Expr] = []
        after: list[sp.Expr] = []
        for subscript, extent in zip(factor.subscripts, self.tensors[factor.tensor].shape, strict=True):
            # A condition on one dimension may have implied another one, so that every dimension is looked at.
            least, most = (_ZERO, extent - 1) if in_range(subscript, extent, facts) else span(subscript, limits)
            for found, missing in ((below, -least), (after, most - extent + 1)):
                if nonnegative(-missing):
                    found.append(_ZERO)
                elif nonnegative(missing):
                    found.append(sp.expand(missing))
                else:
                    return None
        return _Padding(factor, tuple(below), tuple(after))

    def widen(self, padding: _Padding) -> None:
        known = self.wanted.setdefault(padding.factor.tensor, [])
        for k, other in enumerate(known):
            if (both := other.widened(padding)) is not None:
                known[k] = both
                return
        known.append(padding)

    def treated(self, statement: Statement, padding: _Padding | None) -> list[Statement]:
        if padding is None:
            return [statement]
        factor = padding.factor
        wide = next(w for w in self.wanted[factor.tensor] if (both := w.widened(padding)) is not None and both.below == w.below
                    and both.behind == w.behind)
        made: list[Statement] = []
        key = (factor.tensor, wide.below, wide.behind)
        if key not in self.copies:
            made.append(self._copy(statement, wide))
            self.copies[key] = made[0].target
        moved = Access(self.copies[key], *(sp.expand(s + b) for s, b in zip(factor.subscripts, wide.below, strict=True)))
        rest = [f for f in sp.Mul.make_args(statement.value) if f is not factor]
        order = tuple(moved if a == factor else a for a in statement.order)
        return [*made, replace(statement, value=build(lambda: sp.Mul(*rest, moved)), domain=(), order=order)]

    def _copy(self, statement: Statement, wide: _Padding) -> Statement:
        source = self.tensors[wide.factor.tensor]
        name = fresh_name(f"{source.name}.padded", self.tensors)
        shape = tuple(sp.expand(e + b + a) for e, b, a in zip(source.shape, wide.below, wide.behind, strict=True))
        self.tensors[name] = Tensor(name, shape, source.dtype, "defined", source.group)
        ranges = plain_ranges(shape)
        place = tuple(r.index for r in ranges)
        read = Access(source.name, *(sp.expand(i - b) for i, b in zip(place, wide.below, strict=True)))
        value: sp.Expr = read
        for index, before, beyond, extent in zip(reversed(place), *map(reversed, (wide.below, wide.behind, source.shape)), strict=True):
            inside = [Compare(">=", index, before)] * (before != 0) + [Compare("<", index, sp.expand(before + extent))] * (beyond != 0)
            if inside:
                value = Where(inside[0] if len(inside) == 1 else Logical("and", *inside), value, _ZERO)
        origin = Part(f"{source.name} with zeros around it", statement)
        return Statement(name, place, "=", value, ranges, (), (read,), statement.location, origin)


def _simple(subscript: sp.Expr) -> bool:
    """Whether the subscript is affine without quotients of indices, so that its extremes lie at the ends of the loops."""
    form = linear(subscript)
    return form is not None and all(a.is_Symbol or not indices_of(a) for a, _ in form.terms)
