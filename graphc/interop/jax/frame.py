"""What XLA's foreign function interface hands to a function, as `ctypes` sees it (xla/ffi/api/c_api.h, version 0)."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_void_p

__all__ = ["Buffer", "Fault", "Frame", "MetadataExtension"]


class _Base(ctypes.Structure):
    """``XLA_FFI_Extension_Base``."""

    _fields_ = [("struct_size", c_size_t), ("kind", c_int), ("next", c_void_p)]


class _Version(ctypes.Structure):
    """``XLA_FFI_Api_Version``."""

    _fields_ = [("struct_size", c_size_t), ("extension", c_void_p), ("major", c_int), ("minor", c_int)]


class _Metadata(ctypes.Structure):
    """``XLA_FFI_Metadata``."""

    _fields_ = [("struct_size", c_size_t), ("version", _Version), ("traits", c_uint32), ("state_type", c_int64)]


class MetadataExtension(ctypes.Structure):
    """``XLA_FFI_Metadata_Extension``."""

    _fields_ = [("base", _Base), ("metadata", POINTER(_Metadata))]


class Fault(ctypes.Structure):
    """``XLA_FFI_Error_Create_Args``."""

    _fields_ = [("struct_size", c_size_t), ("extension", c_void_p), ("message", c_char_p), ("code", c_int)]


_create = ctypes.CFUNCTYPE(c_void_p, POINTER(Fault))


class _Api(ctypes.Structure):
    """The beginning of ``XLA_FFI_Api``."""

    _fields_ = [("struct_size", c_size_t), ("extension", c_void_p), ("version", _Version), ("internal", c_void_p), ("error", _create)]


class Buffer(ctypes.Structure):
    """``XLA_FFI_Buffer``."""

    _fields_ = [("struct_size", c_size_t), ("extension", c_void_p), ("dtype", c_int32), ("data", c_void_p), ("rank", c_int64),
                ("extents", POINTER(c_int64))]  # fmt: skip


class _Buffers(ctypes.Structure):
    """``XLA_FFI_Args`` and ``XLA_FFI_Rets``."""

    _fields_ = [("struct_size", c_size_t), ("extension", c_void_p), ("size", c_int64), ("types", c_void_p),
                ("items", POINTER(POINTER(Buffer)))]  # fmt: skip


class _Text(ctypes.Structure):
    """``XLA_FFI_ByteSpan``."""

    _fields_ = [("start", c_void_p), ("size", c_size_t)]


class _Attributes(ctypes.Structure):
    """``XLA_FFI_Attrs``, of texts."""

    _fields_ = [("struct_size", c_size_t), ("extension", c_void_p), ("size", c_int64), ("types", c_void_p), ("names", c_void_p),
                ("items", POINTER(POINTER(_Text)))]  # fmt: skip


class Frame(ctypes.Structure):
    """The beginning of ``XLA_FFI_CallFrame``."""

    _fields_ = [("struct_size", c_size_t), ("extension", POINTER(_Base)), ("api", POINTER(_Api)), ("context", c_void_p),
                ("stage", c_int), ("arguments", _Buffers), ("results", _Buffers), ("attributes", _Attributes)]  # fmt: skip
