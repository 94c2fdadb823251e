"""PyTorch's threads as members of a team, in processes that have them.

OpenMP's threads keep looking for work for milliseconds after a parallel operation of PyTorch. Threads of graphc's own would share the
processors with them and wait for each other: a training step that mixes both would take as long as on one thread.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import cfunc, types
from numpy.typing import NDArray

from graphc.kernels.team import BEGIN, END, MEMBER, NUMBER, SIZE, TEAM, slots, take_part
from graphc.runtime.forked import in_forked_child

__all__ = ["OpenMP", "openmp"]


class OpenMP:
    """The library that runs PyTorch's parallel operations."""

    def __init__(self, library: ctypes.CDLL) -> None:
        functions = library.GOMP_parallel_start, library.GOMP_parallel_end, library.omp_get_thread_num, library.omp_get_num_threads
        begin, end, number, size = (ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions)
        self._member: Any = cfunc(types.void(types.CPointer(types.int64)), cache=True)(take_part)
        self._addresses: dict[int, int] = {BEGIN: begin, MEMBER: self._member.address or 0, END: end, NUMBER: number, SIZE: size}

    def run(self, threads: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """Call ``start(sync, *arguments)``, which launches programs on so many threads, or on fewer if there are no more."""
        sync: NDArray[np.int64] = np.zeros(slots(threads), np.int64)
        sync[TEAM] = threads
        for place, address in self._addresses.items():
            sync[place] = address
        start(sync, *arguments)


def openmp(threads: int) -> OpenMP | None:
    """The library, if PyTorch is in this process and uses so many threads."""
    torch: Any = sys.modules.get("torch")
    if torch is None or in_forked_child() or getattr(torch, "get_num_threads", int)() != threads:
        return None
    return _library(torch.__file__)


@cache
def _library(torch: str) -> OpenMP | None:
    """GNU's library that PyTorch has loaded; None where it has another one."""
    try:
        loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libgomp" in line}
    except OSError:
        return None
    own = [path for path in loaded if Path(path).is_relative_to(Path(torch).parent)] or list(loaded)
    try:
        return OpenMP(ctypes.CDLL(own[0])) if len(own) == 1 else None
    except (OSError, AttributeError):
        return None
