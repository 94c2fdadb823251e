"""Gradients that the user wrote: which derivatives they replace, and how they take part in reverse and in forward mode."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from graphc.errors import DifferentiationError, Location
from graphc.ir.expr import Access
from graphc.ir.graph import Graph, HandWritten, reads
from graphc.ir.origin import Given
from graphc.ir.show import expression, statement_body
from graphc.ir.statement import Statement, plain_ranges
from graphc.ir.tensor import Tensor
from graphc.passes.extension import above, below

__all__ = ["Rules", "check_linear", "copied"]


@dataclass(frozen=True)
class Rules:
    """The hand-written gradients of a graph, by tensor."""

    graph: Graph

    def of(self, name: str) -> tuple[HandWritten, ...]:
        return tuple(rule for rule in self.graph.rules if rule.tensor == name)

    def replaced(self, name: str, varied: Collection[str]) -> set[str]:
        """The tensors through which a tensor is not differentiated: those that its rules name, and what lies between.

        Args:
            name: any tensor.
            varied: the tensors with respect to which the program is differentiated.

        Raises:
            DifferentiationError: what lies between depends on another varied tensor as well.
        """
        named = {rule.wrt for rule in self.of(name)}
        if not named:
            return set()
        definitions = self.graph.definitions()
        found = below(self.graph, named)
        for s in definitions[name]:
            for read in reads(s):
                if read not in found or read in named:
                    continue
                others = above(self.graph, [read], named) & set(varied) - named
                if others:
                    self._refuse(s, sorted(others)[0], sorted(named), read)
        return found

    def _refuse(self, statement: Statement, other: str, named: list[str], through: str) -> None:
        target, listed = statement.target, ", ".join(named)
        raise DifferentiationError(
            f"{target} has a hand-written gradient with respect to {listed}, but none with respect to {other}, on which it depends "
            f"through {through}, which depends on {listed} as well.",
            at=(_marked(statement),),
            fix=f"give gc.custom_grad({target}, {{…}}) a function for {other}, too.",
        )


def copied(source: str, target: str, infos: Mapping[str, Tensor], why: str) -> Statement:
    """``target[…] += source[…]`` for two tensors of one shape."""
    ranges = plain_ranges(infos[target].shape)
    value = Access(source, *(r.index for r in ranges))
    return Statement(target, value.subscripts, "+=", value, ranges, order=(value,), origin=Given(why))


def check_linear(graph: Graph, rule: HandWritten, made: str, statements: Iterable[Statement]) -> None:
    """Refuse a rule whose transpose still depends on the adjoint.

    Args:
        graph: with the transpose.
        made: the tensor that holds the transpose.
        statements: that define `rule.tensor`.
    """
    if rule.adjoint not in above(graph, [made]):
        return
    at = tuple(map(_marked, statements))[:1]
    raise DifferentiationError(
        f"The hand-written gradient of {rule.tensor} with respect to {rule.wrt} is not linear in the gradient that it gets, so it has no "
        "forward mode.", at=at, fix="use gc.grad only, or write a function of dT that is linear in dT (not gc.clip(dT[…])).",
    )


def _marked(statement: Statement) -> tuple[str, str, Location | None]:
    return statement_body(statement), expression(Access(statement.target, *statement.subscripts)), statement.location
