"""Nested reductions become statements of their own."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from graphc.analysis.conditions import known_on
from graphc.analysis.legality import ensured
from graphc.analysis.touches import Path
from graphc.errors import CompileError
from graphc.ir.affine import nonnegative
from graphc.ir.dtypes import dtype_of, exceeds_64_bits, is_float, promote, settle
from graphc.ir.expr import INFINITY, Access, Call, Reduce, Where
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.origin import Part
from graphc.ir.reductions import REDUCTIONS, extreme
from graphc.ir.show import statement as show
from graphc.ir.statement import Range, Statement, revised
from graphc.ir.tensor import Tensor
from graphc.ir.tree import contains, indices_of, postorder, rewrite, substitute
from graphc.passes.convert import loses
from graphc.passes.guard import all_nonnegative, guard

__all__ = ["lift_reductions"]

_WHOLE = "a right side that is one reduction makes the statement that reduction"
_NESTED = "a nested reduction gets a tensor of its own"
_Facts = tuple[sp.Expr, ...]
_EXTREMES = {"max": "supremum", "min": "infimum"}
"""Extrema that have a value over nothing, in the place of those that have none."""
_NEUTRAL = {"sum": sp.Integer(0), "prod": sp.Integer(1), "logsumexp": -INFINITY}
_OVER_NOTHING = {"prod": sp.Integer(1), "all": sp.true, "logsumexp": -INFINITY}
"""Reductions with a neutral element that is not what unassigned elements are."""


def _identity(op: str, known: dict[str, sp.Expr]) -> sp.Expr | None:
    """The neutral element of a reduction, `known` or the user's."""
    return REDUCTIONS[op].identity if op in REDUCTIONS else known.get(op)


def lift_reductions(graph: Graph) -> Graph:
    """Give every nested reduction a temporary over its free indices, in the consumer's index order.

    A statement whose whole right side is a reduction becomes that reduction; ``mean`` becomes a sum divided by a count.
    After this pass no value contains `Reduce`.
    """
    worker = _Lifter(dict(graph.by_name()), {name: len(s) for name, s in graph.definitions().items()}, ensured(graph.checks))
    for statement in graph.statements:
        worker.lift(statement)
    return replace(graph, tensors=tuple(worker.tensors.values()), statements=tuple(worker.statements))


class _Lifter:
    def __init__(self, tensors: dict[str, Tensor], counts: dict[str, int], known: tuple[sp.Expr, ...]) -> None:
        self.tensors, self.counts, self.known = tensors, counts, known
        self.statements: list[Statement] = []

    def lift(self, statement: Statement) -> None:
        if not contains(statement.value, Reduce):
            self.statements.append(statement)
            return
        value = _means(_windowed(statement), statement)
        if isinstance(value, Reduce) and self._direct(statement, value):
            op = "+=" if value.op == "sum" else value.op
            inner = set(statement.bound) - set(value.indices)
            body = substitute(value.body, self._inner(value.body, statement, statement.domain + value.domain))
            ranges = tuple(r for r in statement.ranges if r.index not in inner)
            domain = statement.domain + value.domain
            self.statements.append(revised(statement, "lift", _WHOLE, op=op, value=body, ranges=ranges, domain=domain))
            return
        mapping = self._inner(value, statement, statement.domain)
        lifted = substitute(value, mapping)
        bound = set(statement.bound)
        ranges = tuple(r for r in statement.ranges if r.index not in bound)
        self.statements.append(revised(statement, "lift", _NESTED, value=lifted, ranges=ranges))

    def _direct(self, statement: Statement, value: Reduce) -> bool:
        if loses(self.tensors[statement.target].dtype, self._dtype(value)):
            return False
        if value.op == "sum":
            return True
        return statement.op == "=" and self.counts[statement.target] == 1 and not statement.reduced

    def _inner(self, node: sp.Expr, statement: Statement, domain: tuple[sp.Expr, ...]) -> dict[sp.Basic, sp.Expr]:
        """Lift the outermost reductions of an expression; returns what to replace them by."""
        mapping: dict[sp.Basic, sp.Expr] = {}
        for reduction, path in _outermost(node, ()):
            if reduction not in mapping:
                mapping[reduction] = self._temporary(reduction, path, statement, domain)
        return mapping

    def _temporary(self, reduction: Reduce, path: Path, statement: Statement, domain: tuple[sp.Expr, ...]) -> sp.Expr:
        body = reduction.body
        facts = known_on(path, ())
        value_path = [(c, t) for c, t in path if contains(c, Access)]
        target = self.tensors[statement.target]
        dtype = self._stored(reduction, promote(settle(self._dtype(statement.value), target.dtype), target.dtype))
        neutral = extreme(_EXTREMES[reduction.op], dtype) if reduction.op in _EXTREMES else _identity(reduction.op, _NEUTRAL)
        if value_path and neutral is not None and not _total(body):
            for condition, truth in reversed(value_path):
                body = Where(condition, body, neutral) if truth else Where(condition, neutral, body)
        bound = set(reduction.indices)
        nested = {i for part in postorder(body) if isinstance(part, Reduce) for i in part.indices}
        needed = set(indices_of(body)) | {i for d in reduction.domain for i in indices_of(d)}
        free = [r for r in statement.ranges if r.index in needed - bound - nested and r.index not in bound]
        relevant = tuple(f for f in (*facts, *domain) if set(indices_of(f)) <= {r.index for r in free})
        name = self._name(f"{statement.target}.{reduction.op.replace('_split', '')}")
        inner = tuple(r for r in statement.ranges if r.index in bound | nested)
        shape = tuple(r.upper for r in free)
        self.tensors[name] = Tensor(name, shape, dtype, "defined", target.group)
        op = "+=" if reduction.op == "sum" else reduction.op
        subscripts = tuple(r.index for r in free)
        order = tuple(a for a in statement.order if body.has(a))
        temporary = Statement(
            name,
            subscripts,
            op,
            body,
            (*free, *inner),
            relevant + reduction.domain,
            order,
            statement.location,
            Part(f"the nested {reduction.op.replace('_split', '')}", statement),
        )
        self.counts[name] = 1
        if contains(body, Reduce):
            mapping = self._inner(body, temporary, temporary.domain)
            temporary = replace(
                temporary, value=substitute(body, mapping), ranges=tuple(r for r in temporary.ranges if r.index not in nested)
            )
        self.statements.append(guard(temporary, self.tensors, self.known))
        return Access(name, *subscripts)

    def _stored(self, reduction: Reduce, around: str) -> str:
        """The type of a temporary: indices become the floats that they are used with where 64 bits may be too few."""
        kind = self._dtype(reduction)
        return around if kind == "weak_int" and is_float(around) and exceeds_64_bits(reduction) else settle(kind, around)

    def _dtype(self, value: sp.Expr) -> str:
        return dtype_of(value, lambda name: self.tensors[name].dtype)

    def _name(self, wanted: str) -> str:
        return fresh_name(wanted, self.tensors)


def _outermost(node: sp.Basic, path: Path) -> list[tuple[Reduce, Path]]:
    """The reductions that are in no other one, each with the conditions under which it is evaluated."""
    found: list[tuple[Reduce, Path]] = []
    waiting = [(node, path)]
    while waiting:
        part, path = waiting.pop()
        if isinstance(part, Reduce):
            found.append((part, path))
        elif isinstance(part, Where):
            test = part.condition
            waiting += ((part.other, (*path, (test, False))), (part.value, (*path, (test, True))), (test, path))
        elif contains(part, Reduce):
            waiting += ((argument, path) for argument in reversed(part.args))
    return found


def _total(body: sp.Expr) -> bool:
    """Whether body and derivative are finite for all finite operands."""
    for part in postorder(body):
        if isinstance(part, sp.Pow) and not (part.exp.is_Integer and part.exp > 0):
            return False
        if isinstance(part, Call) and part.function not in ("tanh", "sigmoid", "relu", "abs", "maximum", "minimum", "sin", "cos"):
            return False
    return True


def _windowed(statement: Statement) -> sp.Expr:
    """The value, with conditions of a reduction's domain that decide about whole windows where they cannot restrict the left side.

    ``gc.prod(gc.skip(X)[j-1], over=k)`` becomes ``where(0 <= j-1 < N, prod(X[j-1], over=k), 1)``; an extremum, which has no value over
    nothing, keeps the condition as one on its first index, so that the empty window is noticed.
    """

    def rule(part: sp.Basic) -> sp.Basic | None:
        if not isinstance(part, Reduce) or part.op in ("sum", "any", "mean"):
            return None
        outside = tuple(d for d in part.domain if not set(indices_of(d)) & set(part.indices))
        if not outside:
            return None
        rest = tuple(d for d in part.domain if d not in outside)
        nothing = _identity(part.op, _OVER_NOTHING)
        if nothing is not None:
            return Where(all_nonnegative(outside), Reduce(part.op, part.body, part.indices, rest), nothing)
        facts = tuple(c for r in statement.ranges for c in r.constraints())
        first = statement.range_of(part.indices[0])
        kept = [d for d in outside if not nonnegative(d, facts)]
        if kept and not first.extent.is_Integer:
            raise CompileError(
                f"Whether the {part.op} is over anything depends on indices that it is not over, and {first.index} has a symbolic extent."
                f"\n\n    {show(statement)}\n  at {statement.location}",
                fix=f"put the condition into gc.where around the reduction, or declare {first.index} with a literal extent.",
            )
        spread = tuple(sp.expand(first.extent * (d + 1) - 1 - (first.index - first.lower)) for d in kept)
        return Reduce(part.op, part.body, part.indices, rest + spread)

    return rewrite(statement.value, rule)


def _means(value: sp.Expr, statement: Statement) -> sp.Expr:
    """Means as sums divided by the number of terms."""
    mapping: dict[sp.Basic, sp.Expr] = {}
    for part in postorder(value):
        if isinstance(part, Reduce):
            inner = substitute(part.body, mapping)
            current = part if inner is part.body else Reduce(part.op, inner, part.indices, part.domain)
            if part.op == "mean":
                total = Reduce("sum", inner, part.indices, part.domain)
                if part.domain:
                    current = total / Reduce("sum", sp.Integer(1), part.indices, part.domain)
                else:
                    ranges: list[Range] = [statement.range_of(i) for i in part.indices]
                    current = total / sp.Mul(*(r.extent for r in ranges))
            if current is not part:
                mapping[part] = current
    return substitute(value, mapping) if mapping else value
