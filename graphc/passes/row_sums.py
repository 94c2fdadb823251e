"""A sum of everything beside maps over the same rows becomes sums of rows, so that both are computed while a row is in cache."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from graphc.analysis.recurrence import cyclic
from graphc.ir.expr import Access, Index
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.origin import Part
from graphc.ir.statement import Range, Statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, indices_of

__all__ = ["row_sums", "summed_by_rows"]

SHORT = 128
"""Terms of a row, known beforehand, below which a loop over all elements is better than one over rows."""

_ZERO = sp.Integer(0)


def row_sums(graph: Graph) -> Graph:
    """``L[()] += X[b,j]*T[b,j]`` beside ``Y[b,j] = 2*X[b,j]`` becomes ``L.rows[b] += X[b,j]*T[b,j]`` and ``L[()] += L.rows[b]``.

    A loss and its gradient read the same arrays: they pass through memory once. Beside a recurrence that is checkpointed, `by_rows` has
    done so along its time.
    """
    if any(t.every for t in graph.tensors):
        return graph
    tensors = dict(graph.by_name())
    recurrent = cyclic(graph)
    rows = {s.target: found for s in graph.statements if s.target not in recurrent and (found := _at_row(s, tensors))}
    statements: list[Statement] = []
    for s in graph.statements:
        index = None if s.target in recurrent else _row(s, tensors, {name: r for name, r in rows.items() if name != s.target})
        statements += [s] if index is None else summed_by_rows(s, index, s.range_of(index).extent, tensors)
    return replace(graph, tensors=tuple(tensors.values()), statements=tuple(statements))


def summed_by_rows(statement: Statement, index: Index, rows: sp.Expr, tensors: dict[str, Tensor]) -> list[Statement]:
    """A sum of everything as a sum of each row along `index`, of which there are `rows`, and the sum of these.

    Args:
        statement: a sum to a single element.
        index: one of its indices.
        rows: extent of the new tensor, which is added to `tensors`.
        tensors: by name.
    """
    target = tensors[statement.target]
    name = fresh_name(f"{statement.target}.rows", tensors)
    tensors[name] = Tensor(name, (rows,), target.dtype, "defined", target.group)
    own = [d for d in statement.domain if set(indices_of(d)) <= {index}]
    over = Range(index, _ZERO, rows)
    each = replace(statement, target=name, subscripts=(index,), origin=Part("the sum of each row", statement))
    if statement.range_of(index) != over:
        each = replace(each, ranges=tuple(over if r.index == index else r for r in each.ranges),
                       domain=(*each.domain, *statement.range_of(index).constraints()))
    total = replace(statement, value=Access(name, index), ranges=(over,), domain=tuple(own), order=(),
                    origin=Part("the sum of all rows", statement))
    return [each, total]


def _at_row(statement: Statement, tensors: dict[str, Tensor]) -> set[str]:
    """The tensors of which a map reads its own row only."""
    first = next(iter(statement.subscripts), None)
    if len(statement.subscripts) < 2 or statement.reduced or statement.scatters or not _whole(statement, first, tensors[statement.target]):
        return set()
    return _read_at(statement, first, tensors)


def _read_at(statement: Statement, index: sp.Basic | None, tensors: dict[str, Tensor]) -> set[str]:
    """The tensors of more than one dimension of which a statement reads the row at an index."""
    return {a.tensor for a in accesses(statement.value) if isinstance(a, Access) and len(a.subscripts) > 1 and a.subscripts[0] == index}


def _whole(statement: Statement, index: sp.Basic | None, tensor: Tensor) -> bool:
    """Whether an index goes over the whole first dimension of a tensor."""
    return isinstance(index, Index) and statement.range_of(index) == Range(index, _ZERO, tensor.shape[0])


def _row(statement: Statement, tensors: dict[str, Tensor], rows: dict[str, set[str]]) -> Index | None:
    """The index of the rows of a sum of everything, where a map goes over the same ones."""
    if statement.op != "+=" or statement.subscripts or len(statement.reduced) < 2:
        return None
    for index in statement.reduced:
        rest = sp.Mul(*(statement.range_of(i).extent for i in statement.reduced if i != index))
        read = {n for n in _read_at(statement, index, tensors) if _whole(statement, index, tensors[n])}
        if not (rest.is_Integer and rest < SHORT) and any(read & found for found in rows.values()):
            return index
    return None
