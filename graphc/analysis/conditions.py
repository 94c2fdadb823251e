"""Conditions on indices as disjoint conjunctions of affine inequalities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import sympy as sp

from graphc.ir.affine import contradictory, is_affine, nonnegative
from graphc.ir.expr import Access, BoundaryAccess, Call, Compare, Logical, Reduce, Where, all_of
from graphc.ir.tree import contains

__all__ = ["Conjunction", "cases", "counted_where", "cover", "implied", "known_on", "nonzero_where", "pieces"]

Conjunction = tuple[sp.Expr, ...]
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def _compare(op: str, left: sp.Expr, right: sp.Expr) -> tuple[Conjunction, ...]:
    less, more = right - left - 1, left - right - 1
    choices: dict[str, tuple[Conjunction, ...]] = {
        "<": ((less,),), ">": ((more,),), "<=": ((right - left,),), ">=": ((left - right,),),
        "==": ((right - left, left - right),), "!=": ((less,), (more,)),
    }
    return choices[op]


def _magnitude(op: str, inside: sp.Expr, bound: sp.Expr) -> tuple[Conjunction, ...]:
    """Where ``|inside| op bound``, in disjoint pieces for every sign of the bound."""
    within, above = (bound - inside, bound + inside), ((inside - bound - 1,), (-inside - bound - 1, bound - inside))
    least = tuple(sp.expand(c - 1) for c in within)
    at = ((inside - bound, bound - inside, bound), (-inside - bound, inside + bound, bound - 1))
    beyond = ((inside - bound,), (-inside - bound, bound - 1 - inside))
    choices: dict[str, tuple[Conjunction, ...]] = {
        "<": (least,), "<=": (within,), ">": above, ">=": beyond, "==": at, "!=": (least, *above),
    }
    return choices[op]


def _both(first: tuple[Conjunction, ...], second: tuple[Conjunction, ...]) -> tuple[Conjunction, ...]:
    return tuple(a + b for a in first for b in second)


@lru_cache(maxsize=20_000)
def pieces(condition: sp.Basic, truth: bool = True) -> tuple[Conjunction, ...] | None:
    """Disjoint conjunctions of expressions ≥ 0 whose union is the set of points where `condition` has the value `truth`.

    None if the condition compares tensor values or is not affine.
    """
    if condition in (sp.true, sp.false):
        return ((),) if (condition == sp.true) is truth else ()
    if isinstance(condition, Compare):
        if contains(condition, (Access, BoundaryAccess, Reduce)):
            return None
        chosen = condition if truth else condition.negated()
        for magnitude, bound, op in ((chosen.left, chosen.right, chosen.op), (chosen.right, chosen.left, _MIRRORED[chosen.op])):
            if isinstance(magnitude, Call) and magnitude.function == "abs" and all(map(is_affine, (*magnitude.arguments, bound))):
                return _magnitude(op, magnitude.arguments[0], bound)
        return _compare(chosen.op, chosen.left, chosen.right) if is_affine(chosen.left - chosen.right) else None
    if not isinstance(condition, Logical):
        return None
    if condition.op == "not":
        return pieces(condition.operands[0], not truth)
    conjunctive = (condition.op == "and") is truth
    result: tuple[Conjunction, ...] = ((),) if conjunctive else ()
    before: tuple[Conjunction, ...] = ((),)
    for operand in condition.operands:
        here, there = pieces(operand, truth), pieces(operand, not truth)
        if here is None or there is None:
            return None
        if conjunctive:
            result = _both(result, here)
        else:
            result = result + _both(before, here)
            before = _both(before, there)
    return result


_CASES = 64


@lru_cache(maxsize=20_000)
def cover(condition: sp.Basic, truth: bool = True) -> tuple[Conjunction, ...]:
    """Conjunctions, one of which at least holds wherever `condition` has the value `truth`; tensor comparisons contribute nothing.

    >>> from graphc.ir.expr import Index
    >>> i, mixed = Index("i"), Compare(">", Access("x", 0), 0)
    >>> cover(Logical("and", Compare("!=", i, 3), mixed))
    ((2 - i,), (i - 4,))
    """
    if not isinstance(condition, Logical):
        found = pieces(condition, truth)
        return ((),) if found is None else found
    if condition.op == "not":
        return cover(condition.operands[0], not truth)
    parts = [cover(operand, truth) for operand in condition.operands]
    if (condition.op == "and") is not truth:
        return tuple(dict.fromkeys(case for part in parts for case in part))
    result: tuple[Conjunction, ...] = ((),)
    for part in parts:
        if len(result) * len(part) <= _CASES:
            result = _both(result, part)
    return result


def implied(condition: sp.Basic, truth: bool = True, facts: Conjunction = ()) -> Conjunction:
    """Affine expressions that are certainly ≥ 0 where the condition has the value `truth` and all `facts` are ≥ 0.

    Tensor comparisons contribute nothing. ``i != -1`` says ``i ≥ 0`` if the facts leave that side alone; if they leave none, the
    place is never reached, and the first side, which contradicts them, says so.
    """
    if isinstance(condition, Logical) and condition.op != "not" and (condition.op == "and") is truth:
        return tuple(fact for operand in condition.operands for fact in implied(operand, truth, facts))
    if isinstance(condition, Logical) and condition.op == "not":
        return implied(condition.operands[0], not truth, facts)
    found = pieces(condition, truth)
    if found is not None and len(found) > 1:
        found = tuple(piece for piece in found if not any(nonnegative(-c - 1, facts) for c in piece)) or found[:1]
    return found[0] if found is not None and len(found) == 1 else ()


def known_on(path: Sequence[tuple[sp.Basic, bool]], facts: Conjunction) -> Conjunction:
    """The facts, and what several conditions with the given values imply, each with the help of the others."""
    waiting = list(path)
    while waiting:
        rest = []
        for condition, truth in waiting:
            found = implied(condition, truth, facts)
            facts += found
            if not found:
                rest.append((condition, truth))
        if len(rest) == len(waiting):
            break
        waiting = rest
    return facts


def cases(path: Sequence[tuple[sp.Basic, bool]], facts: Conjunction) -> list[Conjunction]:
    """The facts and what conditions say, in conjunctions one of which at least holds wherever these have the given values."""
    known = known_on(path, facts)
    together = all_of(condition if truth else Logical("not", condition) for condition, truth in path)
    return [case for part in cover(together) if not contradictory(case := (*known, *part))]


def _zero(term: sp.Expr) -> bool:
    """Whether it is 0 or 0.0, which are two numbers in SymPy."""
    return isinstance(term, sp.Number) and bool(term.is_zero)


def counted_where(term: sp.Expr) -> tuple[sp.Expr, ...]:
    """The conditions without which a term of a sum is 0, because it is written as ``where(condition, …, 0)``, or made of such."""
    if isinstance(term, Where):
        condition, opposite = term.condition, Logical("not", term.condition)
        if _zero(term.value) or _zero(term.other):
            return (condition, *counted_where(term.value)) if _zero(term.other) else (opposite, *counted_where(term.other))
        return _either([(condition, counted_where(term.value)), (opposite, counted_where(term.other))])
    if isinstance(term, sp.Mul):
        return tuple(dict.fromkeys(condition for factor in term.args for condition in counted_where(factor)))
    if isinstance(term, sp.Add):
        return _either([(sp.true, counted_where(part)) for part in term.args])
    return ()


def nonzero_where(term: sp.Expr) -> sp.Expr:
    """A condition that holds wherever a term of a sum is not 0, sums inside of it included.

    Indices that such a sum binds are free in it: it holds for some of their values.
    """
    if _zero(term):
        return sp.false
    if isinstance(term, Where):
        branches = ((term.condition, term.value), (Logical("not", term.condition), term.other))
        return _any_of(all_of((condition, nonzero_where(branch))) for condition, branch in branches if not _zero(branch))
    if isinstance(term, sp.Mul):
        return all_of(condition for factor in term.args if (condition := nonzero_where(factor)) != sp.true)
    if isinstance(term, sp.Add):
        return _any_of(map(nonzero_where, term.args))
    if isinstance(term, sp.Pow) and term.exp.is_positive:
        return nonzero_where(term.base)
    return nonzero_where(term.body) if isinstance(term, Reduce) and term.op == "sum" else sp.true


def _any_of(conditions: Iterable[sp.Expr]) -> sp.Expr:
    found = tuple(dict.fromkeys(conditions))
    return found[0] if len(found) == 1 else sp.true if sp.true in found else Logical("or", *found)


def _either(cases: Sequence[tuple[sp.Expr, tuple[sp.Expr, ...]]]) -> tuple[sp.Expr, ...]:
    """What holds if one of several conditions does, together with those that belong to it."""
    (_, first), *others = cases
    common = tuple(condition for condition in first if all(condition in conditions for _, conditions in others))
    rests = [(case, [c for c in conditions if c not in common]) for case, conditions in cases]
    if not any(rest for _, rest in rests) or any(case == sp.true and not rest for case, rest in rests):
        return common
    joined = [[c for c in (case, *rest) if c != sp.true] for case, rest in rests]
    return (*common, Logical("or", *map(all_of, joined)))
