"""Views of a tensor that may be read outside of it: ``gc.pad(X, 0)[p + r - 1]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from graphc.errors import NotationError
from graphc.frontend.expression import Expr, is_number, merged, shown
from graphc.frontend.location import here
from graphc.frontend.tensor import Tensor
from graphc.frontend.unindexed import Unindexed, number_in
from graphc.ir.expr import BoundaryAccess, constant

__all__ = ["View", "clamp", "pad", "reflect", "skip", "wrap_around"]


class View(Unindexed):
    """A tensor with a rule for subscripts outside of it; only reading makes sense.

    Attributes:
        tensor: what is read.
        fill: what `pad` reads outside, None without it.
        modes: the rule of each dimension that has its own; None if one rule holds for all.
    """

    def __init__(self, tensor: Any, mode: str, fill: Any, dims: Any) -> None:
        self._dims = f"dims=[{', '.join(map(shown, dims))}]" if isinstance(dims, list | tuple) else f"dims={shown(dims)}"
        extra = ("" if fill is None else f", {shown(fill)}") + ("" if dims is None else f", {self._dims}")
        self.mode, self._text = mode, f"{mode}({shown(tensor)}{extra})"
        chosen = self._dimensions(dims)
        self.modes: dict[int, str] | None = None if chosen is None else dict.fromkeys(chosen, mode)
        self.fill = fill
        if isinstance(tensor, View):
            self.tensor: Tensor = tensor.tensor
            self._combine(tensor)
        elif isinstance(tensor, Tensor):
            self.tensor = tensor
        else:
            self._wrong(f"gc.{mode} takes a tensor, not {shown(tensor)}.", shown(tensor),
                        f"write gc.{mode}(X)[i, j], with the subscripts outside.")

    def _wrong(self, what: str, culprit: str, fix: str) -> NoReturn:
        raise NotationError(what, at=((self._text, culprit, here()),), fix=fix)

    def _dimensions(self, dims: Any) -> tuple[int, ...] | None:
        if dims is None:
            return None
        if not isinstance(dims, list | tuple | range) or not all(
            isinstance(d, int | np.integer) and not isinstance(d, bool) and d >= 0 for d in dims
        ):
            self._wrong(f"{self._dims} is not a list of dimensions.", self._dims, "count dimensions from 0: dims=[2, 3].")
        return tuple(map(int, dims))

    def _combine(self, inner: View) -> None:
        if inner.modes is None or self.modes is None:
            self._wrong(f"Two boundary rules for {self.tensor.name} apply to the same dimension.", self._text,
                        "keep one, or say with dims= which dimensions each rule is for.")
        for d in self.modes:
            if d in inner.modes:
                self._wrong(f"Two boundary rules for dimension {d} of {self.tensor.name}.", self._text, "keep one.")
        if inner.fill is not None and self.fill is not None and inner.fill != self.fill:
            self._wrong(f"{self.tensor.name} is padded with two different constants.", self._text, "pad all dimensions with one constant.")
        self.modes, self.fill = {**inner.modes, **self.modes}, self.fill if inner.fill is None else inner.fill

    @property
    def label(self) -> str:
        return self._text

    @property
    def _subject(self) -> str:
        return f"The boundary view {self._text}"

    @property
    def _example(self) -> str:
        return self.tensor._example

    def __repr__(self) -> str:
        return self._text

    def __getitem__(self, key: Any) -> Expr:
        subscripts = self.tensor._subscripts(key)
        beyond = [d for d in self.modes or () if d >= len(subscripts)]
        if beyond:
            self._wrong(f"{self.tensor.name} has {len(subscripts)} dimensions; there is no dimension {beyond[0]}.", "dims",
                        "count dimensions from 0.")
        modes = [self.mode if self.modes is None else self.modes.get(d, "") for d in range(len(subscripts))]
        fill = 0 if self.fill is None else int(self.fill) if isinstance(self.fill, bool) else self.fill
        node = BoundaryAccess(self.tensor.key, ",".join(modes), constant(fill), *(s.node for s in subscripts))
        reads, ranges, bound = merged(subscripts)
        return Expr(node, {node: self.tensor, **reads}, ranges, bound)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._wrong(f"A boundary view of {self.tensor.name} cannot be written.", self._text, f"write to {self.tensor.name} itself.")


def pad(tensor: Any, value: float = 0, dims: Sequence[int] | None = None) -> View:
    """A view that reads the constant `value` outside of the tensor (in the dimensions `dims`; all by default)."""
    value = number_in(value)
    if not is_number(value):
        raise NotationError(f"gc.pad fills with a number, not {shown(value)}.",
                            at=((f"pad({shown(tensor)}, {shown(value)})", shown(value), here()),),
                            fix="give a constant: gc.pad(X, 0); another tensor outside is gc.where(condition, X[i], Z[i]).")
    return View(tensor, "pad", value, dims)


def clamp(tensor: Any, dims: Sequence[int] | None = None) -> View:
    """A view that reads the nearest edge element outside of the tensor."""
    return View(tensor, "clamp", None, dims)


def wrap_around(tensor: Any, dims: Sequence[int] | None = None) -> View:
    """A periodic view, up to one period outside of the tensor."""
    return View(tensor, "wrap", None, dims)


def reflect(tensor: Any, dims: Sequence[int] | None = None) -> View:
    """A view mirrored at the edges without repeating them, up to one extent outside of the tensor."""
    return View(tensor, "reflect", None, dims)


def skip(tensor: Any, dims: Sequence[int] | None = None) -> View:
    """A view whose elements outside of the tensor drop the term of the surrounding reduction (max and average pooling)."""
    return View(tensor, "skip", None, dims)
