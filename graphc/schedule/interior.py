"""Innermost loops whose body asks where it is: the interior, where every answer is known, becomes a loop without the questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from graphc.ir.affine import linear, nonnegative
from graphc.ir.expr import Access, Compare, Logical, contains, postorder, rewrite
from graphc.ir.nest import Assign, For, If, Local, Node, Store
from graphc.schedule.contributions import FEW

__all__ = ["answered", "split_interior"]

_ZERO = sp.Integer(0)

Limits = Mapping[str, tuple[sp.Expr, sp.Expr]]
"""First value of a variable, and the end of its values."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a comparison gives for almost all values of a variable, or for all: `truth` where ``inside ≥ 0``."""

    truth: bool
    inside: sp.Expr
    variable: sp.Expr
    always: bool


def split_interior(nodes: Sequence[Node], limits: Limits) -> tuple[Node, ...]:
    """The nodes with every innermost loop in up to three parts: before, inside and behind the interior.

    Args:
        nodes: loops.
        limits: of the variables of loops around, by name.

    Returns:
        The same computation. A question that only a loop around decides becomes a test in front of the innermost loop.
    """
    result: list[Node] = []
    for node in nodes:
        match node:
            case For(lower=(low,), upper=(high,)) if any(isinstance(n, For | If) for n in node.body):
                result.append(replace(node, body=split_interior(node.body, {**limits, str(node.index): (low, high)})))
            case For(lower=(low,), upper=(high,)):
                result += _split(node, {**limits, str(node.index): (low, high)})
            case For() | If():
                result.append(replace(node, body=split_interior(node.body, limits)))
            case _:
                result.append(node)
    return tuple(result)


def _split(node: For, limits: Limits) -> tuple[Node, ...]:
    answers = {question: found for question in _questions(node.body) if (found := _answer(question, limits)) is not None}
    starts, ends, tests = [], [], []
    for answer in answers.values():
        if answer.always:
            continue
        if str(answer.variable) != str(node.index):
            tests.append(answer.inside)
        elif sp.expand(answer.inside - answer.variable).has(answer.variable):
            ends.append(sp.expand(answer.inside + answer.variable + 1))
        else:
            starts.append(sp.expand(answer.variable - answer.inside))
    start, end = _outermost(starts, 1), _outermost(ends, -1)
    if not answers or (starts and start is None) or (ends and end is None):
        return (node,)
    known = {question: sp.true if answer.truth else sp.false for question, answer in answers.items()}
    parts = _three(node, start, end, tuple(_settled(n, known) for n in node.body))
    if not tests:
        return parts
    conditions = [Compare(">=", t, _ZERO) for t in dict.fromkeys(tests)]
    everywhere = conditions[0] if len(conditions) == 1 else Logical("and", *conditions)
    return If(everywhere, parts), If(Logical("not", everywhere), (node,))


def _three(node: For, start: sp.Expr | None, end: sp.Expr | None, body: tuple[Node, ...]) -> tuple[Node, ...]:
    """The loop before `start`, the loop of the interior, the loop from `end` on; of a shared loop the first bounds say what is shared."""
    (low,), (high,) = node.lower, node.upper
    parts: list[Node] = []
    lower: tuple[sp.Expr, ...] = (low,)
    upper: tuple[sp.Expr, ...] = (high,)
    if start is not None:
        lower = (start,) if not node.shared and nonnegative(sp.expand(start - low)) else (low, start)
        parts.append(replace(node, upper=(high, start)))
    if end is not None:
        upper = (end,) if not node.shared and nonnegative(sp.expand(high - end)) else (high, end)
    parts.append(replace(node, lower=lower, upper=upper, body=body))
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
    return ()


def _questions(body: Sequence[Node]) -> Iterator[Compare]:
    found = dict.fromkeys(p for node in body for e in _parts(node) for p in postorder(e) if isinstance(p, Compare))
    for question in found:
        if not contains(question, (Access, Local)) and linear(question.left - question.right) is not None:
            yield question


def _answer(question: Compare, limits: Limits) -> _Answer | None:
    """The answer that holds for all but a few values of the one variable in question."""
    difference = sp.expand(question.left - question.right)
    variables = [v for v in difference.free_symbols if str(v) in limits]
    form = linear(difference)
    if form is None or len(variables) != 1 or abs(form.coefficient(variables[0])) != 1:
        return None
    (variable,) = variables
    low, high = limits[str(variable)]
    for truth, inside in _sides(question.op, difference):
        factor = linear(inside).coefficient(variable)  # type: ignore[union-attr]
        rest = sp.expand(inside - factor * variable)
        missing = -rest - low if factor > 0 else high - 1 - rest
        if nonnegative(sp.expand(FEW - missing)):
            return _Answer(truth, sp.expand(inside), variable, nonnegative(sp.expand(-missing)))
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


def _settled(node: Node, known: Mapping[Compare, sp.Basic]) -> Node:
    """The node where the answers are known."""
    match node:
        case Assign():
            return replace(node, value=_simpler(node.value, known))
        case Store():
            return replace(node, value=_simpler(node.value, known), subscripts=tuple(_simpler(s, known) for s in node.subscripts))
    return node


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
