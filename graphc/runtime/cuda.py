"""The target "cuda": a generated module on a GPU, or in Numba's simulator (NUMBA_ENABLE_CUDASIM=1)."""

from __future__ import annotations

import importlib
import math
import re
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from graphc.errors import TargetError
from graphc.runtime.cache import load
from graphc.runtime.cuda_graph import Graphs, recorder
from graphc.runtime.device import Caller, DeviceArray
from graphc.runtime.machine import machine, quiet, require_device, simulated

__all__ = ["CudaRunner", "Layout", "compile_to_ptx"]

Array = NDArray[Any]
Parameters = tuple[tuple[str, int] | None, ...]
Complaint = Callable[[int, Mapping[str, Array], Mapping[str, tuple[int, ...]]], Exception]


class Layout(NamedTuple):
    """What a module needs for given sizes.

    Attributes:
        shapes: of every array.
        sizes: values of the size arguments.
        places: where temporaries, and what is copied into arrays of the caller, begin in one block of memory, in bytes.
        room: bytes of that block.
    """

    shapes: Mapping[str, tuple[int, ...]]
    sizes: tuple[int, ...]
    places: Mapping[str, int]
    room: int


class _Status:
    """What kernels queued on one stream find wrong: they write it on the GPU, from where it is copied behind every call."""

    def __init__(self, caller: Caller) -> None:
        self._clean = np.zeros(2, np.int64)
        self.caller, self.array = caller, caller.upload(self._clean)
        self.seen = machine().staging(2)
        self.seen[...] = 0
        self.shapes: Mapping[str, tuple[int, ...]] = {}

    def fetch(self) -> None:
        """Queue the copy."""
        machine().fetch(self.seen, self.array, self.caller.stream)

    def take(self) -> tuple[int, int]:
        """Code and value, (0, 0) if nothing is wrong, after everything queued is complete; from then on nothing is."""
        machine().wait(self.caller.stream)
        found = int(self.seen[0]), int(self.seen[1])
        if found[0]:
            self.array.owner.copy_to_device(self._clean, stream=machine().stream(self.caller.stream))
            self.seen[...] = 0
        return found


class CudaRunner:
    """Runs a generated module.

    Args:
        source: text of the module.
        kernels: records for `Program.kernels`.
        arrays: tensors in the order of the arguments: (name, dtype, role), role "input", "output" or "temporary".
        in_place: outputs that are written into the array of an input.
        committed: outputs that are copied into the array of an input, after everything else, if the program finds no fault.
        layout: from sizes to what the module needs.
        checks: errors for the codes of the status array, from the value found, the arrays (if they still exist) and the shapes.

    Raises:
        TargetError: there is no device.
    """

    def __init__(
        self, source: str, kernels: tuple[Any, ...], arrays: tuple[tuple[str, str, str], ...], in_place: Mapping[str, str],
        committed: Mapping[str, str], layout: Callable[[Mapping[Any, int]], Layout], checks: Sequence[Complaint],
    ) -> None:
        require_device()
        self.source, self.kernels = source, kernels
        self._arrays, self._layout, self._checks = arrays, layout, checks
        self._in_place, self._committed = dict(in_place), dict(committed)
        self.made: tuple[Any, ...] = ()
        """The arrays of `needs`, as `graphc.calls.memory.Made`."""
        self._module: Any = None
        self._layouts: dict[int, tuple[Mapping[Any, int], Layout]] = {}
        self._blocks: dict[tuple[int, int], tuple[DeviceArray, dict[int, Mapping[str, DeviceArray]]]] = {}
        self._statuses: dict[tuple[int, int], _Status] = {}
        self._graphs = Graphs("the simulator has none" if simulated() else recorder())
        self._lock = threading.Lock()

    def needs(self, sizes: Mapping[Any, int]) -> tuple[dict[str, int], int]:
        """Bytes of the results and temporaries, and how many of them are counted several times."""
        layout = self._layout(sizes)
        made = [(name, dtype) for name, dtype, role in self._arrays if role != "input" and name not in self._in_place]
        found = {name: math.prod(layout.shapes[name]) * np.dtype(dtype).itemsize for name, dtype in made}
        return found, max(0, sum(found[name] for name in layout.places) - layout.room)

    def memory(self) -> int | None:
        """Bytes of the device; None in the simulator."""
        total = machine().free_and_total()[1]
        return int(total) if math.isfinite(total) else None

    def quick(self, inputs: Sequence[str], outputs: Sequence[str], sizes: Mapping[Any, int], positional: bool, compiling: bool) -> None:
        """There is none."""

    # -------------------------------------------------------------------------------------------------------------- running
    def run(self, arrays: dict[str, Array], sizes: Mapping[Any, int], out: dict[str, Array]) -> dict[str, Array]:
        """Copy the arguments to the current GPU, run, and copy the results back.

        Raises:
            GraphcError: the program found a fault.
            OutOfDeviceMemory: there is no room for the arrays.
        """
        caller = Caller("numba", machine().current(), 0)
        there = {name: caller.upload(arrays[name]) for name, _, role in self._arrays if role == "input"}
        there = self._queued(caller, there, sizes, {})
        self._complain(caller, there)
        results = {name: caller.download(there[name], wait=False) for name, _, role in self._arrays if role == "output"}
        machine().wait(caller.stream)
        return results

    def queue(
        self, caller: Caller, arrays: Mapping[str, DeviceArray], sizes: Mapping[Any, int], out: Mapping[str, DeviceArray]
    ) -> dict[str, DeviceArray]:
        """Queue the kernels on the caller's stream, and return at once.

        Args:
            caller: whose arrays they are.
            arrays: the arguments.
            sizes: the values of all sizes.
            out: arrays for results; those with gaps are not used.

        Returns:
            The results. What the kernels find wrong is told by the next call on the stream, or by `wait`.
        """
        there = self._queued(caller, arrays, sizes, out)
        return {name: there[name] for name, _, role in self._arrays if role == "output"}

    def _queued(
        self, caller: Caller, arrays: Mapping[str, DeviceArray], sizes: Mapping[Any, int], out: Mapping[str, DeviceArray]
    ) -> dict[str, DeviceArray]:
        """The same, with all arrays."""
        with self._lock:
            self._complain_of_earlier(caller)
            layout = self._laid_out(sizes)
            there = dict(self._kept(caller, layout))
            for name, dtype, role in self._arrays:
                if role == "input":
                    there[name] = arrays[name] if arrays[name].strides is None else caller.copy(arrays[name])
                elif name not in there:
                    there[name] = self._result(caller, name, layout.shapes[name], dtype, arrays, out)
            committed = {new: old for new, old in self._committed.items() if arrays[old].strides is None}
            self._launch(caller, there, layout, committed)
            return there | {new: arrays[old] for new, old in committed.items()}

    def _result(
        self, caller: Caller, name: str, shape: tuple[int, ...], dtype: str, arrays: Mapping[str, DeviceArray],
        out: Mapping[str, DeviceArray],
    ) -> DeviceArray:
        """The array that kernels write."""
        given = arrays[self._in_place[name]] if name in self._in_place else out.get(name)
        return given if given is not None and given.strides is None else caller.new(shape, dtype)

    def _launch(self, caller: Caller, there: Mapping[str, DeviceArray], layout: Layout, committed: Mapping[str, str]) -> None:
        """Queue the kernels, and the copies of new values into the arrays that they replace."""
        status = self._status(caller)

        def queue(stream: Any) -> None:
            arguments = [machine().argument(array) for array in (status.array, *(there[name] for name, _, _ in self._arrays))]
            with quiet():
                self._module.program(stream, *arguments, *layout.sizes)
                for new, old in committed.items():
                    self._commit(stream, status, there[old], there[new])

        key = (id(layout), status.array.pointer, *(array.pointer for array in there.values()))
        if self._module is None:
            self._module = load(self.source)
        if not self._graphs.launch(key, caller.stream, queue):
            try:
                queue(machine().stream(caller.stream))
            except Exception as error:
                refusal = self._refusal(error)
                if refusal is None:
                    raise
                raise refusal from error
        if self._checks:
            status.shapes = layout.shapes
            status.fetch()

    def _commit(self, stream: Any, status: _Status, target: DeviceArray, source: DeviceArray) -> None:
        """Queue a copy that is not made if the program found a fault."""
        if 0 not in target.shape:
            commit = importlib.import_module("graphc.runtime.cuda_copy").commit
            flat = [DeviceArray(a.pointer, (math.prod(a.shape),), a.dtype) for a in (status.array, target, source)]
            commit[(*self._module.grid(flat[1].shape[0]), stream)](*map(machine().argument, flat))

    def _refusal(self, error: Exception) -> TargetError | None:
        """What to tell the user about a launch that the driver does not accept; None for other errors."""
        found = re.search(r"CUDA_ERROR_(LAUNCH_OUT_OF_RESOURCES|INVALID_VALUE|INVALID_CONFIGURATION)", str(error))
        if found is None:
            return None
        frames = traceback.extract_tb(error.__traceback__)
        line = next((f.line or "" for f in frames if f.filename == self._module.__file__ and f.name == "program"), "")
        name = line.partition("[")[0]
        loop = next((k.loop for k in self.kernels if k.name == name), line)
        return TargetError(f"The GPU cannot run the kernel {name} with so many threads, registers and shared memory ({found[0]}).",
                           at=((loop, "", None),), fix='use a GPU of a newer generation, or target="cpu".')

    def _laid_out(self, sizes: Mapping[Any, int]) -> Layout:
        """The layout for sizes, of which a program has one object for each combination."""
        known = self._layouts.get(id(sizes))
        if known is None or known[0] is not sizes:
            known = self._layouts[id(sizes)] = (sizes, self._layout(sizes))
        return known[1]

    def _kept(self, caller: Caller, layout: Layout) -> Mapping[str, DeviceArray]:
        """The arrays in `layout.places`, for calls on one stream, which are computed one behind the other."""
        stream = (caller.device, caller.stream)
        block, made = self._blocks.get(stream, (None, {}))
        if block is None or block.shape[0] < layout.room:
            self._blocks.pop(stream, None)
            block, made = self._blocks[stream] = Caller("numba", *stream).new((layout.room,), "uint8"), {}
        if id(layout) not in made:
            types = {name: dtype for name, dtype, _ in self._arrays}
            made[id(layout)] = {name: DeviceArray(block.pointer + place, layout.shapes[name], types[name], device=caller.device)
                                for name, place in layout.places.items()}
        return made[id(layout)]

    # --------------------------------------------------------------------------------------------------------------- faults
    def _status(self, caller: Caller) -> _Status:
        key = (caller.device, caller.stream)
        if key not in self._statuses:
            self._statuses[key] = _Status(Caller("numba", *key))
        return self._statuses[key]

    def _complain(self, caller: Caller, there: Mapping[str, DeviceArray]) -> None:
        """Raise what the call just queued found wrong."""
        status = self._status(caller)
        code, value = status.take() if self._checks else (0, 0)
        if code:
            arrays = {name: caller.download(array) for name, array in there.items()}
            raise self._checks[code - 1](value, arrays, status.shapes)

    def _complain_of_earlier(self, caller: Caller) -> None:
        """Raise what calls before found wrong, as far as it is known without waiting."""
        status = self._status(caller)
        if self._checks and status.seen[0]:
            code, value = status.take()
            raise self._checks[code - 1](value, {}, status.shapes)

    def wait(self) -> None:
        """Wait until everything queued is complete; raise what was found wrong."""
        for status in list(self._statuses.values()):
            code, value = status.take()
            if code:
                raise self._checks[code - 1](value, {}, status.shapes)

    def write(self, caller: Caller, target: DeviceArray, source: DeviceArray) -> None:
        """Queue a copy into an array of the caller's, which is not made if the program found a fault."""
        if not self._checks:
            caller.assign(target, source)
        elif target.strides is not None:
            self.wait()
            caller.assign(target, source)
        else:
            with self._lock:
                self._commit(machine().stream(caller.stream), self._status(caller), target, source)

    @property
    def launching(self) -> str:
        """How the kernels of a call with arrays on a GPU are queued, in words."""
        count = f"{len(self.kernels)} kernel{'s' * (len(self.kernels) != 1)}"
        return f"{count} queued one by one: {self._graphs.reason}" if self._graphs.reason else f"{count} queued as one CUDA graph"


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
        kernel = getattr(module, name)
        bounds = kernel.targetoptions.get("launch_bounds")
        options = {"launch_bounds": bounds} if bounds is not None and cuda.implementation != "Built-in" else {}
        found[name] = cuda.compile_ptx(kernel.py_func, arguments, cc=cc, **options)[0]
    return found
