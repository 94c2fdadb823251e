"""Register tiles for sums, largest and least values of any function of two factors: L1 distances, max-plus products, their gradients.

``C[m, n] = Σ term(A[m, k], B[k, n])``, or the largest or least term. A third factor may lie as C does: ``term(A[m, k], B[k, n], H[m, n])``.
Such a tile is compiled into the program that needs it; the contraction engine, which is compiled once per machine, gets its address and
does with it what it does with its own tile of products.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.core.typing.templates import signature

from graphc.kernels.bits import Lane, select
from graphc.kernels.blocks import choose
from graphc.kernels.elementary import maximum, minimum, sign
from graphc.kernels.tile import (
    SIMD,
    VECTORS,
    VERSION,
    intrinsic,
    lanes_mask,
    load_lanes,
    multiply_add,
    outer_step,
    pointers,
    running_loop,
    store_lanes,
    table_entry,
    tile_function,
    vector_of,
)

__all__ = ["TERM_ROWS", "call_tile", "tile_address", "tile_type"]

TERM_ROWS = 4
"""Rows of a tile without a third factor, and twice those of one with it: each row of that takes as many registers again."""

_INDEX = ir.IntType(64)
_SHAPES = {here: [(rows, n) for rows in (TERM_ROWS // (1 + here), 1) for n in (4, 2, 1) if n <= VECTORS] for here in (0, 1)}

_Term = Callable[..., Any]


def tile_type(element: ir.Type) -> ir.FunctionType:
    """Of the functions that `tile_address` gives the address of: rows, vectors, C, A, B, H, offsets of C's, A's and H's rows, of C's, B's
    and H's vectors, lanes per vector, offsets of the terms in A and B, their number, and whether they are combined with what is in C."""
    data, table = element.as_pointer(), _INDEX.as_pointer()
    return ir.FunctionType(ir.VoidType(), [_INDEX, _INDEX, *[data] * 4, *[table] * 9, _INDEX, ir.IntType(1)])


@intrinsic
def call_tile(
    typing_context, tile, rows, vectors, C, A, B, H, c_rows, a_rows, h_rows, c_columns, b_columns, h_columns, lanes, a_depth, b_depth,
    depth, accumulate,
):  # fmt: skip
    """Call the tile at an address, see `tile_type`: 1 or `TERM_ROWS` rows, half as many with a third factor; 1, 2 or 4 vectors."""
    table = types.CPointer(types.int64)
    result = signature(types.void, *(types.int64,) * 3, *(C,) * 4, *(table,) * 9, types.int64, types.boolean)

    def generate(context, builder, call, arguments):
        kind = tile_type(context.get_data_type(C.dtype)).as_pointer()
        builder.call(builder.inttoptr(arguments[0], kind), arguments[1:])
        return context.get_dummy_value()

    return result, generate


# --- a term as vector code ------------------------------------------------------------------------------------------------


def _sign(x: Lane) -> Lane:
    """One instruction of AVX-512 instead of two comparisons and two selections."""
    kind = x.value.type
    if SIMD != 512 or not isinstance(kind, ir.VectorType):
        made: Lane = sign.formula(x)
        return made
    bits, name = (32, "ps") if kind.element == ir.FloatType() else (64, "pd")
    table = ir.VectorType(ir.IntType(bits), kind.count)
    # Four bits per class of number, from quiet NaN (the last) to positive: 2 keeps a NaN, 1 a zero, 9 is -1, 10 is 1.
    answers = ir.Constant(table, [0xA9A9A122] * kind.count)
    mask, word = ir.IntType(kind.count), ir.IntType(32)
    declared = ir.FunctionType(kind, [kind, kind, table, word, mask, word])
    full = f"llvm.x86.avx512.mask.fixupimm.{name}.512"
    function = x.builder.module.globals.get(full) or ir.Function(x.builder.module, declared, full)
    current_rounding = word(4)
    return Lane(x.builder, x.builder.call(function, [x.value, x.value, answers, word(0), mask(-1), current_rounding]))


def _on_lanes(term: _Term, count: int) -> Callable[..., Lane]:
    """The function of a term that is written for numbers, for lanes."""
    chosen: list[Lane] = []

    def selected(condition: Lane, first: Any, second: Any) -> Lane:
        return select(condition, first if isinstance(first, Lane) else chosen[0].constant(first), second)

    def found(value: Any) -> Any:
        if value is choose:
            return selected
        if value is sign:
            return _sign
        if value in (np.float32, np.float64):
            return float
        return float(value) if isinstance(value, np.floating) else _formula(value)

    traced = FunctionType(term.__code__, {name: found(term.__globals__[name]) for name in term.__code__.co_names})

    def run(*factors: Lane) -> Lane:
        chosen[:] = factors[:1]
        value = traced(*factors)
        return value if isinstance(value, Lane) else factors[0].constant(value)

    if term.__code__.co_argcount != count:
        raise TypingError(f"{term.__name__} takes {term.__code__.co_argcount} factors, not {count}")
    return run


def _formula(value: Any) -> Callable[..., Lane]:
    """An elementary function on lanes, of which any but one may be numbers."""

    def run(*factors: Any) -> Lane:
        model = next(f for f in factors if isinstance(f, Lane))
        made: Lane = value.formula(*(f if isinstance(f, Lane) else model.constant(f) for f in factors))
        return made

    return run


_COMBINED: dict[str, tuple[float, Any]] = {"sum": (0.0, None), "max": (-np.inf, maximum), "min": (np.inf, minimum)}
"""What there is before the first term, and the function of two terms."""


def _joined(builder: ir.IRBuilder, combine: str, total: ir.Value, value: ir.Value) -> ir.Value:
    """The total with one more term; a sum of products rounds once."""
    function = _COMBINED[combine][1]
    if function is not None:
        return function.formula(Lane(builder, total), Lane(builder, value)).value
    if getattr(value, "opname", "") == "fmul":
        left, right = value.operands
        return multiply_add(builder, left, right, total)
    return builder.fadd(total, value)


def _tile(module: ir.Module, element: ir.Type, name: str, combine: str, term: _Term, here: int, shape: tuple[int, int]) -> ir.Function:
    """One shape of a tile."""
    rows, vectors = shape
    vector = vector_of(element)
    function, builder = tile_function(module, f"{name}_{rows}x{vectors}", tile_type(element).args[2:])
    C, A, B, H, c_rows, a_rows, h_rows, c_columns, b_columns, h_columns, lanes, a_depth, b_depth, depth, accumulate = function.args
    left, right = pointers(builder, A, a_rows, rows), pointers(builder, B, b_columns, vectors)
    masks = [lanes_mask(builder, table_entry(builder, lanes, v), vector.count) for v in range(vectors)]

    def places(base: ir.Value, of_rows: ir.Value, of_columns: ir.Value) -> list[ir.Value]:
        columns = [table_entry(builder, of_columns, v) for v in range(vectors)]
        return [builder.gep(pointer, [column]) for pointer in pointers(builder, base, of_rows, rows) for column in columns]

    third = [load_lanes(builder, vector, place, masks[i % vectors]) for i, place in enumerate(places(H, h_rows, h_columns))] if here else []
    on_lanes = _on_lanes(term, 2 + here)

    def joined(i: int, broadcast: ir.Value, factor: ir.Value, total: ir.Value) -> ir.Value:
        value = on_lanes(*(Lane(builder, x) for x in (broadcast, factor, *third[i : i + here])))
        return _joined(builder, combine, total, value.value)

    step = outer_step(builder, left, right, masks, a_depth, b_depth, vector, joined)
    start = ir.Constant(vector, [ir.Constant(element, _COMBINED[combine][0])] * vector.count)
    totals = running_loop(function, builder, depth, rows * vectors, start, step)
    results = places(C, c_rows, c_columns)
    with builder.if_else(accumulate) as (add, overwrite):
        for block, adding in (add, True), (overwrite, False):
            with block:
                for i, total in enumerate(totals):
                    mask = masks[i % vectors]
                    old = load_lanes(builder, vector, results[i], mask) if adding else None
                    store_lanes(builder, total if old is None else _joined(builder, combine, old, total), results[i], mask)
    builder.ret_void()
    return function


def tile_address(context: Any, builder: ir.IRBuilder, element: Any, combine: str, term: _Term, here: int) -> ir.Value:
    """The address, as an integer, of the tile of a term; the tile is made once per module."""
    module, scalar = builder.module, context.get_data_type(element)
    name = f"graphc_tile_{combine}_{term.__name__}_{element}_{VERSION}"
    function = module.globals.get(name)
    if function is None:
        function = ir.Function(module, tile_type(scalar), name)
        function.linkage = "internal"
        function.attributes.add("nounwind")
        inside = ir.IRBuilder(function.append_basic_block("entry"))
        after = function.append_basic_block("after")
        shapes = _SHAPES[here]
        choice = inside.switch(inside.add(inside.mul(function.args[0], _INDEX(8)), function.args[1]), after)
        for shape in shapes:
            block = function.append_basic_block(f"shape{shape[0]}x{shape[1]}")
            choice.add_case(_INDEX(8 * shape[0] + shape[1]), block)
            inside.position_at_end(block)
            inside.call(_tile(module, scalar, f"{combine}_{term.__name__}_{element}", combine, term, here, shape), function.args[2:])
            inside.branch(after)
        inside.position_at_end(after)
        inside.ret_void()
    return builder.ptrtoint(function, _INDEX)
