"""How a notebook shows a tensor: the loops that define it as text, the picture of its program beside them."""

from __future__ import annotations

from typing import Any

from graphc.draw import draw
from graphc.errors import GraphcError
from graphc.frontend.collect import collect
from graphc.frontend.tensor import Tensor
from graphc.text import loops

__all__ = ["display", "register"]


def register() -> None:
    """Let notebooks call `display` for tensors. It is set from here because the notation must not know of pictures."""
    Tensor._repr_mimebundle_ = display  # type: ignore[attr-defined]


def display(tensor: Tensor, include: Any = None, exclude: Any = None) -> dict[str, str]:
    """Text and SVG of the program that computes a tensor; its declaration if it is an input or not completely defined yet.

    Looking at a tensor does not freeze it: further statements may follow.
    """
    if not tensor.statements:
        return {"text/plain": repr(tensor)}
    try:
        members = list(collect([tensor], "display").handles.values())
    except GraphcError:
        return {"text/plain": repr(tensor)}
    try:
        return {"text/plain": str(loops(tensor)), "image/svg+xml": draw(tensor).svg()}
    finally:
        for member in members:
            if member.frozen_by == "display":
                member.frozen_by = ""
