"""Threads, warps and blocks of a simulated GPU: each thread is a generator that yields where it waits for others."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.gpu.memory import Accesses, Fault, Memory

if TYPE_CHECKING:
    from tests.gpu.device import Device

__all__ = ["OF_A_BLOCK", "OF_A_WARP", "WARP", "Block", "settled"]

WARP = 32
OF_A_BLOCK = {"syncthreads", "syncthreads_count", "syncthreads_and", "syncthreads_or", "sync"}
OF_A_WARP = {"syncwarp", "shfl_sync", "shfl_up_sync", "shfl_down_sync", "shfl_xor_sync", "all_sync", "any_sync", "ballot_sync", "multiply"}


@dataclass
class Thread:
    place: tuple[int, int, int]
    lane: int
    block: Block
    accesses: Accesses = field(default_factory=Accesses)
    code: Generator[Any, Any, None] | None = None
    running: bool = True
    request: Any = None
    """What it waits for: barrier or shuffle, line, arguments."""
    answer: Any = None

    def __str__(self) -> str:
        return f"thread {self.place} of block {self.block.place}"

    def advance(self) -> None:
        """Run up to the next request."""
        assert self.code is not None
        self.block.device.here = self
        try:
            self.request = self.code.send(self.answer)
        except StopIteration:
            self.running = False
        self.answer = None


def settled(parts: Sequence[Thread | Warp | Block], device: Device) -> Accesses:
    """What all of them touched up to a barrier for them.

    Raises:
        Fault: two of them would have needed another one before.
    """
    total = Accesses()
    for k, part in enumerate(parts):
        if total.conflict(part.accesses) is not None:
            other, address = next((p, a) for p in parts[:k] if (a := p.accesses.conflict(part.accesses)) is not None)
            raise Fault(f"race: {other} and {part} both touch {device.element(address)}, and nothing orders them")
        total.add(part.accesses)
    for part in parts:
        part.accesses = Accesses()
    return total


@dataclass
class Warp:
    threads: Sequence[Thread]
    accesses: Accesses = field(default_factory=Accesses)

    def __str__(self) -> str:
        return f"a thread from {self.threads[0].place} to {self.threads[-1].place} of block {self.threads[0].block.place}"

    def run(self, device: Device) -> None:
        """Until each thread has ended or waits for its block."""
        running = [t for t in self.threads if t.running]
        while running:
            for thread in running:
                thread.advance()
            running = [t for t in self.threads if t.running and t.request[0] not in OF_A_BLOCK]
            groups = {t.lane: _group(t, self.threads) for t in running}
            for thread in running:
                kind, _, (_, *mine) = thread.request
                thread.answer = _exchanged(kind, thread, {t.lane: t.request[2][1:] for t in groups[thread.lane]}, *mine)
            if running and all(t.request[0] == "syncwarp" for t in running):
                self.accesses.add(settled(self.threads, device))
        self.accesses.add(settled(self.threads, device))


@dataclass
class Block:
    place: tuple[int, int, int]
    shape: tuple[int, int, int]
    grid: tuple[int, int, int]
    device: Device
    accesses: Accesses = field(default_factory=Accesses)
    shared: dict[str, Memory] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"block {self.place}"

    def run(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Generator[str, None, None]:
        """Yields where all threads wait for all blocks."""
        places = [(x, y, z) for z, y, x in itertools.product(*map(range, reversed(self.shape)))]
        threads = [Thread(place, k % WARP, self) for k, place in enumerate(places)]
        if not inspect.isgeneratorfunction(function):
            for thread in threads:
                self.device.here = thread
                function(*arguments)
            self.accesses = settled(threads, self.device)
            return
        warps = [Warp(threads[k : k + WARP]) for k in range(0, len(threads), WARP)]
        for thread in threads:
            thread.code = function(*arguments)
        while True:
            for warp in warps:
                warp.run(self.device)
            waiting = {t.request[:2] if t.running else ("the end", 0) for t in threads}
            if len(waiting) > 1:
                shown = ", ".join(f"{kind} in line {line}" if line else kind for kind, line in sorted(waiting))
                raise Fault(f"divergence: threads of block {self.place} wait at {shown}")
            self.accesses.add(settled(warps, self.device))
            if not threads[0].running:
                return
            request = threads[0].request
            if request[0] == "sync":
                yield "grid"
            elif request[0] != "syncthreads":
                values = [t.request[2][0] for t in threads]
                answer = {"count": sum(map(bool, values)), "and": all(values), "or": any(values)}[request[0].rsplit("_", 1)[1]]
                for thread in threads:
                    thread.answer = int(answer)


def _group(thread: Thread, warp: Sequence[Thread]) -> list[Thread]:
    """The threads that a barrier or shuffle of a warp names; all that have not ended have to be there."""
    kind, line, (mask, *_) = thread.request
    group = [t for t in warp if mask >> t.lane & 1 and t.running]
    there = [t for t in group if t.request[:2] == (kind, line) and t.request[2][0] == mask]
    if thread not in there or len(there) < len(group):
        raise Fault(f"divergence: {thread} waits at {kind} in line {line} for threads of its warp that are not there")
    return there


def _multiplied(thread: Thread, given: Mapping[int, Sequence[Any]]) -> None:
    """A thread's part of a product of matrices on tensor cores (`graphc.kernels.tensor_cores`).

    Raises:
        Fault: a factor is not rounded to TF32.
    """
    a, b = np.zeros((16, 8)), np.zeros((8, 8))
    for lane, (_, _, above, i, across, j) in given.items():
        group, member = divmod(lane, 4)
        for k in range(4):
            a[group + 8 * (k % 2), member + 4 * (k // 2)] = above[i + k]
        for k in range(2):
            b[member + 4 * k, group] = across[j + k]
    for factor in (a, b):
        if np.any(factor.astype(np.float32).view(np.uint32) & 0x1FFF):
            raise Fault(f"{thread} multiplies numbers that are not rounded to TF32")
    sums, at, *_ = given[thread.lane]
    group, member = divmod(thread.lane, 4)
    for k in range(4):
        sums[at + k] = np.float32(sums[at + k] + a[group + 8 * (k // 2)] @ b[:, 2 * member + k % 2])


def _exchanged(kind: str, thread: Thread, given: Mapping[int, Sequence[Any]], *mine: Any) -> Any:
    """What a thread gets from the others of its group."""
    if kind == "syncwarp":
        return None
    if kind == "multiply":
        return _multiplied(thread, given)
    if kind in ("all_sync", "any_sync", "ballot_sync"):
        votes = {lane: bool(values[0]) for lane, values in given.items()}
        return sum(v << lane for lane, v in votes.items()) if kind == "ballot_sync" else {"all": all, "any": any}[kind[:3]](votes.values())
    value, step = mine
    lane = thread.lane
    source = {"shfl_sync": step % WARP, "shfl_up_sync": lane - step, "shfl_down_sync": lane + step, "shfl_xor_sync": lane ^ step}[kind]
    if not 0 <= source < WARP:
        return value
    if source not in given:
        raise Fault(f"{thread} asks thread {source} of its warp, which does not take part")
    return given[source][0]
