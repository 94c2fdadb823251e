"""Reverse-mode differentiation: a graph becomes the graph of its adjoints, made of the same loops.

Per distinct read ``X[g]`` of a statement ``T[f] op e``: ``X.grad[g] += T.grad[f] · R · ∂e/∂X[g]`` on the same loops and domain,
where R is 1 for sums and assignments, selects the extremum for max and min, is ``exp(e - T)`` for logsumexp and the product of the
other factors for prod. (Griewank and Walther, Evaluating Derivatives, 2008, chapter 3, for the reverse sweep over a statement.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import sympy as sp

from graphc.ir.dtypes import is_float
from graphc.ir.expr import Access, build
from graphc.ir.graph import Graph, HandWritten
from graphc.ir.origin import Derivative, Given
from graphc.ir.statement import Statement, plain_ranges
from graphc.ir.tree import accesses, postorder, substitute
from graphc.passes.extension import Extension, between
from graphc.passes.hand_written import Rules, copied
from graphc.passes.partials import partials
from graphc.passes.prune import rename_tensors
from graphc.passes.slopes import Slope, recovered, slope

__all__ = ["differentiate"]

_ONE, _ZERO = sp.Integer(1), sp.Integer(0)


def differentiate(graph: Graph, output: str, wrt: Sequence[str], seed: str | None = None) -> tuple[Graph, dict[str, str]]:
    """Extend a graph without nested reductions and boundary views by the adjoints of `wrt`.

    Args:
        graph: the forward program.
        output: the tensor that is differentiated; a scalar unless `seed` is given.
        wrt: tensors of the graph.
        seed: name of a tensor of the output's shape that is multiplied with the derivative; None stands for 1.

    Returns:
        The graph with additional tensors ``X.grad`` and statements, and the name of the adjoint of each tensor in `wrt`.
    """
    worker = _Reverse(graph, output, tuple(wrt), seed)
    worker.run()
    return worker.result(), {name: worker.adjoint_name(name) for name in wrt}


@dataclass
class _Reverse:
    graph: Graph
    output: str
    wrt: tuple[str, ...]
    seed: str | None
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.extension = Extension(self.graph)
        self.tensors = self.extension.tensors
        self.statements = self.extension.statements
        self.definitions = self.graph.definitions()
        self.active = {n for n in between(self.graph, self.wrt, [self.output]) if is_float(self.tensors[n].dtype)}
        self.rules = Rules(self.graph)
        self.adjoints_of_rules: dict[str, str] = {}
        self.read_count = self._read_counts()
        self.tensors_reached: set[str] = {self.output}

    def _read_counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for s in self.graph.statements:
            if s.target in self.active:
                for access in accesses(s.value):
                    counts[access.tensor] = counts.get(access.tensor, 0) + 1
        return counts

    # ---------------------------------------------------------------------------------------------------- names
    def adjoint_name(self, name: str) -> str:
        if name not in self.names:
            info = self.tensors[name]
            self.names[name] = self.extension.add_tensor(f"{name}.grad", info.shape, info.dtype, info.group)
        return self.names[name]

    def adjoint(self, statement: Statement) -> sp.Expr:
        """``T.grad[f]`` for the left side of a statement."""
        if statement.target == self.output and self.trivial:
            return _ONE
        return Access(self.adjoint_name(statement.target), *statement.subscripts)

    # ---------------------------------------------------------------------------------------------------- sweep
    def run(self) -> None:
        self._start()
        waiting = [name for name in reversed(self.graph.order()) if name in self.active]
        progress = True
        while progress:
            # Outside of a recurrence one round suffices; inside, a tensor may be reached by one that is treated after it.
            progress = False
            for name in tuple(waiting):
                if name in self.tensors_reached:
                    replaced = self.rules.replaced(name, self.wrt)
                    for statement in self.definitions[name]:
                        self._statement(statement, replaced)
                    for rule in self.rules.of(name):
                        self._apply(rule)
                    waiting.remove(name)
                    progress = True
        for name in self.wrt:
            if name not in self.tensors_reached:
                self.extension.add_zeros(self.adjoint_name(name), f"{self.output} does not depend on {name}")

    @property
    def trivial(self) -> bool:
        """Whether nothing needs the adjoint of the output, which is 1."""
        return self.seed is None and self.output not in self.wrt and not self.rules.of(self.output)

    def _start(self) -> None:
        if self.trivial:
            return
        ranges = plain_ranges(self.tensors[self.output].shape)
        subscripts = tuple(r.index for r in ranges)
        value: sp.Expr = _ONE if self.seed is None else Access(self.seed, *subscripts)
        self.statements.append(
            Statement(
                self.adjoint_name(self.output),
                subscripts,
                "+=" if ranges else "=",
                value,
                ranges,
                (),
                (value,) if isinstance(value, Access) else (),
                None,
                Given("the seed"),
            )
        )

    def _apply(self, rule: HandWritten) -> None:
        if rule.wrt in self.active:
            self.tensors_reached.add(rule.wrt)
            self.adjoints_of_rules[rule.adjoint] = self.adjoint_name(rule.tensor)
            target, why = self.adjoint_name(rule.wrt), f"the hand-written gradient of {rule.tensor}"
            self.statements.append(copied(rule.result, target, self.tensors, why))

    def _statement(self, statement: Statement, replaced: set[str]) -> None:
        active = self.active - replaced
        targets = [a for a in accesses(statement.value) if isinstance(a, Access) and a.tensor in active]
        if not targets:
            return
        adjoint, known = self.adjoint(statement), recovered(statement, self.definitions)
        if self._shared(statement, targets, known):
            return
        local = slope(statement, self.extension)
        for access, partial in partials(statement.value, targets, known).items():
            self._contribute(statement, access, local.times(adjoint, partial), local.reads)

    def _contribute(self, statement: Statement, access: Access, value: sp.Expr, extra_order: tuple[Access, ...]) -> None:
        if value == 0:
            return
        self.tensors_reached.add(access.tensor)
        adjoint = self.adjoint(statement)
        known = recovered(statement, self.definitions)
        order = tuple(a for a in (adjoint, *extra_order, *statement.order, *known.values()) if isinstance(a, Access))
        self.statements.append(
            Statement(
                self.adjoint_name(access.tensor),
                access.subscripts,
                "+=",
                value,
                statement.loops,
                statement.domain,
                order,
                statement.location,
                Derivative(statement, access, adjoint, value),
            )
        )

    # -------------------------------------------------------------------------------------------------- sharing
    def _shared(self, statement: Statement, targets: list[Access], known: dict[sp.Basic, sp.Expr]) -> bool:
        """Let several reads share the adjoint of the sum they enter together, if one of them is a tensor that is read nowhere else:
        its adjoint *is* that shared value."""
        if len(targets) < 2 or statement.op not in ("=", "+="):
            return False
        node = _pre_activation(statement.value, targets)
        if node is None or node == statement.value:
            return False
        loops = tuple(r.index for r in statement.loops)
        suitable = [
            a
            for a in targets
            if a in node.args
            and sum(a in accesses(part) for part in node.args) == 1
            and self.read_count[a.tensor] == 1
            and not self.tensors[a.tensor].is_input
            and a.tensor != self.output
            and set(a.subscripts) == set(loops)
            and len(a.subscripts) == len(loops)
        ]
        if not suitable:
            return False
        carrier = min(suitable, key=lambda a: statement.order.index(a) if a in statement.order else len(statement.order))
        outer = partials(statement.value, [node], known).get(node, _ZERO)
        self._contribute(statement, carrier, Slope().times(self.adjoint(statement), outer), ())
        common = Access(self.adjoint_name(carrier.tensor), *carrier.subscripts)
        rest = [a for a in targets if a != carrier]
        for access, partial in partials(node, rest, {}).items():
            if partial == 0:
                continue
            self.tensors_reached.add(access.tensor)
            value = _times(common, partial)
            self.statements.append(
                Statement(
                    self.adjoint_name(access.tensor),
                    access.subscripts,
                    "+=",
                    value,
                    statement.loops,
                    statement.domain,
                    (common, *statement.order),
                    statement.location,
                    Derivative(statement, access, common, value, carrier, node),
                )
            )
        return True

    # --------------------------------------------------------------------------------------------------- result
    def result(self) -> Graph:
        graph = self.extension.result([self.adjoint_name(n) for n in self.wrt])
        return rename_tensors(graph, self.adjoints_of_rules, "custom_grad") if self.adjoints_of_rules else graph


def _times(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    return build(lambda: a * b)


def _pre_activation(value: sp.Expr, targets: list[Access]) -> sp.Expr | None:
    """The smallest sum that contains all targets and enters the rest of the expression once."""
    best: sp.Expr | None = None
    for part in postorder(value):
        if isinstance(part, sp.Add) and set(targets) <= set(accesses(part)):
            best = part
            break
    if best is None:
        return None
    rest = substitute(value, {best: sp.Symbol("_pre")})
    return None if any(t in accesses(rest) for t in targets) else best
