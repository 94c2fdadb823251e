"""The iteration that a comparison sets apart is taken out of an innermost loop, whose other iterations then compare nothing.

Loop peeling, a case of index-set splitting (Allen and Kennedy, "Optimizing Compilers for Modern Architectures", 2001, chapter 5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import sympy as sp

from graphc.analysis.legality import in_range
from graphc.ir.affine import linear
from graphc.ir.expr import Access, Compare
from graphc.ir.nest import Assign, For, If, Local, Loop, Nest, Node, Step, Store
from graphc.ir.tree import contains, postorder, substitute
from graphc.schedule.interior import settled
from graphc.schedule.surroundings import Facts, Surroundings

__all__ = ["peeled"]

_FEW = 16
"""Literal numbers of iterations up to which a loop stays as it is."""
_PARTS = 300
"""Bodies of more parts of expressions are not written three times."""


def peeled(step: Step) -> Step:
    """The step with the innermost loops in three parts that ask whether their index is one number, as ``j == label[n]`` does.

    The number must not change in the loop, and be one of the loop's.
    """
    if isinstance(step, Loop):
        return replace(step, steps=tuple(map(peeled, step.steps)))
    if not isinstance(step, Nest):
        return step
    worker = _Peeling(step.kernel.body)
    body = worker.around.mapped(step.kernel.body, (), worker.rule)
    return step if body == step.kernel.body else replace(step, kernel=replace(step.kernel, body=body))


class _Peeling:
    def __init__(self, body: Sequence[Node]) -> None:
        self.around = Surroundings(body, "")

    def rule(self, node: For | If, facts: Facts) -> tuple[Node, ...] | None:
        if not isinstance(node, For) or node.shared or node.lanes or node.step != 1:
            return None
        body = [n for n in node.body if isinstance(n, Assign | Store)]
        extent = sp.expand(node.upper[0] - node.lower[0])
        if len(body) < len(node.body) or (extent.is_Integer and extent <= _FEW) or sum(1 for _ in _everything(body)) > _PARTS:
            return None
        apart: dict[sp.Expr, dict[Compare, sp.Basic]] = {}
        for question in dict.fromkeys(p for p in _everything(body) if isinstance(p, Compare) and p.op in ("==", "!=")):
            place = self._place(question, node, {n.name for n in body if isinstance(n, Assign)})
            if place is not None and self._inside(place, node, facts):
                apart.setdefault(place, {})[question] = sp.true if question.op == "==" else sp.false
        if not apart:
            return None
        place, answers = max(apart.items(), key=lambda item: len(item[1]))
        others = settled(body, {q: sp.false if a is sp.true else sp.true for q, a in answers.items()})
        here = dict.fromkeys(self.around.named(node.index), place)
        alone = tuple(_at(n, here) for n in settled(body, answers))
        before, behind = replace(node, upper=(place,), body=others), replace(node, lower=(sp.expand(place + 1),), body=others)
        parts = (before,) * bool(others), alone, (behind,) * bool(others)
        return tuple(n for part in (parts[::-1] if node.descending else parts) for n in part)

    def _place(self, question: Compare, loop: For, written: set[Local]) -> sp.Expr | None:
        """The number that the index of the loop is compared with; None if it may change, or is none."""
        difference = question.left - question.right
        if contains(difference, Access) or any(s in written for s in difference.free_symbols):
            return None
        form = linear(self.around.as_indices(sp.expand(difference)))
        own = [(a, c) for a, c in form.terms if str(loop.index) in map(str, a.free_symbols)] if form is not None else []
        if form is None or len(own) != 1 or not own[0][0].is_Symbol or abs(own[0][1]) != 1:
            return None
        atom, sign = own[0]
        return sp.expand(sp.Integer(-sign) * (difference - sign * atom))

    def _inside(self, place: sp.Expr, loop: For, facts: Facts) -> bool:
        where = self.around.as_indices(place)
        bounds = [self.around.as_indices(e) for e in (*loop.lower, *loop.upper)]
        lower, upper = bounds[: len(loop.lower)], bounds[len(loop.lower) :]
        return all(in_range(sp.expand(where - low), sp.expand(high - low), facts) for low in lower for high in upper)


def _everything(body: Sequence[Assign | Store]) -> Iterator[sp.Basic]:
    for node in body:
        yield from postorder(node.value)
        if isinstance(node, Store):
            for subscript in node.subscripts:
                yield from postorder(subscript)


def _at(node: Node, here: dict[sp.Basic, sp.Expr]) -> Node:
    """The statement in one iteration."""
    assert isinstance(node, Assign | Store)
    node = replace(node, value=substitute(node.value, here))
    return replace(node, subscripts=tuple(substitute(s, here) for s in node.subscripts)) if isinstance(node, Store) else node
