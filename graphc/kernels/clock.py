"""The clock of programs that are profiled."""

import sys
from typing import Any

import numpy as np
from numba import njit, types

__all__ = ["FIRST", "tick"]

LAST, SECONDS, FIRST = 2, 3, 5
"""Places in the status array of a profiled program: the time of the last tick, a ``struct timespec``, the first of the sums."""

_MONOTONIC = 6 if sys.platform == "darwin" else 1
_clock: Any = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.intp))
_INNER: dict[str, Any] = {"nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@njit(**_INNER)
def tick(me, status, place):
    """Add the nanoseconds since the last tick to a place of the status array, if `place` is not negative; by the first member only."""
    if me == 0:
        _clock(_MONOTONIC, status.ctypes.data + 8 * SECONDS)
        now = status[SECONDS] * np.int64(1_000_000_000) + status[SECONDS + 1]
        if place >= 0:
            status[FIRST + place] += now - status[LAST]
        status[LAST] = now
