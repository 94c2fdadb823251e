"""Boundary views through integer tensors: the integers are brought inside first, as a tensor of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy as sp

from graphc.analysis.legality import ensured
from graphc.analysis.touches import Path
from graphc.errors import NotationError
from graphc.ir.expr import Access, BoundaryAccess, Compare, Reduce, Where, all_of
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.origin import Brought
from graphc.ir.show import expression, statement_body
from graphc.ir.statement import Statement, revised
from graphc.ir.tensor import Tensor
from graphc.ir.tree import altered, indices_of, postorder, rewrite
from graphc.passes.guard import guard
from graphc.passes.skips import NEUTRAL, skipping, without

__all__ = ["bring_inside"]

_ZERO = sp.Integer(0)
_TOLD = "a subscript that is read from a tensor is brought inside by a statement of its own"


def bring_inside(graph: Graph) -> Graph:
    """Give every subscript that a boundary view reads from an integer tensor a tensor of integers inside.

    ``wrap(X)[k[j]]`` becomes ``X[k.wrap[j]]`` with ``k.wrap[j] = where(k[j] < 0, k[j]+N, where(k[j] >= N, k[j]-N, k[j]))``, whose values
    are checked in each call like those of any integer tensor: one more than a period outside is refused. ``pad`` becomes a condition
    around the plain read, and so does ``skip``.

    Raises:
        NotationError: a reduction drops terms by the values of an integer tensor, and has no neutral element for that.
    """
    tensors = dict(graph.by_name())
    known = ensured(graph.checks)
    statements: list[Statement] = []
    for statement in graph.statements:
        if any(_chosen(part) for part in postorder(statement.value)):
            worker = _Inside(statement, tensors, known, statements, {})
            value = worker.top(statement.value)
            statements.append(revised(statement, "boundary", _TOLD, value=value))
        else:
            statements.append(statement)
    return replace(graph, tensors=tuple(tensors.values()), statements=tuple(statements))


def _chosen(part: sp.Basic) -> bool:
    """Whether it is a view whose boundary is asked by the value of an integer tensor."""
    return isinstance(part, BoundaryAccess) and any(m and isinstance(s, Access) for m, s in zip(part.modes, part.subscripts, strict=True))


@dataclass(frozen=True, slots=True)
class _Inside:
    statement: Statement
    tensors: dict[str, Tensor]
    known: tuple[sp.Expr, ...]
    statements: list[Statement]
    made: dict[tuple[str, sp.Expr, sp.Expr, Path], Access]

    def top(self, value: sp.Expr) -> sp.Expr:
        if isinstance(value, Reduce) or self.statement.op == "=":
            return self.brought(value, ())
        return self._without_skips(value, "sum" if self.statement.op == "+=" else self.statement.op, ())

    def brought(self, node: sp.Expr, path: Path) -> sp.Expr:
        """The expression with views that are asked about places inside; `path` holds the conditions around it with their values."""
        if isinstance(node, Where):
            test = node.condition
            return Where(self.brought(test, path), self.brought(node.value, (*path, (test, True))),
                         self.brought(node.other, (*path, (test, False))))
        if isinstance(node, Reduce):
            return Reduce(node.op, self._without_skips(node.body, node.op, path), node.indices, node.domain)
        if _chosen(node):
            return self._view(node, path)
        if not any(_chosen(part) for part in postorder(node)):
            return node
        return node.func(*(self.brought(argument, path) for argument in node.args))

    def _without_skips(self, body: sp.Expr, op: str, path: Path) -> sp.Expr:
        """The body of a reduction, neutral where one of its views is skipped."""
        tests: dict[sp.Expr, None] = {}
        branches: dict[BoundaryAccess, list[Path]] = {}
        for view, branch in skipping(body):
            if _chosen(view) and (within := self._kept(view)):
                if op not in NEUTRAL:
                    subscript = next(s for s in view.subscripts if isinstance(s, Access))
                    at = ((statement_body(self.statement), expression(view), self.statement.location),)
                    raise NotationError(f"gc.skip cannot drop terms of {op} by the values of {subscript.tensor}.", at=at,
                                        fix="use gc.pad with a value that does not count, or gc.where with a mask.")
                if branch:
                    branches.setdefault(view, []).append(branch)
                else:
                    tests.update(dict.fromkeys(within))

        def rule(part: sp.Basic) -> sp.Basic | None:
            if isinstance(part, Reduce):
                return part
            if not (isinstance(part, BoundaryAccess) and _chosen(part) and "skip" in part.modes):
                return None
            mode = "pad" if part in branches else ""
            modes = [mode if own == "skip" and isinstance(s, Access) else own for own, s in zip(part.modes, part.subscripts, strict=True)]
            return altered(part, modes=modes)

        rest = rewrite(body, rule)
        for view, paths in branches.items():
            for branch in paths:
                rest = without(rest, op, tuple((rewrite(c, rule), truth) for c, truth in branch), self._kept(view))
        if not tests:
            return self.brought(rest, path)
        inside = all_of(tests)
        return Where(inside, self.brought(rest, (*path, (inside, True))), NEUTRAL[op])

    def _kept(self, view: BoundaryAccess) -> list[sp.Expr]:
        """Tests of whether no integer makes a view skip."""
        dimensions = zip(view.modes, view.subscripts, self.tensors[view.tensor].shape, strict=True)
        return [t for mode, s, e in dimensions if mode == "skip" and isinstance(s, Access) for t in self._within(s, e)]

    def _view(self, view: BoundaryAccess, path: Path) -> sp.Expr:
        modes, subscripts, tests = list(view.modes), list(view.subscripts), []
        for d, extent in enumerate(self.tensors[view.tensor].shape):
            subscript = subscripts[d]
            if not modes[d] or not isinstance(subscript, Access):
                continue
            if modes[d] == "pad":
                tests += self._within(subscript, extent)
            else:
                subscripts[d] = self._place(view, d, subscript, extent, path)
            modes[d] = ""
        value = altered(view, modes=modes, subscripts=subscripts) if any(modes) else Access(view.tensor, *subscripts)
        return Where(all_of(tests), value, view.fill)

    def _place(self, view: BoundaryAccess, dimension: int, subscript: Access, extent: sp.Expr, path: Path) -> Access:
        """The element of a new integer tensor that says where a subscript comes to lie."""
        mode = view.modes[dimension]
        key = (mode, subscript, extent, path)
        if key in self.made:
            return self.made[key]
        below, above = {
            "clamp": (_ZERO, extent - 1),
            "wrap": (subscript + extent, subscript - extent),
            "reflect": (-subscript, 2 * extent - 2 - subscript),
        }[mode]
        value = Where(Compare(">=", subscript, extent), above, subscript)
        value = value if self._unsigned(subscript) else Where(Compare("<", subscript, _ZERO), below, value)
        for condition, truth in reversed(path):
            asked, tests = self._padded(condition)
            value = Where(asked, value, _ZERO) if truth else Where(asked, _ZERO, value)
            value = Where(all_of(tests), value, _ZERO) if tests else value
        used = set(indices_of(value))
        bound = {i for part in postorder(value) if isinstance(part, Reduce) for i in part.indices}
        ranges = tuple(r for r in self.statement.ranges if r.index in used - bound)
        domain = tuple(d for d in self.statement.domain if set(indices_of(d)) <= used - bound)
        inner = tuple(r for r in self.statement.ranges if r.index in bound)
        name = fresh_name(f"{subscript.tensor}.{mode}", self.tensors)
        self.tensors[name] = Tensor(name, tuple(r.upper for r in ranges), "int64", "defined", self.tensors[subscript.tensor].group)
        place = tuple(r.index for r in ranges)
        part = Brought(f"where {expression(subscript)} comes to lie", self.statement, view, dimension)
        made = Statement(name, place, "=", value, (*ranges, *inner), domain, (), self.statement.location, part)
        self.statements.append(guard(made, self.tensors, self.known))
        self.made[key] = Access(name, *place)
        return self.made[key]

    def _padded(self, condition: sp.Expr) -> tuple[sp.Expr, list[sp.Expr]]:
        """A condition for a statement that is no reduction, and where it is asked at all: the terms that its views skip are dropped."""
        tests: dict[sp.Expr, None] = {}

        def rule(part: sp.Basic) -> sp.Basic | None:
            if not (isinstance(part, BoundaryAccess) and "skip" in part.modes):
                return None
            for mode, subscript, extent in zip(part.modes, part.subscripts, self.tensors[part.tensor].shape, strict=True):
                if mode == "skip":
                    tests.update(dict.fromkeys((Compare("<=", _ZERO, subscript), Compare("<", subscript, extent))))
            modes = ("pad" if mode == "skip" else mode for mode in part.modes)
            return altered(part, modes=modes)

        return rewrite(condition, rule), list(tests)

    def _within(self, subscript: Access, extent: sp.Expr) -> list[sp.Expr]:
        below = Compare("<", subscript, extent)
        return [below] if self._unsigned(subscript) else [Compare("<=", _ZERO, subscript), below]

    def _unsigned(self, subscript: Access) -> bool:
        """Whether it is never negative, so that C's compilers would warn of the test."""
        return self.tensors[subscript.tensor].dtype == "uint8"
