"""Where the time of a program goes: a row per kernel, beside what the machine can do."""

from __future__ import annotations

import math
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from graphc.interpret import size_value
from graphc.tables import html_table, text_table

__all__ = ["Profile", "Row", "profiled"]

_SECONDS, _LEAST, _MOST = 0.3, 5, 200
"""How long a program is run, and how often at least and at most."""

_WIDTH = 60
"""Characters of a loop that are printed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kernel.

    Attributes:
        name, loop: of the kernel, and its statement in notation.
        time: seconds in one call, the mean of the faster half of several calls.
        operations: scalar operations, two per multiply-add, functions by what they cost about.
        bytes: of all tensors that it reads or writes, each once.
        limit: which limit is the nearer one: "arithmetic" or "memory".
        share: of that limit, from 0 to 1; more where the data stay in the cache.
        plan: how it is executed, and why.
        targets: tensors that it writes.
    """

    name: str
    loop: str
    time: float
    operations: float
    bytes: float
    limit: str
    share: float
    plan: str
    targets: tuple[str, ...] = ()

    @property
    def gflops(self) -> float:
        """Billions of operations per second."""
        return self.operations / self.time / 1e9 if self.time else 0.0

    @property
    def gbytes(self) -> float:
        """Billions of bytes per second."""
        return self.bytes / self.time / 1e9 if self.time else 0.0

    def cells(self, total: float) -> tuple[str, ...]:
        """The row as text, its time beside the `total` of all."""
        loop = self.loop if len(self.loop) <= _WIDTH else f"{self.loop[: _WIDTH - 1]}…"
        return (self.name, f"{1e6 * self.time:.1f}", f"{self.time / total:.0%}", f"{self.gflops:.3g}", f"{self.gbytes:.3g}",
                f"{self.share:.0%} {self.limit}", loop)


@dataclass(frozen=True)
class Profile:
    """A table with a row per kernel, in the order of execution; printed, or shown by a notebook.

    Attributes:
        rows: the kernels.
        call: seconds of one call of the program, the mean of the same calls, so that it is not less than the sum of its kernels.
        operations, bandwidth: limits of the machine, measured on the threads that run the program: operations and bytes per second.
    """

    rows: tuple[Row, ...]
    call: float
    operations: float
    bandwidth: float

    @property
    def time(self) -> float:
        """Seconds of all kernels."""
        return sum(row.time for row in self.rows)

    def __getitem__(self, name: str) -> Row:
        """The first row of a kernel."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __str__(self) -> str:
        return f"{text_table(*self._table, right=(1, 2, 3, 4, 5))}\n{self._limits}"

    def _repr_html_(self) -> str:
        return f"{html_table(*self._table, right=(1, 2, 3, 4, 5))}\n<p>{self._limits}</p>"

    @property
    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]], tuple[str, ...]]:
        """Heads, lines and foot."""
        heads = ("kernel", "µs", "time", "GFLOP/s", "GB/s", "of limit", "loop")
        lines = [row.cells(self.time or math.inf) for row in self.rows]
        return heads, lines, ("all", f"{1e6 * self.time:.1f}", "", "", "", "", f"one call {1e6 * self.call:.1f} µs")

    @property
    def _limits(self) -> str:
        return f"limits: {self.operations / 1e9:.3g} GFLOP/s in registers, {self.bandwidth / 1e9:.3g} GB/s copied"

    __repr__ = __str__


def profiled(runner: Any, arrays: Mapping[str, NDArray[Any]], sizes: Mapping[sp.Basic, int], updated: Container[str]) -> Profile:
    """Run a program with a clock in it.

    Args:
        runner: a `graphc.runtime.cpu.CpuRunner` that is timed.
        arrays: arguments by name; what is `updated` is copied first.
        sizes: that the shapes give.
    """
    copied = {n: a.copy() if n in updated else a for n, a in arrays.items()}
    results = runner.run(copied, sizes, {})
    measured: list[NDArray[Any]] = []
    calls: list[float] = []
    begin = time.perf_counter()
    while len(calls) < _LEAST or (time.perf_counter() - begin < _SECONDS and len(calls) < _MOST):
        start = time.perf_counter()
        runner.run(copied, sizes, {n: a for n, a in results.items() if not any(a is b for b in copied.values())})
        calls.append(time.perf_counter() - start)
        measured.append(runner.nanoseconds / 1e9)
    fast = np.argsort(calls)[: (len(calls) + 1) // 2]
    seconds = np.mean([measured[n] for n in fast], axis=0)
    limits = runner.limits(sizes)
    shapes = runner.shapes(sizes)
    rows = []
    for kernel, spent in zip(runner.kernels, seconds, strict=True):
        operations = float(size_value(kernel.cost, sizes))
        touched = [shapes[n] for n in kernel.tensors if n in shapes]
        volume = float(sum(np.dtype(dtype).itemsize * math.prod(shape) for shape, dtype in touched))
        peak = limits.operations["float64" if any(dtype == "float64" for _, dtype in touched) else "float32"]
        arithmetic, memory = operations / peak, volume / limits.bandwidth
        nearer = max(arithmetic, memory)
        rows.append(Row(kernel.name, kernel.loop, float(spent), operations, volume, "arithmetic" if arithmetic >= memory else "memory",
                        nearer / float(spent) if spent else 0.0, kernel.how, kernel.targets))
    return Profile(tuple(rows), float(np.mean([calls[n] for n in fast])), limits.operations["float32"], limits.bandwidth)
