"""Which dimensions and which loops are divided among the ranks, when one index of a program is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import sympy as sp

from graphc.errors import GraphcError, NotationError
from graphc.ir.affine import nonnegative
from graphc.ir.expr import Access, Index, Size
from graphc.ir.graph import Graph
from graphc.ir.origin import Exported, Given, Part, Rewrite, lineage
from graphc.ir.show import Order, expression, statement
from graphc.ir.statement import Statement
from graphc.ir.tree import accesses, indices_of

__all__ = ["Place", "Rows", "Sharding", "places_of_index", "places_of_size", "sharding"]

Place = tuple[str, int]
"""A tensor and one of its dimensions."""


@dataclass(frozen=True, slots=True)
class Rows:
    """How a statement runs over the rows of a rank.

    Attributes:
        index: the loop that is divided.
        shift: what is added to it to get the row.
        limited: whether the loop is not over all rows.
    """

    index: Index
    shift: int
    limited: bool


@dataclass(frozen=True)
class Sharding:
    """What is divided among the ranks: the rest is the same on all of them.

    Attributes:
        name: of the index, as the user wrote it.
        extent: how many rows there are on all ranks together.
        dimensions: the divided dimension of each tensor that has one.
        rows: of each statement of the graph, in its order; None for those without a divided loop.
        halos: how many rows before and behind its own a rank needs of a tensor, where it needs any.
    """

    name: str
    extent: sp.Expr
    dimensions: Mapping[str, int]
    rows: tuple[Rows | None, ...]
    halos: Mapping[str, tuple[int, int]]


def places_of_index(graph: Graph, name: str) -> tuple[Place, ...]:
    """The dimensions that an index of this name runs over."""
    return tuple(dict.fromkeys((t, d) for s in graph.statements for t, d, index, _ in _links(s) if _plain_name(index) == name))


def places_of_size(graph: Graph, size: Size) -> tuple[Place, ...]:
    """The dimensions of inputs that have this extent."""
    return tuple((t.name, d) for t in graph.tensors if t.is_input for d, extent in enumerate(t.shape) if extent == size)


def _plain_name(index: Index) -> str:
    """The name that the user gave: those of nested reductions are numbered."""
    return str(index).split("@")[0]


def _offset(subscript: sp.Expr) -> tuple[Index, int] | None:
    """The index and the constant of ``b + 3``."""
    constant, rest = subscript.as_coeff_Add() if isinstance(subscript, sp.Add) else (sp.Integer(0), subscript)
    return (rest, int(constant)) if isinstance(rest, Index) and constant.is_Integer else None


def _reads(s: Statement) -> Iterator[Access]:
    for part in (s.value, *s.subscripts):
        yield from accesses(part)


def _links(s: Statement) -> Iterator[tuple[str, int, Index, int]]:
    """Tensor, dimension, index and constant wherever a subscript is an index plus a constant, the left side first."""
    for tensor, subscripts in ((s.target, s.subscripts), *((a.tensor, a.subscripts) for a in _reads(s))):
        for dimension, subscript in enumerate(subscripts):
            if (found := _offset(subscript)) is not None:
                yield tensor, dimension, *found


def sharding(graph: Graph, seeds: Collection[Place], name: str, fixed: Collection[str]) -> Sharding:
    """Follow the rows from some dimensions through all statements.

    Args:
        graph: canonical.
        seeds: dimensions whose rows are divided.
        name: of the index, for messages.
        fixed: tensors that every rank has as a whole, because they are updated.

    Raises:
        NotationError: rows of several ranks meet in a way that no exchange of this module covers.
    """
    dimensions, loops = _connected(graph, seeds, name)
    for tensor in sorted(graph.tensors, key=lambda t: not t.is_input):
        if tensor.name in fixed and tensor.name in dimensions:
            raise _whole(graph, tensor.name, dimensions[tensor.name], name)
    for k, index in loops.items():
        if (left := next(_left_out(graph.statements[k]), None)) is not None and index in left.without:
            raise _derivative(left, name)
    extent = _extent(graph, dimensions, loops, name)
    rows = tuple(_rows(s, loops.get(k), dimensions, extent, name) for k, s in enumerate(graph.statements))
    halos: dict[str, tuple[int, int]] = {}
    for s, found in zip(graph.statements, rows, strict=True):
        for access in _reads(s):
            if found is not None and access.tensor in dimensions:
                away = _shift_of(access, dimensions) - found.shift
                before, behind = halos.get(access.tensor, (0, 0))
                halos[access.tensor] = max(before, -away), max(behind, away)
    return Sharding(name, extent, dimensions, rows, {t: h for t, h in halos.items() if h != (0, 0)})


def _connected(graph: Graph, seeds: Collection[Place], name: str) -> tuple[dict[str, int], dict[int, Index]]:
    """The divided dimension of each tensor and the divided index of each statement that the seeds lead to."""
    by_place: dict[Place, list[tuple[int, Index]]] = {}
    by_loop: dict[tuple[int, Index], list[Place]] = {}
    for k, s in enumerate(graph.statements):
        for tensor, dimension, index, _ in _links(s):
            by_place.setdefault((tensor, dimension), []).append((k, index))
            by_loop.setdefault((k, index), []).append((tensor, dimension))
    dimensions: dict[str, int] = {}
    loops: dict[int, Index] = {}
    if not any(place in by_place for place in seeds):
        loops = {k: i for k, s in enumerate(graph.statements) for i in (r.index for r in s.ranges) if _plain_name(i) == name}
    waiting = [place for place in seeds if place[0] in graph.by_name()]
    waiting += [place for loop in loops.items() for place in by_loop.get(loop, ())]
    while waiting:
        tensor, dimension = waiting.pop()
        if dimensions.setdefault(tensor, dimension) != dimension:
            raise _twice(graph, tensor, name)
        for k, index in dict.fromkeys(by_place.pop((tensor, dimension), ())):
            if loops.setdefault(k, index) != index:
                raise _pairs(graph.statements[k], loops[k], index, name)
            waiting += by_loop.get((k, index), ())
    return dimensions, loops


def _extent(graph: Graph, dimensions: Mapping[str, int], loops: Mapping[int, Index], name: str) -> sp.Expr:
    """How many rows all divided dimensions have."""
    found = {graph.tensor(t).shape[d]: t for t, d in sorted(dimensions.items(), reverse=True)}
    if not found:
        found = {graph.statements[k].range_of(index).upper: "" for k, index in loops.items()}
    if not found:
        raise NotationError(f"No loop over {name} is left when the program has been simplified: there is nothing to divide.",
                            fix="shard the index of the examples.")
    if len(found) > 1:
        (first, one), (second, other), *_ = sorted(found.items(), key=lambda pair: pair[1])
        using = [next((s for s in graph.statements if name in (s.target, *s.reads)), graph.statements[0]) for name in (one, other)]
        raise _refused(
            f"Dimensions of different lengths are connected by {name}: {expression(first)} of {one or 'a loop'} and {expression(second)} "
            f"of {other or 'a loop'}. Their rows cannot be divided in the same way.", dict.fromkeys(using), (one, other),
            "use an index for each, or arrays of one length.")
    return next(iter(found))


def _shift_of(access: Access, dimensions: Mapping[str, int]) -> int:
    found = _offset(access.subscripts[dimensions[access.tensor]])
    return found[1] if found is not None else 0


def _rows(s: Statement, index: Index | None, dimensions: Mapping[str, int], extent: sp.Expr, name: str) -> Rows | None:
    """How the statement runs over rows.

    Raises:
        NotationError: it does not do so one by one.
    """
    shifts: dict[int, None] = {}
    for tensor, subscripts, access in ((s.target, s.subscripts, None), *((a.tensor, a.subscripts, a) for a in _reads(s))):
        if tensor not in dimensions:
            continue
        found = _offset(subscripts[dimensions[tensor]])
        if found is None or found[0] != index:
            raise _crossing(s, access, subscripts[dimensions[tensor]], name)
        shifts.setdefault(found[1])
    if index is None:
        return None
    if s.target not in dimensions and index in s.free and s.op != "+=":
        raise _refused(f"{s.target} is written at a position that depends on {index}, but its elements are not divided like the rows of "
                       f"{name}.", (s,), s.target, f"write {s.target}[{index}, …], or shard another index.")
    limits, facts = s.range_of(index), s.constraints()
    options = [next(iter(shifts), 0)] if s.target in dimensions else [*shifts, 0]
    for shift in options:
        if nonnegative(index + shift, facts) and nonnegative(extent - 1 - index - shift, facts):
            limited = sp.expand(limits.lower + shift) != 0 or sp.expand(limits.upper + shift - extent) != 0
            return Rows(index, shift, limited)
    raise _refused(f"The loop over {index} does not stay within the {expression(extent)} rows that are divided among the ranks.", (s,),
                   str(index), "shard another index.")


# ----------------------------------------------------------------------------------------------------------------- refusals
def _refused(what: str, statements: Iterable[Statement], culprits: str | tuple[str, ...], fix: str) -> GraphcError:
    """An error about statements; culprits are indices, texts of reads, or tensors wherever they are read or written."""
    wanted = (culprits,) if isinstance(culprits, str) else culprits
    return NotationError(what, at=tuple((statement(s), (*wanted, *_spots(s, wanted)), s.location) for s in statements), fix=fix)


def _spots(s: Statement, tensors: Collection[str]) -> tuple[str, ...]:
    """How the statement writes the elements of tensors."""
    found = (*_reads(s), Access(s.target, *s.subscripts))
    return tuple(expression(access, Order.of(s)) for access in found if access.tensor in tensors)


def _whole(graph: Graph, tensor: str, dimension: int, name: str) -> GraphcError:
    using = [s for s in graph.statements if any(t == tensor and d == dimension for t, d, _, _ in _links(s))]
    return _refused(
        f"Sharding {name} would divide dimension {dimension} of {tensor}, which every rank must have as a whole: it is a parameter, or it "
        "is updated.", using[:1], tensor, "shard the index of the examples; if another index has the same name, rename one of the two, or "
        "give shard= the size of the examples: shard=N.")


def _twice(graph: Graph, tensor: str, name: str) -> GraphcError:
    using = [s for s in graph.statements if s.target == tensor] or [s for s in graph.statements if tensor in s.reads]
    return _refused(f"Two dimensions of {tensor} run over the rows that sharding {name} divides: its elements belong to two ranks.",
                    using[:1], tensor, "shard an index that occurs once on each left side.")


def _left_out(s: Statement, further: bool = False) -> Iterator[Part]:
    """How the statement, or `further` what it comes from, leaves the current term out of a reduction, as derivatives of products do."""
    for origin in lineage(s.origin):
        if isinstance(origin, Part) and origin.without:
            yield origin
        if not (further or isinstance(origin, Rewrite | Exported)):
            return


def _derivative(part: Part, name: str) -> GraphcError:
    """About what the user wrote, in place of the statement that the derivative needs."""
    written, op = part.source, part.source.op
    while written.origin is not None and not isinstance(written.origin, Given):
        written = replace(written, origin=written.origin.origin) if isinstance(written.origin, Exported) else written.origin.source
    what, names = "product" if op == "prod" else op, [_plain_name(i) for i in part.without]
    over = names[0] if len(names) == 1 else f"({', '.join(names)})"
    fix = "shard another index."
    if op == "prod":
        fix = f"if the factors are positive, write gc.exp(gc.sum(gc.log(…), over={over})), whose derivative needs no other row; or {fix}"
    return NotationError(
        f"The derivative of the {what} over {over} in {written.target} takes, for each row that sharding {name} divides, the {what} of all "
        "other rows, and no rank has them.", at=((statement(written), op, written.location),), fix=fix)


def _pairs(s: Statement, one: Index, other: Index, name: str) -> GraphcError:
    for part in _left_out(s, further=True):
        if one in part.without or other in part.without:
            return _derivative(part, name)
    return _refused(f"Both {one} and {other} run over the rows that sharding {name} divides: every row meets every other one, and no rank "
                    "has all of them.", (s,), (str(one), str(other)),
                    "shard an index whose rows are independent, or pass the rows a second time, as an array that is not divided.")


def _crossing(s: Statement, access: Access | None, subscript: sp.Expr, name: str) -> GraphcError:
    text = expression(access, Order.of(s)) if access is not None else s.target
    verb, where = ("reads", text) if access is not None else ("writes", s.target)
    if isinstance(subscript, Access) or any(isinstance(a, Access) for a in accesses(subscript)):
        why = "the row is only known when the program runs"
    elif indices_of(subscript):
        why = f"row {expression(subscript)} is on another rank than the rows that the loop runs over"
    else:
        why = f"row {expression(subscript)} is on one rank only"
    return _refused(f"{where} {verb} across the borders of the shards of {name}: {why}.", (s,), text,
                    f"shard an index whose rows are only read at {name} or {name} plus a constant, or pass what is read as an array of its "
                    "own.")
