"""Targets as values."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["C", "CPU", "CUDA", "SIMULATOR", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """What the schedule needs to know about a machine.

    Attributes:
        name: as in ``gc.compile(target=…)``.
        has_engine: whether contractions go to the hand-tuned engine.
        vector_innermost: whether the innermost loop is a vector loop (a CPU) or a sequential one (a GPU thread).
        joins_rows: whether statements that touch the same rows become one kernel.
        here: how many operands that do not move along the depth the engine takes beside two factors of any function, whose sum, or
            largest or least value, it finds; -1 if it sums products only.
        partial_sums: number of partial sums of a reduction to a scalar.
    """

    name: str
    has_engine: bool
    vector_innermost: bool
    partial_sums: int
    joins_rows: bool
    here: int


CPU = Target("cpu", has_engine=True, vector_innermost=True, partial_sums=64, joins_rows=True, here=1)
C = replace(CPU, name="c", here=-1)
"""The same machine, reached through a C compiler."""
CUDA = Target("cuda", has_engine=True, vector_innermost=False, partial_sums=1024, joins_rows=True, here=2)
SIMULATOR = replace(CUDA, partial_sums=8)
"""Numba's simulator takes milliseconds for every barrier."""
