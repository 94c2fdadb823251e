"""From a scheduled graph to the runner of a target: what the generated module needs is computed here from sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from graphc.analysis.gathers import Gather, certain_gathers
from graphc.calls.faults import message, tested
from graphc.calls.layout import cuda_layout, layout_of, needs_of
from graphc.calls.memory import Made
from graphc.emit.c import CModule, emit_c
from graphc.emit.checks import EmptyRange, GatherCheck
from graphc.emit.cpu import CpuModule, emit_cpu
from graphc.emit.cuda import CudaModule, emit_cuda
from graphc.ir.expr import Access, Index, undistributing
from graphc.ir.graph import Graph, reads
from graphc.ir.show import Order, statement
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor
from graphc.passes.accumulate import accumulate
from graphc.passes.adopt import adopt_copies
from graphc.passes.by_rows import by_rows
from graphc.passes.expand import expand_functions, expand_logsumexp
from graphc.passes.interleave import interleave
from graphc.passes.join_sums import join_sums
from graphc.passes.operands import store_operands
from graphc.passes.pad_copy import copy_edges, copy_padded
from graphc.passes.prune import merge, prune
from graphc.passes.read_padded import read_padded
from graphc.passes.row_sums import row_sums
from graphc.passes.tighten import tighten
from graphc.runtime.cpu import CpuRunner
from graphc.runtime.cuda import CudaRunner
from graphc.runtime.machine import require_cores, require_device, simulated
from graphc.schedule.lower import schedule
from graphc.schedule.target import CPU, CUDA, SIMULATOR, C, Target

__all__ = ["CProgram", "CpuProgram", "c_program", "cpu_runner", "cuda_module", "cuda_runner"]


@dataclass(frozen=True, slots=True)
class CpuProgram:
    """A scheduled program, as `graphc.export` writes it down.

    Attributes:
        graph: whose steps the module runs.
        module: its text.
        in_place: outputs that are written into the array of an input.
        threads: of the team; None for the default.
        gathers: integer arguments whose values are tested before anything runs.
        before: the canonical graph that was scheduled.
        accumulate: type of the accumulators of float sums.
    """

    graph: Graph
    module: CpuModule
    in_place: Mapping[str, str]
    threads: int | None
    gathers: tuple[Gather, ...]
    before: Graph
    accumulate: str | None


@dataclass(frozen=True, slots=True)
class CProgram:
    """A program in C, as `graphc.export.c_source` writes it down; the attributes are those of `CpuProgram`."""

    graph: Graph
    module: CModule
    in_place: Mapping[str, str]
    gathers: tuple[Gather, ...]


FOR_CPU = (expand_functions, expand_logsumexp, prune, copy_edges, tighten, by_rows, copy_padded, read_padded, store_operands, merge,
           join_sums, row_sums, adopt_copies, interleave, accumulate)
FOR_CUDA = (expand_functions, expand_logsumexp, prune, copy_edges, tighten, by_rows, copy_padded, read_padded, store_operands,
            merge)


@undistributing
def cpu_runner(
    graph: Graph, header: str, results: tuple[str, ...], updates: tuple[tuple[str, str], ...], accumulate: str | None, threads: int | None,
    timed: bool = False, tune: bool = False,
) -> CpuRunner:
    """Schedule a canonical graph for the CPU and emit its module.

    Args:
        graph: canonical.
        header: docstring of the generated module.
        results: tensors that the caller gets, in arrays of their own.
        updates: (input, tensor with its new value): written in place where every read of the input happens before.
        accumulate: type of the accumulators of float sums.
        threads: of the team.
        timed: whether the program measures the time of each kernel.
        tune: whether choices for contractions are timed.
    """
    before = graph
    for step in FOR_CPU:
        graph = step(graph)
    gathers = certain_gathers(graph, statement)
    in_place = _in_place(graph, tuple((old, new) for old, new in updates if new not in results))
    scheduled, module = _emitted(graph, in_place, header, accumulate, timed)
    if in_place and _may_fail(module.checks, gathers):
        # A call that fails on the way must leave the state as it was.
        in_place = {}
        scheduled, module = _emitted(graph, in_place, header, accumulate, timed)
    tensors = scheduled.by_name()
    arrays = tuple(
        (name, tensors[name].dtype, "input" if tensors[name].is_input else "output" if name in graph.outputs else "temporary")
        for name in module.arrays
    )
    places = {statement(s): f"\n  at {s.location}" for s in graph.statements if s.location is not None}
    checks = tuple(message(check, places.get(check.loop, ""), graph) for check in module.checks)
    tests = tuple(tested(g, places.get(g.loop, "")) for g in gathers)
    engines = tuple(sorted({tensors[c.writes].dtype for c in module.contractions}))
    temporaries = [name for name, _, role in arrays if role == "temporary"]
    layout, needs = layout_of(scheduled, module, temporaries), needs_of(scheduled, module, arrays, in_place)
    runner = CpuRunner(module.text, module.kernels, arrays, in_place, layout, needs, checks, threads, engines, tests, timed, tune)
    runner.made = _made(graph, tensors, [n for n in module.arrays if not tensors[n].is_input and n not in in_place])
    runner.program = CpuProgram(scheduled, module, in_place, threads, gathers, before, accumulate)
    return runner


@undistributing
def c_program(
    graph: Graph, results: tuple[str, ...], updates: tuple[tuple[str, str], ...], accumulate: str | None, given: Sequence[str],
    taken: Sequence[str], kept: str,
) -> CProgram:
    """Schedule a canonical graph for a C compiler and emit its functions.

    Args:
        graph, results, updates, accumulate: as for `cpu_runner`.
        given: tensors that have a variable even where no step touches them.
        taken, kept: names, and a beginning of names, that no variable may have.
    """
    for step in FOR_CPU:
        graph = step(graph)
    gathers = certain_gathers(graph, statement)
    orders = {statement(s): Order.of(s) for s in graph.statements}
    in_place = _in_place(graph, tuple((old, new) for old, new in updates if new not in results))
    while True:
        scheduled, steps = schedule(graph, C, in_place, accumulate)
        tensors = scheduled.by_name()
        module = emit_c(steps, tensors, orders, in_place, [n for n in given if n in tensors], taken, kept)
        if not in_place or not _may_fail(module.checks, gathers):
            return CProgram(scheduled, module, in_place, gathers)
        in_place = {}  # a call that fails on the way must leave the state as it was


def _may_fail(checks: Iterable[GatherCheck | EmptyRange], gathers: Iterable[Gather]) -> bool:
    """Whether a call may find a fault that was not tested before anything ran."""
    known = {(g.tensor, g.target, g.dimension) for g in gathers}
    return any(isinstance(c, EmptyRange) or (c.tensor, c.target, c.dimension) not in known for c in checks)


def _emitted(
    graph: Graph, in_place: Mapping[str, str], header: str, accumulate: str | None, timed: bool
) -> tuple[Graph, CpuModule]:
    scheduled, steps = schedule(graph, CPU, in_place, accumulate)
    orders = {statement(s): Order.of(s) for s in graph.statements}
    return scheduled, emit_cpu(steps, scheduled.by_name(), orders, in_place, header, timed)


def cuda_runner(
    graph: Graph, header: str, results: tuple[str, ...], updates: tuple[tuple[str, str], ...], accumulate: str | None, cores: bool = False
) -> CudaRunner:
    """Schedule a canonical graph for a GPU and emit its module.

    Args:
        graph, header, results, updates, accumulate: as for `cpu_runner`.
        cores: whether products of float32 use tensor cores, with factors rounded to TF32.

    Raises:
        TargetError: there is no device, or it has no such cores, or a statement is not supported yet.
    """
    replaced = tuple((old, new) for old, new in updates if new not in results)
    target = SIMULATOR if simulated() else CUDA
    if cores:
        require_device()
        require_cores()
    scheduled, module, in_place = cuda_module(graph, header, accumulate, replaced, target, cores)
    if in_place and module.checks:
        # A call that finds a fault must leave the state as it was.
        scheduled, module, in_place = cuda_module(graph, header, accumulate, (), target, cores)
    tensors = scheduled.by_name()
    arrays = tuple(
        (name, tensors[name].dtype, "input" if tensors[name].is_input else "output" if name in graph.outputs else "temporary")
        for name in module.arrays
    )
    places = {statement(s): f"\n  at {s.location}" for s in graph.statements if s.location is not None}
    checks = tuple(message(check, places.get(check.loop, ""), graph) for check in module.checks)
    computed = {name for name, _, role in arrays if role == "output"} - in_place.keys()
    committed = {new: old for old, new in reversed(replaced) if new in computed}
    kept = [name for name, _, role in arrays if role == "temporary" or name in committed]
    runner = CudaRunner(module.text, module.kernels, arrays, in_place, committed, cuda_layout(scheduled, module, kept), checks)
    runner.made = _made(graph, tensors, [n for n in module.arrays if not tensors[n].is_input and n not in in_place])
    return runner


def _made(graph: Graph, tensors: Mapping[str, Tensor], names: Iterable[str]) -> tuple[Made, ...]:
    """What a call allocates of the tensors of a scheduled graph, beside what they are in the graph itself."""
    before = graph.by_name()
    whole = {n: before[n].shape for n in names if n in before and before[n].shape != tensors[n].shape}
    return tuple(Made(n, tensors[n].shape, tensors[n].dtype, whole.get(n, ())) for n in names)


@undistributing
def cuda_module(
    graph: Graph, header: str, accumulate: str | None = None, updates: tuple[tuple[str, str], ...] = (), target: Target = CUDA,
    cores: bool = False,
) -> tuple[Graph, CudaModule, dict[str, str]]:
    """The scheduled graph, its module, and which updates are written into the array of the input; this needs no GPU.

    Raises:
        TargetError: a function has no counterpart on the GPU.
    """
    for step in FOR_CUDA:
        graph = step(graph)
    in_place = _in_place(graph, updates)
    scheduled, steps = schedule(graph, target, in_place, accumulate)
    orders = {statement(s): Order.of(s) for s in graph.statements}
    return scheduled, emit_cuda(steps, scheduled.by_name(), orders, header, cores), in_place


def _in_place(graph: Graph, updates: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """New values that may overwrite the input they replace: maps that read it only at the element they write, after all others.

    An input that nothing reads has no array in the kernels.

    Only other updates in place, which come last, read the new value.
    """
    definitions = graph.definitions()
    read = {name for s in graph.statements for name in reads(s)}
    chosen: dict[str, str] = {}
    for old, new in updates:
        statements = definitions[new]
        if old in read and len(statements) == 1 and _elementwise(statements[0], old, graph.tensor(new).shape) and new not in chosen:
            chosen[new] = old
    while True:
        bad = {new for new in chosen for s in graph.statements if s.target not in chosen and new in reads(s)}
        bad |= {new for new, old in chosen.items() for s in graph.statements if s.target != new and s.target in chosen and old in reads(s)}
        if not bad:
            return chosen
        chosen = {new: old for new, old in chosen.items() if new not in bad}


def _elementwise(s: Statement, old: str, shape: tuple[sp.Expr, ...]) -> bool:
    """Whether the statement sets every element once, from elements of `old` at the same place."""
    if s.op != "=" or s.reduced or s.domain or s.scatters or any(not isinstance(x, Index) for x in s.subscripts):
        return False
    ranges = [s.range_of(x) for x in s.subscripts if isinstance(x, Index)]
    if len(set(s.subscripts)) < len(shape) or any(r.lower != 0 or sp.expand(r.upper - e) != 0 for r, e in zip(ranges, shape, strict=True)):
        return False
    return all(a.subscripts == s.subscripts for a in s.accesses if isinstance(a, Access) and a.tensor == old)
