"""What a target makes of a program: something that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import sympy as sp
from numpy.typing import NDArray

from graphc.calls.memory import Made

__all__ = ["Runner"]

Array = NDArray[Any]


class Runner(Protocol):
    """A target's executable form of a graph."""

    source: str
    kernels: tuple[Any, ...]
    made: tuple[Made, ...]

    def run(self, arrays: dict[str, Array], sizes: dict[sp.Basic, int], out: dict[str, Array]) -> dict[str, Array]:
        """Compute the outputs; arrays in `out` may be used to hold the results of that name."""
        ...

    def needs(self, sizes: Mapping[sp.Basic, int]) -> tuple[dict[str, int], int]:
        """Bytes by what a run allocates, and how many of them are counted twice because arrays take turns in the same memory."""
        ...

    def memory(self) -> int | None:
        """Bytes of the memory in which it runs; None if that is not known."""
        ...

    def quick(
        self, inputs: Sequence[str], outputs: Sequence[str], sizes: Mapping[Any, int], positional: bool, compiling: bool
    ) -> Callable[..., list[Array] | None] | None:
        """A faster call for small programs and arrays of these sizes; it may be None, and so may be what it returns.

        Args:
            inputs, outputs: in the order of the call.
            sizes: as for `run`.
            positional: whether all arguments may be given by position.
            compiling: whether it may be compiled if it is not on disk.
        """
        ...
