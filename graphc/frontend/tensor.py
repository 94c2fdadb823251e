"""Tensors of the notation, and the capture of the statements that define them."""

from __future__ import annotations

import itertools
import keyword
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import sympy as sp

from graphc.errors import DtypeError, Location, NotationError, RangeError, ShapeError
from graphc.frontend.expression import Expr, display, merged, shown, wrap
from graphc.frontend.location import here
from graphc.frontend.recorded import GraphcWarning, Recorded, bound_names, check_statement, lost_reads, unbound
from graphc.frontend.unindexed import Unindexed
from graphc.ir.affine import is_affine
from graphc.ir.dtypes import DTYPES, is_integer
from graphc.ir.expr import Access, BoundaryAccess, Compare, Index, Logical, Size
from graphc.ir.graph import Check
from graphc.ir.tree import contains, indices_of, substitute

__all__ = ["Contribution", "Element", "GraphcWarning", "HandWritten", "Recorded", "Tensor"]

_serial = itertools.count(1)
_taken: dict[str, int] = {}
_LARGEST_EXTENT = 2**62


class Element(Expr):
    """``tensor[subscripts]``."""

    __slots__ = ("owner",)

    def __init__(self, owner: Tensor, node: Access, parts: tuple[Any, ...]) -> None:
        reads, ranges, bound = parts
        super().__init__(node, {node: owner, **reads}, ranges, bound)
        self.owner = owner

    def __iadd__(self, other: Any) -> Any:  # what mypy needs to accept T[i] += e
        contribution = Contribution(self, wrap(other, lambda: f"{self!r} += {shown(other)}"), here())
        self.owner._open.append(contribution)
        return contribution

    def _no_update(self, other: Any) -> NoReturn:
        name, text = self.owner.name, repr(self)
        raise NotationError(
            f"{text} can be defined by = and +=, but not changed in place: a program is a set of equations.", at=((text, text, here()),),
            fix=f"write {text} += -(…) to subtract, or define another tensor from {name}; a Python variable u is changed by u = u*….",
        )

    __isub__ = __imul__ = __itruediv__ = __ipow__ = __ifloordiv__ = __imod__ = __imatmul__ = __iand__ = __ior__ = _no_update


class Contribution(Unindexed):
    """What ``tensor[subscripts] += value`` hands to Python between reading and writing the element."""

    def __init__(self, element: Element, value: Expr, location: Location | None) -> None:
        self.element, self.value, self.location = element, value, location

    @property
    def label(self) -> str:
        return f"{self.element!r} += {self.value!r}"

    def __repr__(self) -> str:
        return self.label

    def _misused(self, text: str = "") -> NoReturn:
        name = self.element.owner.name
        raise NotationError(
            f"A += on an element of {name} was kept in a variable; it would change nothing.", at=((self.label, "+=", self.location),),
            fix=f"write the subscripts on the left of the +=: {self.label}. To add to a Python variable, write u = u + ….",
        )

    def _refuse(self, what: str, fix: str) -> NoReturn:
        self._misused()


@dataclass(frozen=True, slots=True)
class HandWritten:
    """A gradient that the user wrote: `result` with respect to `wrt`, in terms of `adjoint`."""

    wrt: Tensor
    adjoint: Tensor
    result: Tensor


class Tensor(Unindexed):
    """An array of numbers, given (an input) or defined by statements.

    Create tensors with `graphc.tensor`, `graphc.tensors` or `graphc.parameter`. ``T[i, j]`` reads an element; ``T[i, j] = e``
    and ``T[i, j] += e`` record statements.
    """

    def __init__(
        self, name: str, shape: tuple[Any, ...] | None, dtype: str | None = None, kind: str = "input", init: Any = "", group: str = ""
    ) -> None:
        text = f"tensor({', '.join(map(shown, (name, *(shape or ()))))}{'' if dtype is None else f', dtype={shown(dtype)}'})"
        if not isinstance(name, str) or not all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")):
            raise NotationError(f"{shown(name)} is not a name for a tensor.", at=((text, shown(name), here()),),
                                fix='write letters, digits, _ and dots, the name first: gc.tensor("conv1.weight", N); keywords are taken.')
        self.declared_shape = None if shape is None else tuple(_extent(name, extent, text) for extent in shape)
        self.declared_dtype = _dtype(name, dtype, text)
        count = _taken[name] = _taken.get(name, 0) + 1
        self.name = name
        self.key = name if count == 1 else f"{name}#{count}"
        self.serial = next(_serial)
        self.location = here()
        self.kind, self.init, self.group = kind, init, group
        self.statements: list[Recorded] = []
        self.frozen_by = ""
        self.inferred: tuple[int, tuple[sp.Expr, ...], str] | None = None
        self.batched_from: Tensor | None = None
        self.rules: list[HandWritten] = []
        self.required: tuple[Check, ...] = ()
        self.given: tuple[Tensor, ...] = ()  # the inputs of the program from which this tensor was derived
        self.every = 0
        self._rank: int | None = None if shape is None else len(shape)
        self._first_use: tuple[str, str, Location | None] = ("", "", None)
        self._open: list[Contribution] = []

    # ------------------------------------------------------------------------------------------------ properties
    @property
    def ndim(self) -> int | None:
        """Number of dimensions; None while nothing is known."""
        return self._rank

    @property
    def shape(self) -> tuple[Any, ...]:
        """One int or size expression per dimension, inferred from the definitions if need be."""
        from graphc.frontend.collect import shape_and_dtype

        shape, _ = shape_and_dtype(self)
        return tuple(int(extent) if isinstance(extent, sp.Integer) else Expr(extent) for extent in shape)

    @property
    def dtype(self) -> str:
        """NumPy type name, inferred from the definitions if need be."""
        from graphc.frontend.collect import shape_and_dtype

        return self.declared_dtype or shape_and_dtype(self)[1]

    @property
    def label(self) -> str:
        return self.name

    @property
    def _subject(self) -> str:
        return f"The tensor {self.name}"

    @property
    def _example(self) -> str:
        rank = self._rank
        return "()" if rank == 0 else ", ".join("ijklmn"[:rank]) if rank else "i, …"

    def __repr__(self) -> str:
        if self.declared_shape is not None:
            return f"{self.name}({', '.join(display(extent) for extent in self.declared_shape)})"
        return self.name

    # ------------------------------------------------------------------------------------------------- elements
    def __getitem__(self, key: Any) -> Element:
        subscripts = self._subscripts(key)
        self._check_constants(subscripts)
        node = Access(self.key, *(s.node for s in subscripts))
        return Element(self, node, merged(subscripts))

    def __setitem__(self, key: Any, value: Any) -> None:
        location = here()
        subscripts = self._subscripts(key)
        op = "="
        if isinstance(value, Contribution):
            pending = value
            node = Access(self.key, *(s.node for s in subscripts))
            if pending.element.node != node:
                pending._misused()
            self._open = [p for p in self._open if p is not pending]
            op, value = "+=", pending.value
        left = f"{self.name}[{','.join(map(repr, subscripts)) or '()'}]"
        self.statements.append(self._record(subscripts, op, wrap(value, lambda: f"{left} {op} {shown(value)}"), location))

    def _subscripts(self, key: Any) -> tuple[Expr, ...]:
        items = key if isinstance(key, tuple) else (key,)
        text = f"{self.name}[{','.join(map(_subscript_text, items)) or '()'}]"
        if self._rank is not None and len(items) != self._rank:
            first = () if self.declared_shape is not None or not self._first_use[0] else (self._first_use,)
            known = f"has shape {self!r}" if self.declared_shape is not None else "is used with another number of subscripts elsewhere"
            raise ShapeError(
                f"{self.name} {known}; it takes {self._rank} subscript{'s' * (self._rank != 1)}, but {len(items)} "
                f"{'are' if len(items) != 1 else 'is'} given.", at=((text, text, here()), *first),
                fix=f"write {self.name}[{self._example}].",
            )
        subscripts = tuple(self._subscript(item, text) for item in items)
        if self._rank is None:
            self._rank, self._first_use = len(items), (text, text, here())
        return subscripts

    def _subscript(self, item: Any, text: str) -> Expr:
        if isinstance(item, slice) or item is Ellipsis or item is None:
            raise NotationError(
                f"{self.name} is subscripted by a slice or an ellipsis; every dimension needs an index.",
                at=((text, _subscript_text(item), here()),),
                fix=f"write {self.name}[i, …] with an index of gc.indices; declare its range with gc.index(\"i\", lo, hi) for a part.",
            )
        if isinstance(item, bool | float | np.bool_ | np.floating):
            raise NotationError(f"{shown(item)} is not a subscript of {self.name}.", at=((text, _subscript_text(item), here()),),
                                fix="use integers, indices, or an affine combination of them.")
        subscript = wrap(item, lambda: text)
        if is_affine(subscript.node):
            return subscript
        self._check_gather(subscript, text)
        return subscript

    def _check_gather(self, subscript: Expr, text: str) -> None:
        """Refuse a subscript that is neither affine nor an element of an integer tensor."""
        node, culprit = subscript.node, _subscript_text(subscript)
        if isinstance(node, Access):
            owner = next(t for a, t in subscript.reads.items() if a == node)
            if owner.declared_dtype is not None and not is_integer(owner.declared_dtype):
                raise DtypeError(f"{owner.name} has dtype {owner.declared_dtype} and cannot be a subscript.", at=((text, culprit, here()),),
                                 fix=f'declare it as integers: gc.tensor("{owner.name}", …, dtype="int64").')
            return
        what = f"The subscript {culprit} of {self.name} is neither affine in indices and sizes nor an element of an integer tensor."
        fix = "use sums of indices with integer coefficients (2*p + r - 1), // and % by positive literals, or an integer tensor."
        if isinstance(node, Compare | Logical):
            what = f"The subscript {culprit} of {self.name} is a condition."
            fix = "select with gc.where(condition, a, b); a sum skips where b is 0."
        elif contains(node, Size) and not contains(node, Access):
            fix = "use integer coefficients; a product of indices or sizes is not affine. Give the tensor one dimension more: X[i,j]."
        elif contains(node, (Access, BoundaryAccess)):
            fix = "define an integer tensor first (k[i] = …, with dtype=\"int64\") and write X[k[i]]."
        raise NotationError(what, at=((text, culprit, here()),), fix=fix)

    def _check_constants(self, subscripts: tuple[Expr, ...]) -> None:
        """Refuse integers outside of the declared shape."""
        for position, subscript in enumerate(subscripts):
            extent = self.declared_shape[position] if self.declared_shape is not None else None
            if not isinstance(subscript.node, sp.Integer):
                continue
            value = int(subscript.node)
            at = ((f"{self.name}[{','.join(map(_subscript_text, subscripts))}]", str(value), here()),)
            if value < 0:
                end = "N" if extent is None else display(extent)
                raise RangeError("A negative subscript does not count from the end.", at=at,
                                 fix=f"write {end}-{-value} for the element that is {-value} before the end.")
            if isinstance(extent, sp.Integer) and value >= extent:
                raise RangeError(f"The subscript {value} of {self!r} lies behind the last element of dimension {position}, {extent - 1}.",
                                 at=at,
                                 fix="count from 0, or declare the tensor larger.")

    # ------------------------------------------------------------------------------------------------ statements
    def _record(self, subscripts: tuple[Expr, ...], op: str, value: Expr, location: Location | None) -> Recorded:
        reads, ranges, bound = merged((*subscripts, value))
        nodes = tuple(s.node for s in subscripts)
        written = value.node
        if written in (sp.true, sp.false):
            written = sp.Integer(int(bool(written)))
        declared = tuple((i, *limits) for i, limits in ranges.items())
        lost = tuple(a for a in lost_reads(written, value.reads) if reads[a] is not self)
        raw = Recorded(self.key, nodes, op, written, declared, tuple(reads.items()), location, lost=lost)
        self._check_definable(raw)
        check_statement(raw, bound)
        tidy = bound_names(written, {*unbound(written), *(i for n in nodes for i in indices_of(n))})
        return Recorded(
            self.key, nodes, op, substitute(written, tidy), tuple((tidy.get(i, i), low, high) for i, low, high in raw.declared),
            tuple((substitute(a, tidy), t) for a, t in raw.reads), location, lost=tuple(substitute(a, tidy) for a in raw.lost),
            types=value.types,
        )

    def _check_definable(self, statement: Recorded) -> None:
        if self.kind == "parameter":
            raise NotationError(f"{self.name} is a parameter: its values are given, not computed.",
                                at=((statement.text, statement.left, statement.location),),
                                fix=f"define another tensor and write it back: gc.compile(…, updates={{{self.name}: {self.name}_new}}).")
        if self.frozen_by:
            raise NotationError(f"{self.name} is defined further after it has been used by gc.{self.frozen_by}.",
                                at=((statement.text, statement.left, statement.location),),
                                fix=f"write all statements that define {self.name} before gc.{self.frozen_by}.")


def _subscript_text(item: Any) -> str:
    """A subscript as the notation writes it."""
    if isinstance(item, slice):
        parts = ["" if part is None else shown(part) for part in (item.start, item.stop, *(() if item.step is None else (item.step,)))]
        return ":".join(parts)
    if item is Ellipsis:
        return "..."
    return shown(item).replace(" ", "") if isinstance(item, Expr) else shown(item)


def _extent(name: str, extent: Any, text: str) -> sp.Expr:
    fix = "use non-negative integers and the symbols of gc.dims."
    if isinstance(extent, int | np.integer) and not isinstance(extent, bool):
        if 0 <= int(extent) < _LARGEST_EXTENT:
            return sp.Integer(int(extent))
        raise ShapeError(f"{extent} is no number of elements for a dimension of the tensor {name}.", at=((text, str(extent), here()),),
                         fix=fix)
    if isinstance(extent, Expr):
        if is_affine(extent.node) and not contains(extent.node, Index):
            return extent.node
        fix = "use integers, the symbols of gc.dims, and sums of them with integer coefficients (N+1, 2*N, N//2)."
        if contains(extent.node, Index):
            fix = "give a size of gc.dims; an index is not a size."
    elif isinstance(extent, tuple | list):
        fix = f'give the extents as separate arguments: gc.tensor("{name}", N, D).'
    elif isinstance(extent, str):
        fix = f'make it a size first: {extent} = gc.dim("{extent}"); a data type is given as dtype="float64".'
    raise ShapeError(f"{shown(extent)} is not an extent of the tensor {name}.", at=((text, shown(extent), here()),), fix=fix)


def _dtype(name: str, dtype: Any, text: str) -> str | None:
    if dtype is None:
        return None
    try:
        found = str(np.dtype(dtype).name)
    except (TypeError, ValueError):
        found = shown(dtype)
    if found not in DTYPES:
        raise DtypeError(f"The dtype {found} of the tensor {name} is not supported.", at=((text, shown(dtype), here()),),
                         fix="use one of " + ", ".join(DTYPES) + ".")
    return found
