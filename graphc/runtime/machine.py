"""What a GPU does for programs, beside running kernels: memory, streams, views; and the same in Numba's simulator, on the host."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import warnings
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc.errors import TargetError
from graphc.runtime.device_memory import OutOfDeviceMemory, Pool

if TYPE_CHECKING:
    from graphc.runtime.device import DeviceArray

__all__ = ["Driver", "Simulator", "machine", "quiet", "require_cores", "require_device", "simulated"]

_REMEMBERED = 4096
"""Views that are kept: making one takes as long as a launch."""


class Driver:
    """Numba's bindings of the driver."""

    def __init__(self) -> None:
        self.cuda: Any = importlib.import_module("numba.cuda")
        self._pools: dict[tuple[int, int], Pool] = {}
        self._streams: dict[int, Any] = {}
        self._views: dict[Any, Any] = {}
        self._count: int | None = None

    # ------------------------------------------------------------------------------------------------------------- memory
    def pool(self, device: int, stream: int) -> Pool:
        """Memory for the work on one stream."""
        found = self._pools.get((device, stream))
        if found is None:
            found = self._pools.setdefault((device, stream), Pool(self._allocate))
        return found

    def _allocate(self, size: int) -> tuple[Any, int]:
        for last in (False, True):
            try:
                return self._memory(size)
            except Exception as error:
                if "OUT_OF_MEMORY" not in str(error):
                    raise
                if last:
                    raise OutOfDeviceMemory(*self.free_and_total()) from None
            for pool in list(self._pools.values()):
                pool.clear()
        raise AssertionError

    def _memory(self, size: int) -> tuple[Any, int]:
        memory = self.cuda.current_context().memalloc(size)
        return memory, int(memory.device_pointer_value)

    def free_and_total(self) -> tuple[float, float]:
        """Bytes that the GPU has left for anybody, and in all; infinite in the simulator."""
        information = self.cuda.current_context().get_memory_info()
        return information.free, information.total

    # -------------------------------------------------------------------------------------------------------------- arrays
    def interface(self, value: Any) -> dict[str, Any] | None:
        """Its ``__cuda_array_interface__``, if it has one."""
        found: dict[str, Any] | None = getattr(value, "__cuda_array_interface__", None)
        return found

    def device_of(self, pointer: int) -> int | None:
        """The GPU that an address belongs to; None if the driver does not know, as for arrays without elements."""
        if self.count() == 1 or not pointer:
            return 0 if pointer else None
        module = importlib.import_module("numba.cuda.cudadrv.driver")
        attribute = module.binding.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        return int(module.driver.cuPointerGetAttribute(attribute, pointer))

    def view(self, array: DeviceArray) -> Any:
        """Numba's object for an array, which kernels take; it keeps the owner alive."""
        interface = {
            "shape": array.shape, "strides": array.strides, "data": (array.pointer, not array.writable), "version": 3,
            "typestr": np.dtype(array.dtype).str, "stream": array.ready or None,
        }
        return self._viewed(interface, array.owner)

    def _viewed(self, interface: dict[str, Any], owner: Any) -> Any:
        return self.cuda.from_cuda_array_interface(interface, owner=owner, sync=False)

    def argument(self, array: DeviceArray) -> Any:
        """The same, without keeping anything alive, and made once only."""
        key = (array.pointer, array.shape, array.dtype, array.strides)
        found = self._views.get(key)
        if found is None:
            if len(self._views) >= _REMEMBERED:
                self._views.clear()
            interface = {"shape": array.shape, "strides": array.strides, "data": (array.pointer, False), "version": 3,
                         "typestr": np.dtype(array.dtype).str, "stream": None}
            found = self._views[key] = self._viewed(interface, None)
        return found

    def assign(self, target: DeviceArray, source: DeviceArray, stream: int) -> None:
        """Queue a copy of one array into another of its shape, which is not empty."""
        there, here = self.argument(target), self.argument(source)
        if target.strides is None and source.strides is None:
            there.copy_to_device(here, stream=self.stream(stream))
        else:
            with quiet():
                there.setitem((slice(None),) * len(target.shape), here, stream=self.stream(stream))

    # ------------------------------------------------------------------------------------------------------------- streams
    def stream(self, address: int) -> Any:
        """Numba's object for a stream. For the default one it is an object too, not 0, with which Numba would wait for copies."""
        found = self._streams.get(address)
        if found is None:
            made = self.cuda.external_stream(address) if address else self.cuda.default_stream()
            found = self._streams.setdefault(address, made)
        return found

    def follow(self, stream: int, other: int) -> None:
        """Have what is queued on a stream from now on wait for what is queued on another one now."""
        event = self.cuda.event(timing=False)
        event.record(self.stream(other))
        event.wait(self.stream(stream))

    def wait(self, stream: int) -> None:
        """Wait until everything on a stream is complete."""
        self.stream(stream).synchronize()

    def staging(self, length: int) -> Any:
        """Host memory, int64, to which copies need not be waited for."""
        return self.cuda.pinned_array(length, np.int64)

    def fetch(self, target: Any, source: DeviceArray, stream: int) -> None:
        """Queue a copy to such memory."""
        module = importlib.import_module("numba.cuda.cudadrv.driver")
        module.device_to_host(target, self.argument(source), target.nbytes, stream=self.stream(stream))

    # ------------------------------------------------------------------------------------------------------------- devices
    def count(self) -> int:
        """How many GPUs there are."""
        if self._count is None:
            self._count = len(self.cuda.gpus)
        return self._count

    def current(self) -> int:
        """The number of the GPU that is used unless somebody says which."""
        current = self.cuda.gpus.current
        return 0 if current is None else int(current.id)

    def using(self, device: int) -> contextlib.AbstractContextManager[Any]:
        """While it lasts, a GPU is the current one."""
        gpus = self.cuda.gpus
        return contextlib.nullcontext() if self.count() == 1 or self.current() == device else gpus[device]


class Simulator(Driver):
    """Numba's simulator: addresses are those of the host, and there is one stream."""

    def _memory(self, size: int) -> tuple[Any, int]:
        memory = np.empty(size, np.uint8)
        return memory, memory.ctypes.data

    def interface(self, value: Any) -> dict[str, Any] | None:
        array = value.__dict__.get("_ary") if hasattr(type(value), "__cuda_ndarray__") else None
        return super().interface(value) if array is None else array.__array_interface__

    def device_of(self, pointer: int) -> int | None:
        return 0

    def _viewed(self, interface: dict[str, Any], owner: Any) -> Any:
        kind = importlib.import_module("numba.cuda.simulator.cudadrv.devicearray").FakeCUDAArray
        holder = _Holder(interface, owner)
        return kind(np.asarray(holder) if 0 not in interface["shape"] else np.empty(interface["shape"], interface["typestr"]))

    def assign(self, target: DeviceArray, source: DeviceArray, stream: int) -> None:
        self.argument(target)._ary[...] = self.argument(source)._ary

    def stream(self, address: int) -> Any:
        return 0

    def follow(self, stream: int, other: int) -> None:
        """There is nothing to wait for."""

    def wait(self, stream: int) -> None:
        """There is nothing to wait for."""

    def fetch(self, target: Any, source: DeviceArray, stream: int) -> None:
        target[...] = self.argument(source)._ary

    def count(self) -> int:
        return 1

    def current(self) -> int:
        return 0

    def using(self, device: int) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()


class _Holder:
    """NumPy reads its array from here, and keeps it."""

    def __init__(self, interface: dict[str, Any], owner: Any) -> None:
        self.__array_interface__ = {k: v for k, v in interface.items() if k != "stream"}
        self.owner = owner


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Numba does not warn of launches that are too small for a GPU: nobody can change that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Grid size")
        yield


@cache
def machine() -> Driver:
    """What programs of this process run on."""
    return Simulator() if simulated() else Driver()


# ------------------------------------------------------------------------------------------------------------------ device


def require_device() -> None:
    """Do nothing if kernels can run here.

    Raises:
        TargetError: the driver, the GPU or the compiler is missing; the message says which.
    """
    missing = _missing()
    if missing is not None:
        what, fix = missing
        raise TargetError(f'The target "cuda" cannot run here: {what}.', fix=f'{fix}, or use target="cpu".')


def require_cores() -> None:
    """Do nothing if the GPU has tensor cores for TF32, or is simulated.

    Raises:
        TargetError: it has none.
    """
    if simulated():
        return
    device: Any = importlib.import_module("numba.cuda").get_current_device()
    if device.compute_capability < (8, 0):
        found = ".".join(map(str, device.compute_capability))
        raise TargetError(f'precision="tf32" needs a GPU of compute capability 8.0 or newer; this one has {found}.',
                          fix='leave precision= out: products are then computed in float32.')


def _missing() -> tuple[str, str] | None:
    """What is not there, and how to get it."""
    try:
        cuda: Any = importlib.import_module("numba.cuda")
    except ImportError:
        return "the package numba-cuda is not installed", 'pip install "graphc[cuda]"'
    if cuda.is_available():
        return None
    if not _driver():
        return "there is no NVIDIA driver (libcuda)", 'install the driver of your GPU and pip install "graphc[cuda]"'
    if not importlib.import_module("numba.cuda.cudadrv.nvvm").is_available():
        return "NVIDIA's compiler library (NVVM) is not installed", 'pip install "graphc[cuda]"'
    return "the driver finds no GPU", "check nvidia-smi and CUDA_VISIBLE_DEVICES"


def _driver() -> bool:
    name = os.environ.get("NUMBA_CUDA_DRIVER") or ("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def simulated() -> bool:
    """Whether Numba simulates the GPU: NUMBA_ENABLE_CUDASIM was set before it was imported."""
    return bool(importlib.import_module("numba.core.config").ENABLE_CUDASIM)
