"""A program divided among ranks, as data: what each computes, and what they exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from graphc.ir.expr import Size
from graphc.ir.graph import Graph
from graphc.ir.statement import Statement

__all__ = ["KINDS", "Distribution", "Exchange", "Halo", "Line", "Segment", "Stage"]

KINDS = {"+=": "sum", "prod": "prod", "max": "max", "min": "min", "max_split": "max", "min_split": "min", "supremum": "max",
         "infimum": "min", "any": "any", "all": "all"}
"""The exchange that makes one value of those that the ranks have, by the operation of the statement."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Tensors of which every rank has a part, and which are the same on all ranks afterwards.

    Attributes:
        kind: "sum", "prod", "max", "min", "any" or "all".
        dtype: of the tensors.
        tensors: their names; they lie in one array.
    """

    kind: str
    dtype: str
    tensors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Halo:
    """A tensor with the rows before and behind those of the rank.

    Attributes:
        tensor: whose rows they are.
        widened: the name of the tensor with them.
        dimension: of the rows.
        before, behind: how many.
    """

    tensor: str
    widened: str
    dimension: int
    before: int
    behind: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Statements that run without a pause.

    Attributes:
        graph: the statements.
        exchanges: what is sent when they have run.
        equal: whether all ranks compute the same from the same, to the last bit.
    """

    graph: Graph
    exchanges: tuple[Exchange, ...]
    equal: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """What is computed between two meetings of the ranks.

    Attributes:
        segments: run one after the other.
        halos: exchanged before them.
        divided: whether a rank may fail alone, because it computes what others do not.
    """

    segments: tuple[Segment, ...]
    halos: tuple[Halo, ...]
    divided: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A statement as it is distributed.

    Attributes:
        statement: in terms of all rows.
        stage: in which it runs, from 0.
        mark: "local", "partial" or "reduced".
        reason: why.
    """

    statement: Statement
    stage: int
    mark: str
    reason: str


@dataclass(frozen=True)
class Distribution:
    """What the ranks do.

    Attributes:
        stages: in order; all ranks have exchanged the results of one before the next begins.
        lines: every statement with its mark.
        dimensions: the divided dimension of each tensor that has one.
        rows, start: sizes that are bound to the number of rows of a rank and to the first of them.
        extent: how many rows there are on all ranks.
    """

    stages: tuple[Stage, ...]
    lines: tuple[Line, ...]
    dimensions: Mapping[str, int]
    rows: Size
    start: Size
    extent: sp.Expr
