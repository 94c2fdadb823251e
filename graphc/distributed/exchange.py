"""The arrays of a distributed call: what is sent, what is kept between segments, and what tells ranks apart."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from graphc.distributed.mpi import Ranks
from graphc.interpret import size_value
from graphc.ir.distribution import Distribution, Exchange, Halo, Segment

__all__ = ["SMALL", "Array", "Flat", "Plan", "announced", "differing", "planned"]

Array = NDArray[Any]

LINE = 64
"""Tensors in one array begin at multiples of so many bytes."""

GUARD = 256
"""Bytes around an array to which equal results are written. Compiled loops look at the distance of arrays in memory, and compute other
roundings where they are closer than a few vectors."""

STAGED = 4096
"""Bytes below which arguments are copied before results that have to be equal are computed from them: they may be close together."""

SMALL = 1024
"""Bytes up to which arguments that have to be equal are compared in every call; all are in the first."""

_STATUS = {"sum": (0, 1), "max": (0, 1), "any": (0, 1), "prod": (1, 0), "min": (1, 0), "all": (1, 0)}
"""An element of each exchange tells that nobody has failed; it does not, if any rank gives the second value."""


@dataclass
class Flat:
    """The tensors of one exchange, one behind the other, and whether a rank has failed behind them."""

    kind: str
    array: Array
    views: Mapping[str, Array]

    def mark(self, failed: bool) -> None:
        self.array[-1] = _STATUS[self.kind][failed]

    @property
    def failed(self) -> bool:
        return bool(self.array[-1] != _STATUS[self.kind][0])


@dataclass
class Plan:
    """The arrays of calls with equal sizes; each call writes them anew.

    Attributes:
        sizes: of all ranks together, and how many rows this rank has from which on.
        counts: rows of each rank.
        rank: of this process.
        flats: of each segment of each stage.
        kept: what a segment leaves to others, and what is exchanged, by name.
        staged: copies of small arguments.
    """

    sizes: dict[sp.Basic, int]
    counts: tuple[int, ...]
    rank: int
    flats: tuple[tuple[tuple[Flat, ...], ...], ...]
    kept: dict[str, Array] = field(default_factory=dict)
    staged: dict[str, Array] = field(default_factory=dict)

    def targets(self, segment: Segment) -> dict[str, Array]:
        """Where a segment writes."""
        return {name: self.kept[name] for name in segment.graph.outputs if name in self.kept}

    def arguments(self, segment: Segment, values: Mapping[str, Array]) -> dict[str, Array]:
        """What a segment reads."""
        read = {t.name: values[t.name] for t in segment.graph.tensors if t.is_input}
        if segment.equal:
            for name, array in read.items():
                if array.nbytes < STAGED and name not in self.kept:
                    if name not in self.staged:
                        self.staged[name] = _guarded(array.shape, array.dtype)
                    self.staged[name][...] = array
                    read[name] = self.staged[name]
        return read

    def placed(self, results: Mapping[str, Array], arguments: Mapping[str, Array]) -> dict[str, Array]:
        """The results of a segment, where others look for them; those written over arguments stay there."""
        placed = dict(results)
        for name, array in results.items():
            kept = self.kept.get(name)
            if kept is not None and array is not kept and not any(array is other for other in arguments.values()):
                kept[...] = array
                placed[name] = kept
        return placed

    def own(self, array: Array) -> Array:
        """An array that the next call leaves alone."""
        return array.copy() if any(array is kept for kept in self.kept.values()) else array

    def widened(self, ranks: Ranks, halo: Halo, rows: Array) -> Array:
        """The rows of this rank between those of its neighbours; zeros where there are none."""
        first = np.moveaxis(rows, halo.dimension, 0)
        here = self.counts[self.rank]
        wide = np.zeros((halo.before + here + halo.behind, *first.shape[1:]), rows.dtype)
        wide[halo.before : halo.before + here] = first
        ends = np.cumsum(self.counts)
        starts = ends - self.counts
        total = int(ends[-1])

        def part(owner: int, reader: int) -> list[tuple[int, int]]:
            """Rows of one rank, numbered over all, before and behind those of another one that it needs."""
            spans = ((starts[reader] - halo.before, starts[reader]), (ends[reader], ends[reader] + halo.behind))
            cut = [(max(int(a), int(starts[owner]), 0), min(int(b), int(ends[owner]), total)) for a, b in spans]
            return [(a, b) for a, b in cut if a < b and self.counts[reader]]

        others = [rank for rank in range(ranks.size) if rank != self.rank]
        sent = [(rank, first[a - starts[self.rank] : b - starts[self.rank]]) for rank in others for a, b in part(self.rank, rank)]
        offset = starts[self.rank] - halo.before
        received = [(rank, wide[a - offset : b - offset]) for rank in others for a, b in part(rank, self.rank)]
        ranks.swap(sent, received)
        return np.ascontiguousarray(np.moveaxis(wide, 0, halo.dimension))


def planned(
    distribution: Distribution, sizes: Mapping[sp.Basic, int], counts: tuple[int, ...], rank: int, outputs: tuple[str, ...]
) -> Plan:
    """The arrays for calls with these sizes and numbers of rows."""
    known = {**sizes, distribution.rows: counts[rank], distribution.start: sum(counts[:rank])}
    plan = Plan(known, counts, rank, tuple(tuple(tuple(_flat(e, s, known) for e in s.exchanges) for s in stage.segments)
                                           for stage in distribution.stages))
    for stage in plan.flats:
        for flats in stage:
            for flat in flats:
                plan.kept.update(flat.views)
    later = {t.name for stage in distribution.stages for s in stage.segments for t in s.graph.tensors if t.is_input}
    for stage_ in distribution.stages:
        for segment in stage_.segments:
            for name in segment.graph.outputs:
                if name not in plan.kept and (segment.equal or (name not in outputs and name in later)):
                    tensor = segment.graph.tensor(name)
                    plan.kept[name] = _guarded(tuple(size_value(e, known) for e in tensor.shape), np.dtype(tensor.dtype))
    return plan


def _flat(exchange: Exchange, segment: Segment, sizes: Mapping[sp.Basic, int]) -> Flat:
    shapes = {name: tuple(size_value(e, sizes) for e in segment.graph.tensor(name).shape) for name in exchange.tensors}
    step = LINE // np.dtype(exchange.dtype).itemsize
    places, end = {}, 0
    for name, shape in shapes.items():
        places[name] = end
        end += -(-int(np.prod(shape, dtype=np.int64)) // step) * step
    array = _guarded((end + 1,), np.dtype(exchange.dtype))
    array[...] = 0
    views = {name: array[places[name] :][: int(np.prod(shape, dtype=np.int64))].reshape(shape) for name, shape in shapes.items()}
    return Flat(exchange.kind, array, views)


def _guarded(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array with nothing near it."""
    count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(count + 2 * GUARD + LINE, np.uint8)
    start = GUARD + -raw.ctypes.data % LINE
    return raw[start : start + count].view(dtype).reshape(shape)


def announced(text: str) -> int:
    """A number that differs for different texts, as good as always."""
    return zlib.crc32(text.encode())


def differing(given: Mapping[str, Array], divided: Mapping[str, int], compared: Iterable[str]) -> dict[str, tuple[tuple[Any, ...], int]]:
    """What has to be equal on all ranks: shapes but for their rows, and a number for the values of those that are compared."""
    chosen = set(compared)
    known: dict[str, tuple[tuple[Any, ...], int]] = {}
    for name, array in given.items():
        shape = tuple("*" if d == divided.get(name) else n for d, n in enumerate(array.shape))
        known[name] = shape, zlib.crc32(np.ascontiguousarray(array).data) if name in chosen else 0
    return known
