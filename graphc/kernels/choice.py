"""How a contraction is computed: the parameters of the engine, and an estimate of which are best.

The engine (`graphc.kernels.contraction`) takes them as numbers at run time; the estimate needs the offset tables only.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from graphc.kernels.tile import SIMD, VECTORS

__all__ = [
    "CHOSEN", "DIRECT", "INNER", "INNER_BLOCK", "PACKED", "TRANSPOSED", "WAYS", "Choice", "Planned", "cache_bytes", "estimate",
    "estimated", "exchanged",
]

WAYS = DIRECT, PACKED, TRANSPOSED, INNER = 0, 1, 2, 3
"""How columns of B reach the tile: from where they are, copied along the columns, copied along the summed index (B is contiguous there);
or vectors lie along the summed index."""

INNER_BLOCK = 64
"""Vectors of terms per block when vectors lie along the summed index: 6 rows and 4 columns take 40 KB."""

BLOCK = 384
"""Terms of a sum per block: the panel of B, `VECTORS` vectors wide, is then a small part of the second-level cache."""

LONG_BLOCK = 4 * BLOCK
"""The same where results are no neighbours and cost more to store."""

BESIDE = 4
"""Tiles that lie beside each other, if any do."""

PAGES = 2048
"""Bytes between terms of a sum from which on each is on another page, or nearly."""

USUAL_CACHE = 1 << 20

CHOSEN = 4
"""Numbers of a choice; behind them the engine gets how many vectors there are, and where each begins."""

Table = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Choice:
    """The parameters of one contraction.

    Attributes:
        way: one of `WAYS`.
        block: terms of a sum that are added before the next ones are read, and copied together.
        tiles: register tiles, beside each other, that go over the same rows.
        exchanged: whether the operands, and with them rows and columns, change places.
    """

    way: int
    block: int = BLOCK
    tiles: int = 1
    exchanged: bool = False

    def numbers(self, tables: Sequence[Table] = (), itemsize: int = 4) -> Table:
        """What the engine gets; with the tables of a contraction, where its vectors begin as well: it would look for that in every call."""
        own = [self.way, self.block, self.tiles, self.exchanged]
        if tables and self.way in (DIRECT, INNER):
            starts = _starts((tables[3] if self.way == INNER else tables[1 if self.exchanged else 2])[:2], SIMD // (8 * itemsize))
            own += [len(starts) - 1, *starts]
        return np.array([own], np.int64)

    def words(self, first: str, second: str) -> str:
        """The choice for factors of these names.

        >>> Choice(PACKED, 384).words("A", "B").partition(" × ")[0]
        'B copied into panels, at most 384 terms'
        """
        rows, columns = (second, first) if self.exchanged else (first, second)
        if self.way == INNER:
            return f"vectors along the summed indices, rows of {rows} by columns of {columns}"
        how = {DIRECT: "read in place", PACKED: "copied into panels", TRANSPOSED: "transposed into panels"}[self.way]
        return f"{columns} {how}, at most {self.block} terms × {self.tiles * VECTORS} vectors at a time"


@dataclass(frozen=True, slots=True)
class Planned:
    """A contraction of given sizes and how it is computed.

    Attributes:
        factors: names of the two.
        dtype: of its elements.
        tables: batch, rows, columns, depth, and the numbers of the choice.
        choice: how.
        timed: whether the choice was timed, not only estimated.
        products: whether products are summed; any other function keeps the factors where they are.
    """

    factors: tuple[str, str]
    dtype: str
    tables: tuple[Table, ...]
    choice: Choice
    timed: bool = False
    products: bool = True

    @classmethod
    def of(
        cls, factors: tuple[str, str], dtype: str, offsets: Sequence[Table], choice: Choice | None = None, products: bool = True
    ) -> "Planned":
        """A contraction with a choice that was timed, or as estimated."""
        chosen = choice or estimated(offsets, np.dtype(dtype).itemsize, products)
        return cls(factors, dtype, (*offsets, chosen.numbers(offsets, np.dtype(dtype).itemsize)), chosen, choice is not None, products)

    def __str__(self) -> str:
        return f"{self.choice.words(*self.factors)} ({'timed' if self.timed else 'estimated'})"


def estimated(tables: Sequence[Table], itemsize: int, products: bool = True) -> Choice:
    """What the estimate says is best for a contraction with the tables batch, rows, columns and depth.

    The factors change places where this is clearly better and the terms of the new first factor are close together. Tiles lie beside
    each other where the rows of the first factor that a block of terms needs are many: they are read once for all. Other functions than
    `products` keep their factors where they are.
    """
    cycles = estimate(tables, itemsize)
    if not products:
        cycles.pop(INNER, None)
        return Choice(min(cycles, key=lambda way: (cycles[way], way)), BLOCK, _beside(tables, itemsize))
    swapped = estimate(exchanged(tables), itemsize)
    best, other = min(cycles, key=lambda way: (cycles[way], way)), min(swapped, key=lambda way: (swapped[way], way))
    near = itemsize * _step(tables[3][1]) < PAGES and tables[1].shape[1] > SIMD // (8 * itemsize)
    if near and INNER not in (best, other) and swapped[other] < 0.97 * cycles[best]:
        return Choice(other, LONG_BLOCK, 1, True)
    return Choice(best, BLOCK, _beside(tables, itemsize))


def exchanged(tables: Sequence[Table]) -> tuple[Table, ...]:
    """The tables when the factors change places."""
    batch, rows, columns, depth = tables
    return np.ascontiguousarray(batch[[0, 2, 1]]), columns, rows, np.ascontiguousarray(depth[::-1])


def estimate(tables: Sequence[Table], itemsize: int) -> dict[int, float]:
    """Cycles per term of the sum, by way, fitted to measurements: half a cycle per row and vector, the copies, which take longer where a
    piece is no whole vector, and results that are no neighbours, which are stored one by one after each block.

    In place, vectors straddle cache lines, and each term is on a page of its own if the terms are far apart; at multiples of 4 KB they
    fall on the same few lines of the caches as well.
    """
    _, rows, columns, depth = tables
    lanes = SIMD // (8 * itemsize)
    height, width, length = rows.shape[1], columns.shape[1], depth.shape[1]
    steps = _pieces(depth, lanes)
    full = -(-width // lanes)
    apart = itemsize * _step(depth[1])
    in_place = 0.625 if apart < PAGES else 0.85 if apart % 4096 == 0 else 0.72
    scattered = min(1.0, _pieces(columns[:1], lanes) / max(1, full) - 1)
    store = 6.6 if itemsize * _step(columns[0]) % 2048 == 0 else 2.0
    tile = 0.54 * height * full + store * scattered * height * width / max(1, min(LONG_BLOCK, length))
    copied = np.diff(_starts(columns[1:], lanes))
    pieces, partial = len(copied), int((copied < lanes).sum())
    cycles = {
        DIRECT: in_place * height * _pieces(columns, lanes),
        PACKED: tile + 2.5 * (pieces + full) + 8 * partial + 10 * max(0, pieces - 2 * full),
        TRANSPOSED: tile + 0.5 * lanes * full * max(1.0, steps * lanes / max(1, length)),
    }
    if length:
        tiles = -(-height // 2) * -(-width // VECTORS)
        cycles[INNER] = 0.9 * tiles * 2 * VECTORS * (steps + 3 + 0.5 * (steps // INNER_BLOCK)) / length
    return cycles


def _beside(tables: Sequence[Table], itemsize: int) -> int:
    """How many tiles lie beside each other."""
    first = itemsize * tables[1].shape[1] * min(BLOCK, tables[3].shape[1])
    return BESIDE if first >= cache_bytes() // 4 else 1


def _step(offsets: Table) -> int:
    """The usual distance of neighbours in a table."""
    return int(np.median(np.abs(np.diff(offsets)))) if offsets.size > 1 else 0


@cache
def cache_bytes() -> int:
    """Bytes of a processor's second-level cache; a usual number where the system does not tell."""
    try:
        return os.sysconf("SC_LEVEL2_CACHE_SIZE") or USUAL_CACHE
    except (AttributeError, OSError, ValueError):
        return USUAL_CACHE


def _pieces(table: Table, limit: int) -> int:
    """How many pieces of at most `limit` elements a table falls into, whose offsets are neighbours in every row.

    >>> _pieces(np.array([[0, 1, 2, 8, 9]]), 2)
    3
    """
    return len(_starts(table, limit)) - 1


def _starts(table: Table, limit: int) -> Table:
    """Where these pieces begin, and the end of the last.

    >>> _starts(np.array([[0, 1, 2, 8, 9]]), 2)
    array([0, 2, 3, 5])
    """
    count = table.shape[1]
    breaks = np.flatnonzero((np.diff(table, axis=1) != 1).any(axis=0)) + 1
    edges = np.concatenate(([0], breaks, [count])) if count else np.zeros(1, np.int64)
    pieces = -(-np.diff(edges) // limit)
    first = np.cumsum(pieces) - pieces
    starts = np.repeat(edges[:-1], pieces) + limit * (np.arange(pieces.sum()) - np.repeat(first, pieces))
    return np.append(starts, count)
