"""Timed choices for contractions: a handful of candidates beside the estimate, the winner remembered on disk.

A candidate is timed as one thread's share of the contraction, by processor time, on arrays of its own; a large contraction on a part
of its groups, rows, columns and terms.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache

import numpy as np

from graphc.kernels.choice import BESIDE, INNER, WAYS, Choice, Planned, Table, cache_bytes, estimate, exchanged
from graphc.kernels.contraction import load, prepared
from graphc.runtime.cache import remember, remembered

__all__ = ["SECONDS", "WORTH", "candidates", "tuned", "variants"]

SECONDS = 1.5
"""The longest that the contractions of a program are timed, together."""

WORTH = 1_000_000
"""Multiply-adds of a contraction below which it is not timed: 10 to 20 µs."""

MOST = 400_000_000
"""Multiply-adds of a contraction that are timed in one run, if there is much time: some 8 ms."""

LEAST_SHARE = 0.1
"""Seconds for one contraction, of which fewer are timed if there are many."""

RATE = 5e9
"""Multiply-adds per second that any machine can do."""

RUNS = 30
"""So many runs fit into a contraction's time, so that each candidate has several."""

BLOCKS = 192, 384, 768, 1536
"""Terms per block: longer ones would round more."""

LEAST = 10_000_000
"""Multiply-adds that are at least done between two looks at the clock, some 0.2 ms."""

LONG = 1024
"""Rows and columns up to which none are left out."""

LARGEST = 1 << 20
"""Greater numbers of a choice are damage."""

CLEAR = 0.97
"""What is faster than the estimated choice takes at most this part of its time; what is only a little faster may be so by chance."""

HOPELESS = 1.3
"""A candidate that takes so many times the time of the best one is not run again."""

TURNS = 5
"""Runs of each candidate that stays: the shortest counts."""


def tuned(contractions: Sequence[Planned], threads: int) -> tuple[Planned, ...]:
    """The contractions with the choices that are fastest on this machine; those that are small or for which time is short keep theirs.

    The largest come first; another process times those that are left.

    Args:
        contractions: of a program, as estimated.
        threads: of the team that runs them.
    """
    keys = [_key(planned, threads) for planned in contractions]
    found: dict[str, Choice | None] = {}
    missing: dict[str, Planned] = {}
    for key, planned in zip(keys, contractions, strict=True):
        if planned.products and _work(planned.tables) >= WORTH:
            found[key] = _read(key)
            if found[key] is None:
                missing[key] = planned
    for dtype in {planned.dtype for planned in missing.values()}:
        load(dtype)
    largest = sorted(missing, key=lambda key: -_work(missing[key].tables))
    end = time.perf_counter() + SECONDS
    for place, key in enumerate(largest):
        left = end - time.perf_counter()
        if left <= 0:
            break
        share = min(left, max(2 * left / (len(largest) - place), LEAST_SHARE))
        choice = found[key] = _fastest(missing[key], threads, time.perf_counter() + share, share)
        if choice is not None:
            with suppress(OSError):  # it can be used without being remembered
                remember(key, json.dumps(asdict(choice)))
    return tuple(_with(planned, found.get(key)) for key, planned in zip(keys, contractions, strict=True))


def _with(planned: Planned, choice: Choice | None) -> Planned:
    return planned if choice is None else Planned.of(planned.factors, planned.dtype, planned.tables[:4], choice)


def candidates(planned: Planned) -> tuple[Choice, ...]:
    """The estimated choice first, then other ways to compute a contraction that are not out of the question.

    Each way is estimated for the factors as they are and exchanged; ways whose estimate is above twice the best one are left out.
    """
    itemsize = np.dtype(planned.dtype).itemsize
    tables = planned.tables[:4]
    cycles = {(way, False): cost for way, cost in estimate(tables, itemsize).items()}
    cycles |= {(way, True): cost for way, cost in estimate(exchanged(tables), itemsize).items()}
    least = min(cycles.values())
    others = sorted((cost, way, swap) for (way, swap), cost in cycles.items() if cost <= 2 * least)
    found = [planned.choice, *(Choice(way, planned.choice.block, planned.choice.tiles, swap) for _, way, swap in others)]
    return tuple(dict.fromkeys(found))


def variants(choice: Choice, length: int) -> tuple[Choice, ...]:
    """A choice with other blocks of a sum of so many terms, and other tiles beside each other."""
    if choice.way == INNER:
        return ()
    blocks = [choice.block, *(block for block in BLOCKS if block < 2 * length)]
    return tuple(dict.fromkeys(replace(choice, block=b, tiles=t) for b in blocks for t in sorted({1, BESIDE, choice.tiles})))


# ------------------------------------------------------------------------------------------------------------------ timing


@dataclass(slots=True)
class _Race:
    """The shortest times of candidates so far, in seconds; `run` computes one of them, and nothing starts that may last beyond `end`."""

    run: Callable[[Choice], None]
    end: float
    times: dict[Choice, float]
    last: float = 0.0

    def turn(self, choices: Sequence[Choice]) -> None:
        """Run each of the choices once more, except those that are far behind."""
        for choice in choices:
            start = time.perf_counter()
            if start + self.last >= self.end:
                return
            if self.times.get(choice, 0.0) <= HOPELESS * min(self.times.values(), default=1.0):
                begin = time.thread_time()
                self.run(choice)
                self.times[choice] = min(self.times.get(choice, 1e9), time.thread_time() - begin)
                self.last = time.perf_counter() - start

    def best(self) -> Choice:
        return min(self.times, key=lambda choice: self.times[choice])


def _fastest(planned: Planned, threads: int, end: float, seconds: float) -> Choice | None:
    """The fastest candidate, the estimated one unless another one is clearly faster; None if there was no time to tell.

    Args:
        planned: the contraction.
        threads: of the team.
        end: when it has to be found.
        seconds: until then.
    """
    race = _Race(_runner(planned, threads, seconds), end, {})
    race.turn((planned.choice,))  # what is touched for the first time is slow
    if not race.times:
        return None
    race.turn(candidates(planned))
    for _ in range(2):
        race.turn(variants(race.best(), planned.tables[3].shape[1]))
    for _ in range(TURNS):
        race.turn(sorted(race.times, key=lambda choice: race.times[choice]))
        race.turn((planned.choice,))
    if len(race.times) < 2:
        return None
    best = race.best()
    return best if race.times[best] < CLEAR * race.times[planned.choice] else planned.choice


def _runner(planned: Planned, threads: int, seconds: float) -> Callable[[Choice], None]:
    """A function that computes the largest share of a thread, on arrays of ones; many runs of it fit into the time."""
    tables = _part(planned.tables, min(MOST, int(seconds / RUNS * RATE) * threads))
    batch, rows, columns, depth = (table.max(axis=1) for table in tables)
    sizes = (batch[0] + rows[0] + columns[0], batch[1] + rows[1] + depth[0], batch[2] + columns[1] + depth[1])
    arrays = [np.ones(int(size) + 1, planned.dtype) for size in sizes]
    last = prepared(threads - 1, threads, *arrays, *tables)  # shares are rounded down, so that the last one is the largest
    repeats = -(-LEAST * threads // _work(tables))

    @cache
    def numbers(choice: Choice) -> Table:
        return choice.numbers(tables, np.dtype(planned.dtype).itemsize)

    def run(choice: Choice) -> None:
        for _ in range(repeats):
            last(numbers(choice), False, 1.0)

    return run


def _part(tables: Sequence[Table], most: int) -> tuple[Table, ...]:
    """The tables, cut until no more multiply-adds than that are left: groups first, then half of the longer of rows and columns while it is
    long, then half of the terms."""
    batch, rows, columns, depth = tables[:4]
    batch = np.ascontiguousarray(batch[:, : max(1, most // _work((rows, columns, depth)))])
    while _work((batch, rows, columns, depth)) > most and depth.shape[1] > 1:
        if max(rows.shape[1], columns.shape[1]) > LONG:
            rows, columns = (rows, _half(columns)) if columns.shape[1] >= rows.shape[1] else (_half(rows), columns)
        else:
            depth = _half(depth)
    return batch, rows, columns, depth


def _half(table: Table) -> Table:
    return np.ascontiguousarray(table[:, : -(-table.shape[1] // 2)])


def _work(tables: Sequence[Table]) -> int:
    """Multiply-adds of a contraction."""
    return math.prod(table.shape[1] for table in tables[:4])


# ------------------------------------------------------------------------------------------------------------------ memory


def _key(planned: Planned, threads: int) -> str:
    """All that decides beside the machine and the engine: sizes and strides are in the tables."""
    digest = hashlib.sha256()
    for table in planned.tables[:4]:
        digest.update(str(table.shape).encode() + np.ascontiguousarray(table).tobytes())
    return f"{planned.dtype} {threads} {cache_bytes()} {digest.hexdigest()}"


def _read(key: str) -> Choice | None:
    """What was remembered; a file that was damaged is as good as none."""
    try:
        choice = Choice(**json.loads(remembered(key) or "{}"))
    except (OSError, RecursionError, TypeError, ValueError):
        return None
    numbers = choice.way, choice.block, choice.tiles
    sound = all(type(number) is int and 0 <= number < LARGEST for number in numbers) and type(choice.exchanged) is bool
    return choice if sound and choice.way in WAYS and choice.block * choice.tiles > 0 else None
