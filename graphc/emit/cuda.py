"""Steps → one Numba-CUDA module: a kernel per nest, and the host function that launches them in order."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import sympy as sp

from graphc.emit.checks import Checks, EmptyRange, GatherCheck
from graphc.emit.cuda_block import Lanes
from graphc.emit.cuda_map import NEAR, neighbours
from graphc.emit.cuda_tile import CORES, TILES, different, launches, on_cores, tile_kernel, tiled
from graphc.emit.expression import SHORT, Writer
from graphc.emit.names import safe, variable_names
from graphc.emit.walk import Walker, generated_names, sizes_of_kernel
from graphc.errors import TargetError
from graphc.ir.expr import Access, Compare, Size, all_of
from graphc.ir.nest import (
    Combine,
    Contract,
    Fill,
    For,
    If,
    Kernel,
    KernelRecord,
    Loop,
    Moment,
    Nest,
    Node,
    Sort,
    Step,
    nodes_in,
    single,
)
from graphc.ir.random import draw, normal32, normal64, polar, uniform32, uniform64
from graphc.ir.show import Order
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses

__all__ = ["CudaModule", "Parameter", "emit_cuda"]

Parameter = tuple[str, int] | None
"""Type of a kernel's argument: element type and dimensions of an array, None for an integer."""

SPELLING = {
    "exp": "math.exp({0})",
    "expm1": "math.expm1({0})",
    "log": "math.log({0})",
    "log1p": "math.log1p({0})",
    "sqrt": "math.sqrt({0})",
    "rsqrt": "({float}(1.0) / math.sqrt({0}))",
    "sin": "math.sin({0})",
    "cos": "math.cos({0})",
    "tan": "math.tan({0})",
    "tanh": "math.tanh({0})",
    "sigmoid": "({float}(1.0) / ({float}(1.0) + math.exp(-({0}))))",
    "softplus": "(np.maximum({0}, {float}(0.0)) + math.log1p(math.exp(-math.fabs({0}))))",
    "erf": "math.erf({0})",
    "power": "math.pow({0}, {1})",
    "hypot": "math.hypot({0}, {1})",
    "atan2": "math.atan2({0}, {1})",
    "floor": "math.floor({0})",
    "ceil": "math.ceil({0})",
    "round_": "(math.copysign(math.fabs({0}) + {whole} - {whole}, {0}) if math.fabs({0}) < {whole} else {0})",
    "absolute": "math.fabs({0})",
    "sign": "(math.copysign({float}(1.0), {0}) if math.fabs({0}) > {float}(0.0) else {0})",
    "difference": "(({0}) - ({1}))",
    "maximum": "np.maximum({0}, {1})",
    "minimum": "np.minimum({0}, {1})",
    "uniform32": "uniform32({0})",
    "uniform64": "uniform64({0})",
    "normal32": "normal32(polar({0}))",
    "normal64": "normal64(polar({0}))",
}
"""Every form stays in the type of its arguments; device functions would need a driver even to compile to PTX."""


_IMPORTED = {"four": ("add_one", "aligned", "get_four", "get_one", "put_four", "put_one"), "tensor_cores": ("multiply", "rounded")}
"""Functions that kernels find in `graphc.kernels`."""

_FEW_SUMS = 3
"""Sums of a row for which the registers of a thread suffice where two blocks run on one multiprocessor."""


@dataclass(frozen=True, slots=True)
class CudaModule:
    """The text and how to call it.

    Attributes:
        text: of the module.
        arrays: tensors, in the order of the arguments of ``program``, behind the stream and the status.
        sizes: size symbols that follow.
        parameters: types of the arguments of every kernel, by its name.
        checks: meaning of the codes in the status array.
        kernels: one record per step.
        lives: of every tensor, the numbers of the first and the last step that touch it.
    """

    text: str
    arrays: tuple[str, ...]
    sizes: tuple[Size, ...]
    parameters: Mapping[str, tuple[Parameter, ...]]
    checks: tuple[GatherCheck | EmptyRange, ...]
    kernels: tuple[KernelRecord, ...]
    lives: Mapping[str, tuple[int, int]]


def emit_cuda(
    steps: Sequence[Step], tensors: Mapping[str, Tensor], orders: Mapping[str, Order], header: str, cores: bool = False
) -> CudaModule:
    """The module of a program.

    Args:
        steps: in execution order.
        tensors: by name.
        orders: display order of the factors of a statement, by its text.
        header: text for the module's docstring.
        cores: whether products of float32 use tensor cores, with factors rounded to TF32.

    Raises:
        TargetError: a function has no counterpart on the GPU.
    """
    emitter = _Emitter(steps, tensors, orders, cores)
    launches = [line for step in steps for line in emitter.launch(step)] or ["    pass"]
    parameters = ", ".join(["stream", "status", *emitter.variables.values(), *emitter.size_names.values()])
    shown = textwrap.fill(parameters, 130, subsequent_indent="        ")
    text = "\n".join([
        f'"""{header}\n"""', "", _head(emitter.definitions), *(f"\n\n{d}" for d in emitter.definitions),
        "", "", f"def program({shown}):", *launches, "",
    ])  # fmt: skip
    return CudaModule(
        text, tuple(emitter.variables), emitter.sizes, emitter.parameters, tuple(emitter.checks.found), tuple(emitter.records),
        _lives(steps, {c.tensor for c in emitter.checks.found if isinstance(c, GatherCheck)}))


def _head(definitions: Sequence[str]) -> str:
    """What the module begins with."""
    lines = [
        f"from graphc.kernels.{module} import {', '.join(used)}\n" for module, names in _IMPORTED.items()
        if (used := sorted({name for text in definitions for name in re.findall(rf"\b({'|'.join(names)})\(", text)}))
    ]
    return _HEAD.replace("{imports}", "\n" + "".join(lines) if lines else "")


def _lives(steps: Sequence[Step], shown: Set[str]) -> dict[str, tuple[int, int]]:
    """The first and the last step that touch each tensor; what a complaint shows lives to the end."""
    lives: dict[str, tuple[int, int]] = {}
    for number, step in enumerate(steps):
        for s in single([step]):
            for name in (s.writes, *s.also, *s.reads):
                lives[name] = (lives.get(name, (number, 0))[0], number)
    return {name: (first, len(steps) if name in shown else last) for name, (first, last) in lives.items()}


_HEAD = '''import math

import numpy as np
from numba import config, cuda
{imports}
f32, f64, i64 = np.float32, np.float64, np.int64
INFINITY, NAN = f32(np.inf), f32(np.nan)
# A simulated thread is one of Python, and has no others with which it could exchange registers.
THREADS, LANES, WARP, BLOCKS = (8, 4, 1, 2) if config.ENABLE_CUDASIM else (128, 256, 32, 4096)
WARPS, ALL = LANES // WARP, 0xFFFFFFFF
ROWS, MANY = ({}, {}) if config.ENABLE_CUDASIM else ({"launch_bounds": (LANES, 2)}, {"launch_bounds": LANES})


def grid(iterations):
    """Blocks, and threads of each, for so many iterations of a shared loop."""
    threads = max(1, min(iterations, THREADS))
    return max(1, min(-(-iterations // threads), BLOCKS)), threads


def each_a_block(iterations):
    """Blocks for iterations that each take all threads of one."""
    return max(1, min(iterations, BLOCKS))'''

_FILL = '''@cuda.jit
def {name}(first, last, array):
    """Set a flat array to 0."""
    for k in range(first + cuda.grid(1), last, cuda.gridsize(1)):
        array[k] = 0'''


_SORT = '''@cuda.jit
def behind(items, first, last):
    """Numbers behind all others."""
    for t in range(first + cuda.grid(1), last, cuda.gridsize(1)):
        items[t] = 9223372036854775807


@cuda.jit
def sort_pass(items, length, size, stride):
    """One pass of a bitonic sort (Batcher, "Sorting networks and their applications", 1968)."""
    for t in range(cuda.grid(1), length // 2, cuda.gridsize(1)):
        i = t // stride * 2 * stride + t % stride
        low, high = items[i], items[i + stride]
        if (low > high) == (i & size == 0):
            items[i], items[i + stride] = high, low


@cuda.jit
def segments(items, order, starts, count, keys):
    """The numbers of the items in order, and the place of the first one of each key."""
    for t in range(cuda.grid(1), max(count, keys + 1), cuda.gridsize(1)):
        if t < count:
            order[t] = items[t] & 4294967295
        if t <= keys:
            low, high = i64(0), i64(count)
            while low < high:
                middle = (low + high) // 2
                if items[middle] < t << 32:
                    low = middle + 1
                else:
                    high = middle
            starts[t] = low


def sort(stream, items, order, starts, count, keys):
    """Put items in the order of their keys; their places break ties, so that it is always the same.

    An item is one number of 64 bits: its key in the upper half, its place in the lower one.
    """
    if count > 2**32 or keys > 2**31:
        raise OverflowError(f"A scatter of {count} items into {keys} places does not fit in 64 bits.")
    length = min(count, 1)
    while length < count:
        length *= 2
    if length > count:
        behind[(*grid(length - count), stream)](items, count, length)
    size = 2
    while size <= length:
        stride = size // 2
        while stride > 0:
            sort_pass[(*grid(length // 2), stream)](items, length, size, stride)
            stride //= 2
        size *= 2
    segments[(*grid(max(count, keys + 1)), stream)](items, order, starts, count, keys)'''


class _Emitter:
    def __init__(self, steps: Sequence[Step], tensors: Mapping[str, Tensor], orders: Mapping[str, Order], cores: bool) -> None:
        self.tensors, self.orders, self.cores = tensors, orders, cores
        taken = generated_names(steps) | set(NEAR)
        touched = dict.fromkeys(n for s in single(steps) for n in (s.writes, *s.also, *s.reads))
        self.variables = variable_names(list(touched), taken)
        sources = {z for s in steps for e in _size_sources(s, tensors) for z in e.free_symbols}
        self.sizes = tuple(sorted((z for z in sources if isinstance(z, Size) and not isinstance(z, Moment)), key=str))
        self.size_names = variable_names([str(z) for z in self.sizes], taken | set(self.variables.values()))
        self.definitions: list[str] = []
        self.parameters: dict[str, tuple[Parameter, ...]] = {}
        self.checks = Checks()
        self.records: list[KernelRecord] = []
        self.counters: dict[str, int] = {}

    def launch(self, step: Step) -> list[str]:
        """Lines of the host function; the kernel's definition is added."""
        match step:
            case Nest():
                return self._nest(step)
            case Fill():
                return self._fill(step)
            case Loop():
                return self._repeated(step)
            case Contract():
                return self._contract(step)
            case Sort():
                return self._sort(step)

    def _repeated(self, step: Loop) -> list[str]:
        """The loop of the host: what one step launches is complete before the next one begins."""
        writer = self._writer(Order())
        ends = [writer.integer(e) for e in step.ends]
        end = ends[0] if len(ends) == 1 else f"min({', '.join(ends)})"
        first = writer.integer(step.first)
        bounds = f"{end} - 1, {first} - 1, -1" if step.descending else f"{first}, {end}"
        lines = (line for s in step.steps for line in self.launch(s))
        return [f"    for {safe(step.moment.name)} in range({bounds}):", *(f"    {line}" for line in lines)]

    def _fill(self, step: Fill) -> list[str]:
        dtype = self.tensors[step.writes].dtype
        name = f"fill_{dtype}"
        if name not in self.parameters:
            self.definitions.append(_FILL.format(name=name))
            self.parameters[name] = (None, None, (dtype, 1))
        self.records.append(KernelRecord.of(name, step))
        array = self.variables[step.writes]
        return [f"    {name}[(*grid({array}.size), stream)](0, {array}.size, {array}.reshape(-1))"]

    def _contract(self, step: Contract) -> list[str]:
        tiles = f"{TILES}\n\n\n{CORES}" if self.cores else TILES
        if tiles not in self.definitions:
            self.definitions.insert(0, tiles)
        number = self.counters["contract"] = self.counters.get("contract", -1) + 1
        name, dtype = f"contract_{number}", self.tensors[step.writes].dtype
        sizes = sorted({z for e in _size_sources(step, self.tensors) for z in e.free_symbols if isinstance(z, Size)}, key=str)
        arrays, names = [self.variables[n] for n in step.operands], [self._size_name(z) for z in sizes]
        parameters = different([*arrays, *names])
        of_sizes = dict(zip(map(str, sizes), parameters[len(arrays):], strict=True))
        own = replace(self._writer(self.orders.get(step.plan.loop, Order())), size_of=lambda n: of_sizes[n])
        cores = self.cores and on_cores(step, dtype)
        self.definitions.append(tile_kernel(name, step, self.tensors, own, parameters, cores))
        if cores:
            step = replace(step, plan=replace(step.plan, strategy=f"{step.plan.strategy}; large blocks on tensor cores, factors in TF32"))
        integers = (None,) * (1 + len(names))
        made = tiled(name, step, self.tensors, own)
        self.parameters |= dict.fromkeys(made, (*(((dtype, 1),) * len(arrays)), *integers))
        self.parameters[f"{name}_joined"] = (*(((dtype, 1),) * 2), *integers)
        self.records.append(KernelRecord.of(name, step))
        return list(launches(name, step, self.tensors, self._writer(Order()), [*arrays, self.variables[step.scratch]], names))

    def _sort(self, step: Sort) -> list[str]:
        if "sort_pass" not in self.parameters:
            self.definitions.append(_SORT)
            array = ("int64", 1)
            self.parameters |= {"behind": (array, None, None), "sort_pass": (array, None, None, None)}
            self.parameters["segments"] = (array, array, array, None, None)
        self.records.append(KernelRecord.of("sort_pass", step))
        items, order, starts = (self.variables[n] for n in (step.items, step.order, step.starts))
        writer = self._writer(Order())
        return [f"    sort(stream, {items}, {order}, {starts}, {writer.integer(step.count)}, {writer.integer(step.keys)})"]

    def _nest(self, step: Nest) -> list[str]:
        kernel = step.kernel
        number = self.counters[kernel.kind] = self.counters.get(kernel.kind, -1) + 1
        name = f"{kernel.kind}_{number}"
        sizes = [self._size_name(z) for z in sizes_of_kernel(kernel.body)]
        lines, literals = self._lines(kernel)
        shared, reporting = kernel.extent is not None, any("status" in line for line in lines)
        arrays = [self.variables[n] for n in kernel.arrays]
        parameters = [*(["first", "last"] if shared else []), *(["status"] if reporting else []), *arrays, *sizes, *literals]
        comment = textwrap.wrap(kernel.comment, 136, initial_indent="    # ", subsequent_indent="    #     ")
        sums = sum(isinstance(n, Combine) for n in nodes_in(kernel.body))
        decorator = "@cuda.jit" if not kernel.lanes else "@cuda.jit(**ROWS)" if sums <= _FEW_SUMS else "@cuda.jit(**MANY)"
        self.definitions.append("\n".join([decorator, f"def {name}({', '.join(parameters)}):", *comment, *lines]))
        integers = (None,) * (len(sizes) + len(literals))
        touched = [self.tensors[n] for n in kernel.arrays]
        ranks = [min(len(t.shape), 1) if kernel.flat else len(t.shape) for t in touched]
        types = ((t.dtype, rank) for t, rank in zip(touched, ranks, strict=True))
        self.parameters[name] = (*((None, None) if shared else ()), *((("int64", 1),) if reporting else ()), *types, *integers)
        self.records.append(KernelRecord.of(name, step))
        views = [a if rank == len(t.shape) else f"{a}.reshape(-1)" for t, a, rank in zip(touched, arrays, ranks, strict=True)]
        arguments = ", ".join([*(["status"] if reporting else []), *views, *sizes, *map(str, literals.values())])
        if kernel.extent is None:
            return [f"    {name}[1, {'LANES' if kernel.lanes else 1}, stream]({arguments})"]
        extent = self._writer(Order()).integer(kernel.extent)
        threads = extent if not any("put_four(" in line for line in lines) else f"({extent} + 3) // 4"
        blocks = f"each_a_block({extent}), LANES" if kernel.lanes else f"*grid({threads})"
        return [f"    {name}[({blocks}, stream)](0, {extent}, {arguments})"]

    def _lines(self, kernel: Kernel) -> tuple[list[str], dict[str, int]]:
        writer = self._writer(self.orders.get(kernel.comment, Order()), kernel.comment)
        walker = Walker(writer, lambda name, low, high: f"for {name} in range({low} + cuda.grid(1), {high}, cuda.gridsize(1)):",
                        lambda report: f"status[0] = {self.checks.code(EmptyRange(report.loop))}", block=Lanes(self.checks.code))
        if kernel.lanes:
            walker.open_shared = lambda name, low, high: f"for {name} in range({low} + cuda.blockIdx.x, {high}, cuda.gridDim.x):"
        lines = neighbours(kernel, self.tensors, walker) or list(walker.lines(_guarded(kernel.body), 1))
        kinds = dict.fromkeys(n.dtype for n in nodes_in(kernel.body) if isinstance(n, Combine))
        lines[:0] = [f"    lane_{kind} = cuda.shared.array(WARPS, {SHORT[kind]})" for kind in kinds]
        missing = sorted(writer.used - {*SPELLING, "draw"})
        if missing:
            raise _refused(kernel.comment, missing[0], f"The function {missing[0]} is")
        return [*_inner_functions(lines), *lines], walker.literals

    def _size_name(self, size: Size) -> str:
        return safe(str(size)) if isinstance(size, Moment) else self.size_names[str(size)]

    def _writer(self, order: Order, loop: str = "") -> Writer:
        def check(text: str, access: Access, dimension: int) -> str:
            inner, *_ = accesses(access.subscripts[dimension])
            code = self.checks.code(GatherCheck(inner.tensor, access.tensor, dimension, loop))
            return f"checked({text}, {self.variables[access.tensor]}.shape[{dimension}], status, {code})"

        return Writer(
            lambda n: self.tensors[n].dtype, lambda n: self.variables.get(n) or safe(n), lambda n: self.size_names.get(n) or safe(n),
            check, order, SPELLING, frozenset({"uint8", "int8", "int16", "int32"}),
        )  # fmt: skip


def _size_sources(step: Step, tensors: Mapping[str, Tensor]) -> list[sp.Expr]:
    """Expressions with all sizes that a step needs."""
    match step:
        case Nest():
            return [*sizes_of_kernel(step.kernel.body), *([step.kernel.extent] if step.kernel.extent is not None else [])]
        case Loop():
            return [step.first, *step.ends, *(e for s in step.steps for e in _size_sources(s, tensors))]
        case Contract():
            groups = (step.batch, step.rows, step.columns, step.depth)
            shapes = [e for n in step.operands for e in tensors[n].shape[1:]]
            return [step.scale, *step.starts, *step.when, *shapes, *(e for g in groups for e in (*g.extents, *g.lowers)),
                    *(e for c in step.constants for e in c)]
        case Sort():
            return [step.count, step.keys]
    return []


_CHECKED = """\
    def checked(value, extent, status, code):
        if 0 <= value < extent:
            return i64(value)
        status[0] = code
        status[1] = value
        return i64(0)
"""


def _inner_functions(lines: Sequence[str]) -> Iterator[str]:
    """What a kernel needs of `graphc.ir.random`, as functions inside of it: those Numba inlines without asking a driver."""
    text = "\n".join(lines)
    if "checked(" in text:
        yield from _CHECKED.splitlines()
        yield ""
    for function in (draw, polar, uniform32, uniform64, normal32, normal64):
        if f"{function.__name__}(" in text:
            source = inspect.getsource(function)
            definition = ast.parse(source).body[0]
            assert isinstance(definition, ast.FunctionDef)
            yield f"    def {function.__name__}({', '.join(a.arg for a in definition.args.args)}):"
            end_of_docstring = definition.body[0].end_lineno
            yield from ("    " + line for line in source.splitlines()[end_of_docstring:])
            yield ""


# ---------------------------------------------------------------------------------------------------------------- parallel


def _guarded(body: Sequence[Node]) -> tuple[Node, ...]:
    """Shared loops with one bound on each side, the others as tests: an iteration must fall to the same thread in every such loop."""
    result: list[Node] = []
    for node in body:
        if isinstance(node, For):
            inner = _guarded(node.body)
            if not inner:
                continue
            if node.shared:
                tests = [*(Compare(">=", node.index, e) for e in node.lower[1:]), *(Compare("<", node.index, e) for e in node.upper[1:])]
                inner = (If(all_of(tests), inner),) if tests else inner
                node = replace(node, lower=node.lower[:1], upper=node.upper[:1])
            result.append(replace(node, body=inner))
        elif isinstance(node, If):
            inner = _guarded(node.body)
            result += [replace(node, body=inner)] if inner else []
        else:
            result.append(node)
    return tuple(result)


def _refused(loop: str, culprit: str, what: str) -> TargetError:
    return TargetError(f"{what} not supported by the cuda target yet.", at=((loop, culprit, None),), fix='use target="cpu".')
