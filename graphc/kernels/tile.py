"""Register tiles: the innermost loops of every contraction, written as explicit LLVM vector code.

A tile keeps a small block of results in vector registers while the summed index runs, so that each loaded value is used
several times.  LLVM's own vectorisers do not find this form; the intrinsics below spell it out.

`outer_tile` is a sum of outer products (vectors lie along the columns, the left factor is broadcast) and `inner_tile` a
block of inner products (vectors lie along the summed index).  Every address goes through tables of element offsets, hence
one tile serves matrix products in any layout and convolutions.  No lane that is not asked for is read or written.

The tile has `ROWS` = 6 rows and `VECTORS` vectors per row because its 6 × 4 sums, 4 right factors and one broadcast left
factor fill the 32 registers of AVX-512 (6 × 2 + 2 + 1 of 16 otherwise), which is enough independent sums to hide the
latency of a multiply-add and needs fewer loads per cycle than the machine offers.
"""

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.typing.templates import signature


def _host_simd() -> int:
    """The widest vectors of this machine worth using, in bits."""
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 512
    return 256 if features.get("avx2") and features.get("fma") else 128


SIMD = int(os.environ.get("GRAPHC_SIMD") or _host_simd())
"""Bits per vector: 512, 256 or 128; the environment variable ``GRAPHC_SIMD``, read at import, overrides the machine's."""
if SIMD not in (128, 256, 512):
    raise ValueError(f"GRAPHC_SIMD must be 128, 256 or 512, not {SIMD}")

ROWS = 6
VECTORS = 4 if SIMD == 512 else 2

MASKS = SIMD == 512
"""Whether `outer_tile` takes vectors with fewer lanes: AVX-512 has registers for masks, others would spill."""

CACHE_LINE = 64
"""Bytes; the greatest alignment a vector can profit from."""

_OWN, _CONSTANTS = Path(__file__), Path(__file__).with_name("choice.py")  # a saved program has both in one file

VERSION = f"simd{SIMD}_{zlib.crc32(_OWN.read_bytes() + (_CONSTANTS.read_bytes() if _CONSTANTS.exists() else b'')):08x}"
"""Names the code that the intrinsics of this module generate, and the constants of `graphc.kernels.choice` that are frozen into it."""


def versioned(function: Any) -> Any:
    """The function by a name that says for which vectors it is compiled: Numba's disk cache knows nothing of them.

    Whatever contains a tile, or is called with one, has to be.
    """
    function.__qualname__ += "_" + VERSION
    return function


intrinsic: Any = extending.intrinsic
"""Numba's decorator, without its annotation, which describes the generator and not the call."""

_INDEX = ir.IntType(64)
_LANE_NUMBER = ir.IntType(32)
_Emit = Callable[[ir.Module, ir.Type], ir.Function]


# --- vector code --------------------------------------------------------------------------------------------------------


def vector_of(element: ir.Type) -> ir.VectorType:
    return ir.VectorType(element, SIMD // (32 if element == ir.FloatType() else 64))


def _call(builder: ir.IRBuilder, name: str, result: ir.Type, *arguments: ir.Value) -> ir.Value:
    """Call an LLVM intrinsic."""
    declared = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, declared, name), arguments)


def _suffix(vector: ir.VectorType) -> str:
    return f"v{vector.count}{'f32' if vector.element == ir.FloatType() else 'f64'}"


def _bytes(vector: ir.VectorType) -> int:
    """The alignment that may be assumed of an address: that of one element."""
    return 4 if vector.element == ir.FloatType() else 8


def splat(builder: ir.IRBuilder, scalar: ir.Value, count: int) -> ir.Value:
    one = builder.insert_element(ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined), scalar, _LANE_NUMBER(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_LANE_NUMBER, count), [0] * count))


def lanes_mask(builder: ir.IRBuilder, lanes: ir.Value, count: int) -> ir.Value:
    """The vector of conditions ``lane < lanes``."""
    numbers = ir.Constant(ir.VectorType(_LANE_NUMBER, count), list(range(count)))
    return builder.icmp_unsigned("<", numbers, splat(builder, builder.trunc(lanes, _LANE_NUMBER), count))


def load_lanes(builder: ir.IRBuilder, vector: ir.VectorType, address: ir.Value, mask: ir.Value | None) -> ir.Value:
    """Load the lanes of `mask` (zero in the others), or all."""
    if mask is None:
        return builder.load(builder.bitcast(address, vector.as_pointer()), align=_bytes(vector))
    arguments = address, _LANE_NUMBER(_bytes(vector)), mask, ir.Constant(vector, None)
    return _call(builder, f"llvm.masked.load.{_suffix(vector)}.p0", vector, *arguments)


def store_lanes(builder: ir.IRBuilder, value: ir.Value, address: ir.Value, mask: ir.Value | None) -> None:
    if mask is None:
        builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=_bytes(value.type))
        return
    arguments = value, address, _LANE_NUMBER(_bytes(value.type)), mask
    _call(builder, f"llvm.masked.store.{_suffix(value.type)}.p0", ir.VoidType(), *arguments)


def _prefetch(builder: ir.IRBuilder, address: ir.Value) -> None:
    """Bring what will be written into the cache; any address is allowed."""
    pointer = builder.bitcast(address, ir.IntType(8).as_pointer())
    _call(builder, "llvm.prefetch.p0", ir.VoidType(), pointer, _LANE_NUMBER(1), _LANE_NUMBER(3), _LANE_NUMBER(1))


def multiply_add(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    return _call(builder, f"llvm.fmuladd.{_suffix(x.type)}", x.type, x, y, z)


def _fence(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The same value, computed before anything that is loaded later in the text: costs no instruction.

    LLVM's scheduler would load the left factors of all rows first, run out of registers and move sums about between them.
    """
    if min(SIMD, _host_simd()) < 512:
        return value
    return builder.asm(ir.FunctionType(value.type, [value.type]), "", "=v,0,~{memory}", [value], True)


def table_entry(builder: ir.IRBuilder, table: ir.Value, index: int | ir.Value) -> ir.Value:
    return builder.load(builder.gep(table, [_INDEX(index) if isinstance(index, int) else index]))


def pointers(builder: ir.IRBuilder, base: ir.Value, table: ir.Value, count: int) -> list[ir.Value]:
    """The addresses ``base + table[i]`` for i < count."""
    return [builder.gep(base, [table_entry(builder, table, i)]) for i in range(count)]


def running_loop(
    function: ir.Function, builder: ir.IRBuilder, trips: ir.Value, sums: int, start: ir.Value, step: Callable[..., list[ir.Value]]
) -> list[ir.Value]:
    """Emit ``for i in range(trips): sums = step(i, sums)`` with the sums, `start` at first, in registers; return them."""
    before, body, after = builder.block, function.append_basic_block("body"), function.append_basic_block("after")
    builder.cbranch(builder.icmp_signed(">", trips, _INDEX(0)), body, after)
    builder.position_at_end(body)
    counter = builder.phi(_INDEX)
    running = [builder.phi(start.type) for _ in range(sums)]
    updated = step(counter, running)
    following = builder.add(counter, _INDEX(1))
    builder.cbranch(builder.icmp_signed("<", following, trips), body, after)
    for phi, first, end in zip([counter, *running], [_INDEX(0)] + [start] * sums, [following, *updated], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(end, builder.block)
    builder.position_at_end(after)
    results = [builder.phi(start.type) for _ in range(sums)]
    for result, value in zip(results, updated, strict=True):
        result.add_incoming(start, before)
        result.add_incoming(value, body)
    return results


def outer_step(
    builder: ir.IRBuilder,
    left: list[ir.Value],
    right: list[ir.Value],
    masks: list[Any],
    a_depth: ir.Value,
    b_depth: ir.Value,
    vector: ir.VectorType,
    combine: Callable[[int, ir.Value, ir.Value, ir.Value], ir.Value],
) -> Callable[..., list[ir.Value]]:
    """A step of `running_loop`: total i becomes ``combine(i, left factor of its row, vector of right factors, total)``."""

    def step(k: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
        a_offset, b_offset = table_entry(builder, a_depth, k), table_entry(builder, b_depth, k)
        factors = [load_lanes(builder, vector, builder.gep(right[v], [b_offset]), mask) for v, mask in enumerate(masks)]
        updated: list[ir.Value] = []
        for row in left:
            broadcast, first = splat(builder, builder.load(builder.gep(row, [a_offset])), vector.count), len(updated)
            updated += [combine(first + v, broadcast, factor, totals[first + v]) for v, factor in enumerate(factors)]
        return updated

    return step


def tile_function(module: ir.Module, name: str, arguments: list[ir.Type]) -> tuple[ir.Function, ir.IRBuilder]:
    """A new private function, never inlined: its registers are its own."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), f"graphc_{name}_{VERSION}")
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    return function, ir.IRBuilder(function.append_basic_block("entry"))


# --- the two tiles --------------------------------------------------------------------------------------------------------


def _outer_function(module: ir.Module, element: ir.Type, rows: int, vectors: int) -> ir.Function:
    """One shape of `outer_tile`."""
    vector, data, table = vector_of(element), element.as_pointer(), _INDEX.as_pointer()
    arguments = [data] * 3 + [table] * 7 + [_INDEX, ir.IntType(1), element]
    function, builder = tile_function(module, f"outer_{rows}x{vectors}_{_suffix(vector)}", arguments)
    C, A, B, c_rows, a_rows, c_columns, b_columns, lanes, a_depth, b_depth, depth, accumulate, scale = function.args
    left = pointers(builder, A, a_rows, rows)
    right = pointers(builder, B, b_columns, vectors)
    masks = [lanes_mask(builder, table_entry(builder, lanes, v), vector.count) if MASKS else None for v in range(vectors)]
    columns = [table_entry(builder, c_columns, v) for v in range(vectors)]
    results = [[builder.gep(pointer, [column]) for column in columns] for pointer in pointers(builder, C, c_rows, rows)]
    for address in (a for row in results for a in row):
        _prefetch(builder, address)

    def added(i: int, broadcast: ir.Value, factor: ir.Value, total: ir.Value) -> ir.Value:
        return _fence(builder, multiply_add(builder, broadcast, factor, total))

    step = outer_step(builder, left, right, masks, a_depth, b_depth, vector, added)
    sums = running_loop(function, builder, depth, rows * vectors, ir.Constant(vector, None), step)
    factor = splat(builder, scale, vector.count)
    with builder.if_else(accumulate) as (add, overwrite):
        for block, adding in (add, True), (overwrite, False):
            with block:
                for i, total in enumerate(sums):
                    row, v = divmod(i, vectors)
                    address = results[row][v]
                    old = load_lanes(builder, vector, address, masks[v]) if adding else None
                    value = builder.fmul(total, factor) if old is None else multiply_add(builder, total, factor, old)
                    store_lanes(builder, value, address, masks[v])
    builder.ret_void()
    return function


def _fold(builder: ir.IRBuilder, vectors: list[ir.Value]) -> ir.Value:
    """The vector of the sums of the lanes of each of the `vectors`, whose number is a power of two."""
    length, group = vectors[0].type.count, vectors[0].type.count  # lanes per vector, lanes per unfinished sum
    while group > 1:
        folded = []
        for x, y in zip(vectors[::2], vectors[1::2], strict=True) if len(vectors) > 1 else [(vectors[0], vectors[0])]:
            lanes = range(2 * length if len(vectors) > 1 else length)
            halves = [[lane for lane in lanes if lane % group < group // 2], [lane for lane in lanes if lane % group >= group // 2]]
            low, high = (builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_LANE_NUMBER, len(half)), half)) for half in halves)
            folded.append(builder.fadd(low, high))
        vectors, group = folded, group // 2
        length = vectors[0].type.count
    return vectors[0]


def _transpose(builder: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """Transpose a square block: exchange the off-diagonal quarters, then the same within each, and so on."""
    count, half = len(rows), len(rows) // 2
    while half:
        exchanged = list(rows)
        for i in range(count):
            if not i & half:
                pair = rows[i], rows[i + half]
                upper = [lane if not lane & half else count + lane - half for lane in range(count)]
                lower = [lane + half if not lane & half else count + lane for lane in range(count)]
                for target, lanes in (i, upper), (i + half, lower):
                    exchanged[target] = builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(_LANE_NUMBER, count), lanes))
        rows, half = exchanged, half // 2
    return rows


def _inner_function(module: ir.Module, element: ir.Type, rows: int, columns: int) -> ir.Function:
    """One shape of `inner_tile`."""
    vector, data, table = vector_of(element), element.as_pointer(), _INDEX.as_pointer()
    arguments = [data] * 4 + [table] * 5 + [_INDEX] + [ir.IntType(1)] * 2
    function, builder = tile_function(module, f"inner_{rows}x{columns}_{_suffix(vector)}", arguments)
    out, kept, A, B, a_rows, b_columns, a_steps, b_steps, lanes, steps, again, last = function.args
    left = pointers(builder, A, a_rows, rows)
    right = pointers(builder, B, b_columns, columns)

    def step(i: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        a_offset, b_offset = table_entry(builder, a_steps, i), table_entry(builder, b_steps, i)
        mask = lanes_mask(builder, table_entry(builder, lanes, i), vector.count)
        factors = [load_lanes(builder, vector, builder.gep(pointer, [b_offset]), mask) for pointer in right]
        updated = []
        for row in range(rows):
            factor = load_lanes(builder, vector, builder.gep(left[row], [a_offset]), mask)
            updated += [_fence(builder, multiply_add(builder, factor, factors[c], sums[row * columns + c])) for c in range(columns)]
        return updated

    sums = running_loop(function, builder, steps, rows * columns, ir.Constant(vector, None), step)
    places = [builder.gep(kept, [_INDEX(i * vector.count)]) for i in range(rows * columns)]
    before = builder.block
    with builder.if_then(again):
        added = [builder.fadd(load_lanes(builder, vector, place, None), value) for place, value in zip(places, sums, strict=True)]
        behind = builder.block
    totals = [builder.phi(vector) for _ in sums]
    for total, alone, both in zip(totals, sums, added, strict=True):
        total.add_incoming(alone, before)
        total.add_incoming(both, behind)
    with builder.if_else(last) as (fold, save):
        with fold:
            for row in range(rows):
                results = _fold(builder, totals[row * columns : (row + 1) * columns])
                store_lanes(builder, results, builder.gep(out, [_INDEX(row * columns)]), None)
        with save:
            for place, total in zip(places, totals, strict=True):
                store_lanes(builder, total, place, None)
    builder.ret_void()
    return function


def _switch(builder: ir.IRBuilder, selector: ir.Value, shapes: dict[int, _Emit], element: ir.Type, arguments: Any) -> None:
    """Call the function of ``shapes[selector]``; a selector that is not listed does nothing."""
    after = builder.append_basic_block("after")
    choice = builder.switch(selector, after)
    for value, emit in shapes.items():
        block = builder.append_basic_block(f"shape{value}")
        choice.add_case(_INDEX(value), block)
        builder.position_at_end(block)
        builder.call(emit(builder.module, element), arguments)
        builder.branch(after)
    builder.position_at_end(after)


def _emitter(emit: Callable[[ir.Module, ir.Type, int, int], ir.Function], rows: int, second: int) -> _Emit:
    return lambda module, element: emit(module, element, rows, second)


# --- intrinsics -----------------------------------------------------------------------------------------------------------

ROW_COUNTS = (6, 4, 2, 1)
"""The numbers of rows `outer_tile` can have: any number of rows is a sum of few of these."""

INNER_ROWS = (6, 4, 2)
"""Those of `inner_tile`, which can repeat a row."""


@intrinsic
def outer_tile(
    typing_context, rows, vectors, C, A, B, c_rows, a_rows, c_columns, b_columns, lanes, a_depth, b_depth, depth, accumulate, scale
):
    """``C[c_rows[m] + c_columns[v] + l] (+)= scale * sum(A[a_rows[m] + a_depth[k]] * B[b_columns[v] + l + b_depth[k]] for k)``.

    For ``m < rows`` in `ROW_COUNTS`, ``v < vectors <= VECTORS``, ``l < lanes[v]``, ``k < depth``; without `MASKS`, all lanes.
    All three are pointers to elements, the tables pointers to int64.
    """
    integers, table = types.int64, types.CPointer(types.int64)
    result = signature(types.void, integers, integers, *(C,) * 3, *(table,) * 7, integers, types.boolean, C.dtype)

    def generate(context, builder, call, arguments):
        selector = builder.add(builder.mul(arguments[0], _INDEX(VECTORS + 1)), arguments[1])
        shapes = {r * (VECTORS + 1) + v: _emitter(_outer_function, r, v) for r in ROW_COUNTS for v in range(1, VECTORS + 1)}
        _switch(builder, selector, shapes, context.get_data_type(C.dtype), arguments[2:])
        return context.get_dummy_value()

    return result, generate


@intrinsic
def inner_tile(typing_context, rows, out, kept, A, B, a_rows, b_columns, a_steps, b_steps, lanes, steps, again, last):
    """``out[m * VECTORS + n] = sum(A[a_rows[m] + a_steps[i] + l] * B[b_columns[n] + b_steps[i] + l])`` over i and l.

    For ``m < rows`` in `INNER_ROWS`, ``n < VECTORS``, ``i < steps``, ``l < lanes[i]``. A sum over many blocks of steps is taken in as
    many calls: `kept` holds its vectors from one to the next, unless it is the first (not `again`) or the `last`.
    """
    table = types.CPointer(types.int64)
    result = signature(types.void, types.int64, *(out,) * 4, *(table,) * 5, types.int64, types.boolean, types.boolean)

    def generate(context, builder, call, arguments):
        shapes = {r: _emitter(_inner_function, r, VECTORS) for r in INNER_ROWS}
        _switch(builder, arguments[0], shapes, context.get_data_type(out.dtype), arguments[1:])
        return context.get_dummy_value()

    return result, generate


@intrinsic
def copy_lanes(typing_context, target, source, lanes):
    """Copy the first `lanes` elements of a vector at pointer `source`; write a whole vector at `target`, zeros at its end."""

    def generate(context, builder, call, arguments):
        vector = vector_of(context.get_data_type(target.dtype))
        mask = lanes_mask(builder, arguments[2], vector.count)
        store_lanes(builder, load_lanes(builder, vector, arguments[1], mask), arguments[0], None)
        return context.get_dummy_value()

    return signature(types.void, target, source, types.int64), generate


@intrinsic
def copy_transposed(typing_context, target, stride, source, offsets, lanes):
    """``target[k * stride + i] = source[offsets[i] + k]`` for i in a vector and ``k < lanes``; zeros for further k in a vector."""
    if not isinstance(offsets, types.CPointer):
        raise TypingError(f"copy_transposed needs a pointer to offsets, not {offsets}")

    def generate(context, builder, call, arguments):
        to, step, base, table, count = arguments
        vector = vector_of(context.get_data_type(target.dtype))
        mask = lanes_mask(builder, count, vector.count)
        block = [load_lanes(builder, vector, pointer, mask) for pointer in pointers(builder, base, table, vector.count)]
        for k, value in enumerate(_transpose(builder, block)):
            store_lanes(builder, value, builder.gep(to, [builder.mul(step, _INDEX(k))]), None)
        return context.get_dummy_value()

    return signature(types.void, target, types.int64, source, offsets, types.int64), generate


@intrinsic
def keep(typing_context, array):
    """Do nothing, with `array`: Numba frees an array after its last use in the text, and uses through pointers do not count."""

    def generate(context, builder, call, arguments):
        return context.get_dummy_value()

    return signature(types.void, array), generate


@intrinsic
def at(typing_context, memory, offset):
    """The pointer to element `offset` of a pointer or of a C-contiguous array, without a check."""
    if not isinstance(memory, types.CPointer | types.Array):
        raise TypingError(f"at needs a pointer or an array, not {memory}")
    pointer = types.CPointer(memory.dtype)

    def generate(context, builder, call, arguments):
        base = arguments[0]
        if isinstance(memory, types.Array):
            base = context.make_array(memory)(context, builder, base).data
        return builder.gep(base, [arguments[1]])

    return signature(pointer, memory, types.int64), generate


@intrinsic
def align(typing_context, pointer):
    """The first address at or after `pointer` where a vector does not straddle cache lines."""

    def generate(context, builder, call, arguments):
        address = builder.add(builder.ptrtoint(arguments[0], _INDEX), _INDEX(CACHE_LINE - 1))
        return builder.inttoptr(builder.and_(address, _INDEX(-CACHE_LINE)), arguments[0].type)

    return signature(pointer, pointer), generate


@intrinsic
def lanes_of(typing_context, pointer):
    """The number of elements in a vector of what `pointer` points at, a constant."""

    def generate(context, builder, call, arguments):
        return _INDEX(vector_of(context.get_data_type(pointer.dtype)).count)

    return signature(types.int64, pointer), generate


def scratch(pointer: Any, size: int) -> Any:
    """A new array, not initialised, of `size` of what `pointer` points at."""
    raise NotImplementedError("for compiled code")


@extending.overload(scratch)
def _scratch(pointer, size):
    dtype = pointer.dtype
    return lambda pointer, size: np.empty(size, dtype)
