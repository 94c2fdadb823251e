"""Ranks that are threads of one process: collective operations in the order of the ranks, and a complaint instead of a hang."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

Array = np.ndarray[Any, Any]
R = TypeVar("R")

COMBINE: dict[str, Callable[..., Any]] = {
    "sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum, "any": np.logical_or, "all": np.logical_and,
}  # fmt: skip


class Meeting:
    """What the ranks share."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=120)
        self.given: list[Any] = [None] * size
        self.bytes = 0


class Lockstep:
    """One of several ranks."""

    def __init__(self, rank: int, size: int, meeting: Meeting) -> None:
        self.rank, self.size, self._meeting = rank, size, meeting

    def _met(self, what: str, value: Any) -> list[Any]:
        meeting = self._meeting
        meeting.given[self.rank] = what, value
        meeting.barrier.wait()
        given = list(meeting.given)
        meeting.barrier.wait()
        assert len({name for name, _ in given}) == 1, f"the ranks meet in different operations: {[name for name, _ in given]}"
        return [value for _, value in given]

    def gather(self, value: object) -> list[Any]:
        return self._met("gather", value)

    def announce(self, numbers: Array) -> Array:
        return np.stack(self._met("announce", numbers.copy()))

    def reduce(self, kind: str, buffer: Array) -> Callable[[], object]:
        values = self._met(f"reduce {kind} {buffer.dtype} {len(buffer)}", buffer.copy())

        def finish() -> None:
            result = values[0]
            for value in values[1:]:
                result = COMBINE[kind](result, value)
            buffer[...] = result

        return finish

    def swap(self, sent: Sequence[tuple[int, Array]], received: Sequence[tuple[int, Array]]) -> None:
        letters = self._met("swap", [(to, rows.copy()) for to, rows in sent])
        mine = [(sender, rows) for sender, outgoing in enumerate(letters) for to, rows in outgoing if to == self.rank]
        assert [sender for sender, _ in mine] == [sender for sender, _ in received]
        for (_, rows), (_, target) in zip(mine, received, strict=True):
            target[...] = rows


def on_ranks(size: int, work: Callable[[Lockstep], R]) -> list[R]:
    """What each rank returns; the error of the first that raises one."""
    meeting = Meeting(size)

    def run(rank: int) -> R:
        try:
            return work(Lockstep(rank, size, meeting))
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        waiting = [pool.submit(run, rank) for rank in range(size)]
        faults = [w.exception() for w in waiting]
    first = [f for f in faults if f is not None and not isinstance(f, threading.BrokenBarrierError)]
    if first:
        raise first[0]
    return [w.result() for w in waiting]


def split(array: Array, counts: Sequence[int], dimension: int = 0) -> list[Array]:
    """Parts with so many rows."""
    return np.split(array, np.cumsum(counts)[:-1], axis=dimension)
