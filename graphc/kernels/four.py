"""Elements of one-dimensional arrays on a GPU: four neighbours by one instruction of 128 bits, or one without asking whether it is counted
from the end, as Numba does for every subscript.

They are intrinsics, which Numba compiles without asking a driver, or Python in Numba's simulator (NUMBA_ENABLE_CUDASIM=1).
"""

from __future__ import annotations

import importlib
from typing import Any

from llvmlite import ir
from numba import config, types

__all__ = ["add_one", "aligned", "get_four", "get_one", "put_four", "put_one"]

_BYTES = 16
"""Of the largest access; four numbers of 64 bits take two."""


def _data(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    """The address of an element of a contiguous array of one dimension."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [place])


def _vector(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> tuple[Any, int]:
    """The address of four elements as that of one vector, and its alignment in bytes."""
    element = context.get_data_type(kind.dtype)
    address = builder.bitcast(_data(context, builder, kind, array, place), ir.PointerType(ir.VectorType(element, 4)))
    return address, min(_BYTES, 4 * context.get_abi_sizeof(element))


def _get(_: Any, to: Any, begin: Any, array: Any, place: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        own, first, given, start = arguments
        address, alignment = _vector(context, builder, array, given, start)
        vector = builder.load(address, align=alignment)
        for k in range(4):
            target = _data(context, builder, to, own, builder.add(first, ir.Constant(first.type, k)))
            builder.store(builder.extract_element(vector, ir.Constant(ir.IntType(32), k)), target)
        return context.get_dummy_value()

    return types.void(to, types.int64, array, types.int64), generate


def _put(_: Any, array: Any, place: Any, source: Any, begin: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given, start, own, first = arguments
        address, alignment = _vector(context, builder, array, given, start)
        vector = ir.Constant(address.type.pointee, ir.Undefined)
        for k in range(4):
            element = builder.load(_data(context, builder, source, own, builder.add(first, ir.Constant(first.type, k))))
            vector = builder.insert_element(vector, element, ir.Constant(ir.IntType(32), k))
        builder.store(vector, address, align=alignment)
        return context.get_dummy_value()

    return types.void(array, types.int64, source, types.int64), generate


def _get_one(_: Any, array: Any, place: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_data(context, builder, array, *arguments))

    return array.dtype(array, types.int64), generate


def _put_one(_: Any, array: Any, place: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given, start, number = arguments
        builder.store(number, _data(context, builder, array, given, start))
        return context.get_dummy_value()

    return types.void(array, types.int64, array.dtype), generate


def _add_one(_: Any, array: Any, place: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given, start, number = arguments
        address = builder.ptrtoint(_data(context, builder, array, given, start), ir.IntType(64))
        kind, letter = ("f32", "f") if number.type == ir.FloatType() else ("f64", "d")
        text = f"{{ .reg .{kind} t; ld.{kind} t, [$0]; add.rn.{kind} t, t, $1; st.{kind} [$0], t; }}"
        builder.asm(ir.FunctionType(ir.VoidType(), [address.type, number.type]), text, f"l,{letter},~{{memory}}", [address, number], True)
        return context.get_dummy_value()

    return types.void(array, types.int64, array.dtype), generate


def _aligned(_: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = builder.ptrtoint(context.make_array(array)(context, builder, arguments[0]).data, ir.IntType(64))
        return builder.icmp_unsigned("==", builder.and_(address, ir.Constant(address.type, _BYTES - 1)), ir.Constant(address.type, 0))

    return types.boolean(array), generate


if config.ENABLE_CUDASIM:  # type: ignore[attr-defined]

    def get_four(to: Any, begin: int, array: Any, place: int) -> None:
        """``to[begin : begin + 4] = array[place : place + 4]``, which lie at a multiple of 16 bytes."""
        for k in range(4):
            to[begin + k] = array[place + k]

    def put_four(array: Any, place: int, source: Any, begin: int) -> None:
        """``array[place : place + 4] = source[begin : begin + 4]``, which come to lie at a multiple of 16 bytes."""
        for k in range(4):
            array[place + k] = source[begin + k]

    def get_one(array: Any, place: int) -> Any:
        """``array[place]``."""
        return array[place]

    def put_one(array: Any, place: int, value: Any) -> None:
        """``array[place] = value``."""
        array[place] = value

    def add_one(array: Any, place: int, value: Any) -> None:
        """``array[place] += value``, of floats, after all such additions before it, so that few elements are in registers at a time."""
        array[place] += value

    def aligned(array: Any) -> bool:
        """Whether an array begins at a multiple of 16 bytes."""
        return True

else:
    _intrinsic = importlib.import_module("numba.cuda.extending").intrinsic
    get_four, put_four, get_one, put_one, add_one, aligned = map(_intrinsic, (_get, _put, _get_one, _put_one, _add_one, _aligned))
