"""Calls with arrays on a GPU: what is accepted as an argument, and how the caller's arrays are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphc.calls.arrays import bound_array, mismatch
from graphc.calls.foreign import given_back
from graphc.errors import ArgumentError
from graphc.ir.tensor import Tensor
from graphc.runtime.device import DeviceArray, caller_of, current_caller, described, on_device
from graphc.runtime.machine import machine, require_device

if TYPE_CHECKING:
    from graphc.runtime.cuda import CudaRunner

__all__ = ["Device", "on_host", "placed"]


class Device:
    """The arrays of one call, as `graphc.calls.arrays.Host` for those on the host.

    Args:
        runner: of the program.
        values: all arguments.
    """

    def __init__(self, runner: CudaRunner, values: Mapping[str, Any]) -> None:
        self._runner = runner
        self._known = {id(value): _described(name, value) for name, value in values.items() if on_device(value)}
        self._caller = caller_of([(values[name], self._known[id(values[name])]) for name in values if id(values[name]) in self._known])

    def bound(self, tensors: Mapping[str, Tensor], given: Mapping[str, Any]) -> dict[str, DeviceArray]:
        """Where every argument lies; numbers and lists, which lie nowhere, are copied to the GPU.

        Raises:
            ArgumentError: an argument is an array of the host or of another GPU, or none at all.
            DtypeError: it has another dtype than its tensor.
        """
        there = {name: self._known[id(given[name])] for name in tensors if id(given[name]) in self._known}
        self._check_place(tensors, given, there)
        for name, tensor in tensors.items():
            if name not in there:
                there[name] = self._caller.upload(bound_array(tensor, given[name]))
            elif there[name].dtype != tensor.dtype:
                raise mismatch(tensor, there[name].dtype, given[name])
        self._caller.follow(list(there.values()))
        return {name: there[name] for name in tensors}

    def _check_place(self, tensors: Mapping[str, Tensor], given: Mapping[str, Any], there: Mapping[str, DeviceArray]) -> None:
        """Refuse arrays that lie in several places."""
        here = [name for name in tensors if name not in there and not isinstance(given[name], list | tuple) and np.ndim(given[name])]
        first = next(iter(there))
        if here:
            trained = all(tensors[name].kind == "parameter" for name in here)
            fix = ('state = step.init(device="cuda") makes parameters on the GPU.' if trained else
                   f"copy {', '.join(here)} to the GPU first (torch.as_tensor, cupy.asarray, numba.cuda.to_device), "
                   "or pass arrays of the host only.")
            several = "are" if len(here) > 1 else "is"
            raise ArgumentError(f"The argument {first} is on the GPU, but {', '.join(here)} {several} on the host.", fix=fix)
        elsewhere = [name for name, array in there.items() if array.device not in (None, self._caller.device)]
        if elsewhere:
            known = next(name for name, array in there.items() if array.device == self._caller.device)
            name = elsewhere[0]
            raise ArgumentError(f"The argument {known} is on GPU {self._caller.device}, but {name} is on GPU {there[name].device}.",
                                fix=f"copy {', '.join(elsewhere)} to GPU {self._caller.device}.")

    # ------------------------------------------------------------------------------------------- arrays that are written
    def array(self, name: str, value: Any) -> DeviceArray | None:
        """What is written for ``out=`` and updates; None if it is no array of this GPU."""
        found = self._known.get(id(value)) or (described(value) if on_device(value) else None)
        return found if found is not None and found.device in (None, self._caller.device) else None

    def empty(self, shape: tuple[int, ...], dtype: str) -> str:
        """How to make a new one."""
        library = self._caller.library
        new = f'numba.cuda.device_array({shape}, "{dtype}")' if library == "numba" else f'cupy.empty({shape}, "{dtype}")'
        return f'torch.empty({shape}, dtype=torch.{dtype}, device="cuda:{self._caller.device}")' if library == "torch" else new

    @staticmethod
    def fault(array: DeviceArray) -> str:
        """What keeps an array from being changed; empty if nothing does."""
        return "" if array.writable else "read-only"

    @staticmethod
    def key(array: DeviceArray) -> Any:
        """Equal for two arrays only if they lie in the same place."""
        return array.span

    @staticmethod
    def overlap(first: DeviceArray, second: DeviceArray, exactly: bool = False) -> bool:
        """Whether two arrays have memory in common."""
        return first.overlaps(second)

    def copy(self, array: DeviceArray) -> DeviceArray:
        """A new array with the same elements."""
        return self._caller.copy(array)

    def write(self, target: DeviceArray, value: DeviceArray) -> None:
        """Set the elements of the caller's array, unless the program found a fault."""
        self._runner.write(self._caller, target, value)

    def run(self, runner: Any, arrays: dict[str, Any], sizes: dict[Any, int], out: dict[str, Any]) -> dict[str, Any]:
        """Queue the program's kernels."""
        return self._runner.queue(self._caller, arrays, sizes, out)

    def using(self) -> AbstractContextManager[Any]:
        """While it lasts, the GPU of the arrays is the current one."""
        return machine().using(self._caller.device)

    @staticmethod
    def result(array: DeviceArray) -> Any:
        """What the caller gets."""
        return array.owner


def _described(name: str, value: Any) -> DeviceArray:
    try:
        return described(value)
    except (ValueError, BufferError, RuntimeError) as error:
        raise ArgumentError(f"The argument {name} of type {type(value).__name__} cannot be read on the GPU: {error}.",
                            fix="pass an array with __cuda_array_interface__ or __dlpack__.") from None


def on_host(value: Any) -> Any:
    """A copy on the host of an array on a GPU; everything else as it is."""
    if not on_device(value):
        return value
    array: NDArray[Any] = caller_of([(value, found := described(value))]).download(found)
    return array


def placed(arrays: Mapping[str, NDArray[Any]], device: Any) -> dict[str, Any]:
    """Arrays of the host, or copies of them where `device` says, of its library.

    Raises:
        ArgumentError: there is no such device.
        TargetError: nothing can run on a GPU here.
    """
    library = type(device).__module__.partition(".")[0]
    if device is None or str(device) == "cpu":
        return {name: given_back(array, library) for name, array in arrays.items()}
    number = getattr(device, "id" if library == "cupy" else "index", None) if library in ("torch", "cupy") else device
    if isinstance(device, str) and (found := re.fullmatch(r"cuda(?::(\d+))?", device)):
        number = None if found[1] is None else int(found[1])
    require_device()
    number = machine().current() if number is None else number
    if not isinstance(number, int | np.integer) or isinstance(number, bool) or not 0 <= number < machine().count():
        last = machine().count() - 1
        raise ArgumentError(f"device={device!r} is no device of this machine, which has GPU 0{f' … {last}' * (last > 0)}.",
                            fix='give "cpu", "cuda", "cuda:0", a number, or a torch.device or cupy.cuda.Device.')
    with machine().using(int(number)):
        caller = current_caller(library, int(number))
        return {name: caller.upload(array).owner for name, array in arrays.items()}
