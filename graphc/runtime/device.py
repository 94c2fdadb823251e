"""Arrays on a GPU, whichever library made them: where they lie, what kernels get for them, and new ones of the same library."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.runtime.device_memory import OutOfDeviceMemory
from graphc.runtime.dlpack import CUDA_DEVICES, unpacked
from graphc.runtime.machine import machine

__all__ = ["Caller", "DeviceArray", "caller_of", "current_caller", "described", "library_of", "on_device"]

_HOST = (np.ndarray, np.generic, bool, int, float, list, tuple)
LEGACY = 1
"""The default stream in ``__cuda_array_interface__`` and DLPack, where 0 is not allowed."""

_REFUSED = (AttributeError, BufferError, RuntimeError, TypeError, ValueError)
"""What libraries raise instead of showing an array."""


@dataclass(frozen=True, slots=True, eq=False)
class DeviceArray:
    """Where an array lies in the memory of a GPU.

    Attributes:
        pointer: its address.
        shape: extents.
        dtype: NumPy's name of the element type.
        strides: in bytes; None in C order without gaps.
        writable: whether its library allows to change it.
        device: number of the GPU; None if nobody said.
        ready: the stream on which it was computed; None if there is nothing to wait for.
        owner: the object of its library.
        span: the addresses of the first byte and of the one behind the last.
    """

    pointer: int
    shape: tuple[int, ...]
    dtype: str
    strides: tuple[int, ...] | None = None
    writable: bool = True
    device: int | None = 0
    ready: int | None = None
    owner: Any = None
    span: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        itemsize = _itemsize(self.dtype)
        if self.strides is None or 0 in self.shape:
            span = (self.pointer, self.pointer + math.prod(self.shape) * itemsize)
        else:
            moves = [(extent - 1) * stride for extent, stride in zip(self.shape, self.strides, strict=True)]
            span = (self.pointer + sum(min(m, 0) for m in moves), self.pointer + sum(max(m, 0) for m in moves) + itemsize)
        object.__setattr__(self, "span", span)

    def overlaps(self, other: DeviceArray) -> bool:
        """Whether both may have an element in common."""
        (first, last), (start, end) = self.span, other.span
        return first < end and start < last


@cache
def _itemsize(dtype: str) -> int:
    """Bytes of an element; 1 if NumPy has no such type, so that no tensor has it."""
    try:
        return np.dtype(dtype).itemsize
    except TypeError:
        return 1


@cache
def _name(dtype: Any) -> str:
    """NumPy's name of an element type, in whatever form."""
    return str(np.dtype(dtype))


def _c_strides(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    strides = [itemsize] * len(shape)
    for d in range(len(shape) - 2, -1, -1):
        strides[d] = strides[d + 1] * shape[d + 1]
    return tuple(strides)


def _regular(shape: Sequence[int], strides: Sequence[int] | None, itemsize: int) -> tuple[int, ...] | None:
    """None for the strides of C order, whatever they are where they do not matter."""
    if strides is None or 0 in shape:
        return None
    ordered = zip(shape, strides, _c_strides(shape, itemsize), strict=True)
    return None if all(extent == 1 or s == c for extent, s, c in ordered) else tuple(strides)


# ----------------------------------------------------------------------------------------------------------- other libraries


def on_device(value: Any) -> bool:
    """Whether a value is an array in the memory of a GPU."""
    if isinstance(value, _HOST):
        return False
    if getattr(type(value), "__cuda_ndarray__", False):
        return True
    if library_of(value) == "torch":
        return bool(value.is_cuda)
    try:
        if hasattr(value, "__cuda_array_interface__"):
            return True
        return hasattr(value, "__dlpack_device__") and value.__dlpack_device__()[0] in CUDA_DEVICES
    except _REFUSED:
        return False


def library_of(value: Any) -> str:
    """The library that made an array: "torch", "cupy" or "jax"; "" for all others, and for what is no array."""
    kind = type(value)
    found = _libraries.get(kind)
    if found is None:
        known = (("torch", "Tensor"), ("cupy", "ndarray"), ("jax", "Array"))
        modules = [(name, sys.modules.get(name), base) for name, base in known]
        made = (name for name, module, base in modules if module is not None and issubclass(kind, getattr(module, base, ())))
        found = _libraries[kind] = next(made, "")
    return found


_libraries: dict[type, str] = {}


def described(value: Any) -> DeviceArray:
    """What an array says about itself; nothing is copied.

    Args:
        value: for which `on_device` holds.

    Raises:
        ValueError, BufferError: its library does not show it; the message says why.
    """
    if library_of(value) == "torch":
        dtype = str(value.dtype).removeprefix("torch.")
        shape, itemsize = tuple(value.shape), value.element_size()
        strides = None if value.is_contiguous() else _regular(shape, [s * itemsize for s in value.stride()], itemsize)
        return DeviceArray(value.data_ptr(), shape, dtype, strides, True, value.device.index, None, value)
    interface = machine().interface(value)
    if interface is None:
        pointer, shape, strides, dtype = unpacked(capsule := value.__dlpack__(stream=LEGACY))
        regular = _regular(shape, strides, _itemsize(dtype))
        return DeviceArray(pointer, shape, dtype, regular, False, value.__dlpack_device__()[1], 0, (value, capsule))
    if interface.get("mask") is not None:
        raise ValueError("it is masked")
    dtype = _name(interface["typestr"])
    pointer, readonly = interface["data"]
    shape = tuple(interface["shape"])
    regular = _regular(shape, interface.get("strides"), _itemsize(dtype))
    device = value.__dlpack_device__()[1] if library_of(value) == "cupy" else machine().device_of(pointer)
    return DeviceArray(pointer, shape, dtype, regular, not readonly, device, interface.get("stream"), value)


# -------------------------------------------------------------------------------------------------------------------- caller


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose arrays a call is about: new ones are made by the same library, work is queued on its stream.

    Attributes:
        library: "torch", "cupy" or "numba".
        device: number of the GPU.
        stream: address of the stream, 0 for the default one.
    """

    library: str
    device: int
    stream: int

    def new(self, shape: tuple[int, ...], dtype: str) -> DeviceArray:
        """An array that is not initialised.

        Raises:
            OutOfDeviceMemory: there is no room.
        """
        if self.library == "numba":
            size = math.prod(shape) * _itemsize(dtype)
            lease = machine().pool(self.device, self.stream).take(size)
            plain = DeviceArray(lease.pointer, shape, dtype, device=self.device, ready=self.stream, owner=lease)
            return DeviceArray(lease.pointer, shape, dtype, device=self.device, owner=machine().view(plain))
        library = sys.modules[self.library]
        try:
            if self.library == "torch":
                return described(library.empty(shape, dtype=getattr(library, dtype), device=f"cuda:{self.device}"))
            with library.cuda.Device(self.device):
                return described(library.empty(shape, dtype=dtype))
        except (RuntimeError, MemoryError) as error:
            if type(error).__name__ != "OutOfMemoryError":
                raise
            raise OutOfDeviceMemory(*machine().free_and_total()) from None

    def upload(self, array: NDArray[Any]) -> DeviceArray:
        """A copy of a host array."""
        made = self.new(array.shape, str(array.dtype))
        machine().argument(made).copy_to_device(np.require(array, requirements=["C", "A"]), stream=machine().stream(self.stream))
        return made

    def download(self, array: DeviceArray, wait: bool = True) -> NDArray[Any]:
        """A copy on the host, complete unless nobody waits."""
        plain = array if array.strides is None else Caller("numba", self.device, self.stream).copy(array)
        made: NDArray[Any] = machine().argument(plain).copy_to_host(stream=machine().stream(self.stream))
        if wait:
            machine().wait(self.stream)
        return made

    def copy(self, array: DeviceArray) -> DeviceArray:
        """A new array with the same elements, in C order."""
        made = self.new(array.shape, array.dtype)
        self.assign(made, array)
        return made

    def assign(self, target: DeviceArray, source: DeviceArray) -> None:
        """Set the elements of an array."""
        if 0 not in target.shape:
            machine().assign(target, source, self.stream)

    def follow(self, arrays: Sequence[DeviceArray]) -> None:
        """Have the work queued from now on wait for arrays that other streams compute."""
        for other in {a.ready or 0 for a in arrays if a.ready is not None} - {self.stream}:
            machine().follow(self.stream, other)


def caller_of(values: Sequence[tuple[Any, DeviceArray]]) -> Caller:
    """Whose call it is: PyTorch's or CuPy's if one of the arrays on the GPU is theirs.

    The stream is their current one; else the first that an array names. The device is that of the first array that is decisive.
    """
    kinds = [library_of(value) for value, _ in values]
    library = next((name for name in ("torch", "cupy") if name in kinds), "numba")
    device = values[kinds.index(library) if library in kinds else 0][1].device or 0
    if library != "numba":
        return current_caller(library, device)
    stream = next((array.ready for _, array in values if array.ready), 0)
    return Caller(library, device, 0 if stream == LEGACY else stream)


def current_caller(library: str, device: int) -> Caller:
    """A caller whose stream is the current one of its library."""
    if library == "torch":
        return Caller(library, device, int(sys.modules["torch"].cuda.current_stream(device).cuda_stream))
    if library == "cupy":
        return Caller(library, device, int(sys.modules["cupy"].cuda.get_current_stream().ptr))
    return Caller("numba", device, 0)
