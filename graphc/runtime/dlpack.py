"""What a DLPack capsule says: the array behind ``__dlpack__``, for libraries that offer nothing else."""

from __future__ import annotations

import ctypes
from typing import Any

__all__ = ["CUDA_DEVICES", "unpacked"]

CUDA_DEVICES = (2, 13)
"""Kinds of devices in ``__dlpack_device__``: memory of a GPU, and memory that it shares with the host."""

_KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 6: "bool"}


class _Tensor(ctypes.Structure):
    """``DLTensor`` of dlpack.h, unchanged since version 0.2; a capsule called "dltensor" points to one."""

    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64),
    ]  # fmt: skip


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


def unpacked(capsule: Any) -> tuple[int, tuple[int, ...], tuple[int, ...] | None, str]:
    """Address, shape, strides in bytes (None in C order) and NumPy's name of the element type; the capsule has to stay alive.

    Raises:
        ValueError: it is no capsule of that kind.
    """
    tensor = ctypes.cast(_pointer(capsule, b"dltensor"), ctypes.POINTER(_Tensor)).contents
    kind = _KINDS.get(tensor.code)
    if kind is None or tensor.lanes != 1:
        raise ValueError(f"elements of kind {tensor.code} with {tensor.lanes} lanes")
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(s * tensor.bits // 8 for s in tensor.strides[: tensor.ndim]) if tensor.strides else None
    return (tensor.data or 0) + tensor.byte_offset, shape, strides, "bool" if kind == "bool" else f"{kind}{tensor.bits}"
