"""The machine's limits, measured: multiply-adds in registers and copying, by a team of threads."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from graphc.kernels.limits import CHAINS, start_copy, start_multiply_adds
from graphc.kernels.tile import SIMD
from graphc.runtime.pool import Team

__all__ = ["Limits", "limits"]

_COPIED = 64 << 20
_REPEATS = 5
_COUNT = 200_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a team reached: operations per second (two per multiply-add) by element type, bytes per second read and written."""

    operations: dict[str, float]
    bandwidth: float


@cache
def limits(team: Team) -> Limits:
    """Measure, once per team; this takes about half a second."""
    operations = {dtype: _operations(team, dtype) for dtype in ("float32", "float64")}
    source = np.ones(_COPIED // 8)
    target = np.empty_like(source)
    return Limits(operations, 2 * _COPIED / _best(lambda: team.run(start_copy, target, source)))


def _operations(team: Team, dtype: str) -> float:
    results = np.full(team.threads + 1, 0.5, dtype)
    lanes = SIMD // (8 * results.itemsize)
    seconds = _best(lambda: team.run(start_multiply_adds, results, _COUNT))
    return 2 * lanes * CHAINS * _COUNT * team.threads / seconds


def _best(call: Callable[[], None]) -> float:
    call()
    times = []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)
