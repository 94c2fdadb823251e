"""How the result of a reduction changes with its terms: ``∂T/∂e`` for ``T[f] op e``, what reverse and forward mode share.

It is 1 for sums and assignments, selects the extremum for max and min, is ``exp(e - T)`` for logsumexp and the product of the other
factors for prod; a reduction of the user's has its rule, or combines the other terms first, or is differentiated step by step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from graphc.errors import DifferentiationError
from graphc.ir.expr import Access, Call, Compare, Index, Logical, Where, build
from graphc.ir.functions import FUNCTIONS
from graphc.ir.origin import Part
from graphc.ir.reductions import REDUCTIONS, Reduction, combined
from graphc.ir.show import statement_body
from graphc.ir.statement import Range, Statement
from graphc.ir.tree import postorder, substitute
from graphc.passes.extension import Extension
from graphc.passes.partials import partials, under_condition

__all__ = ["Slope", "recovered", "slope"]

_ONE, _ZERO = sp.Integer(1), sp.Integer(0)


@dataclass(frozen=True)
class Slope:
    """``∂T/∂e``: `scale` where `condition` holds, 0 elsewhere; `reads` are what it reads, for display."""

    scale: sp.Expr = _ONE
    condition: sp.Expr | None = None
    reads: tuple[Access, ...] = ()

    def times(self, adjoint: sp.Expr, partial: sp.Expr) -> sp.Expr:
        """``adjoint · ∂T/∂e · partial``, not evaluated where a condition excludes it."""
        value = under_condition(partial, lambda p: build(lambda: adjoint * self.scale * p))
        return value if self.condition is None else Where(self.condition, value, _ZERO)


def slope(statement: Statement, extension: Extension) -> Slope:
    """The slope of a statement; what it needs beyond the forward program is added to `extension`.

    Raises:
        DifferentiationError: the reduction has no derivative.
    """
    op = statement.op
    if op in ("=", "+="):
        return Slope()
    result = Access(statement.target, *statement.subscripts)
    if op == "logsumexp":
        return Slope(build(lambda: Call("exp", statement.value - result)), None, (result,))
    if op in ("max", "min"):
        arg = _argument(statement, extension)
        return Slope(_ONE, Compare("==", arg, _position(statement)), (arg,))
    if op in ("max_split", "min_split"):
        stored = _stored(statement, extension)
        result = Access(stored.target, *stored.subscripts)
        count = _ties(stored, statement.target, result, extension)
        return Slope(build(lambda: 1 / count), Compare("==", stored.value, result), (result, count))
    if op == "prod":
        others = _exclusive(statement, extension)
        return Slope(build(lambda: sp.Mul(*others)), None, tuple(others))
    if op in REDUCTIONS:
        return _of_users(REDUCTIONS[op], statement, extension)
    raise DifferentiationError(f"The reduction {op} has no derivative.", at=((statement_body(statement), "", statement.location),))


def recovered(statement: Statement, definitions: Mapping[str, Sequence[Statement]]) -> dict[sp.Basic, sp.Expr]:
    """The value of the whole right side is the tensor itself, where that saves work: σ' = y(1-y)."""
    whole = statement.value
    single = statement.op == "=" and all(s.op == "=" for s in definitions[statement.target])
    costly = isinstance(whole, Call) or (isinstance(whole, sp.Pow) and not (whole.exp.is_Integer and whole.exp > 0))
    return {whole: Access(statement.target, *statement.subscripts)} if single and costly else {}


def _argument(statement: Statement, extension: Extension) -> Access:
    target = extension.tensors[statement.target]
    name = extension.add_tensor(f"{statement.target}.arg", target.shape, "int64", target.group)
    extension.statements.append(
        replace(statement, target=name, op=f"arg{statement.op}", origin=Part(f"which element is the {statement.op}", statement))
    )
    found: Access = Access(name, *statement.subscripts)
    return found


def _stored(statement: Statement, extension: Extension) -> Statement:
    """An extremum whose terms are read from a tensor: computed twice, a term may differ from itself in the last bit and equal nothing."""
    if isinstance(statement.value, Access):
        return statement
    target = extension.tensors[statement.target]
    ranges = tuple(statement.range_of(i) for i in (*statement.free, *statement.reduced))
    name = extension.add_tensor(f"{statement.target}.terms", tuple(r.upper for r in ranges), target.dtype, target.group)
    subscripts = tuple(r.index for r in ranges)
    part = Part("the terms, stored so that equal ones are equal", statement)
    extension.statements.append(replace(statement, target=name, subscripts=subscripts, op="=", origin=part))
    extremum = extension.add_tensor(f"{statement.target}.extremum", target.shape, target.dtype, target.group)
    term: Access = Access(name, *subscripts)
    found = replace(statement, target=extremum, value=term, origin=Part("the extremum of the stored terms", statement))
    extension.statements.append(found)
    return found


def _ties(statement: Statement, of: str, result: Access, extension: Extension) -> Access:
    target = extension.tensors[of]
    name = extension.add_tensor(f"{of}.ties", target.shape, target.dtype, target.group)
    value = Where(Compare("==", statement.value, result), _ONE, _ZERO)
    extension.statements.append(
        replace(statement, target=name, op="+=", value=value, origin=Part("how many elements share the extremum", statement))
    )
    found: Access = Access(name, *statement.subscripts)
    return found


def _of_users(reduction: Reduction, statement: Statement, extension: Extension) -> Slope:
    """By the user's rule; or by combining all other terms first, where their order does not matter to the derivative either."""
    if reduction.slope is not None:
        result = Access(statement.target, *statement.subscripts)
        rule = reduction.slope
        return Slope(build(lambda: rule(statement.value, result)), None, (result,))
    rest, term = sp.Symbol("rest"), sp.Symbol("term")
    whole = build(lambda: reduction.combine(rest, term))
    slopes = partials(whole, [rest, term], {})
    if _compares(whole, {rest, term}):
        return _of_fold(statement, slopes.get(rest, _ZERO), slopes.get(term, _ZERO), (rest, term), extension)
    others = _exclusive(statement, extension)
    joint = _joined(statement.op, others)
    return Slope(substitute(slopes.get(term, _ZERO), {rest: joint, term: statement.value}), None, tuple(others))


def _compares(whole: sp.Expr, operands: set[sp.Symbol]) -> bool:
    """Whether the derivative at equal operands is a choice, which another order of the terms would make differently."""
    return any(
        isinstance(node, Where | Compare | Logical)
        or (isinstance(node, Call) and bool(FUNCTIONS[node.function].kink) and operands <= node.free_symbols)
        for node in postorder(whole)
    )


def _of_fold(
    statement: Statement, of_total: sp.Expr, of_term: sp.Expr, symbols: tuple[sp.Symbol, sp.Symbol], extension: Extension
) -> Slope:
    """The derivative of one term after the other: by the term where it comes in, times by the total in every later step."""
    total, term = symbols
    before = _exclusive(statement, extension, ("before",))
    step = {total: _joined(statement.op, before), term: statement.value}
    late = replace(statement, op="prod", value=substitute(of_total, step))
    what = f"derivatives by the total of the steps of {statement.op}"
    after = _exclusive(late, extension, ("after",), what, statement)
    scale = under_condition(substitute(of_term, step), lambda p: build(lambda: sp.Mul(p, *after)))
    return Slope(scale, None, (*before, *after))


def _joined(op: str, parts: Sequence[sp.Expr]) -> sp.Expr:
    joint = parts[0]
    for part in parts[1:]:
        joint = combined(op, joint, part)
    return joint


_SIDES = {"before": 1, "after": -1}


def _exclusive(
    statement: Statement, extension: Extension, sides: Sequence[str] = tuple(_SIDES), what: str = "", source: Statement | None = None
) -> list[Access]:
    """The reduction of the terms before and behind the current one, in the lexicographic order of the reduced indices.

    The statements come from `source` if its terms are not those that are reduced.
    """
    target = extension.tensors[statement.target]
    reduced = [statement.range_of(i) for i in statement.reduced]
    fresh = {r.index: Index(f"{r.index}_") for r in reduced}
    inner = tuple(Range(fresh[r.index], r.lower, r.upper) for r in reduced)
    free = tuple(statement.range_of(i) for i in statement.free)
    what = what or ("product of the factors" if statement.op == "prod" else f"{statement.op} of the terms")
    found = []
    for label in sides:
        sign = _SIDES[label]
        for level in range(len(reduced)):
            domain: list[sp.Expr] = []
            for r in reduced[:level]:
                domain += [r.index - fresh[r.index], fresh[r.index] - r.index]
            here = reduced[level].index
            domain.append(sign * (here - fresh[here]) - 1)
            outer = (*free, *reduced[: level + 1])
            inside = tuple(i for i, r in zip(inner, reduced, strict=True) if r in reduced)
            value = substitute(statement.value, dict(fresh))
            kept_domain = tuple(substitute(d, dict(fresh)) for d in statement.domain)
            shape = tuple(r.upper for r in outer)
            name = extension.add_tensor(f"{statement.target}.{label}", shape, target.dtype, target.group)
            subscripts = tuple(r.index for r in outer)
            extension.statements.append(
                Statement(
                    name,
                    subscripts,
                    statement.op,
                    value,
                    (*outer, *inside),
                    (*kept_domain, *(sp.expand(d) for d in domain)),
                    tuple(substitute(a, dict(fresh)) for a in statement.order),
                    statement.location,
                    Part(f"the {what} {label} the current one", source or statement, without=statement.reduced),
                )
            )
            found.append(Access(name, *subscripts))
    return found


def _position(statement: Statement) -> sp.Expr:
    """The row-major position of the reduced indices."""
    position: sp.Expr = _ZERO
    for index in statement.reduced:
        r = statement.range_of(index)
        position = sp.expand(position * r.extent + index - r.lower)
    return position
