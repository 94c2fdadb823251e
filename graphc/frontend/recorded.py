"""Statements as the user wrote them, and what can be checked about one statement alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sympy as sp

from graphc.errors import Location, NotationError
from graphc.frontend.expression import Types, plain
from graphc.frontend.functions import LONGEST, written_out
from graphc.ir.affine import linear
from graphc.ir.expr import Access, BoundaryAccess, Index, Reduce
from graphc.ir.origin import Origin
from graphc.ir.show import Order, expression
from graphc.ir.statement import Statement
from graphc.ir.tree import contains, indices_of, postorder

if TYPE_CHECKING:
    from graphc.frontend.tensor import Tensor

__all__ = ["GraphcWarning", "Recorded", "bound_names", "check_statement", "lost_reads", "unbound", "warn"]

_warned: dict[Any, Any] = {}


class GraphcWarning(UserWarning):
    """Something that is legal and probably not meant."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A statement of a derived graph, and how its tensors are identified: name in that graph → key."""

    statement: Statement
    keys: Mapping[str, str]

    def in_names(self, names: Mapping[str, str]) -> bool:
        """Whether a graph that calls the tensors so (key → name) has the same expressions."""
        return all(names.get(self.keys[name]) == name for name in (self.statement.target, *self.statement.reads))


@dataclass(frozen=True, slots=True)
class Recorded:
    """A statement as written: ranges are not known yet; or `exported`, the statement of a derived graph in terms of keys.

    `lost` are reads that the value does not contain, because ``X[i]**0`` is 1; their indices are indices of the statement all the same.
    `types` is what the type of the value, as it was written, is the common one of.
    """

    target: str
    subscripts: tuple[sp.Expr, ...]
    op: str
    value: sp.Expr
    declared: tuple[tuple[Index, sp.Expr, sp.Expr], ...]
    reads: tuple[tuple[Access | BoundaryAccess, Tensor], ...]
    location: Location | None
    domain: tuple[sp.Expr, ...] = ()
    origin: Origin | None = field(default=None, compare=False)
    indices: tuple[Index, ...] = ()
    lost: tuple[Access | BoundaryAccess, ...] = ()
    exported: Exported | None = field(default=None, compare=False, repr=False)
    types: Types = field(default=frozenset(), compare=False, repr=False)

    @property
    def unbound(self) -> set[Index]:
        """The indices of the right side, as it was written, that no reduction in it binds."""
        found = set(unbound(self.value))
        if self.exported is None:
            left = {i for s in self.subscripts for i in indices_of(s)}
            bound = {i for part in postorder(self.value) if isinstance(part, Reduce) for i in part.indices}
            written = {i for access in self.lost for i in indices_of(access)} | {i for i, _, _ in self.declared} - left
            found |= written - bound
        return found

    def shown(self, node: sp.Basic) -> str:
        """A part of the statement, with factors and terms in the order in which `text` has them."""
        return plain(expression(node, Order({a: k for k, (a, _) in reversed(list(enumerate(self.reads)))})))

    @property
    def left(self) -> str:
        """The element on the left side as text."""
        return self.shown(Access(self.target, *self.subscripts))

    @property
    def text(self) -> str:
        """The statement without loops, as an error message shows it."""
        return f"{self.left} {self.op} {self.shown(self.value)}"


def unbound(node: sp.Basic) -> tuple[Index, ...]:
    """The indices of an expression that no reduction in it binds, sorted by name."""
    done: dict[sp.Basic, set[Index]] = {}
    for part in postorder(node):
        found = {part} if isinstance(part, Index) else {i for a in part.args for i in done[a]}
        done[part] = found - set(part.indices) if isinstance(part, Reduce) else found
    return tuple(sorted(done[node], key=str))


def bound_names(node: sp.Basic, taken: set[Index]) -> dict[sp.Basic, sp.Expr]:
    """Readable names for bound indices: the user's, with a number behind it where that name is taken in the statement."""
    used = {str(i) for i in taken}
    mapping: dict[sp.Basic, sp.Expr] = {}
    for part in postorder(node):
        if isinstance(part, Reduce):
            for index in part.indices:
                base = str(index).split("@")[0]
                name, count = base, 1
                while name in used:
                    count += 1
                    name = f"{base}_{count}"
                used.add(name)
                mapping[index] = Index(name)
    return mapping


# ------------------------------------------------------------------------------------------------------------------ checks


def _check_length(statement: Recorded) -> None:
    """Refuse what nobody could read or compile: nodes are shared in memory, but not in a text."""
    count, different = written_out(statement.value), len(postorder(statement.value))
    if count > max(LONGEST, 10 * different):
        raise NotationError(
            f"The right side of {statement.left} has only {different} different parts, but written out it has {_rounded(count)}.",
            at=((f"{statement.left} {statement.op} …", "…", statement.location),),
            fix="give a part that is used several times a tensor of its own, u[i] = …, and read that; steps of one rule can be a "
                "recurrence, x[t,i] = f(x[t-1,i]).",
        )


def _rounded(count: int) -> str:
    return f"{count:,}" if count < 10**9 else f"more than 10**{len(str(count)) - 1}"


def check_statement(statement: Recorded, bound: frozenset[Index], warn: bool = True) -> None:
    """Refuse what is wrong whatever the other statements are.

    Args:
        statement: with bound indices as the reductions numbered them.
        bound: the user's indices that reductions bind.
        warn: whether to tell of summands that lack a summed index.

    Raises:
        NotationError: the right side repeats its parts exponentially; a bound index is used outside of its reduction; = has an index only
            on its right, writes through an integer tensor, or may write an element twice.
    """
    _check_length(statement)
    left = {i for s in statement.subscripts for i in indices_of(s)}
    outside = statement.unbound
    _check_bound(statement, sorted(bound & (left | outside), key=str), left)
    if statement.op == "+=":
        if warn:
            _warn_lacking(statement, set(unbound(statement.value)) - left - {i for access in statement.lost for i in indices_of(access)})
        return
    through = [s for s in statement.subscripts if contains(s, Access)]
    if through:
        name = plain(statement.target)
        raise NotationError(
            f"= cannot write through an integer tensor: two of its values may be equal, and an element of {name} would get both.",
            at=((statement.text, statement.shown(through[0]), statement.location),),
            fix="use += (a scatter), which adds what falls on the same element.",
        )
    extra = sorted(outside - left, key=str)
    if extra and statement.op == "=":
        names = ", ".join(map(str, extra))
        is_are = f"The index {names} is" if len(extra) == 1 else f"The indices {names} are"
        raise NotationError(
            f"{is_are} only on the right of =, so one element of {plain(statement.target)} would get many values.",
            at=((statement.text, str(extra[0]), statement.location),),
            fix=f"use += to sum over {names}, or gc.sum(…, over={extra[0]}) inside the expression.",
        )
    _check_injective(statement)


def _check_bound(statement: Recorded, misused: list[Index], left: set[Index]) -> None:
    for index in misused:
        reads = [p for p in postorder(statement.value) if isinstance(p, Access | BoundaryAccess) and index in indices_of(p)]
        culprit = statement.left if index in left else statement.shown(reads[0]) if reads else str(index)
        raise NotationError(f"The index {index} belongs to a reduction (over={index}) and is used outside of it as well.",
                            at=((statement.text, culprit, statement.location),), fix="use another index in one of the two places.")


def _check_injective(statement: Recorded) -> None:
    declared = {i for i, _, _ in statement.declared}
    forms = [linear(s) for s in statement.subscripts]
    for subscript, form in zip(statement.subscripts, forms, strict=True):
        units = [a for a, c in form.terms if isinstance(a, Index) and abs(c) == 1 and a not in declared] if form else []
        alone = {a for other in forms if other and other is not form for a, _ in other.terms}
        if len(units) >= 2 and len(set(units) - alone) >= 2:
            culprit = statement.shown(subscript).replace(" ", "")
            raise NotationError(
                f"Two iterations may write the same element of {plain(statement.target)}: {culprit} has equal values for different "
                f"{' and '.join(str(u) for u in units[:2])}.", at=((statement.text, culprit, statement.location),),
                fix="use += if the values shall be added; a left side of = must hit each element once (Y[t+3], Y[2*i+1]).",
            )


def _warn_lacking(statement: Recorded, summed: set[Index]) -> None:
    for term in sp.Add.make_args(statement.value):
        lacking = ", ".join(sorted(str(i) for i in summed if i not in indices_of(term)))
        if lacking:
            at, shown = statement.location, statement.shown(term)
            message = f"the summand {shown} does not contain {lacking}, so it is added once per value of {lacking}."
            warn(f"{statement.text}\n  {message}\n  at {at}", at)


def warn(message: str, at: Location | None) -> None:
    """A `GraphcWarning` at a line of the user's program, once per line."""
    if at is not None:
        warnings.warn_explicit(message, GraphcWarning, at.file, at.line, registry=_warned)
    else:
        warnings.warn(message, GraphcWarning, stacklevel=3)


def lost_reads(value: sp.Expr, reads: Iterable[Access | BoundaryAccess]) -> tuple[Access | BoundaryAccess, ...]:
    """The reads that an expression was built of and does not contain."""
    left = set(postorder(value))
    return tuple(access for access in reads if access not in left)
