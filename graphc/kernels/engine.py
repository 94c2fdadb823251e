"""The contraction engine: how `graphc.kernels.contraction` computes, on bare pointers.

A panel is a group and the columns of one or more register tiles (see `graphc.kernels.tile`) beside each other; the rows of all
panels, one after the other, are what a team of threads divides.  A panel is computed in one of four ways, `WAYS` of
`graphc.kernels.choice`, which estimates the best:

- direct: vectors of columns are loaded where they are; a vector ends where the columns of B or C stop being neighbours;
- packed: a block of B is first copied into a dense panel, so that vectors are full and aligned whatever the layout;
- transposed: the same for a B that is contiguous along the summed index, such as W in ``X[b,k]*W[j,k]``;
- inner: vectors lie along the summed index, for factors that are both contiguous there, and few results.

The way, the terms per block, the tiles per panel and whether A and B change places are arguments of the engine.

Long sums are cut into blocks, for the caches and because a sum of partial sums rounds less.
"""

from typing import Any

import numpy as np
from numba import njit
from numba.np.numpy_support import carray

from graphc.kernels.choice import CHOSEN, DIRECT, INNER, INNER_BLOCK, TRANSPOSED
from graphc.kernels.terms import TERM_ROWS, call_tile
from graphc.kernels.tile import (
    CACHE_LINE,
    MASKS,
    ROWS,
    VECTORS,
    align,
    at,
    copy_lanes,
    copy_transposed,
    inner_tile,
    keep,
    lanes_of,
    outer_tile,
    scratch,
    versioned,
)
from graphc.kernels.unit import AllocatingPart

__all__ = ["engine"]

PACK_ROWS = 16
"""Rows of a panel that are packed together."""

INNER_PANEL = 8 * VECTORS
"""Columns per panel at most, when vectors lie along the summed index."""

INNER_HEIGHT = 16 * ROWS
"""Rows at most that go through all blocks of a sum together: their unfinished sums, a vector each, stay in the second-level cache."""

_njit: Any = njit  # its annotation does not know all options
part = _njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, pipeline_class=AllocatingPart)
"""Compiles the parts of the engine."""


@part
def _cut(member, team, panels, rows):
    """Where the share of a member begins, counted in rows of panels; even within a panel, to suit the tile."""
    position = panels * rows * member // team
    return position - position % rows % 2


@part
def _stretch(position, last, panels, height):
    """The group, the panel in it and its rows from which a share goes on at a position, up to the end of the panel or of the share."""
    unit, first_row = divmod(position, height)
    group, number = divmod(unit, panels)
    return group, number, first_row, min(height, first_row + last - position)


@part
def _split(x, y, limit, starts):
    """Cut a table of offsets into pieces of at most `limit` neighbours in both `x` and `y`.

    Writes where each piece starts, and the end of the last; returns how many there are.
    """
    count, start = 0, 0
    for i in range(1, len(x) + min(1, len(x))):
        if i == len(x) or i - start == limit or x[i] - x[i - 1] != 1 or y[i] - y[i - 1] != 1:
            starts[count] = start
            count += 1
            start = i
    starts[count] = len(x)
    return count


@part
def _pack(panel, stride, B, b_depth, length, counts, positions, offsets, pieces):
    """Copy `length` terms of pieces of columns into the rows of a dense panel, a few rows at a time.

    Piece p has ``counts[p]`` columns and goes to ``positions[p]``; the rest of the vector it is stored with is overwritten
    by the next piece, or lies between two rows.
    """
    for start in range(0, length, PACK_ROWS):
        for piece in range(pieces):
            source, target = at(B, offsets[piece]), at(panel, positions[piece])
            for k in range(start, min(start + PACK_ROWS, length)):
                copy_lanes(at(target, k * stride), at(source, b_depth[k]), counts[piece])


@part
def _pack_transposed(panel, stride, B, b_depth, length, offsets, vectors):
    """The same for columns that are contiguous along the summed index: ``offsets`` has one entry per lane."""
    lanes = lanes_of(panel)
    start = 0
    while start < length:
        end = start + 1
        while end < length and end - start < lanes and b_depth[end] - b_depth[end - 1] == 1:
            end += 1
        for v in range(vectors):
            source, target = at(B, b_depth[start]), at(panel, start * stride + v * lanes)
            copy_transposed(target, stride, source, at(offsets, v * lanes), end - start)
        start = end


@part
def _describe(
    columns, starts, first, end, lanes, way, masked, here, c_vectors, b_vectors, lane_counts, h_vectors, counts, positions, offsets
):
    """Write the tables of a panel, the vectors from `first` to `end`, for the tile and for packing.

    Returns whether B is packed, whether results must be scattered, and the number of pieces for `_pack`.
    """
    packed, scattered, pieces = way != DIRECT, False, 0
    for v in range(first, end):
        n, count, slot = starts[v], starts[v + 1] - starts[v], v - first
        c_vectors[slot], b_vectors[slot], lane_counts[slot] = columns[0, n], columns[1, n], count
        if here:
            h_vectors[slot] = columns[2, n]
        if count < lanes and not masked:
            packed = scattered = True
        for i in range(count):
            neighbour = i > 0 and columns[1, n + i] - columns[1, n + i - 1] == 1
            scattered |= i > 0 and columns[0, n + i] - columns[0, n + i - 1] != 1
            if way == TRANSPOSED:
                offsets[slot * lanes + i] = columns[1, n + i]
            elif neighbour:
                counts[pieces - 1] += 1
            else:
                counts[pieces], positions[pieces], offsets[pieces] = 1, slot * lanes + i, columns[1, n + i]
                pieces += 1
        if way == TRANSPOSED:  # lanes without a column repeat the last one
            for i in range(count, lanes):
                offsets[slot * lanes + i] = columns[1, n + count - 1]
    for slot in range(end - first):
        if packed:
            b_vectors[slot] = slot * lanes
        if scattered:
            c_vectors[slot], lane_counts[slot] = slot * lanes, lanes
    return packed, scattered, pieces


@part
def _scatter(C, c_rows, c_columns, starts, first, end, lanes, tile, stride, count, add):
    """Move the results in a dense tile to where they belong, one by one."""
    for m in range(count):
        for v in range(first, end):
            values = at(tile, m * stride + (v - first) * lanes - starts[v])
            for n in range(starts[v], starts[v + 1]):
                address = c_rows[m] + c_columns[n]
                C[address] = C[address] + values[n] if add else values[n]


@part
def _term_tiles(tile, count, vectors, C, A, B, H, c_rows, a_rows, h_rows, tables, a_depth, b_depth, terms, add):
    """Tiles of other functions than products beside each other, in 4, 2 or 1 vectors; the tables are those of `_describe`."""
    v = 0
    while v < vectors:
        several = 4 if vectors - v >= 4 else 2 if vectors - v >= 2 else 1
        call_tile(
            tile, count, several, C, A, B, H, c_rows, a_rows, h_rows, at(tables, v), at(tables, VECTORS + v), at(tables, 3 * VECTORS + v),
            at(tables, 2 * VECTORS + v), a_depth, b_depth, terms, add,
        )  # fmt: skip
        v += several


@part
def _outer(me, team, C, A, B, batch, rows, columns, depth, starts, vectors, way, block, tiles, accumulate, scale, tile_of_terms, H, here):
    """This member's share, with vectors along the columns; vector v holds the columns from ``starts[v]``."""
    masked = MASKS or tile_of_terms != 0
    height, length, lanes = rows.shape[1], depth.shape[1], lanes_of(C)
    tiles = max(1, min(tiles, batch.shape[1] * vectors // (VECTORS * team)))  # members that share a panel would copy it twice
    tiles = min(tiles, -(-vectors // VECTORS))
    panels = -(-vectors // (VECTORS * tiles))
    block = max(1, -(-length // max(1, -(-length // block))))
    width = VECTORS * lanes
    stride = width + lanes  # whole vectors are stored, even for pieces with fewer lanes
    room = 0 if way == DIRECT and masked else (block + lanes) * stride
    memory = scratch(C, tiles * room + ROWS * width + CACHE_LINE)
    tile = align(at(memory, 0))
    panel = at(tile, ROWS * width)
    tables = np.empty(tiles * (4 * VECTORS + 3 * width) + ROWS + block, np.int64)
    vector_tables, pieces_tables = at(tables, ROWS + block), at(tables, ROWS + block + tiles * 4 * VECTORS)
    tile_rows, panel_depth = at(tables, 0), at(tables, ROWS)
    for row in range(ROWS):
        tile_rows[row] = row * width
    for k in range(block):
        panel_depth[k] = k * stride
    ends, kinds = np.empty(tiles + 1, np.int64), np.empty((tiles, 3), np.int64)

    position, last = _cut(me, team, batch.shape[1] * panels, height), _cut(me + 1, team, batch.shape[1] * panels, height)
    while position < last:
        group, number, first_row, end_row = _stretch(position, last, panels, height)
        position += end_row - first_row
        first, end = vectors * number // panels, vectors * (number + 1) // panels
        beside = -(-(end - first) // VECTORS)
        ends[0] = first
        for t in range(beside):
            ends[t + 1] = first + (end - first) * (t + 1) // beside
            of_vectors, of_pieces = at(vector_tables, t * 4 * VECTORS), at(pieces_tables, t * 3 * width)
            packed, scattered, pieces = _describe(
                columns, starts, ends[t], ends[t + 1], lanes, way, masked, here, of_vectors, at(of_vectors, VECTORS),
                at(of_vectors, 2 * VECTORS), at(of_vectors, 3 * VECTORS), of_pieces, at(of_pieces, width), at(of_pieces, 2 * width),
            )  # fmt: skip
            kinds[t, 0], kinds[t, 1], kinds[t, 2] = packed, scattered, pieces
        result, left, right = at(C, batch[0, group]), at(A, batch[1, group]), at(B, batch[2, group])
        third = at(H, batch[3, group] if here else 0)
        for start in range(0, max(1, length), block):
            terms = min(block, length - start)
            a_depth, b_depth = at(depth, start), at(depth, length + start)
            for t in range(beside):
                if kinds[t, 0]:
                    of_pieces, copy = at(pieces_tables, t * 3 * width), at(panel, t * room)
                    if way == TRANSPOSED:
                        _pack_transposed(copy, stride, right, b_depth, terms, at(of_pieces, 2 * width), ends[t + 1] - ends[t])
                    else:
                        _pack(copy, stride, right, b_depth, terms, of_pieces, at(of_pieces, width), at(of_pieces, 2 * width), kinds[t, 2])
            add = accumulate or start > 0
            row = first_row
            while row < end_row:
                count = end_row - row
                if tile_of_terms != 0:
                    count = TERM_ROWS // (1 + here) if count >= TERM_ROWS // (1 + here) else 1
                else:
                    count = 6 if count >= 6 else 4 if count >= 4 else 2 if count >= 2 else 1
                for t in range(beside):
                    packed, scattered = kinds[t, 0] != 0, kinds[t, 1] != 0
                    of_vectors = at(vector_tables, t * 4 * VECTORS)
                    if tile_of_terms != 0:
                        _term_tiles(
                            tile_of_terms, count, ends[t + 1] - ends[t], result, left, at(panel, t * room) if packed else right, third,
                            at(rows, row), at(rows, height + row), at(rows, here * 2 * height + row), of_vectors, a_depth,
                            panel_depth if packed else b_depth, terms, add,
                        )  # fmt: skip
                        continue
                    outer_tile(
                        count, ends[t + 1] - ends[t], tile if scattered else result, left, at(panel, t * room) if packed else right,
                        tile_rows if scattered else at(rows, row), at(rows, height + row), of_vectors, at(of_vectors, VECTORS),
                        at(of_vectors, 2 * VECTORS), a_depth, panel_depth if packed else b_depth, terms, add and not scattered, scale,
                    )  # fmt: skip
                    if scattered:
                        _scatter(result, at(rows, row), at(columns, 0), starts, ends[t], ends[t + 1], lanes, tile, width, count, add)
                row += count
    keep(memory)
    keep(tables)


@part
def _inner(me, team, C, A, B, batch, rows, columns, depth, starts, steps, accumulate, scale):
    """This member's share, with vectors along the summed index; step i holds the terms from ``starts[i]``."""
    height, width, lanes = rows.shape[1], columns.shape[1], lanes_of(C)
    panels = -(-width // INNER_PANEL)
    across = -(-width // (VECTORS * panels)) * VECTORS
    panels = -(-width // across)
    tall = min(height, INNER_HEIGHT)
    memory = scratch(C, ROWS * VECTORS + (tall + ROWS) * across * lanes + CACHE_LINE)
    tile = at(memory, 0)
    vectors = align(at(memory, ROWS * VECTORS))
    tables = np.empty(3 * steps + ROWS + VECTORS, np.int64)
    a_steps, b_steps, counts = at(tables, 0), at(tables, steps), at(tables, 2 * steps)
    a_rows, b_columns = at(tables, 3 * steps), at(tables, 3 * steps + ROWS)
    for i in range(steps):
        a_steps[i], b_steps[i], counts[i] = depth[0, starts[i]], depth[1, starts[i]], starts[i + 1] - starts[i]

    position, last = _cut(me, team, batch.shape[1] * panels, height), _cut(me + 1, team, batch.shape[1] * panels, height)
    while position < last:
        group, number, first_row, end_row = _stretch(position, last, panels, height)
        end_row = min(end_row, first_row + tall)
        position += end_row - first_row
        result, left, right = at(C, batch[0, group]), at(A, batch[1, group]), at(B, batch[2, group])
        first, end = number * across, min(width, (number + 1) * across)
        for start in range(0, steps, INNER_BLOCK):
            here, complete = min(INNER_BLOCK, steps - start), start + INNER_BLOCK >= steps
            row, place = first_row, 0
            while row < end_row:
                # A tile that is not full repeats its last row or column and forgets the result.
                count = ROWS if end_row - row > 4 else 4 if end_row - row > 2 else 2
                row_count = min(count, end_row - row)
                for m in range(count):
                    a_rows[m] = rows[1, row + min(m, row_count - 1)]
                for column in range(first, end, VECTORS):
                    column_count = min(VECTORS, end - column)
                    for n in range(VECTORS):
                        b_columns[n] = columns[1, column + min(n, column_count - 1)]
                    inner_tile(
                        count, tile, at(vectors, place), left, right, a_rows, b_columns,
                        at(a_steps, start), at(b_steps, start), at(counts, start), here, start > 0, complete,
                    )  # fmt: skip
                    place += count * VECTORS * lanes
                    for m in range(row_count if complete else 0):
                        for n in range(column_count):
                            address = rows[0, row + m] + columns[0, column + n]
                            value = scale * tile[m * VECTORS + n]
                            result[address] = result[address] + value if accumulate else value
                row += row_count
    keep(memory)
    keep(tables)


@part
def _exchanged(table, row):
    """A table in which `row` and the next one have changed places, one by one: Numba takes seconds to compile a whole row."""
    result = np.empty(table.shape, np.int64)
    for r in range(table.shape[0]):
        source = row + 1 if r == row else row if r == row + 1 else r
        for i in range(table.shape[1]):
            result[r, i] = table[source, i]
    return result


@versioned
def engine(
    me, team, C, A, B, batch, groups, rows, height, columns, width, depth, length, choice, parts, accumulate, scale, tile_of_terms, H, here
):
    """`contract` on bare pointers, or `sum_terms` and its like: this member's share."""
    if groups == 0 or height == 0 or width == 0 or (length == 0 and accumulate):
        return
    batch, rows = carray(batch, (3 + here, groups)), carray(rows, (2 + here, height))
    columns, depth = carray(columns, (2 + here, width)), carray(depth, (2, length))
    way, block, tiles = choice[0], choice[1], choice[2]
    if choice[3]:
        A, B, rows, columns = B, A, columns, rows
        height, width = width, height
        batch, depth = _exchanged(batch, 1), _exchanged(depth, 0)
    lanes = lanes_of(C)
    known = parts > CHOSEN and (way == DIRECT or length > 0)  # where vectors begin
    own = np.empty(0 if known else 1 + max(length, width), np.int64)
    starts = at(choice, CHOSEN + 1) if known else at(own, 0)
    if way == INNER and length > 0:
        steps = choice[CHOSEN] if known else _split(depth[0], depth[1], lanes, starts)
        _inner(me, team, C, A, B, batch, rows, columns, depth, starts, steps, accumulate, scale)
        keep(own)
        return
    if way == DIRECT:
        vectors = choice[CHOSEN] if known else _split(columns[0], columns[1], lanes, starts)
    else:
        vectors = -(-width // lanes)
        for v in range(vectors):
            starts[v] = v * lanes
        starts[vectors] = width
    _outer(me, team, C, A, B, batch, rows, columns, depth, starts, vectors, way, block, tiles, accumulate, scale, tile_of_terms, H, here)
    keep(own)
