"""Calls that `benchmarks/cuda.py` times: graphc's and PyTorch's, with all arrays on the GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphc as gc
from comparison import cases as on_cpu
from comparison.on_gpu import Arrays, Case, program_of


@dataclass(frozen=True)
class Call:
    """A call without arguments, its results from the same start as those of others, and graphc's program."""

    call: Callable[[], Any]
    results: Callable[[], list[np.ndarray]]
    program: Any = None


def graphc(case: Case, arrays: Arrays, torch: Any, machine: Any, precision: str | None = None) -> Call:
    """The program on tensors of PyTorch's, or on Numba's arrays where there is none."""
    return _graphc(case, arrays, "cuda", (lambda a: torch.tensor(a, device="cuda")) if torch else machine.cuda.to_device, precision)


def on_cpu_alone(case: Case, arrays: Arrays, dry: bool) -> Call:
    """What results are compared with in the place of PyTorch's."""
    return _graphc(case, arrays, "interpret" if dry else "cpu", np.array)


def _graphc(case: Case, arrays: Arrays, target: str, there: Callable[[np.ndarray], Any], precision: str | None = None) -> Call:
    written = program_of(case, arrays)
    program = gc.compile(written.outputs, updates=written.updates, target=target, precision=precision)
    if written.updates is None:
        given = {name: there(arrays[name]) for name in program.inputs}
        return Call(lambda: program(given), lambda: list(map(on_host, program(given))), program)
    state = {name: there(array) for name, array in program.init(seed=0).items()}
    state |= {name: there(arrays[name]) for name in written.parameters}
    data = {name: there(array) for name, array in arrays.items() if name not in written.parameters}

    def results() -> list[np.ndarray]:
        found = program(state, **data)
        return [on_host(found[0]), *(on_host(state[name]) for name in case.wanted)]

    return Call(lambda: program(state, **data), results, program)


def eager(case: Case, arrays: Arrays, torch: Any, compiled: Callable[..., Any] = lambda function: function) -> Call:
    """The same in PyTorch; with `torch.compile` its value is compiled, and the backward pass with it."""
    given = {name: torch.tensor(array, device="cuda").requires_grad_(name in case.wanted) for name, array in arrays.items()}
    wanted = [given[name] for name in case.wanted]
    if case.step:
        from comparison import in_torch, losses

        loss = compiled(losses.LOSSES[case.step])
        step, _ = in_torch.stepping(on_cpu.CASES[case.step], lambda: loss(in_torch, **given), wanted, compiled)
        return Call(step, lambda: list(map(on_host, (step(), *wanted))))
    seed = given.pop("seed", None)
    value = compiled(lambda **tensors: case.peer(torch, **tensors))

    def call() -> Sequence[Any]:
        if not wanted:
            with torch.no_grad():
                return [value(**given)]
        found = value(**given)
        return [found, *torch.autograd.grad(found, wanted, seed)]

    return Call(call, lambda: list(map(on_host, call())))


def on_host(array: Any) -> np.ndarray:
    """A copy, of whichever library it is."""
    if hasattr(array, "detach"):
        return array.detach().cpu().numpy()
    return array.copy_to_host() if hasattr(array, "copy_to_host") else np.array(array)


def error(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """The largest difference, relative to the norm of a result."""
    pairs = [(np.asarray(a, "float64"), np.asarray(b, "float64")) for a, b in zip(ours, theirs, strict=True)]
    return float(max(np.linalg.norm(a - b) / (np.linalg.norm(b) + 1e-30) for a, b in pairs))
