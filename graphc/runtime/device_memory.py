"""Memory of a GPU for results and temporaries: what nobody holds any more is used again.

Asking the driver for memory, and giving it back, waits until the GPU is idle. Work on one stream is done in order, so that memory whose
last use is queued there may be used by what is queued next: every stream has a pool of its own, and no one waits.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

__all__ = ["Lease", "OutOfDeviceMemory", "Pool"]

_SMALLEST = 512
"""Bytes of the smallest block: what the driver aligns to."""

_STEPS = 8
"""Sizes of blocks between a power of two and the next."""


class OutOfDeviceMemory(Exception):
    """The GPU has no room for another block.

    Attributes:
        free, total: bytes that the GPU has.
    """

    def __init__(self, free: float, total: float) -> None:
        super().__init__(f"{free} of {total} bytes are free")
        self.free, self.total = free, total


class Lease:
    """A block of memory of the GPU, which goes back to its pool when nobody refers to this object any more."""

    __slots__ = ("__weakref__", "_memory", "_pool", "pointer", "size")

    def __init__(self, pool: Pool, memory: Any, pointer: int, size: int) -> None:
        self._pool, self._memory, self.pointer, self.size = pool, memory, pointer, size

    def __del__(self) -> None:
        self._pool.give_back(self._memory, self.pointer, self.size)


class Pool:
    """Blocks of memory for the work on one stream.

    Args:
        allocate: from a number of bytes to an object that holds them, and their address; raises OutOfDeviceMemory if there is no room.
    """

    def __init__(self, allocate: Callable[[int], tuple[Any, int]]) -> None:
        self._allocate = allocate
        self._free: dict[int, list[tuple[int, Any]]] = {}

    def take(self, size: int) -> Lease:
        """A block of at least so many bytes: the first one that is free, so that a loop meets the same addresses again.

        Raises:
            OutOfDeviceMemory: there is no room for it.
        """
        size = rounded(size)
        try:
            pointer, memory = heappop(self._free[size])
        except (KeyError, IndexError):
            memory, pointer = self._allocate(size)
        return Lease(self, memory, pointer, size)

    def give_back(self, memory: Any, pointer: int, size: int) -> None:
        """Keep a block for the next one who wants its size. It may come from any thread, at any time: heaps of numbers need no lock."""
        heappush(self._free.setdefault(size, []), (pointer, memory))

    @property
    def kept(self) -> int:
        """Bytes that nobody uses."""
        return sum(size * len(blocks) for size, blocks in list(self._free.items()))

    def clear(self) -> None:
        """Give what nobody uses back to the driver."""
        self._free = {}


def rounded(size: int) -> int:
    """The size of the block for so many bytes: one of few, at most an eighth more.

    >>> rounded(0), rounded(513), rounded(1_000_000), rounded(1 << 20)
    (512, 1024, 1048576, 1048576)
    >>> rounded((1 << 20) + 1)
    1179648
    """
    step = max(_SMALLEST, 1 << max((size - 1).bit_length() - 1, 0) >> (_STEPS.bit_length() - 1))
    return max(_SMALLEST, -(-size // step) * step)
