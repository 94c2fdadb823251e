"""A graph: tensors, the set of statements that define them, and what is asked for."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor

__all__ = ["Check", "Graph", "HandWritten", "fresh_name", "fresh_names", "reads"]


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on sizes that is tested once per call: if every expression of `violation` is ≥ 0, `message` is raised.

    Those of the kind "required" belong to a tensor and say how to fix it; all others follow from statements.
    """

    violation: tuple[sp.Expr, ...]
    message: str
    kind: str = "shape"
    fix: str = ""


@dataclass(frozen=True, slots=True)
class HandWritten:
    """A gradient that the user wrote: when the adjoint of `tensor` is `adjoint`, that of `wrt` gets `result`. All are names.

    Nothing but `result`, or what it is computed from, reads `adjoint`, a tensor without a value of its own.
    """

    tensor: str
    wrt: str
    adjoint: str
    result: str


def reads(statement: Statement) -> tuple[str, ...]:
    """Names of the tensors that a statement reads, subscripts included, each once."""
    return statement.reads


@dataclass(frozen=True)
class Graph:
    """Tensors and statements; the order of `statements` has no meaning, `tensors` are in order of first use.

    It has no slots, so that what every pass asks for is computed once.

    Attributes:
        tensors: every tensor that occurs.
        statements: their definitions.
        outputs: names of the tensors that are asked for.
        checks: conditions on sizes, tested once per call.
        rules: gradients that replace derived ones; their statements are in the graph while it is transformed.
    """

    tensors: tuple[Tensor, ...]
    statements: tuple[Statement, ...]
    outputs: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    rules: tuple[HandWritten, ...] = ()

    def tensor(self, name: str) -> Tensor:
        return self._by_name[name]

    def by_name(self) -> Mapping[str, Tensor]:
        return self._by_name

    def definitions(self) -> Mapping[str, tuple[Statement, ...]]:
        """Statements by target; every tensor has an entry."""
        return self._definitions

    def readers(self) -> Mapping[str, frozenset[str]]:
        """Targets of the statements that read a tensor; tensors that nothing reads have no entry."""
        return self._readers

    @cached_property
    def _readers(self) -> Mapping[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for statement in self.statements:
            for name in statement.reads:
                found.setdefault(name, set()).add(statement.target)
        return {name: frozenset(targets) for name, targets in found.items()}

    @cached_property
    def _by_name(self) -> Mapping[str, Tensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def _definitions(self) -> Mapping[str, tuple[Statement, ...]]:
        found: dict[str, list[Statement]] = {tensor.name: [] for tensor in self.tensors}
        for statement in self.statements:
            found[statement.target].append(statement)
        return {name: tuple(statements) for name, statements in found.items()}

    def order(self) -> tuple[str, ...]:
        """Tensor names such that each comes after those it is computed from (a recurrence keeps the order of first use)."""
        return self._order

    @cached_property
    def _order(self) -> tuple[str, ...]:
        definitions = self.definitions()
        done: dict[str, None] = {}
        entered: set[str] = set()
        for root in (*self.outputs, *(t.name for t in self.tensors)):
            stack: list[tuple[str, bool]] = [(root, False)]
            while stack:
                name, complete = stack.pop()
                if complete:
                    done.setdefault(name)
                elif name not in entered:
                    entered.add(name)
                    stack.append((name, True))
                    sources = dict.fromkeys(read for s in definitions[name] for read in reads(s))
                    stack.extend((source, False) for source in reversed(sources) if source not in entered)
        return tuple(done)


def fresh_name(wanted: str, *taken: Container[str]) -> str:
    """``u``, or the first of ``u_2``, ``u_3`` … that is not taken."""
    candidate, count = wanted, 1
    while any(candidate in names for names in taken):
        count += 1
        candidate = f"{wanted}_{count}"
    return candidate


def fresh_names(wanted: Iterable[str], taken: Container[str]) -> dict[str, str]:
    """A name for each wanted one that is neither taken nor given twice."""
    given: dict[str, str] = {}
    used: set[str] = set()
    for name in wanted:
        given[name] = fresh_name(name, taken, used)
        used.add(given[name])
    return given
