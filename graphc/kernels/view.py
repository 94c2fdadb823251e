"""Array views whose subscripts are bare address arithmetic.

Numba's own ``array[i, j]`` accepts negative subscripts, and the select this costs hides the unit stride from LLVM's
loop vectoriser.  ``view(array)[i, j]`` means the same element for subscripts in range and compiles to
``data + (i * strides[0] + j)``.

Nothing is checked: programs are proved in range before they are emitted.  Under ``GRAPHC_CHECK=1`` (read once, at import)
the same notation checks every access and raises ``IndexError``, so that a test can hold the proof to its word.
"""

import operator
import os
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, make_attribute_wrapper, models, register_model
from numba.np.arrayobj import make_array

CHECKED = os.environ.get("GRAPHC_CHECK") == "1"
"""Whether accesses through views are checked.  A kernel that calls `view` itself must say ``cache=not CHECKED``."""

MODE = "checked" if CHECKED else "plain"
"""Part of every cache key: code compiled in one mode is never used in the other."""


class ViewType(types.Type):
    """The Numba type of a view: element type, rank, and whether it may be written."""

    def __init__(self, dtype: Any, ndim: int, mutable: bool) -> None:
        self.dtype = dtype
        self.ndim = ndim
        self.mutable = mutable
        super().__init__(f"{MODE}_view({dtype}, {ndim}d, {'mutable' if mutable else 'readonly'})")


@register_model(ViewType)
class ViewModel(models.StructModel):
    """``data`` points at element 0; ``strides[d]`` counts elements; ``shape`` serves the checked mode."""

    def __init__(self, manager: Any, view_type: ViewType) -> None:
        per_dimension = types.UniTuple(types.intp, view_type.ndim)
        members = [("data", types.CPointer(view_type.dtype)), ("strides", per_dimension), ("shape", per_dimension)]
        super().__init__(manager, view_type, members)


@intrinsic
def view(typing_context, array):
    """The view of a C-contiguous array of numbers, of any rank; for use inside ``njit`` functions.

    ``v[i]``, ``v[i, j]``, ``v[()]`` read; the same on the left of ``=`` writes, converting the value to the element type.
    The view borrows: the array must outlive it, as an argument of the function does.

    Raises ``TypingError`` for an array that is not C-contiguous, not aligned, or not of numbers; a subscript must have
    one integer per dimension.  Raises ``IndexError`` at run time when `CHECKED` and a subscript is out of range.

    >>> import numpy as np
    >>> from numba import njit
    >>> @njit
    ... def add_row(Y, c):
    ...     Y, c = view(Y), view(c)
    ...     for i in range(3):
    ...         Y[1, i] += c[i]
    >>> Y = np.zeros((2, 3))
    >>> add_row(Y, np.arange(3))
    >>> Y
    array([[0., 0., 0.],
           [0., 1., 2.]])
    """
    _check_array(array)
    result = ViewType(array.dtype, array.ndim, array.mutable)

    def generate(context, builder, call, arguments):
        source = make_array(array)(context, builder, arguments[0])
        shape = cgutils.unpack_tuple(builder, source.shape, array.ndim)
        return _made(context, builder, result, source.data, shape)

    return signature(result, array), generate


@intrinsic
def flat(typing_context, viewed):
    """The elements of a view of any rank as a view of one dimension."""
    result = _one_dimensional(viewed)

    def generate(context, builder, call, arguments):
        data, count = _elements(context, builder, viewed, arguments[0])
        return _made(context, builder, result, data, [count])

    return signature(result, viewed), generate


@intrinsic
def part(typing_context, viewed, start):
    """The elements of a view from the one at `start` on, in row-major order, as a view of one dimension."""
    result = _one_dimensional(viewed)

    def generate(context, builder, call, arguments):
        data, count = _elements(context, builder, viewed, arguments[0])
        first = context.cast(builder, arguments[1], start, types.intp)
        return _made(context, builder, result, builder.gep(data, [first]), [builder.sub(count, first)])

    return signature(result, viewed, start), generate


@intrinsic
def fixed(typing_context, number):
    """The number, of which LLVM does not know where it comes from.

    Of a step of a recurrence, ``u[t, i] = u[t-1, i] + 1``, LLVM's loop vectoriser tests beforehand whether what it stores overlaps
    with what it reads, and takes that test out of the loop around, where all steps together do overlap. With ``t = fixed(t)`` it
    tests in every step.
    """

    def generate(context, builder, call, arguments):
        integer = arguments[0].type
        return builder.asm(ir.FunctionType(integer, [integer]), "", "=r,0", arguments, False)

    return signature(number, number), generate


def _one_dimensional(viewed: Any) -> ViewType:
    if not isinstance(viewed, ViewType):
        raise TypingError(f"only views have parts, not {viewed}")
    return ViewType(viewed.dtype, 1, viewed.mutable)


def _elements(context: Any, builder: Any, viewed: ViewType, value: Any) -> tuple[Any, Any]:
    """Where the elements of a view begin, and their number."""
    source = cgutils.create_struct_proxy(viewed)(context, builder, value=value)
    count = context.get_constant(types.intp, 1)
    for extent in cgutils.unpack_tuple(builder, source.shape, viewed.ndim):
        count = builder.mul(count, extent, flags=["nsw"])
    return source.data, count


@intrinsic
def view_at(typing_context, memory, position, dtype, shape):
    """The view of the array whose address is ``memory[position]``: ``view_at(memory, 0, np.float32, (N, 3))``.

    ``memory`` is an array of int64 with addresses of C-contiguous, aligned arrays, which outlive the view.
    """
    element = dtype.dtype
    result = ViewType(element, len(shape), True)

    def generate(context, builder, call, arguments):
        data = _address_at(context, builder, memory, arguments[0], position, arguments[1], context.get_data_type(element).as_pointer())
        extents = [context.cast(builder, e, t, types.intp) for e, t in zip(cgutils.unpack_tuple(builder, arguments[3]), shape, strict=True)]
        return _made(context, builder, result, data, extents)

    return signature(result, memory, position, dtype, shape), generate


@intrinsic
def table_at(typing_context, memory, position):
    """The view of a table of int64, any number of rows: ``memory`` holds its address and, behind it, the number of columns."""
    result = ViewType(types.int64, 2, True)

    def generate(context, builder, call, arguments):
        data = _address_at(context, builder, memory, arguments[0], position, arguments[1], ir.IntType(64).as_pointer())
        behind = builder.add(context.cast(builder, arguments[1], position, types.intp), ir.Constant(ir.IntType(64), 1))
        columns = builder.load(builder.gep(make_array(memory)(context, builder, arguments[0]).data, [behind]))
        return _made(context, builder, result, data, [ir.Constant(ir.IntType(64), 3), columns])

    return signature(result, memory, position), generate


def _address_at(context: Any, builder: Any, memory_type: Any, memory: Any, position_type: Any, position: Any, pointer: Any) -> Any:
    where = context.cast(builder, position, position_type, types.intp)
    return builder.inttoptr(builder.load(builder.gep(make_array(memory_type)(context, builder, memory).data, [where])), pointer)


def _check_array(array: Any) -> None:
    if not isinstance(array, types.Array) or array.layout != "C" or not array.aligned:
        raise TypingError(f"view needs a C-contiguous, aligned array, not {array}")
    if not isinstance(array.dtype, types.Integer | types.Float | types.Boolean):
        raise TypingError(f"view needs an array of real numbers, not {array}")


def _made(context: Any, builder: Any, result: Any, data: Any, shape: list[Any]) -> Any:
    """The view of `data` with row-major strides."""
    strides = [context.get_constant(types.intp, 1)]
    for extent in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], extent, flags=["nsw"]))
    made = cgutils.create_struct_proxy(result)(context, builder)
    made.data = data
    made.strides = cgutils.pack_array(builder, strides[: result.ndim], context.get_value_type(types.intp))
    made.shape = cgutils.pack_array(builder, shape, context.get_value_type(types.intp))
    return made._getvalue()


def _subscripts(view_type: Any, subscript: Any) -> tuple[Any, ...] | None:
    """The types of the subscripts of one access, or None when it is not a scalar access of this view."""
    several = isinstance(subscript, types.BaseTuple)
    parts = tuple(subscript) if several else (subscript,)
    if isinstance(view_type, ViewType) and len(parts) == view_type.ndim and all(isinstance(part, types.Integer) for part in parts):
        return parts
    return None


@infer_global(operator.getitem)
class ReadView(AbstractTemplate):
    """``view[subscript]`` has the element type."""

    def generic(self, args: Any, kws: Any) -> Any:
        view_type, subscript = args
        return None if _subscripts(view_type, subscript) is None else signature(view_type.dtype, view_type, subscript)


@infer_global(operator.setitem)
class WriteView(AbstractTemplate):
    """``view[subscript] = value`` takes what can be converted to the element type."""

    def generic(self, args: Any, kws: Any) -> Any:
        view_type, subscript, _ = args
        if _subscripts(view_type, subscript) is None or not view_type.mutable:
            return None
        return signature(types.none, view_type, subscript, view_type.dtype)


def _address(context: Any, builder: Any, view_type: Any, subscript_type: Any, view_value: Any, subscript: Any) -> Any:
    """The address of one element."""
    accessed = cgutils.create_struct_proxy(view_type)(context, builder, value=view_value)
    parts = cgutils.unpack_tuple(builder, subscript) if isinstance(subscript_type, types.BaseTuple) else [subscript]
    part_types = _subscripts(view_type, subscript_type) or ()
    subscripts = [context.cast(builder, part, part_type, types.intp) for part, part_type in zip(parts, part_types, strict=True)]
    if CHECKED:
        _check(context, builder, subscripts, cgutils.unpack_tuple(builder, accessed.shape))
    offset = ir.Constant(ir.IntType(64), 0)
    # The last stride is the constant 1: this is what lets LLVM see consecutive elements.
    for dimension, part in enumerate(subscripts):
        last = dimension == view_type.ndim - 1
        step = part if last else builder.mul(part, builder.extract_value(accessed.strides, dimension), flags=["nsw"])
        offset = builder.add(offset, step, flags=["nsw"]) if dimension else step
    return builder.gep(accessed.data, [offset], inbounds=True)


def _check(context: Any, builder: Any, subscripts: list[Any], shape: list[Any]) -> None:
    """Leave the function with an IndexError unless ``0 <= subscripts[d] < shape[d]`` for all d."""
    for dimension, (part, extent) in enumerate(zip(subscripts, shape, strict=True)):
        # As unsigned numbers, negative subscripts are larger than any extent.
        with builder.if_then(builder.icmp_unsigned(">=", part, extent), likely=False):
            message = f"subscript {dimension} of a view is out of range"
            context.call_conv.return_user_exc(builder, IndexError, (message,))


def _alignment(context: Any, dtype: Any) -> int:
    return int(context.get_abi_sizeof(context.get_data_type(dtype)))


@lower_builtin(operator.getitem, ViewType, types.Integer)
@lower_builtin(operator.getitem, ViewType, types.BaseTuple)
def _read(context, builder, call, arguments):
    address = _address(context, builder, *call.args, *arguments)
    return context.unpack_value(builder, call.return_type, address, align=_alignment(context, call.return_type))


@lower_builtin(operator.setitem, ViewType, types.Integer, types.Any)
@lower_builtin(operator.setitem, ViewType, types.BaseTuple, types.Any)
def _write(context, builder, call, arguments):
    view_type, subscript_type, value_type = call.args
    address = _address(context, builder, view_type, subscript_type, *arguments[:2])
    value = context.cast(builder, arguments[2], value_type, view_type.dtype)
    context.pack_value(builder, view_type.dtype, value, address, align=_alignment(context, view_type.dtype))
    return context.get_dummy_value()


make_attribute_wrapper(ViewType, "shape", "shape")
