"""Arrays of a simulated GPU: every access is checked and written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tests.gpu.device import Device

__all__ = ["Accesses", "Fault", "Local", "Memory", "typed"]

Array = np.ndarray[Any, Any]


class Fault(AssertionError):
    """A kernel does what has no meaning on a GPU."""


@dataclass
class Accesses:
    """Addresses of what somebody has touched since a barrier."""

    reads: set[int] = field(default_factory=set)
    writes: set[int] = field(default_factory=set)
    atomics: set[int] = field(default_factory=set)

    def conflict(self, other: Accesses) -> int | None:
        """An address that both touch so that the order matters."""
        for mine, theirs in ((self.writes, (other.reads, other.writes, other.atomics)), (self.reads, (other.writes, other.atomics)),
                             (self.atomics, (other.reads, other.writes))):  # fmt: skip
            for touched in theirs:
                if not mine.isdisjoint(touched):
                    return min(mine & touched)
        return None

    def add(self, other: Accesses) -> None:
        self.reads |= other.reads
        self.writes |= other.writes
        self.atomics |= other.atomics


class Memory:
    """An array of the device, or of the threads of a block."""

    def __init__(self, device: Device, array: Array, name: str, racing: bool = False) -> None:
        self.device, self.array, self.name, self.racing = device, array, name, racing
        self.shape, self.size, self.strides, self.dtype = array.shape, array.size, array.strides, array.dtype
        self.base = array.__array_interface__["data"][0]
        self.widened = array.dtype.kind in "iu" and array.dtype != np.uint64

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"data": (self.base, False), "shape": self.shape}

    def __len__(self) -> int:
        return self.shape[0]

    def reshape(self, *shape: int) -> Memory:
        return Memory(self.device, self.array.reshape(*shape), self.name, self.racing)

    def addresses(self) -> Iterable[int]:
        return range(self.base, self.base + self.array.nbytes, self.array.itemsize)

    def element(self, address: int) -> str:
        where = np.unravel_index((address - self.base) // self.array.itemsize, self.shape)
        return f"{self.name}[{', '.join(map(str, where))}]"

    def address(self, key: Any) -> int:
        """The address of an element.

        Raises:
            Fault: there is none.
        """
        subscripts = key if type(key) is tuple else (key,)
        if len(subscripts) != len(self.shape):
            raise Fault(f"{self.name} has {len(self.shape)} dimensions, but {len(subscripts)} subscripts")
        address = self.base
        for subscript, extent, stride in zip(subscripts, self.shape, self.strides, strict=True):
            if not 0 <= subscript < extent:
                raise Fault(f"{self.name}[{', '.join(map(str, subscripts))}] is outside of {self.shape}")
            address += int(subscript) * stride
        return address

    def __getitem__(self, key: Any) -> Any:
        address = self.address(key)
        if address in self.device.unwritten:
            raise Fault(f"{self.element(address)} is read, but nothing has written it")
        if not self.racing:
            self.device.here.accesses.reads.add(address)
        value = self.array[key]
        return np.int64(value) if self.widened else value

    def __setitem__(self, key: Any, value: Any) -> None:
        address = self.address(key)
        if not self.racing:
            self.device.here.accesses.writes.add(address)
        self.device.unwritten.discard(address)
        if type(value) is np.float64 and self.dtype == np.float32:
            raise Fault(f"{self.name} is float32, but the value was computed in float64")
        self.array[key] = value

    def change(self, key: Any, value: Any, operation: Callable[[Any, Any], Any]) -> Any:
        """An atomic operation."""
        address = self.address(key)
        if address in self.device.unwritten:
            raise Fault(f"{self.element(address)} is changed, but nothing has written it")
        self.device.here.accesses.atomics.add(address)
        old = self.array[key]
        self.array[key] = operation(old, value)
        return old


class Local:
    """An array of one thread."""

    def __init__(self, shape: Any, dtype: Any) -> None:
        self.shape, self.dtype = shape if isinstance(shape, tuple) else (shape,), typed(dtype).type
        self.values: dict[Any, Any] = {}

    def __getitem__(self, key: Any) -> Any:
        if key not in self.values:
            raise Fault(f"element {key} of a local array of {self.shape} is read, but nothing has written it")
        return self.values[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        subscripts = key if type(key) is tuple else (key,)
        if len(subscripts) != len(self.shape) or not all(0 <= k < n for k, n in zip(subscripts, self.shape, strict=True)):
            raise Fault(f"element {key} is outside of a local array of {self.shape}")
        self.values[key] = self.dtype(value)


def typed(dtype: Any) -> np.dtype[Any]:
    """NumPy's type for one of NumPy or Numba."""
    return np.dtype(getattr(dtype, "__name__", str(dtype)))
