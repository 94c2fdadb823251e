"""A GPU for tests: runs the modules generated for the target "cuda" thread by thread, and checks what no GPU reports.

Between barriers, threads run one after the other; barriers and shuffles are `yield` in the kernels, which become generators. A `Fault`
is raised where two threads touch an element without a barrier between them, at least one of them writing; where an access leaves its
array; where something is read that nothing has written; where threads of a block wait at different barriers, or a shuffle asks a
thread that does not take part. Results that nothing has written are faults, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

import graphc as gc
from graphc.compile import optimised
from graphc.emit.checks import EmptyRange, GatherCheck
from graphc.emit.cuda import CudaModule
from graphc.interpret import size_value
from graphc.ir.graph import Graph
from graphc.schedule.target import SIMULATOR
from graphc.targets import cuda_module
from tests.gpu.device import Device
from tests.gpu.memory import Fault

__all__ = ["Device", "Fault", "Reported", "compiled", "module_of"]

Array = np.ndarray[Any, Any]


class Reported(Exception):
    """What a kernel has written into the status: its meaning, and the value that it found."""

    def __init__(self, check: GatherCheck | EmptyRange, value: int) -> None:
        super().__init__(f"{check}: {value}")
        self.check, self.value = check, value


def compiled(
    outputs: Any, accumulate: str | None = None, real: bool = False, change: tuple[str, str] = ("", ""), astray: bool = False,
    cores: bool = False, **options: Any,
) -> gc.Program:
    """What ``gc.compile(outputs, target="cuda")`` gives where there is a GPU; calls run here.

    Args:
        outputs, accumulate, options: as for `graphc.compile`.
        real: whether blocks have as many threads as on a GPU; else a few, which is enough for most mistakes.
        change: a part of the module, and what is put in its place.
        cores: whether products use tensor cores.
        astray: whether arguments begin one element behind a multiple of 16 bytes.
    """
    program = gc.compile(outputs, target="interpret", accumulate=accumulate, **options)
    runner: Any = program._runner
    updates = tuple((old, new) for old, new in program.signature.updates if new not in program.signature.outputs)
    graph, module, in_place = cuda_module(optimised(program.graph), "", accumulate, updates, SIMULATOR, cores)
    assert change[0] in module.text
    text = module.text.replace(*change)
    runner.source, runner.kernels = text, module.kernels
    runner.run = partial(_run, graph, module, lambda: Device(text, not real), in_place, astray)
    return program


def module_of(outputs: Any, cores: bool = False) -> CudaModule:
    """The module that is generated for a GPU; `cores` lets products use tensor cores."""
    return cuda_module(optimised(gc.compile(outputs, target="interpret").graph), "", cores=cores)[1]


def _run(
    graph: Graph, module: CudaModule, new: Callable[[], Device], in_place: Mapping[str, str], astray: bool,
    arrays: Mapping[str, Array], sizes: Mapping[Any, int], out: Mapping[str, Array],
) -> dict[str, Array]:
    tensors, device = graph.by_name(), new()
    given = {name: device.array(_laid(arrays[name], astray), name) for name in module.arrays if tensors[name].is_input}
    there = {
        name: given[name] if name in given else given[in_place[name]] if name in in_place
        else device.empty(tuple(size_value(e, sizes) for e in tensors[name].shape), tensors[name].dtype, name)
        for name in module.arrays
    }  # fmt: skip
    status = device.array(np.zeros(2, np.int64), "status", racing=True)
    device.module["program"](0, status, *there.values(), *(sizes[s] for s in module.sizes))
    code, value = map(int, status.array)
    if code:
        raise Reported(module.checks[code - 1], value)
    results = [name for name in module.arrays if name in graph.outputs]
    for name in results:
        missing = device.unwritten.intersection(there[name].addresses())
        if missing:
            raise Fault(f"nothing has written {there[name].element(min(missing))}")
    return {name: there[name].array for name in results}


def _laid(array: Array, astray: bool) -> Array:
    """A copy whose first element lies at a multiple of 16 bytes, or one element behind one."""
    room = np.empty(array.nbytes + 32, np.uint8)
    start = -room.ctypes.data % 16 + astray * array.itemsize
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
