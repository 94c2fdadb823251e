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
from dataclasses import asdict, dataclass, replace

import numpy as np

from graphc.kernels.choice import BESIDE, INNER, WAYS, Choice, Planned, Table, cache_bytes, estimate, exchanged
from graphc.kernels.contraction import call, load
from graphc.runtime.cache import remember, remembered

__all__ = ["SECONDS", "WORTH", "candidates", "tuned", "variants"]

SECONDS = 1.5
"""The longest that the contractions of a program are timed, together."""

WORTH = 1_000_000
"""Multiply-adds of a contraction below which it is not timed: 10 to 20 µs."""

MOST = 400_000_000
"""Multiply-adds of a contraction that are timed in one run: some 8 ms."""

BLOCKS = 192, 384, 768, 1536
"""Terms per block: longer ones would round more."""

LEAST = 10_000_000
"""Multiply-adds that are at least done between two looks at the clock, some 0.2 ms."""

LONG = 1024
"""Rows and columns up to which none are left out."""

CLEAR = 0.97
"""What is faster than the estimated choice takes at most this part of its time; what is only a little faster may be so by chance."""

HOPELESS = 1.3
"""A candidate that takes so many times the time of the best one is not run again."""

TURNS = 5
"""Runs of each candidate that stays: the shortest counts."""


def tuned(contractions: Sequence[Planned], threads: int) -> tuple[Planned, ...]:
    """The contractions with the choices that are fastest on this machine; those that are small or for which time is short keep theirs.

    Args:
        contractions: of a program, as estimated.
        threads: of the team that runs them.
    """
    keys = [_key(planned, threads) for planned in contractions]
    found: dict[str, Choice | None] = {}
    missing: dict[str, Planned] = {}
    for key, planned in zip(keys, contractions, strict=True):
        if _work(planned.tables) >= WORTH:
            found[key] = _read(key)
            if found[key] is None:
                missing[key] = planned
    total = sum(min(_work(planned.tables), MOST) for planned in missing.values())
    for dtype in {planned.dtype for planned in missing.values()}:
        load(dtype)
    for key, planned in missing.items():
        seconds = SECONDS * min(_work(planned.tables), MOST) / total
        found[key] = _fastest(planned, threads, time.perf_counter() + seconds)
        if (choice := found[key]) is not None:
            remember(key, json.dumps(asdict(choice)))
    chosen = [found.get(key) for key in keys]
    return tuple(p if c is None else Planned.of(p.factors, p.dtype, p.tables[:4], c) for p, c in zip(contractions, chosen, strict=True))


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
    """The shortest times of candidates so far, in seconds; `run` computes one of them, and nothing starts after `end`."""

    run: Callable[[Choice], None]
    end: float
    times: dict[Choice, float]

    def turn(self, choices: Sequence[Choice]) -> None:
        """Run each of the choices once more, except those that are far behind."""
        for choice in choices:
            if time.perf_counter() >= self.end:
                return
            if self.times.get(choice, 0.0) <= HOPELESS * min(self.times.values(), default=1.0):
                begin = time.thread_time()
                self.run(choice)
                self.times[choice] = min(self.times.get(choice, 1e9), time.thread_time() - begin)

    def best(self) -> Choice:
        return min(self.times, key=lambda choice: self.times[choice])


def _fastest(planned: Planned, threads: int, end: float) -> Choice | None:
    """The fastest candidate, the estimated one unless another one is clearly faster; None if there was no time to tell."""
    race = _Race(_runner(planned, threads), end, {})
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


def _runner(planned: Planned, threads: int) -> Callable[[Choice], None]:
    """A function that computes the share of one of the threads, on arrays of ones."""
    tables = _part(planned.tables)
    batch, rows, columns, depth = (table.max(axis=1) for table in tables)
    sizes = (batch[0] + rows[0] + columns[0], batch[1] + rows[1] + depth[0], batch[2] + columns[1] + depth[1])
    arrays = [np.ones(int(size) + 1, planned.dtype) for size in sizes]

    repeats = -(-LEAST * threads // _work(tables))

    def run(choice: Choice) -> None:
        for _ in range(repeats):
            call(0, threads, *arrays, *tables, choice.numbers(), False, 1.0)

    return run


def _part(tables: Sequence[Table]) -> tuple[Table, ...]:
    """The tables, cut until what is left takes a few milliseconds: groups first, then half of the longer of rows and columns while it is
    long, then half of the terms."""
    batch, rows, columns, depth = tables[:4]
    batch = np.ascontiguousarray(batch[:, : max(1, MOST // _work((rows, columns, depth)))])
    while _work((batch, rows, columns, depth)) > MOST:
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
    except (TypeError, ValueError):
        return None
    numbers = choice.way, choice.block, choice.tiles
    sound = all(type(number) is int for number in numbers) and choice.way in WAYS and min(choice.block, choice.tiles) > 0
    return choice if sound and type(choice.exchanged) is bool else None
