"""What the accesses of a statement say about the range of an index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from graphc.analysis.conditions import Conjunction, cases
from graphc.ir.affine import is_affine, linear, nonnegative, project, span, to_expr
from graphc.ir.expr import FloorDiv, Index
from graphc.ir.statement import behind
from graphc.ir.tree import indices_of

__all__ = ["Box", "Limits", "Read", "decided_extreme", "kept_inside", "limits", "reach"]

Box = Mapping[Index, tuple[sp.Expr, sp.Expr]]
"""Half-open ranges of indices."""
Limits = tuple[sp.Expr | None, sp.Expr | None]
"""A half-open range, without a bound on the sides that are None."""

_ZERO = sp.Integer(0)


@dataclass(frozen=True, slots=True)
class Read:
    """Subscripts, the shape of what they are for, and the conditions, with their values, under which they are evaluated."""

    subscripts: Sequence[sp.Expr]
    shape: Sequence[sp.Expr]
    path: Sequence[tuple[sp.Basic, bool]] = ()


def limits(index: Index, box: Box, reads: Iterable[Read]) -> tuple[list[Limits], list[Limits]]:
    """The ranges of an index that keep reads inside: those where it stands directly in a subscript, and where in a quotient.

    A side on which the conditions of a read keep it inside is open.
    """
    direct: list[Limits] = []
    by_quotients: list[Limits] = []
    for read in reads:
        for subscript, extent in zip(read.subscripts, read.shape, strict=True):
            if index in subscript.free_symbols:
                form = linear(subscript)
                (direct if form is not None and form.coefficient(index) else by_quotients).extend(
                    _under(read.path, subscript, extent, index, box) if read.path else _solve(subscript, _ZERO, extent - 1, index, box))
    return direct, by_quotients


def kept_inside(index: Index, box: Box, read: Read) -> bool:
    """Whether a read is inside wherever its conditions hold, on a side that would bound the index from above."""
    sides = [side for subscript, extent in zip(read.subscripts, read.shape, strict=True) if index in subscript.free_symbols
             for side in (subscript, behind(subscript, extent)) if (form := linear(side)) is not None and form.coefficient(index) <= 0]
    places = _cases(read.path, box, indices_of(sp.Tuple(*sides)))
    return any(all(nonnegative(side, case) for case in places) for side in sides)


def reach(index: Index, box: Box, condition: sp.Expr) -> sp.Expr | None:
    """Above which value, at all places in the box, the index makes a condition false; None where that is not known."""
    ends: list[sp.Expr] = []
    for case in _cases(((condition, True),), box):
        uppers = _ends(index, case)[1]
        if not uppers:
            return None
        least = decided_extreme(uppers, False, case)
        ends.append(uppers[0] if least is None else least)
    return decided_extreme(ends, True, [high - low - 1 for low, high in box.values()]) if ends else None


def decided_extreme(values: Sequence[sp.Expr], largest: bool, facts: Sequence[sp.Expr] = ()) -> sp.Expr | None:
    """The largest (smallest) of several size expressions if that is the same one for all sizes."""
    distinct = list(dict.fromkeys(sp.expand(v) for v in values))
    for candidate in distinct:
        if all(other is candidate or nonnegative(candidate - other if largest else other - candidate, facts) for other in distinct):
            return candidate
    return None


def _under(path: Sequence[tuple[sp.Basic, bool]], subscript: sp.Expr, extent: sp.Expr, index: Index, box: Box) -> Iterable[Limits]:
    """Limits that keep a subscript inside wherever the conditions hold."""
    for case in _cases(path, box, indices_of(subscript)):
        least = None if nonnegative(subscript, case) else _ZERO
        most = None if nonnegative(behind(subscript, extent), case) else extent - 1
        if least is not None or most is not None:
            along = _along(subscript, index, case)
            for narrowed in _narrowed(box, indices_of(along), case):
                yield from _solve(along, least, most, index, narrowed)


def _along(subscript: sp.Expr, index: Index, case: Conjunction) -> sp.Expr:
    """A subscript with the index in the place of others that a case makes equal to it: ``i + k`` is ``2*k`` where ``i == k``."""
    for fact in case:
        form = linear(fact)
        if form is None or not form.coefficient(index) or sp.expand(-fact) not in case:
            continue
        for other in indices_of(subscript):
            if other != index and abs(sign := form.coefficient(other)) == 1:
                subscript = sp.expand(subscript.xreplace({other: other - sign * fact}))
    return subscript


def _cases(path: Sequence[tuple[sp.Basic, bool]], box: Box, indices: Iterable[Index] = ()) -> list[Conjunction]:
    """What is known of the indices, in conjunctions one of which at least holds wherever the conditions have the given values.

    A range that is not known yet begins at 0 or above.
    """
    among = dict.fromkeys((*indices, *(i for condition, _ in path for i in indices_of(condition))))
    inside = [e for i, (low, high) in box.items() for e in (i - low, high - 1 - i)]
    return cases(path, (*inside, *(i for i in among if i not in box)))


def _narrowed(box: Box, indices: Iterable[Index], case: Conjunction) -> list[Box]:
    """The box with what the case says about single indices of it; where that cannot be compared with the box, both."""
    chosen, given = dict(box), dict(box)
    for index in indices:
        if index in box:
            lowers, uppers = _ends(index, [fact for fact in case if indices_of(fact) == (index,)])
            low, high = decided_extreme([box[index][0], *lowers], True, case), decided_extreme([box[index][1], *uppers], False, case)
            chosen[index] = (lowers[-1] if low is None else low, uppers[-1] if high is None else high)
            given[index] = (box[index][0] if low is None else low, box[index][1] if high is None else high)
    return [chosen] if chosen == given else [given, chosen]


def _ends(index: Index, facts: Iterable[sp.Expr]) -> tuple[list[sp.Expr], list[sp.Expr]]:
    """Half-open bounds of an index, free of others, wherever all facts hold."""
    forms = [form for fact in facts if (form := linear(fact)) is not None]
    left, _ = project(forms, lambda atom: atom != index and bool(indices_of(atom)))
    lowers, uppers = [], []
    for form in left:
        factor = form.coefficient(index)
        rest = sp.expand(to_expr(form) - factor * index)
        if factor > 0:
            lowers.append(-FloorDiv(rest, factor))
        elif factor < 0:
            uppers.append(FloorDiv(rest, -factor) + 1)
    return lowers, uppers


def _solve(subscript: sp.Expr, least: sp.Expr | None, most: sp.Expr | None, index: Index, box: Box) -> tuple[Limits, ...]:
    """Half-open limits of `index` that keep ``least ≤ subscript ≤ most`` for all values of the indices in the box.

    None at all where it occurs in no term or in several that do not make one (``i%k`` is ``i - k*(i//k)``), or beside an index of
    unknown range.
    """
    terms = sp.Add.make_args(sp.expand(subscript))
    form = linear(sp.Add(*(term for term in terms if index in term.free_symbols)))
    rest = sp.Add(*(term for term in terms if index not in term.free_symbols))
    carriers = [(atom, factor) for atom, factor in form.terms if index in atom.free_symbols] if form is not None else []
    if form is None or len(carriers) != 1 or not is_affine(rest):
        return ()
    atom, factor = carriers[0]
    rest = sp.expand(rest + to_expr(form) - factor * atom)
    if any(other not in box for other in indices_of(rest)):
        return ()
    low, high = span(rest, {i: (lower, upper - 1) for i, (lower, upper) in box.items()})
    above, below = None if least is None else low - least, None if most is None else most - high
    if factor < 0:
        above, below = below, above
    first = None if above is None else -FloorDiv(above, abs(factor))
    last = None if below is None else FloorDiv(below, abs(factor))
    if isinstance(atom, FloorDiv):
        k = atom.divisor
        return _solve(atom.numerator, None if first is None else k * first, None if last is None else k * last + k - 1, index, box)
    return ((first, None if last is None else last + 1),)
