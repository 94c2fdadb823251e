"""Views of a tensor that may be read outside of it: ``gc.pad(X, 0)[p + r - 1]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.errors import NotationError
from graphc.frontend.expression import Expr, is_number, merged
from graphc.frontend.location import here
from graphc.frontend.tensor import Tensor
from graphc.ir.expr import BoundaryAccess, constant

__all__ = ["View", "clamp", "pad", "reflect", "skip", "wrap_around"]


class View:
    """A tensor with a rule for subscripts outside of it; only reading makes sense."""

    def __init__(self, tensor: Tensor | View, mode: str, fill: Any, dims: Sequence[int] | None) -> None:
        if isinstance(tensor, View):
            self.tensor, self.fill = tensor.tensor, tensor.fill if mode != "pad" else fill
            self.modes: dict[int, str] | None = dict(tensor.modes) if tensor.modes is not None else None
            if self.modes is None or dims is None:
                raise NotationError(f"Two boundary rules for {self.tensor.name} apply to the same dimension.", at=((mode, "", here()),),
                                    fix="say with dims= which dimensions each rule is for.")
        elif isinstance(tensor, Tensor):
            self.tensor, self.fill, self.modes = tensor, fill, {} if dims is not None else None
        else:
            raise NotationError(f"gc.{mode} takes a tensor, not {tensor!r}.", at=((f"{mode}({tensor!r})", "", here()),),
                                fix=f"write gc.{mode}(X)[i, j], with the subscripts outside.")
        self.mode = mode
        for d in dims or ():
            if d in self.modes:  # type: ignore[operator]
                raise NotationError(f"Two boundary rules for dimension {d} of {self.tensor.name}.", at=((mode, "", here()),), fix="keep one.")
            self.modes[d] = mode  # type: ignore[index]

    def __getitem__(self, key: Any) -> Expr:
        subscripts = self.tensor._subscripts(key)
        modes = [self.mode if self.modes is None else self.modes.get(d, "") for d in range(len(subscripts))]
        node = BoundaryAccess(self.tensor.key, ",".join(modes), constant(self.fill), *(s.node for s in subscripts))
        reads, ranges, bound = merged(subscripts)
        return Expr(node, {node: self.tensor, **reads}, ranges, bound)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise NotationError(f"A boundary view of {self.tensor.name} cannot be written.", at=((f"{self.mode}({self.tensor.name})[…]", "", here()),),
                            fix=f"write to {self.tensor.name} itself.")


def pad(tensor: Any, value: float = 0, dims: Sequence[int] | None = None) -> View:
    """A view that reads the constant `value` outside of the tensor (in the dimensions `dims`; all by default)."""
    if not is_number(value):
        raise NotationError(f"gc.pad fills with a number, not {value!r}.", at=((f"pad(…, {value!r})", repr(value), here()),), fix="give a constant.")
    return View(tensor, "pad", value, dims)


def clamp(tensor: Any, dims: Sequence[int] | None = None) -> View:
    """A view that reads the nearest edge element outside of the tensor."""
    return View(tensor, "clamp", 0, dims)


def wrap_around(tensor: Any, dims: Sequence[int] | None = None) -> View:
    """A periodic view, up to one period outside of the tensor."""
    return View(tensor, "wrap", 0, dims)


def reflect(tensor: Any, dims: Sequence[int] | None = None) -> View:
    """A view mirrored at the edges without repeating them, up to one extent outside of the tensor."""
    return View(tensor, "reflect", 0, dims)


def skip(tensor: Any, dims: Sequence[int] | None = None) -> View:
    """A view whose elements outside of the tensor drop the term of the surrounding reduction (max and average pooling)."""
    return View(tensor, "skip", 0, dims)
