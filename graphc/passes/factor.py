"""Contraction order: products of several tensors are summed pair by pair where that is cheaper."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import prod

import sympy as sp

from graphc.ir.affine import nonnegative
from graphc.ir.dtypes import is_float
from graphc.ir.expr import Access, Index, build
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.origin import Part
from graphc.ir.statement import Statement, revised
from graphc.ir.tensor import Tensor
from graphc.ir.tree import contains, indices_of

__all__ = ["factor_contractions"]

_TYPICAL = 64
"""What a symbolic extent is taken to be when orders are compared."""


def factor_contractions(graph: Graph) -> Graph:
    """Split ``Y[i,l] += A[i,j]*B[j,k]*C[k,l]`` into contractions of two factors, in the order with the fewest multiply-adds.

    Dynamic programming over subsets of factors (Lam, Sadayappan and Wenger, Parallel Processing Letters 7, 1997). A statement is
    split only if the work shrinks to less than half.
    """
    worker = _Factorer(dict(graph.by_name()))
    statements = [piece for s in graph.statements for piece in worker.split(s)]
    return replace(graph, tensors=tuple(worker.tensors.values()), statements=tuple(statements))


class _Factorer:
    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors

    def split(self, statement: Statement) -> list[Statement]:
        factors = [f for f in sp.Mul.make_args(statement.value) if contains(f, (Access, Index))]
        suitable = (
            statement.op == "+="
            and len(statement.reduced) >= 1
            and 3 <= len(factors) <= 8
            and not statement.domain
            and not statement.scatters
            and is_float(self.tensors[statement.target].dtype)
        )
        if not suitable:
            return [statement]
        sizes = {r.index: self._size(r.extent) for r in statement.loops}
        free = frozenset(statement.free)
        everywhere = {i for f in factors for i in indices_of(f)} | free
        if not all(nonnegative(r.extent) for r in statement.loops if r.index not in everywhere):
            return [statement]
        plan = _best_order([frozenset(indices_of(f)) & set(sizes) for f in factors], free, sizes)
        if plan is None:
            return [statement]
        constants = [f for f in sp.Mul.make_args(statement.value) if not contains(f, (Access, Index))]
        return self._emit(statement, factors, constants, plan)

    @staticmethod
    def _size(extent: sp.Expr) -> int:
        typical = sp.expand(extent).xreplace({s: sp.Integer(_TYPICAL) for s in extent.free_symbols})
        return max(int(typical), 1) if typical.is_Integer else _TYPICAL

    def _emit(self, statement: Statement, factors: list[sp.Basic], constants: list[sp.Basic], plan: tuple[object, ...]) -> list[Statement]:
        pieces: list[Statement] = []
        left, right = plan

        def value_of(node: object, outside: frozenset[Index]) -> sp.Expr:
            if isinstance(node, int):
                return factors[node]
            inside = _leaves(node)
            kept = [r for r in statement.ranges if r.index in outside and any(r.index in indices_of(factors[k]) for k in inside)]
            assert isinstance(node, tuple)
            first, second = node
            value = product(first, second, frozenset(r.index for r in kept))
            own = frozenset(indices_of(value))
            name = fresh_name(f"{statement.target}.part", self.tensors)
            dtype = self.tensors[statement.target].dtype
            self.tensors[name] = Tensor(name, tuple(r.upper for r in kept), dtype, "defined", self.tensors[statement.target].group)
            ranges = (*kept, *(r for r in statement.ranges if r.index in own and r not in kept))
            pieces.append(
                Statement(
                    name,
                    tuple(r.index for r in kept),
                    "+=",
                    value,
                    ranges,
                    (),
                    statement.order,
                    statement.location,
                    Part("a product of some of the factors", statement),
                )
            )
            return Access(name, *(r.index for r in kept))

        def product(first: object, second: object, outside: frozenset[Index]) -> sp.Expr:
            a, b = _leaves(first), _leaves(second)
            index_a = frozenset(i for k in a for i in indices_of(factors[k]))
            index_b = frozenset(i for k in b for i in indices_of(factors[k]))
            one = value_of(first, outside | index_b)
            two = value_of(second, outside | index_a)
            return build(lambda: one * two)

        value = product(left, right, frozenset(statement.free))
        value = build(lambda: sp.Mul(*constants, value))
        own = set(indices_of(value)) | set(statement.free)
        lost = [r.extent for r in statement.ranges if r.index not in own and not any(r.index in indices_of(f) for f in factors)]
        ranges = tuple(r for r in statement.ranges if r.index in own)
        final = revised(statement, "factor", "multiply and sum two factors at a time, in the cheapest order",
                        value=build(lambda: sp.Mul(*lost, value)), ranges=ranges)
        return [*pieces, final]


def _leaves(node: object) -> tuple[int, ...]:
    return (node,) if isinstance(node, int) else tuple(k for part in node for k in _leaves(part))  # type: ignore[attr-defined]


def _best_order(index_sets: list[frozenset[Index]], free: frozenset[Index], sizes: dict[Index, int]) -> tuple[object, object] | None:
    """A binary tree of factor numbers, or None if no tree has less than half the work of the single loop nest."""
    count = len(index_sets)
    everything = frozenset().union(*index_sets)
    direct = prod(sizes[i] for i in everything)
    best: dict[frozenset[int], tuple[int, object]] = {frozenset([k]): (0, k) for k in range(count)}

    def outer(members: frozenset[int]) -> frozenset[Index]:
        rest = frozenset().union(free, *(index_sets[k] for k in range(count) if k not in members))
        return frozenset().union(*(index_sets[k] for k in members)) & rest if len(members) > 1 else index_sets[next(iter(members))]

    for size in range(2, count + 1):
        for chosen in combinations(range(count), size):
            members = frozenset(chosen)
            options = []
            for k in range(1, size // 2 + 1):
                for part in combinations(chosen, k):
                    first, second = frozenset(part), members - frozenset(part)
                    step = prod(sizes[i] for i in outer(first) | outer(second))
                    options.append((best[first][0] + best[second][0] + step, (best[first][1], best[second][1])))
            best[members] = min(options, key=lambda o: o[0])
    cost, tree = best[frozenset(range(count))]
    return tree if 2 * cost < direct else None  # type: ignore[return-value]
