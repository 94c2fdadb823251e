"""Padded copies: a contraction whose loops are cut by the edges of one operand reads a copy with zeros, or its boundary, around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sympy as sp

from graphc.analysis.legality import ensured, in_range
from graphc.analysis.recurrence import cyclic
from graphc.ir.affine import linear, nonnegative, span
from graphc.ir.dtypes import is_float
from graphc.ir.expr import Access, Compare, Where, all_of, build
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.origin import Part
from graphc.ir.statement import Statement, behind, plain_ranges
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, indices_of

__all__ = ["copy_edges", "copy_padded"]

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


def copy_edges(graph: Graph) -> Graph:
    """``Y[p] += X[p+r-1]*W[r]`` inside, ``X[0]*W[r]`` below and ``X[N-1]*W[r]`` behind read one copy of N+2 elements that has X[0]
    and X[N-1] at its ends, and their loops become one box.

    The products are those of `copy_padded`; what stands for the operand at an edge is a read of it or a number.
    """
    worker = _Padder(graph)
    alike: dict[tuple[object, ...], list[Statement]] = {}
    for statement in graph.statements:
        if statement.op == "+=" and statement.domain:
            alike.setdefault((statement.target, statement.subscripts, statement.ranges), []).append(statement)
    changed: dict[int, list[Statement]] = {}
    for group in alike.values():
        found = [(s, padding) for s in group if (padding := worker.padding(s)) is not None] if len(group) > 1 else []
        # With literal sizes, an edge may be taken for the inside; its copy would be larger.
        for inside, padding in sorted(found, key=lambda pair: pair[1].width()):
            left = [s for s in group if id(s) not in changed]
            if id(inside) not in changed and (edges := worker.edges(inside, padding, left)):
                changed |= {id(edge.statement): [] for edge in edges}
                changed[id(inside)] = worker.joined(inside, padding, edges)
    if not changed:
        return graph
    statements = [piece for s in graph.statements for piece in changed.get(id(s), [s])]
    return replace(graph, tensors=tuple(worker.tensors.values()), statements=tuple(statements))


@dataclass(frozen=True, slots=True)
class _Edge:
    """What an element of a copy holds where all conditions are ≥ 0, and the statement that said so."""

    statement: Statement
    value: sp.Expr
    conditions: tuple[sp.Expr, ...]


@dataclass(frozen=True, slots=True)
class _Padding:
    """How many elements a product reads below and behind one of its factors, in every dimension."""

    factor: Access
    below: tuple[sp.Expr, ...]
    behind: tuple[sp.Expr, ...]

    def width(self) -> float:
        """How many elements there are more than in the factor, over all dimensions; infinitely many where sizes decide."""
        total = sp.expand(sp.Add(*self.below, *self.behind))
        return int(total) if total.is_Integer else float("inf")

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
        self.checks = graph.checks
        self.known = ensured(graph.checks)
        self.wanted: dict[str, list[_Padding]] = {}
        self.copies: dict[tuple[object, ...], str] = {}

    def padding(self, statement: Statement) -> _Padding | None:
        """What has to be around a factor of the statement, if a copy with zeros around it makes the loops a box."""
        parts = sp.Mul.make_args(statement.value)
        factors = [f for f in parts if isinstance(f, Access)]
        if statement.op != "+=" or not any(map(indices_of, statement.domain)) or len(factors) != 2 or statement.scatters:
            return None
        if any(accesses(f) for f in parts if f not in factors):  # they would stay where the loops become a box
            return None
        if statement.target in self.recurrent and any(f.tensor in self.recurrent for f in factors):
            return None
        conditions, left = {sp.expand(d) for d in statement.domain if indices_of(d)}, set(statement.free)
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
        """What holds in the loops without the conditions on their indices."""
        return (*self.known, *_of_sizes(statement), *(c for r in statement.loops for c in r.constraints()))

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
        return self._reading(statement, padding, wide, _ZERO)

    def edges(self, inside: Statement, padding: _Padding, others: Sequence[Statement]) -> list[_Edge]:
        """Those statements that say what the factor is beyond its edges, in the indices of the copy."""
        scale, product = inside.value.as_coeff_Mul()
        rest = {f for f in sp.Mul.make_args(product) if f != padding.factor}
        found: list[_Edge] = []
        for other in others:
            own_scale, product = other.value.as_coeff_Mul()
            factors = set(sp.Mul.make_args(product))
            instead = [own_scale / scale, *(factors - rest)]
            if other is inside or not rest <= factors or len(instead) > 2 or (len(instead) == 2 and instead[0] != 1):
                continue
            edge = self._edge(other, padding, instead[-1])
            if edge is not None and all(_apart(other, s) for s in (inside, *(e.statement for e in found))):
                found.append(edge)
        return found

    def _edge(self, statement: Statement, padding: _Padding, value: sp.Expr) -> _Edge | None:
        source = self.tensors[padding.factor.tensor]
        ranges = plain_ranges(self._shape(padding))
        places = [sp.expand(r.index - b) for r, b in zip(ranges, padding.below, strict=True)]

        def moved(e: sp.Expr) -> sp.Expr | None:
            """An expression in the loops' indices as one in the copy's."""
            pairs = [(e - sign * s, sign * x) for s, x in zip(padding.factor.subscripts, places, strict=True) for sign in (0, 1, -1)]
            return next((sp.expand(rest + x) for rest, x in pairs if not indices_of(sp.expand(rest))), None)

        conditions = [moved(c) for c in statement.domain]
        if not isinstance(value, Access):
            simple = value.is_number and is_float(source.dtype) and None not in conditions
            return _Edge(statement, value, tuple(conditions)) if simple else None
        subscripts = [moved(s) for s in value.subscripts]
        if value.tensor != source.name or None in (*conditions, *subscripts):
            return None
        facts = (*self.known, *(c for r in ranges for c in r.constraints()), *conditions)
        ends = [c for s, extent in zip(subscripts, source.shape, strict=True) for c in (s, behind(s, extent))]
        # The loops go where there is something to read; the copy is made in any case, at sizes at which they are empty as well.
        sizes = {z for extent in source.shape for z in extent.free_symbols}
        every = [r.extent for r in statement.loops if r.extent.free_symbols and not indices_of(r.extent)]
        for extents in ([], [e for e in every if e.free_symbols & sizes], every):
            some = tuple(sp.expand(e - 1) for e in extents)
            known = (*facts, *some, *ensured(self.checks, some))
            missing = [c for c in ends if not nonnegative(c, known)]
            if not missing:
                break
        conditions += [*some, *missing]
        return _Edge(statement, Access(source.name, *subscripts), tuple(dict.fromkeys(conditions)))

    def joined(self, inside: Statement, padding: _Padding, edges: Sequence[_Edge]) -> list[Statement]:
        """The copy, unless it has been made, and the product over it."""
        value: sp.Expr = _ZERO
        for edge in edges:
            value = _where(edge.conditions, edge.value, value)
        return self._reading(inside, padding, padding, value)

    def _reading(self, statement: Statement, padding: _Padding, wide: _Padding, edges: sp.Expr) -> list[Statement]:
        factor, key = padding.factor, (padding.factor.tensor, wide.below, wide.behind, edges)
        made = [] if key in self.copies else [self._copy(statement, wide, edges)]
        name = self.copies.setdefault(key, made[0].target if made else "")
        moved = Access(name, *(sp.expand(s + b) for s, b in zip(factor.subscripts, wide.below, strict=True)))
        rest = [f for f in sp.Mul.make_args(statement.value) if f is not factor]
        order = tuple(moved if a == factor else a for a in statement.order)
        return [*made, replace(statement, value=build(lambda: sp.Mul(*rest, moved)), domain=_of_sizes(statement), order=order)]

    def _shape(self, wide: _Padding) -> tuple[sp.Expr, ...]:
        extents = self.tensors[wide.factor.tensor].shape
        return tuple(sp.expand(e + b + a) for e, b, a in zip(extents, wide.below, wide.behind, strict=True))

    def _copy(self, statement: Statement, wide: _Padding, edges: sp.Expr) -> Statement:
        source = self.tensors[wide.factor.tensor]
        name = fresh_name(f"{source.name}.padded", self.tensors)
        self.tensors[name] = Tensor(name, self._shape(wide), source.dtype, "defined", source.group)
        ranges = plain_ranges(self.tensors[name].shape)
        place = tuple(r.index for r in ranges)
        read = Access(source.name, *(sp.expand(i - b) for i, b in zip(place, wide.below, strict=True)))
        inside: list[sp.Expr] = []
        for index, below, beyond, subscript, extent in zip(place, wide.below, wide.behind, read.subscripts, source.shape, strict=True):
            inside += [sp.expand(index - below)] * (below != 0) + [behind(subscript, extent)] * (beyond != 0)
        origin = Part(f"{source.name} with {'zeros' if edges == 0 else 'its boundary'} around it", statement)
        return Statement(name, place, "=", _where(tuple(inside), read, edges), ranges, (), (read,), statement.location, origin)


def _of_sizes(statement: Statement) -> tuple[sp.Expr, ...]:
    """The conditions that hold for all iterations or for none."""
    return tuple(d for d in statement.domain if not indices_of(d))


def _where(conditions: tuple[sp.Expr, ...], value: sp.Expr, other: sp.Expr) -> sp.Expr:
    """The value where all conditions are ≥ 0."""
    tests = [Compare(">=", c, _ZERO) for c in conditions]
    return Where(all_of(tests), value, other)


def _apart(one: Statement, two: Statement) -> bool:
    """Whether no iteration belongs to both."""
    return any(nonnegative(-c - 1, b.constraints()) for a, b in ((one, two), (two, one)) for c in a.domain)


def _simple(subscript: sp.Expr) -> bool:
    """Whether the subscript is affine without quotients of indices, so that its extremes lie at the ends of the loops."""
    form = linear(subscript)
    return form is not None and all(a.is_Symbol or not indices_of(a) for a, _ in form.terms)
