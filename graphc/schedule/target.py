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
        any_inner: whether the engine sums any function of two factors, and finds the largest or least.
        partial_sums: number of partial sums of a reduction to a scalar.
    """

    name: str
    has_engine: bool
    vector_innermost: bool
    partial_sums: int
    joins_rows: bool
    any_inner: bool


CPU = Target("cpu", has_engine=True, vector_innermost=True, partial_sums=64, joins_rows=True, any_inner=False)
C = replace(CPU, name="c")
"""The same machine, reached through a C compiler."""
CUDA = Target("cuda", has_engine=True, vector_innermost=False, partial_sums=1024, joins_rows=True, any_inner=True)
SIMULATOR = replace(CUDA, partial_sums=8)
"""Numba's simulator takes milliseconds for every barrier."""
