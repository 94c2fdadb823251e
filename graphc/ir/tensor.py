"""What is known about a tensor."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

__all__ = ["Tensor"]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a graph.

    Attributes:
        name: unique in its graph; the name that the user sees.
        shape: one integer expression in sizes per dimension.
        dtype: a NumPy type name.
        kind: "input" (an argument of the program), "parameter" (an argument with an initialiser), "defined" (by statements) or "adjoint"
            (what a hand-written gradient gets).
        group: the layer it belongs to, for drawing ("" for none).
        init: the initialiser of a parameter, as `graphc.parameter` takes it.
        every: how many steps of the recurrence lie between those that are kept (`graphc.checkpoint`); 0 if all are.
    """

    name: str
    shape: tuple[sp.Expr, ...]
    dtype: str
    kind: str = "input"
    group: str = ""
    init: str = ""
    every: int = 0

    @property
    def is_input(self) -> bool:
        return self.kind != "defined"
