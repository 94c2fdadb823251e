"""A graph: tensors, the set of statements that define them, and what is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sympy as sp

from graphc.ir.expr import accesses
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor

__all__ = ["Check", "Graph", "reads"]


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on sizes that is tested once per call: if every expression of `violation` is ≥ 0, `message` is raised."""

    violation: tuple[sp.Expr, ...]
    message: str
    kind: str = "shape"


def reads(statement: Statement) -> tuple[str, ...]:
    """Names of the tensors that a statement reads, subscripts included, each once."""
    found: dict[str, None] = {}
    for part in (statement.value, *statement.subscripts):
        for access in accesses(part):
            found.setdefault(access.tensor)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Graph:
    """Tensors and statements; the order of `statements` has no meaning, `tensors` are in order of first use.

    Attributes:
        tensors: every tensor that occurs.
        statements: their definitions.
        outputs: names of the tensors that are asked for.
        checks: conditions on sizes, tested once per call.
    """

    tensors: tuple[Tensor, ...]
    statements: tuple[Statement, ...]
    outputs: tuple[str, ...]
    checks: tuple[Check, ...] = ()

    def tensor(self, name: str) -> Tensor:
        return self.by_name()[name]

    def by_name(self) -> dict[str, Tensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    def definitions(self) -> dict[str, list[Statement]]:
        """Statements by target; every tensor has an entry."""
        found: dict[str, list[Statement]] = {tensor.name: [] for tensor in self.tensors}
        for statement in self.statements:
            found[statement.target].append(statement)
        return found

    def order(self) -> tuple[str, ...]:
        """Tensor names such that each comes after those it is computed from (a recurrence keeps the order of first use)."""
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


def fresh_names(wanted: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """A name for each wanted one that is neither taken nor given twice: ``u``, ``u_2``, ``u_3`` …"""
    used = set(taken)
    given: dict[str, str] = {}
    for name in wanted:
        candidate, count = name, 1
        while candidate in used:
            count += 1
            candidate = f"{name}_{count}"
        used.add(candidate)
        given[name] = candidate
    return given
