"""Padded copies: a contraction whose loops are cut by the edges of one operand reads a copy with zeros around it instead."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from graphc.analysis.legality import ensured, in_range
from graphc.analysis.recurrence import cyclic
from graphc.ir.affine import linear, nonnegative, span
from graphc.ir.expr import Access, Index, accesses, build, indices_of
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.origin import Part
from graphc.ir.statement import Range, Statement, behind
from graphc.ir.tensor import Tensor

__all__ = ["copy_padded"]


def copy_padded(graph: Graph) -> Graph:
    """``Y[p] += X[p+r-1]*W[r]`` on ``0 ≤ p+r-1 < N`` reads ``X.padded`` of N+2 elements, and its loops become a box.

    Only products of two tensors are treated, where every condition is the range of a subscript of one of them; the copy costs one
    pass over an operand and lets the contraction engine do the rest. Equal copies are shared. Where `graphc.checkpoint` saves memory,
    only inputs are copied.
    """
    worker = _Padder(graph)
    statements = [piece for s in graph.statements for piece in worker.treat(s)]
    return replace(graph, tensors=tuple(worker.tensors.values()), statements=tuple(statements))


class _Padder:
    def __init__(self, graph: Graph) -> None:
        self.tensors = dict(graph.by_name())
        self.recurrent = cyclic(graph)
        self.sparing = any(t.every for t in graph.tensors)
        self.known = ensured(graph.checks)
        self.copies: dict[tuple[object, ...], str] = {}

    def treat(self, statement: Statement) -> list[Statement]:
        factors = [f for f in sp.Mul.make_args(statement.value) if isinstance(f, Access)]
        if statement.op != "+=" or not statement.domain or len(factors) != 2 or len(accesses(statement.value)) != 2 or statement.scatters:
            return [statement]
        if statement.target in self.recurrent and any(f.tensor in self.recurrent for f in factors):
            return [statement]
        conditions = set(map(sp.expand, statement.domain))
        for position, factor in enumerate(factors):
            if self.sparing and not self.tensors[factor.tensor].is_input:
                continue
            covered: set[sp.Expr] = set()
            for subscript, extent in zip(factor.subscripts, self.tensors[factor.tensor].shape, strict=True):
                covered |= {sp.expand(subscript), behind(subscript, extent)} & conditions
            other = factors[1 - position]
            if covered == conditions and factor.tensor != statement.target and self._inside_without(statement, factor, other):
                return self._padded(statement, factor)
        return [statement]

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

    def _padded(self, statement: Statement, factor: Access) -> list[Statement]:
        source, facts = self.tensors[factor.tensor], self._facts(statement)
        limits = {r.index: r.ends for r in statement.loops}
        below, shape = [], []
        for subscript, extent in zip(factor.subscripts, source.shape, strict=True):
            # A condition on one dimension may have implied another one, so that every dimension is looked at.
            least, most = (
                (sp.Integer(0), extent - 1)
                if in_range(subscript, extent, facts)
                else span(subscript, limits)
            )
            if nonnegative(least):
                least = sp.Integer(0)
            elif not nonnegative(-least):
                return [statement]
            if nonnegative(extent - 1 - most):
                most = extent - 1
            elif not nonnegative(most - extent + 1):
                return [statement]
            below.append(sp.expand(-least))
            shape.append(sp.expand(most - least + 1))
        key = (factor.tensor, tuple(below), tuple(shape))
        made: list[Statement] = []
        if key not in self.copies:
            self.copies[key] = name = fresh_name(f"{factor.tensor}.padded", self.tensors)
            self.tensors[name] = Tensor(name, tuple(shape), source.dtype, "defined", source.group)
            indices = tuple(Index("ijklmnpq"[d] if d < 8 else f"i{d}") for d in range(len(shape)))
            ranges = tuple(Range(i, sp.Integer(0), e) for i, e in zip(indices, source.shape, strict=True))
            read = Access(factor.tensor, *indices)
            made.append(
                Statement(
                    name,
                    tuple(i + b for i, b in zip(indices, below, strict=True)),
                    "=",
                    read,
                    ranges,
                    (),
                    (read,),
                    statement.location,
                    Part(f"{factor.tensor} with zeros around it", statement),
                )
            )
        moved = Access(self.copies[key], *(sp.expand(s + b) for s, b in zip(factor.subscripts, below, strict=True)))
        rest = [f for f in sp.Mul.make_args(statement.value) if f is not factor]
        order = tuple(moved if a == factor else a for a in statement.order)
        return [*made, replace(statement, value=build(lambda: sp.Mul(*rest, moved)), domain=(), order=order)]


def _simple(subscript: sp.Expr) -> bool:
    """Whether the subscript is affine without quotients of indices, so that its extremes lie at the ends of the loops."""
    form = linear(subscript)
    return form is not None and all(a.is_Symbol or not indices_of(a) for a, _ in form.terms)
