"""The target "cuda": a generated module on a GPU, or in Numba's simulator (NUMBA_ENABLE_CUDASIM=1)."""

from __future__ import annotations

import ctypes
import importlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from graphc.errors import TargetError
from graphc.runtime.cache import load

__all__ = ["CudaRunner", "compile_to_ptx", "require_device"]

Array = NDArray[Any]
Parameters = tuple[tuple[str, int] | None, ...]
Shapes = Callable[[Mapping[Any, int]], tuple[Mapping[str, tuple[int, ...]], tuple[int, ...]]]


class CudaRunner:
    """Runs a generated module: arguments are copied to the device, results back.

    Args:
        source: text of the module.
        kernels: records for `Program.kernels`.
        arrays: tensors in the order of the arguments: (name, dtype, role), role "input", "output" or "temporary".
        layout: from sizes to the shapes of the arrays and the values of the size arguments.
        checks: errors for the codes of the status array, from the value found and the arrays.

    Raises:
        TargetError: there is no device.
    """

    def __init__(
        self, source: str, kernels: tuple[Any, ...], arrays: tuple[tuple[str, str, str], ...], layout: Shapes,
        checks: Sequence[Callable[[int, Mapping[str, Array]], Exception]],
    ) -> None:
        require_device()
        self.source, self.kernels = source, kernels
        self._arrays, self._layout, self._checks = arrays, layout, checks
        self.made: tuple[Any, ...] = ()
        """The arrays of `needs`, as `graphc.memory.Made`."""
        self._module: Any = None

    def needs(self, sizes: Mapping[Any, int]) -> tuple[dict[str, int], int]:
        """Bytes of the arrays on the device, copies of the arguments included; none share them."""
        shapes, _ = self._layout(sizes)
        return {name: math.prod(shapes[name]) * np.dtype(dtype).itemsize for name, dtype, _ in self._arrays}, 0

    def memory(self) -> int | None:
        """Bytes of the device; None in the simulator."""
        total = importlib.import_module("numba.cuda").current_context().get_memory_info().total
        return int(total) if math.isfinite(total) else None

    def quick(self, inputs: Sequence[str], outputs: Sequence[str], sizes: Mapping[Any, int], positional: bool, compiling: bool) -> None:
        """There is none."""

    def run(self, arrays: dict[str, Array], sizes: Mapping[Any, int], out: dict[str, Array]) -> dict[str, Array]:
        cuda: Any = importlib.import_module("numba.cuda")
        if self._module is None:
            self._module = load(self.source)
        shapes, values = self._layout(sizes)
        there = {
            name: cuda.to_device(np.asarray(arrays[name], order="C")) if role == "input" else cuda.device_array(shapes[name], dtype)
            for name, dtype, role in self._arrays
        }
        status = cuda.to_device(np.zeros(2, np.int64))
        self._module.program(0, status, *there.values(), *values)
        code, value = map(int, status.copy_to_host()) if self._checks else (0, 0)
        if code:
            raise self._checks[code - 1](value, {name: array.copy_to_host() for name, array in there.items()})
        return {name: there[name].copy_to_host() for name, _, role in self._arrays if role == "output"}


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


def compile_to_ptx(source: str, parameters: Mapping[str, Parameters], cc: tuple[int, int] = (8, 0)) -> dict[str, str]:
    """The PTX of every kernel of a module; this needs NVVM, but no driver and no GPU.

    Args:
        source: text of the module.
        parameters: types of the arguments of each kernel: element type and dimensions of an array, None for an integer.
        cc: compute capability.
    """
    cuda: Any = importlib.import_module("numba.cuda")
    module = load(source)
    found = {}
    for name, kinds in parameters.items():
        arguments = tuple(types.int64 if k is None else types.Array(getattr(types, k[0]), k[1], "C") for k in kinds)
        found[name] = cuda.compile_ptx(getattr(module, name).py_func, arguments, cc=cc)[0]
    return found
