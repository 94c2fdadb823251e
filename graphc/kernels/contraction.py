"""Sums of products of two factors with affine subscripts: matrix products, tensor contractions, convolutions.

Every such statement is one form, ``C[g, m, n] (+)= scale * sum(A[g, m, k] * B[g, k, n] for k)``, in which the address of an
element is a sum of offsets, one per (flattened) index; the caller writes the offsets into int64 tables.  A convolution
differs from a matrix product in its tables only.

How it is computed is `graphc.kernels.engine`.

The engine is compiled once per element type and kept on disk.  Callers reach it through a named cell that holds its
address, so their own code neither contains it nor depends on the vector width, and can be cached as well.
"""

import ctypes
import zlib
from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import cfunc, types
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import TypingError
from numba.core.typing.templates import signature

from graphc.kernels.engine import engine
from graphc.kernels.terms import tile_address
from graphc.kernels.tile import intrinsic
from graphc.kernels.view import ViewType


def _arguments(element: Any) -> tuple[Any, ...]:
    """The types of the arguments of `engine`."""
    data, table = types.CPointer(element), types.CPointer(types.int64)
    return types.int64, types.int64, data, data, data, *(table, types.int64) * 5, types.boolean, element, types.int64, data, types.int64


_cells = {element: ctypes.c_void_p() for element in (types.float32, types.float64)}
_engines: dict[Any, Any] = {}


def _symbol(element: Any) -> str:
    """The process-wide name of the cell; code compiled for other arguments must not find it."""
    return f"graphc_contract_{element}_{zlib.crc32(str(_arguments(element)).encode()):08x}"


for _element, _cell in _cells.items():
    llvmlite.binding.add_symbol(_symbol(_element), ctypes.addressof(_cell))


def load(dtype: str) -> None:
    """Make the engine for arrays of `dtype` ("float32" or "float64") ready, from disk or by compiling it.

    Compiling a function that calls `contract` does this by itself.  A module whose compiled code comes from a cache must
    call it before its code runs; otherwise `contract` raises RuntimeError.
    """
    element = getattr(types, dtype)
    with global_compiler_lock:
        if element not in _engines:
            _engines[element] = cfunc(types.void(*_arguments(element)), cache=True, error_model="numpy")(engine)
            _cells[element].value = _engines[element].address


def prepared(me: int, team: int, C: Any, A: Any, B: Any, *tables: Any) -> Callable[[Any, bool, float], None]:
    """`contract` from Python, for those who time it: the share of one member, as a function of `choice`, `accumulate` and `scale`.

    Arrays and tables are C-contiguous and of the right types: nothing is checked. They must live as long as the function.
    """
    element = getattr(types, C.dtype.name)
    load(C.dtype.name)
    number = ctypes.c_float if C.dtype.itemsize == 4 else ctypes.c_double
    words, pointers = [ctypes.c_int64] * 2, [ctypes.c_void_p] * 3
    kinds = [*words, *pointers, *[ctypes.c_void_p, ctypes.c_int64] * 5, ctypes.c_bool, number, *words[:1], *pointers[:1], *words[:1]]
    function = ctypes.CFUNCTYPE(None, *kinds)(_engines[element].address)
    fixed = [me, team, *(X.ctypes.data for X in (C, A, B)), *(part for table in tables for part in (table.ctypes.data, table.shape[1]))]

    def run(choice: Any, accumulate: bool, scale: float) -> None:
        function(*fixed, choice.ctypes.data, choice.shape[1], accumulate, scale, 0, C.ctypes.data, 0)

    return run


def _contiguous(kind: Any) -> bool:
    return isinstance(kind, ViewType) or (isinstance(kind, types.Array) and kind.layout == "C")


def _check_types(C: Any, A: Any, B: Any, tables: tuple[Any, ...]) -> None:
    """Raise TypingError for arguments `contract` does not take."""
    for name, array in zip("CAB", (C, A, B), strict=True):
        if not _contiguous(array) or array.dtype not in _cells:
            raise TypingError(f"contract needs C-contiguous arrays or views of float32 or float64; {name} is {array}")
        if array.dtype != C.dtype:
            raise TypingError(f"contract needs arrays of one type; C has {C.dtype} and {name} has {array.dtype}")
    if not C.mutable:
        raise TypingError("contract writes C, which is read-only")
    for table in tables:
        if not _contiguous(table) or table.ndim != 2 or table.dtype != types.int64:
            raise TypingError(f"contract needs C-contiguous tables of int64 with two dimensions, not {table}")


@intrinsic
def contract(typing_context, me, team, C, A, B, batch, rows, columns, depth, choice, accumulate, scale):
    """``C[g, m, n] = scale * sum(A[g, m, k] * B[g, k, n] for k)``, or ``+=``, with subscripts resolved by tables of offsets.

    For use inside ``njit`` functions.  All offsets count elements from the first element of the array:

    - me, team: this thread's number and how many threads make the same call, each for its own share of C; no barrier inside;
    - C, A, B: C-contiguous arrays or views of any rank, all float32 or all float64;
    - batch[3, G]: offsets of g in C, A, B;     - rows[2, M]: offsets of m in C, A;
    - columns[2, N]: offsets of n in C, B;      - depth[2, K]: offsets of k in A, B;
    - choice[1, H]: how it is computed, the numbers of a `graphc.kernels.choice.Choice`; results differ in rounding only;
    - accumulate: whether to add to C; otherwise C is overwritten, with zeros when K is 0;
    - scale: a factor of the whole sum.

    Offsets in C are distinct per (g, m, n) and C overlaps neither A nor B; nothing else is assumed.  Vectors lie along n or
    k: it is fast when neighbouring n are neighbours in C and B, or neighbouring k in A and B.  Nothing is checked at run time.

    Raises TypingError for other types; RuntimeError when the engine is not ready, see `load`.

    >>> import numpy as np
    >>> from numba import njit
    >>> from graphc.kernels.choice import estimated
    >>> @njit
    ... def multiply(C, A, B, batch, rows, columns, depth, choice):
    ...     contract(0, 1, C, A, B, batch, rows, columns, depth, choice, False, 1.0)
    >>> A, B, C = np.arange(6.0).reshape(2, 3), np.ones((3, 4)), np.empty((2, 4))
    >>> m, n, k = np.arange(2), np.arange(4), np.arange(3)
    >>> tables = np.zeros((3, 1), np.int64), np.array([4 * m, 3 * m]), np.array([n, n]), np.array([k, 4 * k])
    >>> multiply(C, A, B, *tables, estimated(tables, 8).numbers())
    >>> C
    array([[ 3.,  3.,  3.,  3.],
           [12., 12., 12., 12.]])
    """
    tables = batch, rows, columns, depth, choice
    _check_types(C, A, B, tables)
    element = C.dtype
    load(element.name)
    result = signature(types.void, types.int64, types.int64, C, A, B, *tables, types.boolean, element)

    def generate(context, builder, call, arguments):
        data = [_data(context, builder, kind, value) for kind, value in zip(call.args[2:5], arguments[2:5], strict=True)]
        none = [_INDEX(0), data[0], _INDEX(0)]
        _call_engine(context, builder, element, arguments[:2], data, call.args[5:10], arguments[5:10], [*arguments[10:12], *none])
        return context.get_dummy_value()

    return result, generate


_INDEX = ir.IntType(64)


def _data(context: Any, builder: ir.IRBuilder, kind: Any, value: ir.Value) -> ir.Value:
    """The address of the first element of an array or a view."""
    return _array(context, builder, kind, value).data


def _array(context: Any, builder: ir.IRBuilder, kind: Any, value: ir.Value) -> Any:
    make = cgutils.create_struct_proxy if isinstance(kind, ViewType) else context.make_array
    return make(kind)(context, builder, value)


def _call_engine(context: Any, builder: ir.IRBuilder, element: Any, team: Any, data: Any, kinds: Any, tables: Any, last: Any) -> None:
    """Call the engine with a member and its team, the addresses of C, A and B, tables, and the arguments from `accumulate` on."""
    flat = [*team, *data]
    for kind, value in zip(kinds, tables, strict=True):
        array = _array(context, builder, kind, value)
        flat += [array.data, cgutils.unpack_tuple(builder, array.shape)[1]]
    flat += [context.get_value_as_argument(builder, types.boolean, last[0]), *last[1:]]
    kind_of_engine = ir.FunctionType(ir.VoidType(), [context.get_argument_type(each) for each in _arguments(element)]).as_pointer()
    cell = builder.module.globals.get(_symbol(element)) or ir.GlobalVariable(builder.module, kind_of_engine, _symbol(element))
    function = builder.load(cell)
    with builder.if_then(cgutils.is_null(builder, function), likely=False):
        message = f"the contraction engine is not ready: call graphc.kernels.contraction.load({element.name!r}) first"
        context.call_conv.return_user_exc(builder, RuntimeError, (message,))
    builder.call(function, flat)


def _of_terms(combine: str, name: str) -> Any:
    """`sum_terms` and its like."""

    def typed(typing_context, me, team, C, A, B, H, batch, rows, columns, depth, choice, accumulate, term):
        """``C[g, m, n]`` = the sum, or the largest or least, of ``term(A[g, m, k], B[g, k, n])`` over k, combined with C to accumulate.

        As `contract`, for neighbouring columns of C, with a term that is compiled and has no conditions but `choose`. A term of three
        factors gets ``H[g, m, n]`` as well, whose neighbouring columns are neighbours, too; then batch, rows and columns have one
        more row, its offsets. H is ignored otherwise.
        """
        tables = batch, rows, columns, depth, choice
        _check_types(C, A, B, tables)
        if not isinstance(term, types.Dispatcher) or H.dtype != C.dtype:
            raise TypingError(f"{name} needs a compiled term and arrays of one type")
        element, function = C.dtype, term.dispatcher.py_func
        here = function.__code__.co_argcount - 2
        load(element.name)
        result = signature(types.void, types.int64, types.int64, C, A, B, H, *tables, types.boolean, term)

        def generate(context, builder, call, arguments):
            data = [_data(context, builder, kind, value) for kind, value in zip(call.args[2:6], arguments[2:6], strict=True)]
            tile = tile_address(context, builder, element, combine, function, here)
            last = [arguments[11], context.get_constant(element, 1), tile, data[3], _INDEX(here)]
            _call_engine(context, builder, element, arguments[:2], data[:3], call.args[6:11], arguments[6:11], last)
            return context.get_dummy_value()

        return result, generate

    typed.__name__ = typed.__qualname__ = name
    return intrinsic(typed)


sum_terms, max_terms, min_terms = (_of_terms(kind, f"{kind}_terms") for kind in ("sum", "max", "min"))
