"""Forward-mode differentiation: a graph becomes the graph of its tangents, made of the same loops.

Per statement ``T[f] op e``: ``T.dot[f] op R · Σ ∂e/∂X[g] · X.dot[g]`` on the same loops and domain, with the slope R of the reduction.
(Griewank and Walther, Evaluating Derivatives, 2008, chapter 3.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import sympy as sp

from graphc.ir.dtypes import is_float
from graphc.ir.expr import Access
from graphc.ir.graph import Graph, HandWritten, reads
from graphc.ir.origin import Given, Tangent
from graphc.ir.statement import Statement, plain_ranges
from graphc.ir.tree import accesses
from graphc.passes.differentiate import differentiate
from graphc.passes.extension import Extension, between
from graphc.passes.hand_written import Rules, check_linear, copied
from graphc.passes.partials import tangent
from graphc.passes.slopes import recovered, slope

__all__ = ["push_forward"]

_ONE = sp.Integer(1)


def push_forward(graph: Graph, outputs: Sequence[str], tangents: Mapping[str, str]) -> tuple[Graph, dict[str, str]]:
    """Extend a graph without nested reductions and boundary views by the tangents of `outputs`.

    Args:
        graph: the program.
        outputs: float tensors of the graph.
        tangents: tensor → the tensor of the same shape that says how it changes. A defined tensor changes by that in addition to what
            its statements make of the other changes, which makes forward mode the transpose of reverse mode.

    Returns:
        The graph with additional tensors ``T.dot`` and statements, and the name of the tangent of each output.
    """
    worker = _Forward(graph, dict(tangents), tuple(outputs))
    worker.run()
    names = {name: worker.final(name) for name in outputs}
    return worker.extension.result(list(dict.fromkeys(names.values()))), names


@dataclass
class _Forward:
    graph: Graph
    given: dict[str, str]
    outputs: tuple[str, ...]
    names: dict[str, str] = field(default_factory=dict)
    constant: set[str] = field(default_factory=set)
    """Active tensors whose tangent turned out to be zero."""

    def __post_init__(self) -> None:
        self.extension = Extension(self.graph)
        self.definitions = self.graph.definitions()
        self.rules = Rules(self.graph)
        self.active = {n for n in between(self.graph, self.given, self.outputs) if is_float(self.extension.tensors[n].dtype)}

    def run(self) -> None:
        for name in self.given:
            if name in self.active and self._only_given(name):
                self.names[name] = self.given[name]
        for name in self.graph.order():
            if name in self.active and not self._only_given(name):
                self._tensor(name)

    def _only_given(self, name: str) -> bool:
        """Whether a tensor changes by its given tangent alone."""
        return name in self.given and not any(read in self.active for s in self.definitions[name] for read in reads(s))

    def name_of(self, name: str) -> str:
        """The tangent of a tensor, declared on first use."""
        if name not in self.names:
            info = self.extension.tensors[name]
            self.names[name] = self.extension.add_tensor(f"{name}.dot", info.shape, info.dtype, info.group)
        return self.names[name]

    def final(self, name: str) -> str:
        """The tangent of an output, zeros if it does not change."""
        if name not in self.names:
            self.extension.add_zeros(self.name_of(name), f"{name} does not depend on {', '.join(self.given)}")
        return self.names[name]

    def _tensor(self, name: str) -> None:
        definitions = self.definitions[name]
        if name in self.given:
            self._seed(name)
        made = len(self.extension.statements)
        replaced = self.rules.replaced(name, self.given)
        for statement in definitions:
            self._statement(statement, replaced)
        for rule in self.rules.of(name):
            self._apply(rule)
        if name not in self.given and not any(s.target == self.names.get(name) for s in self.extension.statements[made:]):
            if name in self.names:
                self.extension.add_zeros(self.names[name], f"{name} does not change")
            else:
                self.constant.add(name)

    def _seed(self, name: str) -> None:
        ranges = plain_ranges(self.extension.tensors[name].shape)
        value = Access(self.given[name], *(r.index for r in ranges))
        self.extension.statements.append(
            Statement(
                self.name_of(name), value.subscripts, "+=", value, ranges, order=(value,), origin=Given(f"the given change of {name}")
            )
        )

    def _apply(self, rule: HandWritten) -> None:
        """``T.dot`` by the transpose of ``X.grad = rule(T.grad)``, which is the derivative of ``Σ X.dot·rule(T.grad)``."""
        if rule.wrt not in self.active or rule.wrt in self.constant:
            return
        seed, target = self.name_of(rule.wrt), self.name_of(rule.tensor)
        graph, names = differentiate(self.extension.result(()), rule.result, (rule.adjoint,), seed)
        made = names[rule.adjoint]
        check_linear(graph, rule, made, self.definitions[rule.tensor])
        own = len(self.graph.statements)
        base = replace(graph, statements=graph.statements[:own], outputs=self.graph.outputs)
        self.extension = Extension(base, statements=list(graph.statements[own:]))
        why = f"the hand-written gradient of {rule.tensor}, transposed"
        self.extension.statements.append(copied(made, target, self.extension.tensors, why))

    def _statement(self, statement: Statement, replaced: set[str]) -> None:
        directions = {
            a: Access(self.name_of(a.tensor), *a.subscripts)
            for a in accesses(statement.value)
            if isinstance(a, Access) and a.tensor in self.active and a.tensor not in self.constant and a.tensor not in replaced
        }
        if not directions:
            return
        known = recovered(statement, self.definitions)
        change = tangent(statement.value, directions, known)
        if change == 0:
            return
        local = slope(statement, self.extension)
        value = local.times(_ONE, change)
        order = tuple(b for a in (*statement.order, *directions) for b in (directions.get(a, a), a))
        for term in sp.Add.make_args(value) if statement.op != "=" and statement.reduced else (value,):
            self.extension.statements.append(
                replace(
                    statement,
                    target=self.name_of(statement.target),
                    op="=" if statement.op == "=" else "+=",
                    value=term,
                    order=(*order, *local.reads, *known.values()),
                    origin=Tangent(statement, tuple(directions.items())),
                )
            )
