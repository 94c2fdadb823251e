"""Steps of recurrences: statements with their time index turned into the variable of a sequential loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import sympy as sp

from graphc.analysis.order import Scan, shared_dimensions
from graphc.errors import CompileError
from graphc.ir.affine import nonnegative
from graphc.ir.expr import Index
from graphc.ir.nest import Moment
from graphc.ir.show import statement_body
from graphc.ir.statement import Statement, rename
from graphc.ir.tensor import Tensor

__all__ = ["at_moment", "at_step", "length", "moment_of", "shared_indices", "steps_of"]


def moment_of(scan: Scan, taken: set[str]) -> Moment:
    """A name for the variable of a sequential loop: the index of its first statement, if it means nothing else inside."""
    dimensions = dict(scan.dimensions)
    along = {id(s): s.subscripts[dimensions[s.target]] for s in steps_of(scan)}
    used = taken | {str(r.index) for s in steps_of(scan) for r in s.ranges if r.index != along[id(s)]}
    name = next(str(index) for index in along.values() if isinstance(index, Index))
    while name in used:
        name += "_"
    moment: Moment = Moment(name)
    return moment


def steps_of(scan: Scan) -> list[Statement]:
    """All statements of a sequential loop."""
    return [s for item in scan.body for s in (steps_of(item) if isinstance(item, Scan) else [item])]


def at_moment(item: Statement | Scan, scan: Scan, moment: Moment, steps: sp.Expr) -> Statement | Scan:
    """The item with the index along a loop of `steps` steps expressed by its variable; its range becomes a condition.

    Where a loop around has fixed the element, the step in which it is computed becomes a condition.
    """
    if isinstance(item, Scan):
        return replace(item, body=tuple(at_moment(i, scan, moment, steps) for i in item.body))
    index, here = item.subscripts[dict(scan.dimensions)[item.target]], moment + dict(scan.offsets)[item.target]
    if isinstance(index, Index):
        return at_step(item, index, here, moment, steps)
    return replace(item, domain=tuple(dict.fromkeys((*item.domain, sp.expand(here - index), sp.expand(index - here)))))


def at_step(item: Statement, index: Index, here: sp.Expr, moment: Moment, steps: sp.Expr) -> Statement:
    """The statement at one value of an index: an expression in the variable of a loop of `steps` steps."""
    r = item.range_of(index)
    moved = rename(replace(item, ranges=tuple(x for x in item.ranges if x.index != index)), {index: here})
    facts = [moment, steps - 1 - moment]
    found = [sp.expand(c.xreplace({index: here})) for c in (*item.domain, *r.constraints())]
    return replace(moved, domain=tuple(c for c in dict.fromkeys(found) if not nonnegative(c, facts)))


def length(scan: Scan, tensors: Mapping[str, Tensor]) -> sp.Expr:
    """Number of steps: the last one at which a tensor has an element.

    Raises:
        CompileError: the extents of the tensors cannot be compared.
    """
    offsets = dict(scan.offsets)
    extents = [sp.expand(tensors[name].shape[dimension] - offsets[name]) for name, dimension in scan.dimensions]
    for candidate in extents:
        if all(nonnegative(sp.expand(candidate - other)) for other in extents):
            return candidate
    statement = steps_of(scan)[0]
    raise CompileError("The tensors of a recurrence have extents along it that cannot be compared.",
                       at=((statement_body(statement), "", statement.location),), fix="declare equal shapes.")


def shared_indices(statements: Sequence[Statement], names: Sequence[str], tensors: Mapping[str, Tensor]) -> dict[int, Index] | None:
    """Per statement (by identity) the index along which the recurrence falls into independent ones of equal extent; None without."""
    chosen = shared_dimensions(statements, names)
    if chosen is None:
        return None
    extents = {tensors[n].shape[d] for n, d in chosen.items()}
    found = {}
    for s in statements:
        index = s.subscripts[chosen[s.target]]
        if not isinstance(index, Index) or len(extents) > 1:
            return None
        r = s.range_of(index)
        if r.lower != 0 or sp.expand(r.upper - next(iter(extents))) != 0:
            return None
        found[id(s)] = index
    return found
