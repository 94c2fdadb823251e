"""From a scheduled graph to the runner of a target: what the generated module needs is computed here from sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from graphc.analysis.gathers import Gather, certain_gathers
from graphc.emit.cpu import CpuModule, EmptyRange, GatherCheck, emit_cpu
from graphc.emit.cuda import CudaModule, emit_cuda
from graphc.interpret import size_value
from graphc.ir.expr import Access, accesses, undistributing
from graphc.ir.graph import Graph, reads
from graphc.ir.nest import Contract, Group
from graphc.ir.show import Order, statement
from graphc.ir.statement import Statement
from graphc.passes.expand import expand_functions, expand_logsumexp
from graphc.passes.pad_copy import copy_padded
from graphc.passes.prune import merge
from graphc.runtime.cpu import CpuRunner, Layout
from graphc.runtime.cuda import CudaRunner
from graphc.schedule.lower import schedule
from graphc.schedule.target import CPU, CUDA

__all__ = ["cpu_runner", "cuda_module", "cuda_runner"]

@dataclass(frozen=True, slots=True)
class CpuProgram:
    """A scheduled program, as `graphc.export` writes it down.

    Attributes:
        graph: whose steps the module runs.
        module: its text.
        in_place: outputs that are written into the array of an input.
        threads: of the team; None for the default.
    """

    graph: Graph
    module: CpuModule
    in_place: Mapping[str, str]
    threads: int | None


FOR_CPU = (expand_functions, expand_logsumexp, copy_padded, merge)
FOR_CUDA = (expand_functions, expand_logsumexp, merge)


@undistributing
def cpu_runner(graph: Graph, header: str, updates: tuple[tuple[str, str], ...], accumulate: str | None, threads: int | None) -> CpuRunner:
    """Schedule a canonical graph for the CPU and emit its module.

    Args:
        graph: canonical.
        header: docstring of the generated module.
        updates: (input, tensor with its new value): written in place where every read of the input happens before.
        accumulate: type of the accumulators of float sums.
        threads: of the team.
    """
    for step in FOR_CPU:
        graph = step(graph)
    gathers = certain_gathers(graph, statement)
    in_place = _in_place(graph, updates)
    scheduled, module = _emitted(graph, in_place, header, accumulate)
    known = {(g.tensor, g.target, g.dimension) for g in gathers}
    if in_place and any(isinstance(c, EmptyRange) or (c.tensor, c.target, c.dimension) not in known for c in module.checks):
        # A call that fails on the way must leave the state as it was.
        in_place = {}
        scheduled, module = _emitted(graph, in_place, header, accumulate)
    tensors = scheduled.by_name()
    arrays = tuple(
        (name, tensors[name].dtype, "input" if tensors[name].is_input else "output" if name in graph.outputs else "temporary") for name in module.arrays
    )
    checks = tuple(_message(check) for check in module.checks)
    engines = tuple(sorted({tensors[c.writes].dtype for c in module.contractions}))
    runner = CpuRunner(module.text, module.kernels, arrays, in_place, _layout(scheduled, module), checks, threads, engines, tuple(map(_tested, gathers)))
    runner.program = CpuProgram(scheduled, module, in_place, threads)
    return runner


def _emitted(graph: Graph, in_place: Mapping[str, str], header: str, accumulate: str | None) -> tuple[Graph, CpuModule]:
    scheduled, steps = schedule(graph, CPU, tuple(in_place), accumulate)
    orders = {statement(s): Order.of(s) for s in graph.statements}
    return scheduled, emit_cpu(steps, scheduled.by_name(), orders, in_place, header)


def cuda_runner(graph: Graph, header: str, accumulate: str | None) -> CudaRunner:
    """Schedule a canonical graph for a GPU and emit its module.

    Raises:
        TargetError: there is no device, or a statement is not supported yet.
    """
    scheduled, module = cuda_module(graph, header, accumulate)
    tensors = scheduled.by_name()
    arrays = tuple(
        (name, tensors[name].dtype, "input" if tensors[name].is_input else "output" if name in graph.outputs else "temporary") for name in module.arrays
    )

    def layout(sizes: Mapping[sp.Basic, int]) -> tuple[Mapping[str, tuple[int, ...]], tuple[int, ...]]:
        return {n: tuple(size_value(e, sizes) for e in tensors[n].shape) for n in module.arrays}, tuple(sizes[s] for s in module.sizes)

    return CudaRunner(module.text, module.kernels, arrays, layout)


@undistributing
def cuda_module(graph: Graph, header: str, accumulate: str | None = None) -> tuple[Graph, CudaModule]:
    """The scheduled graph and its module; this needs no GPU."""
    for step in FOR_CUDA:
        graph = step(graph)
    scheduled, steps = schedule(graph, CUDA, (), accumulate)
    orders = {statement(s): Order.of(s) for s in graph.statements}
    return scheduled, emit_cuda(steps, scheduled.by_name(), orders, header)


def _in_place(graph: Graph, updates: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """New values that may overwrite the input they replace: maps that read it only at the element they write, after all others."""
    definitions = graph.definitions()
    chosen: dict[str, str] = {}
    for old, new in updates:
        statements = definitions[new]
        if len(statements) == 1 and _elementwise(statements[0], old) and new not in chosen:
            chosen[new] = old
    while True:
        bad = {new for new, old in chosen.items() if any(old in reads(s) for s in graph.statements if s.target not in chosen and _reads_late(s, chosen, graph))}
        bad |= {new for new, old in chosen.items() for s in graph.statements if s.target != new and s.target in chosen and old in reads(s)}
        bad |= {new for new in chosen if any(new in reads(s) for s in graph.statements)}
        if not bad:
            return chosen
        chosen = {new: old for new, old in chosen.items() if new not in bad}


def _reads_late(s: Statement, chosen: Mapping[str, str], graph: Graph) -> bool:
    """Whether a statement depends on an updated tensor and so runs after it."""
    return any(name in chosen for name in reads(s))


def _elementwise(s: Statement, old: str) -> bool:
    if s.op != "=" or s.reduced or s.domain or s.scatters or any(not x.is_Symbol for x in s.subscripts):
        return False
    return all(a.subscripts == s.subscripts for a in accesses(s.value) if isinstance(a, Access) and a.tensor == old)


# ------------------------------------------------------------------------------------------------------------------- sizes


def _layout(graph: Graph, module: CpuModule) -> Callable[[Mapping[sp.Basic, int]], Layout]:
    tensors = graph.by_name()

    def layout(sizes: Mapping[sp.Basic, int]) -> Layout:
        shapes = {name: tuple(size_value(e, sizes) for e in tensors[name].shape) for name in module.arrays}
        tables: list[NDArray[Any]] = []
        for step in module.contractions:
            tables += _tables(step, shapes, sizes)
        operations = sum(float(size_value(k.cost, sizes)) for k in module.kernels)
        return Layout(shapes, tuple(tables), tuple(sizes[s] for s in module.sizes), operations)

    return layout


def _tables(step: Contract, shapes: Mapping[str, tuple[int, ...]], sizes: Mapping[sp.Basic, int]) -> list[NDArray[Any]]:
    """Element offsets of batch, rows, columns and depth in the operands that contain them."""
    strides = [_strides(shapes[name]) for name in step.operands]
    start = [sum(size_value(c, sizes) * s for c, s in zip(constant, stride, strict=True)) for constant, stride in zip(step.constants, strides, strict=True)]
    tables = []
    for group, operands in ((step.batch, (0, 1, 2)), (step.rows, (0, 1)), (step.columns, (0, 2)), (step.depth, (1, 2))):
        rows = [_offsets(group, k, strides[k], sizes) for k in operands]
        if group is step.batch:
            rows = [row + start[k] for row, k in zip(rows, operands, strict=True)]
        tables.append(np.ascontiguousarray(np.stack(rows), dtype=np.int64))
    return tables


def _offsets(group: Group, operand: int, strides: tuple[int, ...], sizes: Mapping[sp.Basic, int]) -> NDArray[Any]:
    total = np.zeros(1, np.int64)
    for extent, lower, coefficients in zip(group.extents, group.lowers, group.coefficients[operand], strict=True):
        step = sum(c * s for c, s in zip(coefficients, strides, strict=True))
        first = size_value(lower, sizes)
        total = (total[:, None] + step * np.arange(first, first + max(size_value(extent, sizes), 0), dtype=np.int64)[None, :]).reshape(-1)
    return total


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1] * len(shape)
    for d in range(len(shape) - 2, -1, -1):
        strides[d] = strides[d + 1] * shape[d + 1]
    return tuple(strides)


# ---------------------------------------------------------------------------------------------------------------- messages


def _tested(gather: Gather) -> Callable[[Mapping[str, NDArray[Any]], Mapping[str, tuple[int, ...]]], str]:
    """The complaint about values of an integer input that lie outside of what they are subscripts of; "" if there are none."""

    def test(arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> str:
        array, shape = arrays[gather.tensor], shapes[gather.target]
        if not array.size or (array.min() >= 0 and array.max() < shape[gather.dimension]):
            return ""
        check = GatherCheck(gather.tensor, gather.target, gather.dimension, gather.loop)
        return _complaint(check, 0, array, shape[gather.dimension])

    return test


def _complaint(check: GatherCheck, value: int, array: NDArray[Any] | None, extent: int) -> str:
    found = np.argwhere((array < 0) | (array >= extent)) if array is not None else np.empty((0, 0))
    place, shown = (list(map(int, found[0])), int(array[tuple(found[0])])) if array is not None and len(found) else ("", value)
    limits = f"0 … {extent - 1}" if extent else "none"
    return (f"{check.tensor}{place} is {shown}, but it is a subscript of dimension {check.dimension} of {check.target}, "
            f"which has {extent} elements ({limits}).\n\n    {check.loop}")


def _message(check: GatherCheck | EmptyRange) -> Callable[[int, Mapping[str, NDArray[Any]]], str]:
    if isinstance(check, EmptyRange):
        return lambda value, arrays: f"A reduction over an empty range has no value.\n    {check.loop}"

    def message(value: int, arrays: Mapping[str, NDArray[Any]]) -> str:
        return _complaint(check, value, arrays.get(check.tensor), arrays[check.target].shape[check.dimension])

    return message


