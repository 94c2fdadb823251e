"""Where a statement comes from: facts that the passes leave behind; their text is made by `graphc.explain` when somebody asks.

Each record holds the statement before the step, which holds its own record: a derivation is a chain that ends at what the user wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sympy as sp

from graphc.ir.expr import Access, BoundaryAccess, Index

if TYPE_CHECKING:
    from graphc.ir.statement import Statement

__all__ = ["Brought", "Derivative", "Exported", "Given", "Origin", "Part", "Rewrite", "Solution", "Tangent", "lineage"]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The statement is `source` in another form.

    Attributes:
        name: of the rule, one or two words.
        rule: what the rule does, in notation where that is possible; or the definitions that it puts in.
        source: the statement before.
    """

    name: str
    rule: str | tuple[Statement, ...]
    source: Statement


@dataclass(frozen=True, slots=True)
class Part:
    """The statement defines a temporary that stands for a part of `source`, or that `source` needs for its derivative.

    Attributes:
        what: the part in words: "the nested sum".
        source: the statement that it is a part of.
        without: indices of the reduction in `source` whose current values are left out; empty for other parts.
    """

    what: str
    source: Statement
    without: tuple[Index, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, slots=True)
class Brought(Part):
    """The statement says where the integers come to lie that are the subscript of a boundary view of `source`, in one dimension."""

    view: BoundaryAccess
    dimension: int


@dataclass(frozen=True, slots=True)
class Derivative:
    """The statement adds ``adjoint · ∂T[f]/∂access`` to the adjoint of `access`.

    Attributes:
        source: the statement that defines T.
        access: the read that is varied.
        adjoint: what the chain rule multiplies with: ``T.grad[f]``, 1 for the differentiated scalar itself, or the adjoint of `carrier`.
        value: the contribution, linear in `adjoint`.
        carrier: another read of `source` that enters the same sum, and whose adjoint is the shared factor (None if nothing is shared).
        inner: that sum.
    """

    source: Statement
    access: Access
    adjoint: sp.Expr
    value: sp.Expr
    carrier: Access | None = None
    inner: sp.Expr | None = None


@dataclass(frozen=True, slots=True)
class Tangent:
    """The statement says how the tensor of `source` changes when what it reads does: ``Σ ∂T[f]/∂access · change of access``.

    Attributes:
        source: the statement that defines T.
        changes: each varied read with its change.
    """

    source: Statement
    changes: tuple[tuple[Access, Access], ...]


@dataclass(frozen=True, slots=True)
class Solution:
    """``fresh = subscript``, which a dimension of the left side of `source` is or depends on, was solved for `index`, which `solution`
    replaces.

    `fresh` is `index` itself where the index is only shifted.
    """

    source: Statement
    subscript: sp.Expr
    fresh: Index
    index: Index
    solution: sp.Expr


@dataclass(frozen=True, slots=True)
class Given:
    """The statement stands at the beginning of a derivation: a seed, or zeros for what nothing contributes to."""

    what: str


@dataclass(frozen=True, slots=True)
class Exported:
    """The statement became one of a tensor that is read under other names in other programs.

    Attributes:
        origin: the derivation, in the names of the program that was derived.
        keys: those names → what identifies the tensor in every program.
    """

    origin: Origin
    keys: Mapping[str, str]


Origin = Rewrite | Part | Derivative | Tangent | Solution | Given | Exported


def lineage(origin: Origin | None) -> Iterator[Origin]:
    """How a statement came about, the last step first."""
    while origin is not None:
        yield origin
        origin = origin.origin if isinstance(origin, Exported) else None if isinstance(origin, Given) else origin.source.origin
