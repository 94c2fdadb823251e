"""Memory for results: large arrays that nobody holds any more are used again.

A new array of many megabytes comes from the operating system, which fills its pages with zeros when they are first touched. For a
program that is bound by memory that costs as much as its own work.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Results"]

LARGE = 1 << 20
"""Bytes from which arrays are kept."""

MOST = 2
"""Arrays of one result that are kept: one that the user holds, such as the gradient of the last step, and one for the next."""

ALIGNMENT = 64
"""What XLA asks of memory that it does not copy."""

_ALONE = 2
"""References to an array in a list: the list's, and that of the argument of `sys.getrefcount`."""


class Results:
    """New arrays for the results of one program.

    What a call returns is a view of bytes that are kept here. As long as the view, or a view of it, lives, the bytes have one reference
    more. The view begins at a multiple of `ALIGNMENT`. At most `MOST` arrays of a result are kept, at most one of them free.
    """

    def __init__(self) -> None:
        self._kept: dict[str, list[NDArray[np.uint8]]] = {}
        self._lock = threading.Lock()

    def new(self, name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """An array, not initialised, for the result of that name."""
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if size < LARGE:
            return np.empty(shape, dtype)
        with self._lock:
            kept = self._kept.setdefault(name, [])
            # By position: a variable for the array, or another list, would be a reference more.
            busy = [sys.getrefcount(kept[k]) > _ALONE for k in range(len(kept))]
            free = [k for k, held in enumerate(busy) if not held and kept[k].size == size + ALIGNMENT]
            chosen = kept[free[0]] if free else np.empty(size + ALIGNMENT, np.uint8)
            self._kept[name] = [*(array for array, held in zip(kept, busy, strict=True) if held), chosen][-MOST:]
            start = -chosen.ctypes.data % ALIGNMENT
            return chosen[start : start + size].view(dtype).reshape(shape)
