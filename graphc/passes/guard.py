"""Reads that are not provably inside are confined to where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import sympy as sp

from graphc.analysis.conditions import known_on
from graphc.analysis.legality import in_range
from graphc.analysis.touches import Path
from graphc.ir.expr import Access, Compare, Reduce, Where, all_of, build
from graphc.ir.statement import Statement, behind
from graphc.ir.tensor import Tensor
from graphc.ir.tree import contains, indices_of

__all__ = ["all_nonnegative", "guard"]

_Facts = tuple[sp.Expr, ...]


def guard(statement: Statement, tensors: Mapping[str, Tensor], known: tuple[sp.Expr, ...] = ()) -> Statement:
    """Restrict every access that is not provably inside to where it is: at the top by the domain, in a branch by a condition.

    Used for what is derived from a program that has been proved: temporaries whose elements outside are never read, statements with other
    indices, in which a proof needs other arguments. Only points that the original never evaluates are dropped. `known` holds
    expressions that are ≥ 0 in every call.
    """
    value, extra = _Confining(statement, tensors).confined(statement.value, statement.constraints() + known, ())
    return replace(statement, value=value, domain=statement.domain + extra) if extra or value is not statement.value else statement


@dataclass(frozen=True, slots=True)
class _Confining:
    """Confines expressions; a part that stands at several places under the same conditions is treated once."""

    statement: Statement
    tensors: Mapping[str, Tensor]
    done: dict[tuple[sp.Expr, _Facts, Path], tuple[sp.Expr, _Facts]] = field(default_factory=dict)

    def confined(self, node: sp.Expr, facts: _Facts, path: Path) -> tuple[sp.Expr, _Facts]:
        """The expression with confined branches, and what must be ≥ 0 for the accesses outside of all branches.

        `path` holds the conditions of the branches around the expression with their values.
        """
        key = (node, facts, path)
        if key not in self.done:
            self.done[key] = self._branches(node, facts, path) if isinstance(node, Where) else self._arguments(node, facts, path)
        return self.done[key]

    def _branches(self, node: Where, facts: _Facts, path: Path) -> tuple[sp.Expr, _Facts]:
        condition, needed = self.confined(node.condition, facts, path)
        branches = []
        for branch, truth in ((node.value, True), (node.other, False)):
            inner, tests = self.confined(branch, facts, (*path, (node.condition, truth)))
            branches.append(Where(all_nonnegative(tests), inner, sp.Integer(0)) if tests else inner)
        return Where(condition, *branches), needed

    def _arguments(self, node: sp.Expr, facts: _Facts, path: Path) -> tuple[sp.Expr, _Facts]:
        extra: dict[sp.Expr, None] = {}
        inner_facts = facts
        if isinstance(node, Reduce):
            inner_facts = facts + tuple(c for i in node.indices for c in self.statement.range_of(i).constraints()) + node.domain
        arguments = []
        for argument in node.args:
            new, needed = self.confined(argument, inner_facts, path)
            arguments.append(new)
            extra.update(dict.fromkeys(needed))
        if isinstance(node, Access):
            known = known_on(path, facts)
            for subscript, extent in zip(node.subscripts, self.tensors[node.tensor].shape, strict=True):
                if not contains(subscript, Access) and not in_range(subscript, extent, known):
                    extra.setdefault(subscript)
                    extra.setdefault(behind(subscript, extent))
        if any(new is not old for new, old in zip(arguments, node.args, strict=True)):
            node = build(lambda: node.func(*arguments))
        if isinstance(node, Reduce) and (own := [e for e in extra if set(indices_of(e)) & set(node.indices)]):
            node = Reduce(node.op, node.body, node.indices, (*node.domain, *own))  # they say nothing outside of the reduction
            extra = {e: None for e in extra if e not in own}
        return node, tuple(extra)


def all_nonnegative(expressions: _Facts) -> sp.Expr:
    """The condition that all of them are."""
    return all_of(Compare(">=", e, sp.Integer(0)) for e in expressions)
