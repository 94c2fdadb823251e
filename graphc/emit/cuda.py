"""Steps → one Numba-CUDA module: a kernel per nest, and the host function that launches them in order."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from graphc.emit.expression import Writer, safe, variable_names
from graphc.emit.walk import Walker, generated_names, sizes_of_kernel
from graphc.errors import InternalError, TargetError
from graphc.ir.affine import linear
from graphc.ir.expr import Access, Compare, Index, Logical, Size
from graphc.ir.nest import Assign, Contract, Fill, For, If, Kernel, KernelRecord, Loop, Nest, Node, Report, Step, Store
from graphc.ir.random import draw, normal32, normal64, polar, uniform32, uniform64
from graphc.ir.show import Order, expression
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, contains, indices_of

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


@dataclass(frozen=True, slots=True)
class CudaModule:
    """The text and how to call it.

    Attributes:
        text: of the module.
        arrays: tensors, in the order of the arguments of ``program``.
        sizes: size symbols that follow.
        parameters: types of the arguments of every kernel, by its name.
        kernels: one record per step.
    """

    text: str
    arrays: tuple[str, ...]
    sizes: tuple[Size, ...]
    parameters: Mapping[str, tuple[Parameter, ...]]
    kernels: tuple[KernelRecord, ...]


def emit_cuda(steps: Sequence[Step], tensors: Mapping[str, Tensor], orders: Mapping[str, Order], header: str) -> CudaModule:
    """The module of a program.

    Args:
        steps: in execution order.
        tensors: by name.
        orders: display order of the factors of a statement, by its text.
        header: text for the module's docstring.

    Raises:
        TargetError: a statement reads or writes through an integer tensor, or could not run in parallel.
    """
    emitter = _Emitter(steps, tensors, orders)
    launches = [line for step in steps for line in emitter.launch(step)] or ["    pass"]
    parameters = ", ".join([*emitter.variables.values(), *emitter.size_names.values()])
    shown = textwrap.fill(parameters, 130, subsequent_indent="        ")
    text = "\n".join([
        f'"""{header}\n"""', "", _HEAD, *(f"\n\n{d}" for d in emitter.definitions),
        "", "", f"def program({shown}):", *launches, "",
    ])  # fmt: skip
    return CudaModule(text, tuple(emitter.variables), emitter.sizes, emitter.parameters, tuple(emitter.records))


_HEAD = '''import math

import numpy as np
from numba import cuda

f32, f64, i64 = np.float32, np.float64, np.int64
INFINITY, NAN = f32(np.inf), f32(np.nan)
THREADS, BLOCKS = 128, 4096


def grid(iterations):
    """Blocks, and threads of each, for so many iterations of a shared loop."""
    threads = max(1, min(iterations, THREADS))
    return max(1, min(-(-iterations // threads), BLOCKS)), threads'''

_FILL = '''@cuda.jit
def fill(first, last, array):
    """Set a flat array to 0."""
    for k in range(first + cuda.grid(1), last, cuda.gridsize(1)):
        array[k] = 0'''


class _Emitter:
    def __init__(self, steps: Sequence[Step], tensors: Mapping[str, Tensor], orders: Mapping[str, Order]) -> None:
        self.tensors, self.orders = tensors, orders
        taken = generated_names(steps)
        self.variables = variable_names(list(dict.fromkeys(n for s in steps for n in (s.writes, *s.reads))), taken)
        kernels = [s.kernel for s in steps if isinstance(s, Nest)]
        found = {z for k in kernels for z in sizes_of_kernel(k.body)}
        found |= {z for k in kernels if k.extent is not None for z in k.extent.free_symbols if isinstance(z, Size)}
        self.sizes = tuple(sorted(found, key=str))
        self.size_names = variable_names([str(z) for z in self.sizes], taken | {f".{n}": v for n, v in self.variables.items()})
        self.definitions: list[str] = []
        self.parameters: dict[str, tuple[Parameter, ...]] = {}
        self.records: list[KernelRecord] = []
        self.counters: dict[str, int] = {}

    def launch(self, step: Step) -> list[str]:
        """Lines of the host function; the kernel's definition is added."""
        match step:
            case Nest():
                return self._nest(step)
            case Fill():
                return self._fill(step)
            case Contract() | Loop():
                raise InternalError("The schedule of the cuda target has no contraction engine.")

    def _fill(self, step: Fill) -> list[str]:
        if "fill" not in self.parameters:
            self.definitions.append(_FILL)
        self.parameters["fill"] = (None, None, (self.tensors[step.writes].dtype, 1))
        self.records.append(KernelRecord.of("fill", step))
        array = self.variables[step.writes]
        return [f"    fill[grid({array}.size)](0, {array}.size, {array}.reshape(-1))"]

    def _nest(self, step: Nest) -> list[str]:
        kernel = step.kernel
        _check(step)
        number = self.counters[kernel.kind] = self.counters.get(kernel.kind, -1) + 1
        name = f"{kernel.kind}_{number}"
        sizes = [self.size_names[str(z)] for z in sizes_of_kernel(kernel.body)]
        lines, literals = self._lines(kernel)
        shared = kernel.extent is not None
        arrays = [self.variables[n] for n in kernel.arrays]
        parameters = [*(["first", "last"] if shared else []), *arrays, *sizes, *literals]
        comment = textwrap.wrap(kernel.comment, 136, initial_indent="    # ", subsequent_indent="    #     ")
        self.definitions.append("\n".join(["@cuda.jit", f"def {name}({', '.join(parameters)}):", *comment, *lines]))
        integers = (None,) * (len(sizes) + len(literals))
        touched = [self.tensors[n] for n in kernel.arrays]
        ranks = [min(len(t.shape), 1) if kernel.flat else len(t.shape) for t in touched]
        types = ((t.dtype, rank) for t, rank in zip(touched, ranks, strict=True))
        self.parameters[name] = (*((None, None) if shared else ()), *types, *integers)
        self.records.append(KernelRecord.of(name, step))
        views = [a if rank == len(t.shape) else f"{a}.reshape(-1)" for t, a, rank in zip(touched, arrays, ranks, strict=True)]
        arguments = ", ".join([*views, *sizes, *map(str, literals.values())])
        if kernel.extent is None:
            return [f"    {name}[1, 1]({arguments})"]
        extent = self._writer(Order()).integer(kernel.extent)
        return [f"    {name}[grid({extent})](0, {extent}, {arguments})"]

    def _lines(self, kernel: Kernel) -> tuple[list[str], dict[str, int]]:
        def refuse(report: Report) -> str:
            raise _refused(report.loop, "", "An extremum over a range that may be empty is")

        writer = self._writer(self.orders.get(kernel.comment, Order()))
        walker = Walker(writer, lambda name, low, high: f"for {name} in range({low} + cuda.grid(1), {high}, cuda.gridsize(1)):", refuse)
        lines = list(walker.lines(_guarded(kernel.body), 1))
        missing = sorted(writer.used - {*SPELLING, "draw"})
        if missing:
            raise _refused(kernel.comment, missing[0], f"The function {missing[0]} is")
        return [*_inner_functions(lines), *lines], walker.literals

    def _writer(self, order: Order) -> Writer:
        return Writer(
            lambda n: self.tensors[n].dtype, lambda n: self.variables.get(n) or safe(n), lambda n: self.size_names.get(n) or safe(n),
            lambda text, *_: text, order, SPELLING,
        )  # fmt: skip


def _inner_functions(lines: Sequence[str]) -> Iterator[str]:
    """What a kernel needs of `graphc.ir.random`, as functions inside of it: those Numba inlines without asking a driver."""
    text = "\n".join(lines)
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
            if node.shared:
                tests = [*(Compare(">=", node.index, e) for e in node.lower[1:]), *(Compare("<", node.index, e) for e in node.upper[1:])]
                inner = (If(tests[0] if len(tests) == 1 else Logical("and", *tests), inner),) if tests else inner
                node = replace(node, lower=node.lower[:1], upper=node.upper[:1])
            result.append(replace(node, body=inner))
        else:
            result.append(replace(node, body=_guarded(node.body)) if isinstance(node, If) else node)
    return tuple(result)


def _check(step: Nest) -> None:
    """Refuse what cannot be launched: subscripts from data, and elements that several threads would touch."""
    kernel = step.kernel
    stores = list(_stores(kernel.body, ()))
    written = [Access(s.tensor, *s.subscripts) for s, _ in stores]
    for access in (a for e in (*written, *_values(kernel.body)) for a in accesses(e) if isinstance(a, Access)):
        if any(contains(s, Access) for s in access.subscripts):
            raise _refused(kernel.comment, expression(access), "A subscript that is read from a tensor is")
    if kernel.extent is None:
        return
    for access in (a for e in _values(kernel.body) for a in accesses(e) if isinstance(a, Access) and a.tensor == step.writes):
        raise _refused(kernel.comment, expression(access), "A tensor that is computed from itself is")
    for store, shared in stores:
        if len(shared) != 1 or not any(_tells(s, shared[0]) for s in store.subscripts):
            raise _refused(kernel.comment, "", "A loop whose threads share elements is")


def _tells(subscript: sp.Expr, index: Index) -> bool:
    """Whether different values of the index give different subscripts, whatever the other indices are: ``2*i + 1``."""
    form = linear(subscript)
    return form is not None and form.coefficient(index) != 0 and all(a == index or not indices_of(a) for a, _ in form.terms)


def _refused(loop: str, culprit: str, what: str) -> TargetError:
    return TargetError(f"{what} not supported by the cuda target yet.", at=((loop, culprit, None),), fix='use target="cpu".')


def _values(body: Sequence[Node]) -> Iterator[sp.Expr]:
    for node in body:
        match node:
            case For():
                yield from (*node.lower, *node.upper)
                yield from _values(node.body)
            case If():
                yield node.condition
                yield from _values(node.body)
            case Store() | Assign():
                yield node.value


def _stores(body: Sequence[Node], shared: tuple[Index, ...]) -> Iterator[tuple[Store, tuple[Index, ...]]]:
    """Every store with the shared loops around it."""
    for node in body:
        if isinstance(node, Store):
            yield node, shared
        elif isinstance(node, For):
            yield from _stores(node.body, (*shared, node.index) if node.shared else shared)
        elif isinstance(node, If):
            yield from _stores(node.body, shared)
