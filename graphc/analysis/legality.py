"""Proofs that a program reads and writes inside its tensors and assigns every element once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

import sympy as sp

from graphc.analysis.conditions import cases
from graphc.analysis.injectivity import disjoint, injective
from graphc.analysis.recurrence import margins, outer_rows
from graphc.analysis.touches import Touch, touches
from graphc.errors import DtypeError, Location, NotationError, RangeError
from graphc.ir.affine import Linear, contradictory, infeasible, linear, nonnegative, project, relevant, to_expr
from graphc.ir.dtypes import is_integer
from graphc.ir.expr import Access, BoundaryAccess, Call, Index, Reduce, Size, Where
from graphc.ir.graph import Check, Graph
from graphc.ir.random import RANDOM
from graphc.ir.show import Order, expression, spoken, statement_body
from graphc.ir.statement import Range, Statement, behind
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, contains, indices_of, modes_of, postorder, sizes_of, substitute

__all__ = ["check_program", "ensured", "in_range"]


_Seen = dict[tuple[sp.Expr, ...], None]
"""Violations that a check tests already: derived statements repeat the accesses of the program they come from, under more conditions."""


def _violation(expression_: sp.Expr, facts: tuple[sp.Expr, ...]) -> tuple[sp.Expr, ...] | None:
    """Conditions on sizes that all hold wherever ``expression < 0`` may happen; None if it is proved never to happen."""
    for fact in facts:
        if fact is expression_:
            return None
    return _possible(expression_, facts)


@lru_cache(maxsize=50_000)
def _possible(expression_: sp.Expr, facts: tuple[sp.Expr, ...]) -> tuple[sp.Expr, ...] | None:
    if expression_ in facts:
        return None
    form = linear(expression_)
    assert form is not None
    known = [f for f in map(linear, facts) if f is not None]
    opposite = form.times(-1).shifted(-1)
    if infeasible([*relevant(form, known), opposite]):
        return None
    left, complete = project([*known, opposite], _moving)
    if not complete:  # what is known about these indices alone is less, but is used in full
        own = set(indices_of(expression_))
        left += project([*(f for f in known if own.issuperset(indices_of(to_expr(f)))), opposite], _moving)[0]
    return tuple(to_expr(f) for f in dict.fromkeys(left) if (f.terms or f.constant < 0) and not _trivial(f))


def _moving(atom: sp.Basic) -> bool:
    return bool(indices_of(atom))


def _trivial(form: Linear) -> bool:
    return form.constant >= 0 and all(c > 0 and isinstance(a, Size) for a, c in form.terms)


def _certain(violation: tuple[sp.Expr, ...]) -> bool:
    """Whether the violation happens for all sizes ≥ 2 (a program that works only for empty or single-element arrays is refused)."""
    sizes = {s for e in violation for s in sizes_of(e)}
    large = [s - 2 for s in sorted(sizes, key=str)]
    for condition in violation:
        form = linear(condition)
        assert form is not None
        if not infeasible([*(f for f in map(linear, large) if f is not None), form.times(-1).shifted(-1)]):
            return False
    return True


def in_range(subscript: sp.Expr, extent: sp.Expr, facts: tuple[sp.Expr, ...]) -> bool:
    """Whether ``0 ≤ subscript < extent`` is proved."""
    return nonnegative(subscript, facts) and nonnegative(behind(subscript, extent), facts)


def ensured(checks: Iterable[Check], facts: tuple[sp.Expr, ...] = ()) -> tuple[sp.Expr, ...]:
    """Expressions in sizes that are ≥ 0 in every call that passes the checks and in which the facts are ≥ 0."""
    open_ones = (tuple(v for v in c.violation if not nonnegative(v, facts)) if facts else c.violation for c in checks)
    return tuple(sp.expand(-v[0] - 1) for v in open_ones if len(v) == 1)


def _check_touch(
    touch: Touch, statement: Statement, tensors: Mapping[str, Tensor], seen: _Seen, rows: Mapping[tuple[str, int], tuple[int, int]]
) -> Iterator[Check]:
    access = touch.access
    shape = tensors[access.tensor].shape
    for dimension, (subscript, extent, mode) in enumerate(zip(access.subscripts, shape, modes_of(access), strict=True)):
        if isinstance(subscript, Access):
            _check_integer(subscript, access, statement, tensors)
        if mode in ("pad", "skip"):
            continue
        if linear(subscript) is None:
            how = "is empty although it is read through an integer tensor"
            yield from _limit(sp.expand(extent - 1), touch, statement, dimension, how, tensors, seen)
            continue
        below, above = rows.get((access.tensor, dimension), (0, 0))
        low, high = subscript, behind(subscript, extent)
        if below or above:
            low, high = sp.expand(subscript + below), sp.expand(extent + above - 1 - subscript)
        if mode == "clamp":
            low, high = extent - 1, extent - 1
        elif mode in ("wrap", "reflect"):
            reach = 0 if mode == "wrap" else -1
            low, high = sp.expand(subscript + extent + reach), sp.expand(2 * extent - 1 + reach - subscript)
        yield from _limit(low, touch, statement, dimension, "may be negative" if not mode else _REACH[mode], tensors, seen)
        yield from _limit(high, touch, statement, dimension, "may lie behind the last element" if not mode else _REACH[mode], tensors, seen)


def _check_corners(
    touch: Touch, statement: Statement, definitions: Mapping[str, tuple[Statement, ...]], tensors: Mapping[str, Tensor],
    rows: Mapping[tuple[str, int], tuple[int, int]],
) -> None:
    """A read that leaves its tensor in several dimensions at once finds a corner that an initial slice gives."""
    access = touch.access
    outer = {d: outer_rows(tensors[access.tensor].shape[d], rows[access.tensor, d])
             for d, mode in enumerate(modes_of(access)) if (access.tensor, d) in rows and not mode}
    if touch.written or len(outer) < 2:
        return
    for count in range(2, len(outer) + 1):
        for dimensions in itertools.combinations(outer, count):
            for corner in itertools.product(*(outer[d] for d in dimensions)):
                at = dict(zip(dimensions, corner, strict=True))
                if any(_meet(access.subscripts, at, case) for case in cases(touch.path, touch.facts)) and not any(
                        _meet(s.subscripts, at, s.constraints()) for s in definitions[access.tensor]):
                    place = ",".join(expression(at[d]).replace(" ", "") if d in at else ":" for d in range(len(access.subscripts)))
                    raise RangeError(
                        f"{access.tensor} is read at {expression(access, Order.of(statement))}, which may be the corner "
                        f"{access.tensor}[{place}], and no initial slice gives it.",
                        at=(_marked(statement, access),), fix=f"add a statement {access.tensor}[{place}] = … for the corner.")


def _meet(subscripts: tuple[sp.Expr, ...], at: Mapping[int, sp.Expr], facts: tuple[sp.Expr, ...]) -> bool:
    """Whether the subscripts may be such rows at once."""
    apart = [sp.expand(sign * (subscripts[d] - row)) for d, row in at.items() for sign in (1, -1)]
    return not contradictory((*facts, *apart))


_REACH = {
    "clamp": "reads an edge that does not exist if the tensor is empty",
    "wrap": "may lie more than one period outside, which gc.wrap does not reach",
    "reflect": "may lie more than one reflection outside, which gc.reflect does not reach",
}


def _check_integer(subscript: Access, access: Access | BoundaryAccess, statement: Statement, tensors: Mapping[str, Tensor]) -> None:
    dtype = tensors[subscript.tensor].dtype
    if not is_integer(dtype):
        raise DtypeError(f"{subscript.tensor} has dtype {dtype} and cannot be a subscript of {access.tensor}.",
                         at=(_marked(statement, subscript),),
                         fix=f'declare it as integers: gc.tensor("{subscript.tensor}", …, dtype="int64").')


def _check_random(statement: Statement, tensors: Mapping[str, Tensor]) -> None:
    """Keys and indices of random numbers are integers."""
    calls = [part for part in postorder(statement.value) if isinstance(part, Call) and part.function in RANDOM]
    for call in calls:
        roles = ("key", *("index" for _ in call.arguments[1:]))
        for role, access in ((role, a) for role, argument in zip(roles, call.arguments, strict=True) for a in accesses(argument)):
            name, dtype = access.tensor, tensors[access.tensor].dtype
            if not is_integer(dtype):
                raise DtypeError(f"{name} has dtype {dtype} and gives no {role} of gc.{spoken(call)}.", at=(_marked(statement, access),),
                                 fix=f'declare it as integers: gc.tensor("{name}", …, dtype="int64").')


def _marked(statement: Statement, culprit: sp.Basic | None = None) -> tuple[str, str, Location | None]:
    """The statement for an error message, with carets under a part of it (by default its left side)."""
    part = Access(statement.target, *statement.subscripts) if culprit is None else culprit
    return statement_body(statement), expression(part, Order.of(statement)), statement.location


def _limit(
    expression_: sp.Expr, touch: Touch, statement: Statement, dimension: int, how: str, tensors: Mapping[str, Tensor], seen: _Seen
) -> Iterator[Check]:
    """The check that the expression is ≥ 0, unless it is proved or another access needs the same."""
    violation = _violation(expression_, touch.facts)
    if violation is None or any(all(c in violation or nonnegative(c, violation) for c in other) for other in seen):
        return
    access, tensor = touch.access, tensors[touch.access.tensor]
    order = Order.of(statement)
    shape = ", ".join(expression(e) for e in tensor.shape)
    subscript = expression(access.subscripts[dimension], order).replace(" ", "")
    verb = "written" if touch.written else "read"
    message = f"{tensor.name}({shape}) is {verb} at {expression(access, order)}: the subscript {subscript} of dimension {dimension} {how}."
    certain = _certain(violation)
    if nonnegative(expression_, touch.facts + tuple(sp.expand(-v[0] - 1) for v in seen if len(v) == 1)):
        return  # in every call that passes the other checks
    if _in_no_case(expression_, touch) or _at_no_point(expression_, touch.facts, statement):
        return
    if certain:
        used = access.subscripts[dimension].free_symbols
        ranges = ", ".join(_limits(r) for r in statement.ranges if r.index in used)
        raise RangeError(message + (f" Here {ranges}." if ranges else ""), at=(_marked(statement, access),),
                         fix=_remedy(touch, subscript_negative=expression_ == access.subscripts[dimension]))
    seen[violation] = None
    yield Check(violation, f"{message}{_whence(statement)}", "range")


def _remedy(touch: Touch, subscript_negative: bool) -> str:
    if touch.written and subscript_negative:
        return "change the subscript, or declare a smaller range with gc.index."
    other = f'declare the shape: gc.tensor("{touch.access.tensor}", …)' if touch.written else "read through gc.pad, gc.clamp or gc.skip"
    return f"change the subscript, declare a smaller range with gc.index, or {other}."


def _in_no_case(expression_: sp.Expr, touch: Touch) -> bool:
    """Whether the expression is ≥ 0 in each of several cases into which the conditions fall: ``(i == 1) | (i >= 3)``."""
    return bool(touch.path) and all(_violation(expression_, case) is None for case in cases(touch.path, touch.facts))


_POINTS = 512
"""So many are looked at one by one."""


def _at_no_point(expression_: sp.Expr, facts: tuple[sp.Expr, ...], statement: Statement) -> bool:
    """Whether the expression is ≥ 0 at every integer point of the facts, where its indices have few values: proofs are of real numbers,
    and a condition that the others imply for integers may have been left out."""
    ranges = {r.index: r for r in statement.ranges}
    short = {i for i, r in ranges.items() if r.extent.is_Integer and r.lower.is_Integer}
    symbols = set(expression_.free_symbols) & ranges.keys()
    known = [f for f in facts if set(f.free_symbols) & ranges.keys() <= short]
    while more := {s for f in known if set(f.free_symbols) & symbols for s in f.free_symbols if s in short} - symbols:
        symbols |= more
    if not symbols <= short:
        return False
    names = sorted(symbols, key=str)
    values = [range(int(ranges[s].lower), int(ranges[s].upper)) for s in names]
    if math.prod(map(len, values)) > _POINTS:
        return False
    wanted = [*(f for f in known if set(f.free_symbols) & ranges.keys() <= symbols), -expression_ - 1]
    for point in itertools.product(*values):
        at = {symbol: sp.Integer(value) for symbol, value in zip(names, point, strict=True)}
        left = [sp.expand(substitute(e, at)) for e in wanted]
        if not any(e.is_Integer and e < 0 for e in left) and not contradictory(left):
            return False
    return True


def _limits(r: Range) -> str:
    return f"{r.index} in {expression(r.lower)} … {expression(sp.expand(r.upper - 1))}".replace(" - ", "-").replace(" + ", "+")


def _whence(statement: Statement) -> str:
    """The statement and its line, behind the message of a call."""
    return f"\n\n    {statement_body(statement)}" + (f"\n  at {statement.location}" if statement.location is not None else "")


def check_program(graph: Graph) -> tuple[Check, ...]:
    """Prove every access in range and every element assigned at most once.

    Returns:
        The conditions on sizes that remain to be tested at each call.

    Raises:
        RangeError: an access lies outside its tensor for all sizes, or an extremum is over a range that is always empty.
        DtypeError: a subscript is a tensor that does not hold integers.
        NotationError: two assignments may hit the same element, or a skipped read stands in no reduction.
    """
    tensors = graph.by_name()
    definitions = graph.definitions()
    checks: dict[Check, None] = {}
    seen: _Seen = {}
    rows = margins(graph)
    for tensor in graph.tensors:
        for dimension, extent in enumerate(tensor.shape):
            if not (extent.is_Integer or extent.is_Symbol):
                violation = _violation(extent, ())
                if violation is not None:
                    text = f"Dimension {dimension} of {tensor.name} would have {expression(extent)} elements, a negative number."
                    checks.setdefault(Check(violation, text + "".join(map(_whence, definitions[tensor.name][:1])), "shape"))
    for statement in graph.statements:
        found: list[Check] = []
        for touch in touches(statement):
            found += _check_touch(touch, statement, tensors, seen, rows)
            _check_corners(touch, statement, definitions, tensors, rows)
        checks.update(dict.fromkeys((*found, *_extrema(statement))))
        _check_random(statement, tensors)
        if statement.op == "=":
            _check_skips(statement)
    for name, statements in definitions.items():
        _check_assignments(name, [s for s in statements if s.op != "+="])
    return tuple(checks)


# ------------------------------------------------------------------------------------------------------------- reductions


def _extrema(statement: Statement) -> Iterator[Check]:
    """Extrema over a range that may be empty; those under a condition are left to the run."""
    if statement.op in EXTREMA and not statement.domain:
        outer = tuple(c for r in statement.loops if r.index in statement.free for c in r.constraints())
        yield from _nonempty(statement.op, statement.reduced, outer, statement)
    yield from _nested_extrema(statement)


def _check_skips(statement: Statement) -> None:
    waiting: list[sp.Basic] = [statement.value] if contains(statement.value, BoundaryAccess) else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, BoundaryAccess) and "skip" in node.modes:
            raise NotationError("gc.skip drops a term of a reduction, and there is none around it.", at=(_marked(statement, node),),
                                fix="use += or a reduction such as gc.max around it, or gc.pad for a value outside.")
        if not isinstance(node, Reduce):
            waiting += reversed(node.args)


def _nested_extrema(statement: Statement) -> Iterator[Check]:
    waiting = [(statement.value, statement.constraints())] if contains(statement.value, Reduce) else []
    while waiting:
        node, facts = waiting.pop()
        if isinstance(node, Where):
            continue
        if isinstance(node, Reduce):
            if node.op in EXTREMA and not node.domain:
                yield from _nonempty(node.op, node.indices, facts, statement)
            facts += tuple(c for i in node.indices for c in statement.range_of(i).constraints()) + node.domain
        waiting += ((argument, facts) for argument in reversed(node.args))


def _nonempty(op: str, indices: tuple[Index, ...], facts: tuple[sp.Expr, ...], statement: Statement) -> Iterator[Check]:
    for index in indices:
        r = statement.range_of(index)
        violation = _violation(sp.expand(r.upper - r.lower - 1), facts)
        if violation is None:
            continue
        message = f"{op.removesuffix('_split')} over an empty range has no value: {index} runs over {expression(r.extent)} elements."
        if _certain(violation):
            raise RangeError(message, at=(_marked(statement, index),), fix="give the index a range with at least one value.")
        yield Check(violation, message + _whence(statement), "argument")


EXTREMA = ("max", "min", "argmax", "argmin", "max_split", "min_split")


# ------------------------------------------------------------------------------------------------------------ assignments


def _check_assignments(name: str, assigning: list[Statement]) -> None:
    for position, statement in enumerate(assigning):
        free = [r for r in statement.ranges if r.index in statement.free]
        if not injective(statement.subscripts, free, statement.domain):
            raise NotationError(
                f"Two iterations may write the same element of {name}.", at=(_marked(statement),),
                fix="use += if the values shall be added; a left side of = must hit each element once: Y[t+3], Y[2*i+1].",
            )
        for other in assigning[:position]:
            if not disjoint(other, statement):
                raise NotationError(
                    f"Two assignments to {name} may overlap; every element can be assigned once.", at=(_marked(other), _marked(statement)),
                    fix="restrict the ranges so that they are disjoint, use += for one of them, or write gc.where(condition, a, b).",
                )
