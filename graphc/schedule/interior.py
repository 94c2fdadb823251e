"""Loops whose body asks where it is: the interior, where every answer is known, becomes a loop without the questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from graphc.ir.affine import linear, nonnegative, span
from graphc.ir.expr import Access, Compare, FloorDiv, Logical, all_of
from graphc.ir.nest import Assign, For, If, Local, Node, Store
from graphc.ir.tree import contains, postorder, rewrite

__all__ = ["answered", "settled", "split_interior"]

_ZERO = sp.Integer(0)
_EDGE = 16
"""So many values of a variable at most lie before or behind the interior."""
_FEW = 8
"""Loops with no more iterations than that, known beforehand, have no interior of their own."""
_PARTS = 600
"""Bodies of more parts of expressions than that are not written several times."""

Limits = Mapping[str, tuple[sp.Expr, sp.Expr]]
"""First value of a variable, and the end of its values, or values before and behind these."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a comparison gives for almost all values of a variable, or for all of them: from `start` on, or before `end`."""

    truth: bool
    variable: sp.Expr
    start: sp.Expr | None
    end: sp.Expr | None
    always: bool

    def test(self) -> sp.Expr:
        """What is ≥ 0 in the interior."""
        return sp.expand(self.variable - self.start if self.end is None else self.end - 1 - self.variable)


def split_interior(nodes: Sequence[Node], limits: Limits) -> tuple[Node, ...]:
    """The nodes with loops in up to three parts: before, inside and behind the interior.

    A loop is split if its variable decides comparisons inside of it, or which bounds of inner loops count, and no inner loop can be;
    what is asked about loops around it becomes one test in front of it. Loops of few iterations inside stay as they are.

    Args:
        nodes: loops.
        limits: of the variables of loops around, by name.

    Returns:
        The same computation.
    """
    result: list[Node] = []
    for node in nodes:
        match node:
            case For():
                inner = {str(node.index): (node.lower[0], node.upper[0]), **limits}
                if _decides(node.body, inner):
                    result.append(replace(node, body=split_interior(node.body, inner)))
                else:
                    result += _split(node, inner)
            case If():
                result.append(replace(node, body=split_interior(node.body, limits)))
            case _:
                result.append(node)
    return tuple(result)


def _iterations(bounds: tuple[sp.Expr, sp.Expr]) -> float:
    """How many there are; infinitely many where that is not known beforehand."""
    extent = sp.expand(bounds[1] - bounds[0])
    return int(extent) if extent.is_Integer else float("inf")


def _own(node: For, answers: Mapping[Compare, _Answer], limits: Limits) -> list[_Answer]:
    """The answers that the variable of a loop decides, unless the loop is a short one inside of longer ones."""
    counts = [_iterations(bounds) for bounds in limits.values()]
    if _iterations((node.lower[0], node.upper[0])) <= _FEW < max(counts):
        return []
    return [a for a in answers.values() if not a.always and str(a.variable) == str(node.index)]


def _decides(body: Sequence[Node], limits: Limits) -> bool:
    """Whether a loop among the nodes can be split."""
    for node in body:
        if isinstance(node, If) and _decides(node.body, limits):
            return True
        if isinstance(node, For):
            inner = {str(node.index): (node.lower[0], node.upper[0]), **limits}
            if _own(node, _answers(node.body, inner), inner) or _decides(node.body, inner):
                return True
    return False


def _split(node: For, limits: Limits) -> tuple[Node, ...]:
    answers = _answers(node.body, limits)
    own = _own(node, answers, limits)
    answers = {q: a for q, a in answers.items() if a.always or a in own or str(a.variable) != str(node.index)}
    if not answers or sum(1 for e in _everything(node.body) for _ in postorder(e)) > _PARTS:
        return (node,)
    starts, ends = [a.start for a in own if a.start is not None], [a.end for a in own if a.end is not None]
    start, end = _outermost(starts, 1), _outermost(ends, -1)
    if (starts and start is None) or (ends and end is None):
        return (node,)
    known = {question: sp.true if answer.truth else sp.false for question, answer in answers.items()}
    parts = _three(node, start, end, settled(node.body, known))
    if not parts:
        return (node,)
    tests = [a.test() for a in answers.values() if not a.always and a not in own]
    if not tests:
        return parts
    conditions = [Compare(">=", t, _ZERO) for t in dict.fromkeys(tests)]
    everywhere = all_of(conditions)
    return If(everywhere, parts), If(Logical("not", everywhere), (node,))


def _three(node: For, start: sp.Expr | None, end: sp.Expr | None, body: tuple[Node, ...]) -> tuple[Node, ...]:
    """The loop before `start`, the loop of the interior, the loop from `end` on. The first bounds of a shared loop divide it."""
    lower, upper = node.lower, node.upper
    parts: list[Node] = []
    if start is not None:
        replaced = not node.shared and len(lower) == 1 and nonnegative(sp.expand(start - lower[0]))
        parts.append(replace(node, upper=(*upper, start)))
        lower = (start,) if replaced else (*lower, start)
    inside = upper
    if end is not None:
        replaced = not node.shared and len(upper) == 1 and nonnegative(sp.expand(upper[0] - end))
        inside = (end,) if replaced else (*upper, end)
    if body:
        parts.append(replace(node, lower=lower, upper=inside, body=body))
    if end is not None:
        parts.append(replace(node, lower=(*lower, end)))
    return tuple(parts[::-1] if node.descending else parts)


def _outermost(bounds: Sequence[sp.Expr], sign: int) -> sp.Expr | None:
    """The largest (sign 1) or smallest (-1) of several bounds, if there is one for all sizes."""
    return next((b for b in bounds if all(nonnegative(sp.expand(sign * (b - o))) for o in bounds)), None)


def _parts(node: Node) -> tuple[sp.Expr, ...]:
    match node:
        case Assign():
            return (node.value,)
        case Store():
            return (node.value, *node.subscripts)
        case If():
            return (node.condition,)
    return ()


def _everything(body: Iterable[Node]) -> Iterator[sp.Expr]:
    for node in body:
        yield from _parts(node)
        if isinstance(node, For | If):
            yield from _everything(node.body)


def _short(node: For) -> bool:
    """Whether a loop, and every loop inside, has a few iterations, known beforehand: the compiler unrolls it if its bounds are literal."""
    return _iterations((node.lower[0], node.upper[0])) <= _FEW and all(map(_short, _loops(node.body)))


def _bounds(node: For) -> Iterator[tuple[sp.Expr, Compare]]:
    """Bounds of a short loop that do not count, and what has to hold for that."""
    if not _short(node):
        return
    yield from ((e, Compare("<=", e, node.lower[0])) for e in node.lower[1:])
    yield from ((e, Compare(">=", e, node.upper[0])) for e in node.upper[1:])


def _questions(body: Iterable[Node]) -> Iterator[Compare]:
    """The comparisons of indices in loops, each once."""
    yield from dict.fromkeys(q for q in _asked(body) if not contains(q, (Access, Local)) and linear(q.left - q.right) is not None)


def _asked(body: Iterable[Node]) -> Iterator[Compare]:
    for node in body:
        yield from (p for e in _parts(node) for p in postorder(e) if isinstance(p, Compare))
        if isinstance(node, For):
            yield from (question for _, question in _bounds(node) if isinstance(question, Compare))
        if isinstance(node, For | If):
            yield from _asked(node.body)


def _answers(body: Sequence[Node], limits: Limits) -> dict[Compare, _Answer]:
    """What is known about the comparisons in the body of loops whose variables have these limits."""
    inside: dict[str, tuple[sp.Expr, sp.Expr]] = {}
    twice: set[str] = set(limits)
    for node in _loops(body):
        bounds, name = (node.lower[0], node.upper[0]), str(node.index)
        if inside.setdefault(name, bounds) != bounds:
            twice.add(name)
    known = {name: bounds for name, bounds in inside.items() if name not in twice}
    return {question: found for question in _questions(body) if (found := _answer(question, limits, known)) is not None}


def _loops(body: Iterable[Node]) -> Iterator[For]:
    for node in body:
        if isinstance(node, For):
            yield node
        if isinstance(node, For | If):
            yield from _loops(node.body)


def _answer(question: Compare, limits: Limits, inside: Limits) -> _Answer | None:
    """The answer that holds for all but a few values of the variable of a loop around, whatever values the other ones have."""
    difference = sp.expand(question.left - question.right)
    form = linear(difference)
    if form is None or any(not a.is_Symbol for a, _ in form.terms):
        return None
    every = {**inside, **limits}
    factors = {str(a): (a, factor) for a, factor in form.terms if str(a) in every}
    for name in sorted((n for n in limits if n in factors), key=lambda n: -_iterations(limits[n])):
        low, high = limits[name]
        others = {a: (every[n][0], every[n][1] - 1) for n, (a, _) in factors.items() if n != name}
        symbol, factor = factors[name]
        for truth, true_where in _sides(question.op, difference):
            sign = factor if sp.expand(true_where - difference).is_Integer else -factor
            rest = span(true_where - sign * symbol, others)[0]
            start = sp.expand(-FloorDiv(rest, sign)) if sign > 0 else None
            end = sp.expand(FloorDiv(rest, -sign) + 1) if sign < 0 else None
            if any(str(v) in every for v in rest.free_symbols):
                continue
            missing = sp.expand(start - low if start is not None else high - end)
            if nonnegative(_EDGE - missing):
                return _Answer(truth, symbol, start, end, nonnegative(-missing))
    return None


def _sides(op: str, difference: sp.Expr) -> tuple[tuple[bool, sp.Expr], ...]:
    """Where ``difference op 0`` is known: pairs of its value and an expression that is ≥ 0 there."""
    match op:
        case ">=":
            return (True, difference), (False, -difference - 1)
        case ">":
            return (True, difference - 1), (False, -difference)
        case "<=":
            return (True, -difference), (False, difference - 1)
        case "<":
            return (True, -difference - 1), (False, difference)
    return tuple((op == "!=", side) for side in (difference - 1, -difference - 1))


def answered(value: sp.Expr, facts: tuple[sp.Expr, ...]) -> sp.Expr:
    """The expression without the questions that facts, expressions that are ≥ 0, decide."""
    known: dict[Compare, sp.Basic] = {}
    for question in dict.fromkeys(p for p in postorder(value) if isinstance(p, Compare)):
        if contains(question, (Access, Local)):
            continue
        for truth, inside in _sides(question.op, sp.expand(question.left - question.right)):
            if nonnegative(inside, facts):
                known[question] = sp.true if truth else sp.false
    return _simpler(value, known) if known else value


def settled(body: Iterable[Node], known: Mapping[Compare, sp.Basic]) -> tuple[Node, ...]:
    """The nodes where the answers are known."""
    result: list[Node] = []
    for node in body:
        match node:
            case Assign():
                result.append(replace(node, value=_simpler(node.value, known)))
            case Store():
                subscripts, value = tuple(_simpler(s, known) for s in node.subscripts), _simpler(node.value, known)
                if not node.accumulate or value != 0 or node.value == 0:  # where nothing is added, nothing need be in range
                    result.append(replace(node, value=value, subscripts=subscripts))
            case For():
                dropped = {e for e, question in _bounds(node) if known.get(question) == sp.true}
                lower, upper = ((b[0], *(e for e in b[1:] if e not in dropped)) for b in (node.lower, node.upper))
                if inner := settled(node.body, known):
                    result.append(replace(node, lower=lower, upper=upper, body=inner))
            case If():
                condition, inner = _simpler(node.condition, known), settled(node.body, known)
                if condition == sp.true:
                    result += inner
                elif condition != sp.false and inner:
                    result.append(If(condition, inner))
            case _:
                result.append(node)
    return tuple(result)


def _simpler(value: sp.Expr, known: Mapping[Compare, sp.Basic]) -> sp.Expr:
    def rule(part: sp.Basic) -> sp.Basic:
        if isinstance(part, Compare):
            return known.get(part, part)
        if isinstance(part, Logical):
            return _logical(part)
        return part

    return rewrite(value, rule)


def _logical(part: Logical) -> sp.Basic:
    """The condition without operands that are known."""
    if part.op == "not":
        return {sp.true: sp.false, sp.false: sp.true}.get(part.operands[0], part)
    absorbing = sp.false if part.op == "and" else sp.true
    if absorbing in part.operands:
        return absorbing
    rest = [o for o in part.operands if o not in (sp.true, sp.false)]
    if not rest:
        return sp.true if part.op == "and" else sp.false
    return rest[0] if len(rest) == 1 else Logical(part.op, *rest)
