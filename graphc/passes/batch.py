"""One more loop around everything that depends on some tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import sympy as sp

from graphc.ir.expr import Access, BoundaryAccess
from graphc.ir.graph import Graph, HandWritten, fresh_names
from graphc.ir.origin import Given, Rewrite
from graphc.ir.statement import Range, Statement, fresh_indices, plain_ranges
from graphc.ir.tensor import Tensor
from graphc.ir.tree import altered, modes_of, rewrite
from graphc.passes.extension import below

__all__ = ["batch"]

T = TypeVar("T")


def batch(graph: Graph, inputs: Iterable[str], loops: Sequence[tuple[str, sp.Expr]], last: bool = False) -> tuple[Graph, dict[str, str]]:
    """Give some inputs, and all tensors that depend on them, further dimensions, over which all their statements are run.

    Args:
        graph: any.
        inputs: the tensors that get the dimensions.
        loops: (index, extent) per new dimension; an index that a statement has already is numbered there.
        last: whether the new dimensions come behind the others instead of before them.

    Returns:
        The graph, and the name of the batched form of every output; one that does not depend on the inputs is copied for every value.
    """
    chosen = below(graph, inputs)
    while adjoints := {rule.adjoint for rule in graph.rules if rule.tensor in chosen} - chosen:
        chosen |= below(graph, adjoints)
    worker = _Batch(chosen, loops, last, {t.name: t for t in graph.tensors})
    statements = [worker.statement(s) if s.target in chosen else s for s in graph.statements]
    worker.statements = statements
    names = {name: name if name in chosen else worker.repeated(name) for name in graph.outputs}
    rules = tuple(worker.rule(rule) for rule in graph.rules)
    tensors = tuple(worker.tensor(t) if t.name in chosen else t for t in worker.tensors.values())
    return replace(graph, tensors=tensors, statements=tuple(statements), outputs=tuple(names.values()), rules=rules), names


@dataclass
class _Batch:
    """What has been chosen, and the graph as it grows; `tensors` have the shapes of the graph before."""

    chosen: set[str]
    loops: Sequence[tuple[str, sp.Expr]]
    last: bool
    tensors: dict[str, Tensor]
    statements: list[Statement] = field(default_factory=list)

    def joined(self, new: tuple[T, ...], old: tuple[T, ...]) -> tuple[T, ...]:
        return (*old, *new) if self.last else (*new, *old)

    def tensor(self, info: Tensor) -> Tensor:
        return replace(info, shape=self.joined(tuple(extent for _, extent in self.loops), info.shape))

    def statement(self, statement: Statement) -> Statement:
        indices = fresh_indices(statement, [name for name, _ in self.loops])
        ranges = tuple(Range(i, sp.Integer(0), extent) for i, (_, extent) in zip(indices, self.loops, strict=True))

        def rule(part: sp.Basic) -> sp.Basic | None:
            if not isinstance(part, Access | BoundaryAccess) or part.tensor not in self.chosen:
                return None
            modes = self.joined(("",) * len(indices), modes_of(part))
            return altered(part, modes=modes, subscripts=self.joined(indices, part.subscripts))

        subscripts = tuple(rewrite(s, rule) for s in statement.subscripts)
        return replace(
            statement,
            subscripts=self.joined(indices, subscripts) if statement.target in self.chosen else subscripts,
            value=rewrite(statement.value, rule),
            ranges=(*statement.ranges, *ranges) if self.last else (*ranges, *statement.ranges),
            order=tuple(rewrite(a, rule) for a in statement.order),
            origin=Rewrite("vmap", f"for every {', '.join(map(str, indices))}", statement),
        )

    def repeated(self, name: str) -> str:
        """A tensor that does not depend on what is batched, copied for every value."""
        made = self._like(name)
        self.chosen.add(made)
        self.statements.append(self._copy(name, made, f"{name} does not depend on what is batched"))
        return made

    def rule(self, rule: HandWritten) -> HandWritten:
        """The gradient of the batched tensor; with respect to one that is not batched, the sum over the batch."""
        if (rule.result in self.chosen) == (rule.wrt in self.chosen):
            return rule
        if rule.wrt in self.chosen:
            return replace(rule, result=self.repeated(rule.result))
        made = self._like(rule.result)
        self.statements.append(self._copy(rule.result, made, f"{rule.wrt} is the same for every value"))
        return replace(rule, result=made)

    def _like(self, name: str) -> str:
        made = fresh_names([name], self.tensors)[name]
        self.tensors[made] = replace(self.tensors[name], name=made, kind="defined", init="")
        return made

    def _copy(self, source: str, target: str, why: str) -> Statement:
        own = plain_ranges(self.tensors[source].shape)
        value = Access(source, *(r.index for r in own))
        op = "=" if target in self.chosen else "+="
        return replace(self.statement(Statement(target, value.subscripts, op, value, own, order=(value,))), origin=Given(why))
