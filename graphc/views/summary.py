"""What a program costs: shapes, parameters and multiply-adds of its tensors, counted without making an array."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import sympy as sp

from graphc.errors import ArgumentError
from graphc.frontend.collect import collect
from graphc.frontend.tensor import Tensor
from graphc.ir.expr import Reduce, Size
from graphc.ir.graph import Graph, reads
from graphc.ir.show import expression
from graphc.ir.statement import Statement
from graphc.ir.tree import accesses, sizes_of, substitute
from graphc.requests import shown_tensors
from graphc.tables import html_table, text_table

__all__ = ["Count", "Row", "Summary", "summary"]

Count: TypeAlias = int | sp.Expr
"""A number, or an expression in sizes that were not given."""

_ADDING = ("sum", "mean")
_HEADS = ("tensor", "shape", "dtype", "parameters", "multiply-adds")


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor.

    Attributes:
        name, dtype: as in the program.
        shape: an int, or an expression in sizes, per dimension.
        kind: "input", "parameter" or "defined".
        parameters: its number of elements if it is a parameter, else 0.
        multiply_adds: of the statements that define it.
    """

    name: str
    shape: tuple[Count, ...]
    dtype: str
    kind: str
    parameters: Count
    multiply_adds: Count

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text, counts of 0 left empty."""
        shape = "×".join(_shown(e, grouped=False) for e in self.shape) or "scalar"
        return self.name, shape, self.dtype, *("" if count == 0 else _shown(count) for count in (self.parameters, self.multiply_adds))


@dataclass(frozen=True)
class Summary:
    """A table with a row per tensor in reading order; printed, or shown by a notebook.

    Attributes:
        rows: the tensors.
        parameters: the number of parameters in all.
        multiply_adds: the number of multiply-adds in all.
    """

    rows: tuple[Row, ...]

    @property
    def parameters(self) -> Count:
        return _total(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> Count:
        return _total(row.multiply_adds for row in self.rows)

    @property
    def _totals(self) -> tuple[str, ...]:
        return "total", "", "", _shown(self.parameters), _shown(self.multiply_adds)

    def __getitem__(self, name: str) -> Row:
        """The row of a tensor."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __str__(self) -> str:
        return text_table(_HEADS, [row.cells for row in self.rows], self._totals, right=(3, 4))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(_HEADS, [row.cells for row in self.rows], self._totals, right=(3, 4))


def summary(*outputs: Any, parameters: Sequence[Tensor | str] = (), **sizes: int) -> Summary:
    """Count parameters and multiply-adds of the program that computes the outputs.

    A statement that adds up products (``+=`` or a nested ``gc.sum`` or ``gc.mean`` with a product of two factors that read tensors)
    counts one multiply-add per innermost iteration. Boundary conditions do not make loops shorter: a padded convolution counts like
    one on a larger picture. Other arithmetic, and elements that need no sum of products, count nothing.

    Args:
        outputs: tensors, or lists, tuples and dicts of them.
        parameters: inputs that count as parameters beside those made by `graphc.parameter`, as tensors or names.
        sizes: numbers for symbolic sizes by name (``N=64``); the others stay symbols in the counts.

    Raises:
        ArgumentError: a size or a parameter does not occur.
        NotationError: there is no tensor.
        GraphcError: the definitions do not make a program.

    >>> import graphc as gc
    >>> N = gc.dim("N")
    >>> n, i, j = gc.indices("n i j")
    >>> x, W, y = gc.tensor("x", N, 784), gc.parameter("W", 10, 784), gc.tensor("y")
    >>> y[n, i] += W[i, j] * x[n, j]
    >>> gc.summary(y).multiply_adds, gc.summary(y, N=64).multiply_adds, gc.summary(y).parameters
    (7840*N, 501760, 7840)
    """
    program = collect(shown_tensors(outputs, "summary"), "summary")
    graph = program.graph
    bound = _bound(graph, sizes)
    counted = {t.name for t in graph.tensors if t.kind == "parameter"} | _named(graph, parameters)
    infos, definitions = graph.by_name(), graph.definitions()
    rows = []
    for name in _reading_order(graph):
        info = infos[name]
        shape = tuple(_count(e, bound) for e in info.shape)
        cost = _total(_count(_multiply_adds(s), bound) for s in definitions[name])
        rows.append(Row(name, shape, info.dtype, info.kind, _product(shape) if name in counted else 0, cost))
    return Summary(tuple(rows))


def _reading_order(graph: Graph) -> Iterable[str]:
    """The order of the loops, with each input before the first statement that reads it, in the order in which it is written."""
    definitions = graph.definitions()
    inputs = {t.name for t in graph.tensors if t.is_input}
    found: dict[str, None] = {}
    for name in graph.order():
        if name not in inputs:
            for s in definitions[name]:
                written = (*(a.tensor for a in s.order), *reads(s))
                found.update(dict.fromkeys(read for read in written if read in inputs and read not in found))
            found[name] = None
    found.update(dict.fromkeys(graph.order()))
    return found


def _bound(graph: Graph, sizes: dict[str, int]) -> dict[sp.Basic, sp.Integer]:
    known = {str(s) for t in graph.tensors for e in t.shape for s in sizes_of(e)}
    known |= {str(s) for item in graph.statements for r in item.ranges for s in sizes_of(r.extent)}
    for name in sizes:
        if name not in known:
            raise ArgumentError(f"The program has no size {name}; its sizes are {', '.join(sorted(known)) or 'all numbers'}.",
                                fix="give sizes that occur in the shapes.")
    return {Size(name): sp.Integer(value) for name, value in sizes.items()}


def _named(graph: Graph, parameters: Sequence[Tensor | str]) -> set[str]:
    names = {p if isinstance(p, str) else p.name for p in parameters}
    inputs = {t.name for t in graph.tensors if t.is_input}
    for name in sorted(names - inputs):
        raise ArgumentError(f"parameters= has {name}, which is no input of the program; its inputs are {', '.join(sorted(inputs))}.",
                            fix="name inputs only.")
    return names


def _multiply_adds(item: Statement) -> sp.Expr:
    loops = sp.Mul(*(r.extent for r in item.loops))
    own = loops if item.op in ("+=", *_ADDING) and _has_product(item.value) else sp.Integer(0)
    return own + loops * _nested(item, item.value)


def _nested(item: Statement, node: sp.Basic) -> sp.Expr:
    """Multiply-adds of the reductions within an expression, per evaluation of the expression; equal ones are computed once."""
    total = sp.Integer(0)
    seen: set[sp.Basic] = set()
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if part in seen:
            continue
        seen.add(part)
        if isinstance(part, Reduce):
            extent = sp.Mul(*(item.range_of(i).extent for i in part.indices))
            own = 1 if part.op in _ADDING and _has_product(part.body) else 0
            total += extent * (own + _nested(item, part.body))
        else:
            waiting.extend(part.args)
    return total


def _has_product(node: sp.Basic) -> bool:
    """Whether two factors that read tensors are multiplied, outside of nested reductions."""
    if isinstance(node, Reduce):
        return False
    if isinstance(node, sp.Pow) and isinstance(node.exp, sp.Integer) and node.exp >= 2 and accesses(node.base):
        return True
    if isinstance(node, sp.Mul) and sum(bool(accesses(factor)) for factor in node.args) >= 2:
        return True
    return any(_has_product(part) for part in node.args)


def _count(node: sp.Expr, bound: dict[sp.Basic, sp.Integer]) -> Count:
    value = sp.expand(substitute(node, dict(bound)))
    return int(value) if value.is_Integer else value


def _product(shape: tuple[Count, ...]) -> Count:
    if all(isinstance(e, int) for e in shape):
        return math.prod(shape)
    return sp.expand(sp.Mul(*shape))


def _total(counts: Iterable[Count]) -> Count:
    value = sp.Add(*counts)
    return int(value) if value.is_Integer else value


def _shown(count: Count, grouped: bool = True) -> str:
    """A count as in the notation, its digits in groups of three; an extent without groups and blanks."""
    text = expression(sp.sympify(count))
    return re.sub(r"\d{4,}", lambda found: f"{int(found[0]):,}", text) if grouped else text.replace(" ", "")
