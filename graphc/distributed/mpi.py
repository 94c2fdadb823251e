"""Ranks of MPI, as a distributed program sees them: numbers, texts, reductions and rows that go from one to another.

Collective operations, their algorithms and their progress are those of the MPI library behind mpi4py; nothing here has a protocol of its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import graphc as gc

__all__ = ["Alone", "Mpi", "Ranks", "ranks_of"]

Array = NDArray[Any]


class Ranks(Protocol):
    """The processes that run one program, each with a number.

    Every method except the properties is called by all of them, in the same order.
    """

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def gather(self, value: object) -> list[Any]:
        """What each rank gives, in their order; small and seldom."""
        ...

    def announce(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """A row of integers of each rank."""
        ...

    def reduce(self, kind: str, buffer: Array) -> Callable[[], object]:
        """Begin to combine the buffers of all ranks element by element; when the function returned has been called, all have the result.

        Args:
            kind: "sum", "prod", "max", "min" (both NaN where any rank has NaN), "any" or "all".
            buffer: one-dimensional and contiguous; not to be touched before the end.
        """
        ...

    def swap(self, sent: Sequence[tuple[int, Array]], received: Sequence[tuple[int, Array]]) -> None:
        """Send arrays to ranks, and fill those that come from others; at most one per pair and direction."""
        ...


class Alone:
    """One process without MPI."""

    rank, size = 0, 1

    def gather(self, value: object) -> list[Any]:
        return [value]

    def announce(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        return numbers[None, :]

    def reduce(self, kind: str, buffer: Array) -> Callable[[], object]:
        return lambda: None

    def swap(self, sent: Sequence[tuple[int, Array]], received: Sequence[tuple[int, Array]]) -> None:
        """There is nobody else."""


class Mpi:
    """The ranks of a communicator of mpi4py, in a communicator of their own, which no other message can get into."""

    def __init__(self, comm: Any) -> None:
        self._comm = comm.Dup()
        self.rank, self.size = comm.Get_rank(), comm.Get_size()

    def gather(self, value: object) -> list[Any]:
        return list(self._comm.allgather(value))

    def announce(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        table = np.empty((self.size, len(numbers)), np.int64)
        self._comm.Allgather(numbers, table)
        return table

    def reduce(self, kind: str, buffer: Array) -> Callable[[], object]:
        from mpi4py import MPI

        request = self._comm.Iallreduce(MPI.IN_PLACE, buffer, _operation(kind, buffer.dtype.str))
        return lambda: request.Wait()

    def swap(self, sent: Sequence[tuple[int, Array]], received: Sequence[tuple[int, Array]]) -> None:
        from mpi4py import MPI

        waiting = [self._comm.Irecv(array, source=rank) for rank, array in received]
        waiting += [self._comm.Isend(np.ascontiguousarray(array), dest=rank) for rank, array in sent]
        MPI.Request.Waitall(waiting)


@cache
def _operation(kind: str, dtype: str) -> Any:
    """The reduction of MPI; extrema of floating-point numbers are NumPy's, because those of MPI may lose a NaN."""
    from mpi4py import MPI

    if kind in ("max", "min") and np.dtype(dtype).kind == "f":
        combine = np.maximum if kind == "max" else np.minimum

        def reduced(one: Any, both: Any, _: Any) -> None:
            result = np.frombuffer(both, dtype)
            combine(np.frombuffer(one, dtype), result, out=result)

        return MPI.Op.Create(reduced, commute=True)
    return {"sum": MPI.SUM, "prod": MPI.PROD, "max": MPI.MAX, "min": MPI.MIN, "any": MPI.LOR, "all": MPI.LAND}[kind]


def ranks_of(comm: Any) -> Ranks:
    """The ranks of a communicator: of mpi4py, None for a process alone, or anything that has the methods of `Ranks`.

    Raises:
        ArgumentError: it is none.
    """
    if comm is None:
        return Alone()
    if callable(getattr(comm, "Iallreduce", None)) and callable(getattr(comm, "Dup", None)):
        if not comm:
            raise gc.ArgumentError("The communicator is MPI.COMM_NULL, which has no ranks.",
                                   fix="call gc.distribute only on the ranks of a group, or pass MPI.COMM_WORLD.")
        if not hasattr(comm, "Is_inter") or comm.Is_inter():
            raise gc.ArgumentError("The communicator joins two groups of ranks.", fix="pass that of one group, as MPI.COMM_WORLD.")
        return Mpi(comm)
    if all(callable(getattr(comm, name, None)) for name in ("gather", "announce", "reduce", "swap")):
        found: Ranks = comm
        return found
    raise gc.ArgumentError(f"comm={comm!r} is no communicator.", fix="pass MPI.COMM_WORLD of mpi4py, or None for one process.")
