"""Programs as custom calls of XLA on the CPU: its buffers are read and written where they are, through the foreign function interface.

XLA calls a C function with a frame that describes the buffers (xla/ffi/api/c_api.h, version 0). Here that function is Python, called
through `ctypes`: it costs some ten microseconds, and takes Python's lock until the compiled program runs.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, c_char, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import jax
import numpy as np
from numpy.typing import NDArray

import graphc as gc

__all__ = ["CALL", "register"]

CALL = "graphc"
"""The custom call, which has the program's key as its attribute."""

METADATA, EXECUTE = 1, 3
"""A kind of extension, with which XLA asks a handler about itself, and the stage in which a handler computes."""

INVALID_ARGUMENT, NOT_FOUND, INTERNAL = 3, 5, 13
"""Codes of errors."""


class _Base(ctypes.Structure):
    """``XLA_FFI_Extension_Base``."""

    _fields_ = [("struct_size", c_size_t), ("kind", c_int), ("next", c_void_p)]


class _Version(ctypes.Structure):
    """``XLA_FFI_Api_Version``."""

    _fields_ = [("struct_size", c_size_t), ("extension", c_void_p), ("major", c_int), ("minor", c_int)]


class _Metadata(ctypes.Structure):
    """``XLA_FFI_Metadata``."""

    _fields_ = [("struct_size", c_size_t), ("version", _Version), ("traits", c_uint32), ("state_type", c_int64)]


class _MetadataExtension(ctypes.Structure):
    """``XLA_FFI_Metadata_Extension``."""

    _fields_ = [("base", _Base), ("metadata", POINTER(_Metadata))]


class _Fault(ctypes.Structure):
    """``XLA_FFI_Error_Create_Args``."""

    _fields_ = [("struct_size", c_size_t), ("extension", c_void_p), ("message", c_char_p), ("code", c_int)]


_create = ctypes.CFUNCTYPE(c_void_p, POINTER(_Fault))


class _Api(ctypes.Structure):
    """The beginning of ``XLA_FFI_Api``."""

    _fields_ = [("struct_size", c_size_t), ("extension", c_void_p), ("version", _Version), ("internal", c_void_p), ("error", _create)]


class _Buffer(ctypes.Structure):
    """``XLA_FFI_Buffer``."""

    _fields_ = [("struct_size", c_size_t), ("extension", c_void_p), ("dtype", c_int32), ("data", c_void_p), ("rank", c_int64),
                ("extents", POINTER(c_int64))]  # fmt: skip


class _Buffers(ctypes.Structure):
    """``XLA_FFI_Args`` and ``XLA_FFI_Rets``."""

    _fields_ = [("struct_size", c_size_t), ("extension", c_void_p), ("size", c_int64), ("types", c_void_p),
                ("items", POINTER(POINTER(_Buffer)))]  # fmt: skip


class _Text(ctypes.Structure):
    """``XLA_FFI_ByteSpan``."""

    _fields_ = [("start", c_void_p), ("size", c_size_t)]


class _Attributes(ctypes.Structure):
    """``XLA_FFI_Attrs``, of texts."""

    _fields_ = [("struct_size", c_size_t), ("extension", c_void_p), ("size", c_int64), ("types", c_void_p), ("names", c_void_p),
                ("items", POINTER(POINTER(_Text)))]  # fmt: skip


class _Frame(ctypes.Structure):
    """The beginning of ``XLA_FFI_CallFrame``."""

    _fields_ = [("struct_size", c_size_t), ("extension", POINTER(_Base)), ("api", POINTER(_Api)), ("context", c_void_p),
                ("stage", c_int), ("arguments", _Buffers), ("results", _Buffers), ("attributes", _Attributes)]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Called:
    """A program with the types of its arguments and results."""

    program: gc.Program
    arguments: tuple[tuple[str, np.dtype[Any]], ...]
    results: tuple[np.dtype[Any], ...]


_programs: dict[bytes, _Called] = {}
"""By key, until the process ends: XLA keeps what it has compiled as long as it likes."""


def register(key: str, program: gc.Program) -> None:
    """Let custom calls with that key run a program.

    Args:
        key: belongs to the program: the process keeps the first program of each.
        program: its arguments and results have the order of the call's.
    """
    _install()
    arguments = tuple((t.name, np.dtype(t.dtype)) for t in program.signature.inputs)
    kinds = {t.name: np.dtype(t.dtype) for t in program.graph.tensors}
    _programs.setdefault(key.encode(), _Called(program, arguments, tuple(kinds[name] for name in program.signature.outputs)))


@cache
def _install() -> Any:
    """Have XLA call `_call`; the result must stay alive."""
    pointer, ffi = ctypes.CFUNCTYPE(c_void_p, POINTER(_Frame))(_call), cast(Any, jax.ffi)
    ffi.register_ffi_target(CALL, ffi.pycapsule(pointer), platform="cpu")
    return pointer


def _call(pointer: Any) -> int | None:
    """What XLA calls."""
    frame = pointer.contents
    if frame.extension:
        _answer(frame)
        return None
    if frame.stage != EXECUTE:
        return None
    try:
        text = frame.attributes.items[0].contents
        called = _programs.get(ctypes.string_at(text.start, text.size))
        if called is None:
            return _fault(frame, NOT_FOUND, "This code calls a program of graphc that the process does not know. "
                                            "Make the same function with gc.to_jax, and the derivatives that it needs, before it runs.")
        given, made = frame.arguments.items, frame.results.items
        arrays = {name: _array(given[k].contents, dtype) for k, (name, dtype) in enumerate(called.arguments)}
        called.program.into(arrays, [_array(made[k].contents, dtype) for k, dtype in enumerate(called.results)])
    except gc.GraphcError as error:
        return _fault(frame, INVALID_ARGUMENT, f"{type(error).__name__}: {error}")
    except BaseException as error:
        return _fault(frame, INTERNAL, f"{type(error).__name__}: {error}")
    return None


def _array(buffer: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The array in a buffer, which is not copied."""
    shape = tuple(buffer.extents[: buffer.rank])
    size = dtype.itemsize
    for extent in shape:
        size *= extent
    memory: Any = (c_char * size).from_address(buffer.data) if size else None
    return np.ndarray(shape, dtype, memory)


def _answer(frame: Any) -> None:
    """Tell XLA which version of the interface this is: the one that it has, whose frames begin as those of all others."""
    if frame.extension.contents.kind == METADATA:
        metadata = ctypes.cast(frame.extension, POINTER(_MetadataExtension)).contents.metadata.contents
        known = frame.api.contents.version
        metadata.version.major, metadata.version.minor = known.major, known.minor
        metadata.traits, metadata.state_type = 0, 0


def _fault(frame: Any, code: int, message: str) -> int | None:
    """An error that XLA raises."""
    if sys.is_finalizing():
        return None
    fault = _Fault(ctypes.sizeof(_Fault), None, message.encode(), code)
    made: int | None = frame.api.contents.error(ctypes.byref(fault))
    return made
