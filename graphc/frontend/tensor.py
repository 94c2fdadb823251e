"""Tensors of the notation, and the capture of the statements that define them."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import sympy as sp

from graphc.errors import DtypeError, Location, NotationError, RangeError, ShapeError
from graphc.frontend.expression import Expr, combine, display, is_number, merged, plain, wrap
from graphc.frontend.location import here
from graphc.ir.affine import is_affine, linear
from graphc.ir.dtypes import DTYPES, is_integer
from graphc.ir.expr import Access, Index, Reduce, Size, constant, contains, indices_of, postorder, substitute
from graphc.ir.show import expression

__all__ = ["GraphcWarning", "Recorded", "Tensor", "Element"]

_serial = itertools.count(1)
_taken: dict[str, int] = {}


class GraphcWarning(UserWarning):
    """Something that is legal and probably not meant."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A statement as written: ranges are not known yet."""

    target: str
    subscripts: tuple[sp.Expr, ...]
    op: str
    value: sp.Expr
    declared: tuple[tuple[Index, sp.Expr, sp.Expr], ...]
    reads: tuple[tuple[Access, Tensor], ...]
    location: Location | None
    domain: tuple[sp.Expr, ...] = ()
    origin: tuple[str, ...] = ()
    indices: tuple[Index, ...] = ()

    @property
    def text(self) -> str:
        """The statement without loops, as an error message shows it."""
        left = f"{self.target}[{','.join(expression(s).replace(' ', '') for s in self.subscripts) or '()'}]"
        return plain(f"{left} {self.op} {expression(self.value)}")


class Element(Expr):
    """``tensor[subscripts]``."""

    __slots__ = ("owner",)

    def __init__(self, owner: Tensor, node: Access, parts: tuple[Any, ...]) -> None:
        reads, ranges, bound = parts
        super().__init__(node, {node: owner, **reads}, ranges, bound)
        self.owner = owner

    def __iadd__(self, other: Any) -> Contribution:  # type: ignore[misc]
        return self.owner._contribute(self, other)


class Contribution:
    """What ``tensor[subscripts] += value`` hands to Python between reading and writing the element."""

    __slots__ = ("element", "location", "value")

    def __init__(self, element: Element, value: Expr, location: Location | None) -> None:
        self.element, self.value, self.location = element, value, location

    def __getattr__(self, name: str) -> NoReturn:
        self._refuse()

    def _refuse(self, *_: Any) -> NoReturn:
        text = f"{self.element!r} += {self.value!r}"
        name = self.element.owner.name
        raise NotationError(
            f"A += on an element of {name} was kept in a variable; it would change nothing.", at=((text, "", self.location),),
            fix=f"write the subscripts on the left of the +=: {text}.",
        )

    __add__ = __radd__ = __mul__ = __rmul__ = __sub__ = __rsub__ = __truediv__ = __bool__ = __iter__ = __iadd__ = _refuse


class Tensor:
    """An array of numbers, given (an input) or defined by statements.

    Create tensors with `graphc.tensor`, `graphc.tensors` or `graphc.parameter`. ``T[i, j]`` reads an element; ``T[i, j] = e``
    and ``T[i, j] += e`` record statements.
    """

    def __init__(
        self, name: str, shape: tuple[Any, ...] | None, dtype: str | None = None, kind: str = "input", init: Any = "", group: str = ""
    ) -> None:
        if not isinstance(name, str) or not name or not all(part.isidentifier() for part in name.split(".")):
            raise NotationError(f"{name!r} is not a name for a tensor.", fix='use letters, digits, _ and dots: "W", "conv1.weight".')
        count = _taken[name] = _taken.get(name, 0) + 1
        self.name = name
        self.key = name if count == 1 else f"{name}#{count}"
        self.serial = next(_serial)
        self.location = here()
        self.declared_shape = None if shape is None else tuple(_extent(name, extent) for extent in shape)
        self.declared_dtype = _dtype(name, dtype)
        self.kind, self.init, self.group = kind, init, group
        self.statements: list[Recorded] = []
        self.frozen_by = ""
        self.inferred: tuple[int, tuple[sp.Expr, ...], str] | None = None
        self._rank: int | None = None if shape is None else len(shape)
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

    def __repr__(self) -> str:
        if self.declared_shape is not None:
            return f"{self.name}({', '.join(display(extent) for extent in self.declared_shape)})"
        return self.name

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        if not self.statements:
            return {"text/plain": repr(self)}
        from graphc.draw import draw
        from graphc.compile import loops

        return {"text/plain": str(loops(self)), "image/svg+xml": draw(self).svg()}

    # ------------------------------------------------------------------------------------------------- elements
    def __getitem__(self, key: Any) -> Element:
        subscripts = self._subscripts(key)
        for position, s in enumerate(subscripts):
            if isinstance(s.node, sp.Integer) and s.node < 0:
                text = f"{self.name}[{','.join(display(x.node) for x in subscripts)}]"
                size = display(self.declared_shape[position]) if self.declared_shape else "N"
                raise RangeError(
                    "A negative subscript does not count from the end.", at=((text, display(s.node), here()),),
                    fix=f"write {size}-{-int(s.node)} for the element that is {-int(s.node)} before the end.",
                )
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
                pending._refuse()
            pending.element.owner._open = [p for p in pending.element.owner._open if p is not pending]
            op, value = "+=", pending.value
        self.statements.append(self._record(subscripts, op, wrap(value), location))

    def _contribute(self, element: Element, value: Any) -> Contribution:
        contribution = Contribution(element, wrap(value), here())
        self._open.append(contribution)
        return contribution

    def _subscripts(self, key: Any) -> tuple[Expr, ...]:
        items = key if isinstance(key, tuple) else (key,)
        known = self.declared_shape is not None
        if self._rank is not None and len(items) != self._rank:
            text = f"{self.name}[{','.join(map(str, items)) or '()'}]"
            raise ShapeError(
                f"{self.name} has {self._rank} dimension{'s' * (self._rank != 1)} {'and shape ' + repr(self) if known else 'elsewhere'}, "
                f"but {len(items)} subscript{'s' * (len(items) != 1)} {'are' if len(items) != 1 else 'is'} given.",
                at=((text, "", here()),), fix=f"give {self._rank} subscript{'s' * (self._rank != 1)}{' — [()] for a scalar' * (self._rank == 0)}.",
            )
        self._rank = len(items)
        return tuple(self._subscript(item) for item in items)

    def _subscript(self, item: Any) -> Expr:
        if isinstance(item, slice) or item is Ellipsis or item is None:
            raise NotationError(
                f"{self.name} is subscripted by a slice; every dimension needs an index.", at=((f"{self.name}[…]", "", here()),),
                fix=f"write {self.name}[i, …] with an index of gc.indices; declare its range with gc.index(\"i\", lo, hi) for a part.",
            )
        if isinstance(item, float | np.floating) or isinstance(item, bool):
            raise NotationError(f"{item!r} is not a subscript of {self.name}.", at=((f"{self.name}[{item!r}]", repr(item), here()),),
                                fix="use integers and indices.")
        subscript = wrap(item)
        node = subscript.node
        if is_affine(node):
            return subscript
        if isinstance(node, Access):
            owner = next(t for a, t in subscript.reads.items() if a == node)
            if owner.declared_dtype is None or is_integer(owner.declared_dtype):
                return subscript
            text = f"{self.name}[{display(node)}]"
            raise DtypeError(f"{owner.name} has dtype {owner.declared_dtype} and cannot be a subscript.", at=((text, display(node), here()),),
                             fix=f'declare it as integers: gc.tensor("{owner.name}", …, dtype="int64").')
        text = f"{self.name}[{display(node)}]"
        raise NotationError(
            f"The subscript {display(node)} of {self.name} is neither affine in indices and sizes nor an element of an integer tensor.",
            at=((text, display(node), here()),),
            fix="use sums of indices with integer coefficients (2*p + r - 1), // and % by positive literals, or an integer tensor.",
        )

    # ------------------------------------------------------------------------------------------------ statements
    def _record(self, subscripts: tuple[Expr, ...], op: str, value: Expr, location: Location | None) -> Recorded:
        reads, ranges, bound = merged((*subscripts, value))
        nodes = tuple(s.node for s in subscripts)
        tidy = _bound_names(value.node, {i for n in (*nodes, _outside(value.node)) for i in indices_of(n)})
        node = substitute(value.node, tidy)
        ordered = tuple((substitute(a, tidy), t) for a, t in reads.items())
        declared = tuple((tidy.get(i, i), low, high) for i, (low, high) in ranges.items())
        if not isinstance(node, sp.Expr) and node in (sp.true, sp.false):
            node = sp.Integer(int(bool(node)))
        statement = Recorded(self.key, nodes, op, node, declared, ordered, location)  # type: ignore[arg-type]
        self._check(statement, bound)
        return statement

    def _check(self, statement: Recorded, bound: frozenset[Index]) -> None:
        text, location = statement.text, statement.location
        if self.frozen_by:
            raise NotationError(f"{self.name} is defined further after it has been used by gc.{self.frozen_by}.", at=((text, "", location),),
                                fix=f"write all statements that define {self.name} before gc.{self.frozen_by}.")
        left = {i for s in statement.subscripts for i in indices_of(s)}
        outside = {i for i in indices_of(_outside(statement.value))}
        for index in sorted(bound & (left | outside), key=str):
            raise NotationError(f"The index {index} belongs to a reduction (over={index}) and is used outside of it as well.",
                                at=((text, str(index), location),), fix=f"use another index in one of the two places.")
        if statement.op == "=":
            if any(contains(s, Access) for s in statement.subscripts):
                raise NotationError(
                    f"= cannot write through an integer tensor: two of its values may be equal, and {self.name} would get both.",
                    at=((text, "", location),), fix="use += (a scatter), which adds what falls on the same element.",
                )
            extra = sorted(outside - left, key=str)
            if extra:
                names = ", ".join(map(str, extra))
                raise NotationError(
                    f"The index {names} is only on the right of =, so {self.name} would get many values.", at=((text, str(extra[0]), location),),
                    fix=f"use += to sum over {names}, or gc.sum(…, over={names}) inside the expression.",
                )
            self._check_injective(statement, left)
        else:
            self._warn_lacking(statement, outside - left)

    def _check_injective(self, statement: Recorded, left: set[Index]) -> None:
        declared = {i for i, _, _ in statement.declared}
        forms = [linear(s) for s in statement.subscripts]
        for form in forms:
            units = [a for a, c in form.terms if isinstance(a, Index) and abs(c) == 1 and a not in declared] if form else []
            alone = {a for other in forms if other and other is not form for a, _ in other.terms}
            if len(units) >= 2 and len(set(units) - alone) >= 2:
                culprit = next(display(s) for s, f in zip(statement.subscripts, forms, strict=True) if f is form).replace(" ", "")
                raise NotationError(
                    f"Two iterations may write the same element of {self.name}: {culprit} has equal values for different "
                    f"{' and '.join(str(u) for u in units[:2])}.", at=((statement.text, culprit, statement.location),),
                    fix="use += if the values shall be added; a left side of = must hit each element once (Y[t+3], Y[2*i+1]).",
                )

    def _warn_lacking(self, statement: Recorded, summed: set[Index]) -> None:
        terms = sp.Add.make_args(statement.value)
        if len(terms) < 2:
            return
        for term in terms:
            lacking = sorted((i for i in summed if i not in term.free_symbols), key=str)
            if lacking:
                names = ", ".join(map(str, lacking))
                warnings.warn(
                    f"{statement.text}\n  the summand {display(term)} does not contain {names}, so it is added once per value of {names}."
                    f"\n  at {statement.location}", GraphcWarning, stacklevel=5,
                )

    # ------------------------------------------------------------------------------------------------- refusals
    def _unindexed(self, *_: Any) -> NoReturn:
        wrap(self)
        raise AssertionError

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __pow__ = __rpow__ = _unindexed
    __neg__ = __abs__ = __lt__ = __le__ = __gt__ = __ge__ = __matmul__ = __rmatmul__ = __iadd__ = __imul__ = _unindexed
    __array_ufunc__ = _unindexed

    def __bool__(self) -> bool:
        raise NotationError(f"The tensor {self.name} has no truth value.", at=((self.name, self.name, here()),),
                            fix="compare elements inside gc.where, or test with `is None`.")

    def __len__(self) -> int:
        raise NotationError(f"The tensor {self.name} has no length.", at=((self.name, self.name, here()),), fix=f"use {self.name}.shape[0].")

    def __iter__(self) -> Iterator[Any]:
        raise NotationError(f"The tensor {self.name} cannot be iterated.", at=((self.name, self.name, here()),),
                            fix=f"write the loop as an index: {self.name}[i, …].")


def _outside(node: sp.Basic) -> sp.Expr:
    """What remains of an expression when nested reductions keep only the indices that are free in them."""
    return _outside_of(node)


def _outside_of(node: sp.Basic) -> sp.Expr:
    done: dict[sp.Basic, set[Index]] = {}
    for part in postorder(node):
        found = {part} if isinstance(part, Index) else {i for a in part.args for i in done[a]}
        done[part] = found - set(part.indices) if isinstance(part, Reduce) else found
    return sp.Tuple(*sorted(done[node], key=str))  # type: ignore[no-any-return]


def _bound_names(node: sp.Basic, taken: set[Index]) -> dict[sp.Basic, sp.Expr]:
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


def _extent(name: str, extent: Any) -> sp.Expr:
    if is_number(extent) and not isinstance(extent, bool) and int(extent) == extent and extent >= 0:
        return sp.Integer(int(extent))
    if isinstance(extent, Expr) and is_affine(extent.node) and not contains(extent.node, Index):
        return extent.node
    raise ShapeError(f"{extent!r} is not an extent of the tensor {name}.", fix="use non-negative integers and the symbols of gc.dims.")


def _dtype(name: str, dtype: Any) -> str | None:
    if dtype is None:
        return None
    try:
        text = np.dtype(dtype).name
    except TypeError:
        text = str(dtype)
    if text not in DTYPES:
        raise DtypeError(f"The dtype {text} of the tensor {name} is not supported.", fix="use one of " + ", ".join(DTYPES) + ".")
    return text
