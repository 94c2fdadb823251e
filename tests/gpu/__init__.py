"""A GPU for tests: runs the modules generated for the target "cuda" thread by thread, and checks what no GPU reports.

Between barriers, threads run one after the other; barriers and shuffles are `yield` in the kernels, which become generators. A `Fault`
is raised where two threads touch an element without a barrier between them, at least one of them writing; where an access leaves its
array; where something is read that nothing has written; where threads of a block wait at different barriers, or a shuffle asks a
thread that does not take part. Results that nothing has written are faults, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from unittest import mock

import numpy as np

import graphc as gc
from graphc.runtime import cuda as runtime
from tests.gpu.device import Device
from tests.gpu.memory import Fault

__all__ = ["Device", "Fault", "compiled"]

Array = np.ndarray[Any, Any]


def compiled(outputs: Any, **options: Any) -> gc.Program:
    """What ``gc.compile(outputs, target="cuda")`` gives where there is a GPU; calls run here."""
    with mock.patch.object(runtime, "require_device"):
        program = gc.compile(outputs, target="cuda", **options)
    runner: Any = program._runner
    runner.run, runner.memory = partial(_run, runner), lambda: None
    return program


def _run(runner: Any, arrays: Mapping[str, Array], sizes: Mapping[Any, int], out: Mapping[str, Array]) -> dict[str, Array]:
    shapes, values = runner._layout(sizes)
    device = Device(runner.source)
    there = {
        name: device.array(np.array(arrays[name], order="C"), name) if role == "input" else device.empty(shapes[name], dtype, name)
        for name, dtype, role in runner._arrays
    }
    status = device.array(np.zeros(2, np.int64), "status", racing=True)
    device.module["program"](0, status, *there.values(), *values)
    code, value = map(int, status.array)
    if code and runner._checks:
        raise runner._checks[code - 1](value, {name: memory.array for name, memory in there.items()})
    results = [name for name, _, role in runner._arrays if role == "output"]
    for name in results:
        missing = device.unwritten.intersection(there[name].addresses())
        if missing:
            raise Fault(f"nothing has written {there[name].element(min(missing))}")
    return {name: there[name].array for name in results}
