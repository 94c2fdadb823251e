"""The straight list from what the user wrote to what runs: the only file that sees all layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from graphc.analysis.segments import check_marks
from graphc.calls.memory import Made
from graphc.calls.runner import Runner
from graphc.calls.signature import Signature, argument_order, check_options, check_sizes, sizing, structured, update_names
from graphc.errors import TargetError
from graphc.frontend.collect import collect, given
from graphc.frontend.tensor import Tensor as UserTensor
from graphc.interpret import interpret, size_value
from graphc.ir.dtypes import is_float
from graphc.ir.expr import undistributing
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.show import statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import deeper
from graphc.passes.align import align_recurrences
from graphc.passes.boundary import lower_boundary
from graphc.passes.bring_inside import bring_inside
from graphc.passes.convert import convert_sums
from graphc.passes.differentiate import differentiate
from graphc.passes.divide import DEEP, divide
from graphc.passes.extension import between
from graphc.passes.factor import factor_contractions
from graphc.passes.from_zero import from_zero
from graphc.passes.gather import gather
from graphc.passes.lift import lift_reductions
from graphc.passes.name_parts import name_parts, name_repeated
from graphc.passes.narrow import narrow
from graphc.passes.prune import inline_copies, merge, prune
from graphc.passes.push_forward import push_forward
from graphc.passes.simplify import simplify
from graphc.passes.split_quotients import split_quotients
from graphc.passes.stabilise import stabilise, unstable
from graphc.passes.sweep import sweep
from graphc.program import Program
from graphc.runtime.collector import uncollected
from graphc.runtime.memory import machine_memory

__all__ = ["canonical", "compile_program", "derived", "optimised", "pushed", "swept"]

PLAIN = (from_zero, align_recurrences, convert_sums, bring_inside, lower_boundary, lift_reductions, name_repeated, divide)
"""What makes a graph of simple statements without changing what is computed."""

BEFORE_GRADIENT = (*PLAIN, stabilise, narrow, factor_contractions, simplify)

AFTER_GRADIENT = (narrow, split_quotients, gather, simplify, prune)


@undistributing
def canonical(graph: Graph) -> Graph:
    """The graph without nested reductions, boundary views and unstable expressions: what is differentiated and scheduled."""
    for step in BEFORE_GRADIENT:
        graph = step(graph)
    return graph


def _short(graph: Graph, wrt: Iterable[str], outputs: Iterable[str]) -> Graph:
    """The canonical graph in statements whose derivatives are short."""
    graph = canonical(graph)
    return name_parts(graph, between(graph, wrt, outputs))


@undistributing
def derived(graph: Graph, output: str, wrt: tuple[str, ...], seed: str | None = None) -> tuple[Graph, dict[str, str]]:
    """The canonical graph extended by adjoints, and their names."""
    graph, names = differentiate(_short(graph, wrt, (output,)), output, wrt, seed)
    for step in AFTER_GRADIENT:
        graph = step(graph)
    return graph, names


@undistributing
def pushed(graph: Graph, outputs: tuple[str, ...], tangents: Mapping[str, str]) -> tuple[Graph, dict[str, str]]:
    """The canonical graph extended by tangents, and their names."""
    graph, names = push_forward(_short(graph, tangents, outputs), outputs, tangents)
    for step in AFTER_GRADIENT:
        graph = step(graph)
    return graph, names


@undistributing
def swept(graph: Graph, output: str, wrt: str, forward: bool) -> tuple[Graph, str]:
    """The canonical graph extended by the Jacobian of one tensor with respect to another, and its name."""
    graph = _short(graph, (wrt,), (output,))
    seeded = graph.tensor(wrt if forward else output)
    seed = Tensor(fresh_name("seed", graph.by_name()), seeded.shape, seeded.dtype)
    graph = replace(graph, tensors=(*graph.tensors, seed))
    if forward:
        graph, names = push_forward(graph, (output,), {wrt: seed.name})
        made = names[output]
    else:
        graph, names = differentiate(graph, output, (wrt,), seed.name)
        made = names[wrt]
    graph = sweep(prune(narrow(replace(graph, outputs=(made,)))), seed, last=forward)
    for step in AFTER_GRADIENT:
        graph = step(graph)
    return graph, graph.outputs[0]


@undistributing
def optimised(graph: Graph) -> Graph:
    """What is scheduled: equal temporaries merged, copies read through."""
    return gather(split_quotients(inline_copies(merge(prune(canonical(graph))))))


def _plain(graph: Graph) -> Graph:
    for step in PLAIN:
        graph = step(graph)
    return graph


def _interpreted(graph: Graph) -> Graph:
    """The graph as written; in simple statements where an expression is too deep, or an exponential may overflow."""
    deep = any(deeper(s.value, DEEP) for s in graph.statements)
    if not deep and not any(unstable(s.value) for s in graph.statements):
        return graph
    plain = _plain(graph)
    stable = _stable(plain, graph)
    return stable if deep or stable.statements != plain.statements else graph


def _stable(plain: Graph, graph: Graph) -> Graph:
    """The rewrites against overflow. What is there beside the tensors of the user's graph is in float64: as written, nothing rounds it."""
    stable, known = stabilise(plain), graph.by_name()
    return replace(stable, tensors=tuple(
        t if t.name in known or not is_float(t.dtype) else replace(t, dtype="float64") for t in stable.tensors))


class _Interpreted:
    """The target "interpret": the graph as written but for the rewrites against overflow, element by element."""

    kernels: tuple[Any, ...] = ()

    def __init__(self, graph: Graph) -> None:
        self.graph = _interpreted(graph)
        self.source = "\n".join(statement(s) for s in graph.statements)
        self.made = tuple(Made(t.name, t.shape, t.dtype) for t in graph.tensors if not t.is_input)

    def needs(self, sizes: Mapping[sp.Basic, int]) -> tuple[dict[str, int], int]:
        made = [t for t in self.graph.tensors if not t.is_input]
        return {t.name: np.dtype(t.dtype).itemsize * math.prod(size_value(e, sizes) for e in t.shape) for t in made}, 0

    def memory(self) -> int | None:
        return machine_memory()

    def quick(self, inputs: Sequence[str], outputs: Sequence[str], sizes: Mapping[Any, int], positional: bool, compiling: bool) -> None:
        """There is none."""

    def run(self, arrays: dict[str, NDArray[Any]], sizes: dict[sp.Basic, int], out: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return interpret(self.graph, arrays, sizes)


@uncollected()
@undistributing
def compile_program(
    outputs: Any,
    target: str = "cpu",
    *,
    inputs: Sequence[UserTensor] | None = None,
    updates: Mapping[UserTensor, UserTensor] | None = None,
    accumulate: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    memory_limit: int | str | None = None,
    tune: bool = False,
) -> Program:
    """Compile tensors into a callable program.

    Args:
        outputs: a tensor, or lists, tuples and dicts of tensors; results come back in the same structure.
        target: "cpu" (Numba, parallel), "interpret" (the slow oracle) or "cuda".
        inputs: the order of positional arguments; the remaining ones follow.
        updates: new values for input tensors, written back into the arrays of the dictionary given first, after everything has been
            computed.
        accumulate: "float64" sums float32 values in float64.
        threads: number of threads of the target "cpu"; by default GRAPHC_NUM_THREADS or one per core.
        precision: replace every float dtype, e.g. "float64" to check a float32 program. "tf32" (target "cuda" only) lets tensor cores
            compute products of float32, whose factors they round to 10 bits of mantissa.
        memory_limit: calls whose results and temporaries would need more are refused before anything is allocated: bytes, or a text
            such as "500 MB" or "2 GiB"; by default what the machine (or the GPU) has.
        tune: at the first call with given sizes, time a handful of ways to compute each product and convolution (target "cpu"; less
            than two seconds, once per machine: the fastest are remembered on disk). Results differ in rounding only.

    Raises:
        GraphcError: the definitions do not make a program (see the kinds), or the target is unknown or not available.

    >>> import numpy as np, graphc as gc
    >>> i = gc.index("i")
    >>> x, y = gc.tensor("x", gc.dim("N")), gc.tensor("y")
    >>> y[i] = 2*x[i] + 1
    >>> gc.compile(y, target="interpret")(x=np.float32([1, 2]))
    array([3., 5.], dtype=float32)
    """
    tensors, structure = structured(outputs)
    check_options(tensors, target, updates, accumulate, threads, precision, memory_limit, tune)
    threads = None if threads is None else int(threads)
    pairs = dict(updates or {})
    wanted = [*tensors, *pairs.values(), *pairs.keys()]
    collected = collect([*wanted, *given(wanted)], "compile")
    graph = collected.graph
    cores = precision == "tf32"
    if precision is not None and not cores:
        graph = replace(graph, tensors=tuple(replace(t, dtype=precision) if is_float(t.dtype) else t for t in graph.tensors))
    names = tuple(collected.name_of(t) for t in tensors)
    changed = update_names(collected, pairs)
    order, positional = argument_order(collected, inputs)
    graph = replace(graph, outputs=tuple(dict.fromkeys((*names, *(new for _, new in changed)))))
    kept = prune(graph)
    missing = [name for name in (*order[:positional], *(old for old, _ in changed)) if name not in {t.name for t in kept.tensors}]
    missing += sizing(kept, [graph.tensor(n) for n in order if n not in kept.by_name()])
    graph = replace(kept, tensors=(*kept.tensors, *(graph.tensor(n) for n in dict.fromkeys(missing))))
    by_name = graph.by_name()
    unneeded = frozenset(n for n in order if n not in by_name)
    signature = Signature(tuple(by_name[n] for n in order if n in by_name), names, structure, changed, positional, unneeded)
    check_sizes(graph, signature.inputs)
    check_marks(graph)
    return Program(graph, signature, _runner(graph, target, signature, accumulate, threads, tune, cores),
                   witness=partial(_witness, graph, target, accumulate, threads, cores),
                   profiler=partial(_profiler, graph, target, signature, accumulate, threads, tune),
                   part=_part, options={"target": target, "accumulate": accumulate, "threads": threads, "tune": tune, "cores": cores},
                   memory_limit=memory_limit)


@undistributing
def _part(
    graph: Graph, updates: tuple[tuple[str, str], ...], *, target: str, accumulate: str | None, threads: int | None, tune: bool,
    cores: bool,
) -> Runner:
    """A part of a program, compiled with the options of the whole."""
    replaced = {new for _, new in updates}
    signature = Signature((), tuple(n for n in graph.outputs if n not in replaced), list, updates)
    return _runner(graph, target, signature, accumulate, threads, tune, cores)


@undistributing
def _witness(graph: Graph, target: str, accumulate: str | None, threads: int | None, cores: bool) -> tuple[Graph, Runner]:
    """The program as the target computes it, except that every intermediate tensor is a result."""
    graph = prune(_stable(_plain(graph), graph) if target == "interpret" else canonical(graph))
    graph = replace(graph, tensors=tuple(replace(t, every=0) for t in graph.tensors),
                    outputs=tuple(t.name for t in graph.tensors if not t.is_input))
    return graph, _runner(graph, target, Signature((), graph.outputs, list), accumulate, threads, cores=cores)


@undistributing
def _profiler(graph: Graph, target: str, signature: Signature, accumulate: str | None, threads: int | None, tune: bool) -> Runner:
    """The program with a clock."""
    if target != "cpu":
        raise TargetError(f'The target "{target}" has no profile.', fix='compile with target="cpu".')
    from graphc.targets import cpu_runner

    return cpu_runner(optimised(graph), _header(graph), signature.outputs, signature.updates, accumulate, threads, timed=True, tune=tune)


def _header(graph: Graph) -> str:
    """The docstring of a generated module: the program in notation."""
    definitions = graph.definitions()
    lines = [statement(s) for name in graph.order() for s in definitions[name]]
    return "Generated by graphc.\n\n" + "\n".join(lines)


def _runner(
    graph: Graph, target: str, signature: Signature, accumulate: str | None, threads: int | None, tune: bool = False, cores: bool = False
) -> Runner:
    if target == "interpret":
        align_recurrences(graph)  # refuses what has no order, as on the other targets
        return _Interpreted(graph)
    if target == "cpu":
        from graphc.targets import cpu_runner

        return cpu_runner(optimised(graph), _header(graph), signature.outputs, signature.updates, accumulate, threads, tune=tune)
    from graphc.targets import cuda_runner

    return cuda_runner(optimised(graph), _header(graph), signature.outputs, signature.updates, accumulate, cores)


