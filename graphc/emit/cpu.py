"""Steps → one Numba module for the CPU: kernels, the program that every thread runs, and its entry."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from graphc.emit.barriers import meetings, touched
from graphc.emit.checks import Checks, EmptyRange, GatherCheck
from graphc.emit.expression import SHORT, Writer
from graphc.emit.names import safe, variable_names
from graphc.emit.walk import TABLES, Walker, generated_names, locals_of, sizes_of_kernel
from graphc.ir.expr import Access, Size
from graphc.ir.nest import Contract, Fill, Inner, Kernel, KernelRecord, Local, Loop, Moment, Nest, Step, single
from graphc.ir.random import RANDOM
from graphc.ir.show import Order
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, substitute

__all__ = ["CpuModule", "emit_cpu"]

_ENGINES = {"plus": "sum_terms", "maximum": "max_terms", "minimum": "min_terms"}


@dataclass(frozen=True, slots=True)
class CpuModule:
    """The text and how to call it.

    Attributes:
        text: of the module.
        arrays: tensors, in the order of their addresses in ``memory``.
        contractions: whose offset tables and choice follow, five per step, each as its address and its number of columns.
        sizes: size symbols, in the order of their values in ``sizes``.
        checks: meaning of the codes in the status array.
        kernels: one record per step.
        lives: of every tensor, the numbers of the barriers passed when it is first and last touched; inside of a loop none are counted.
    """

    text: str
    arrays: tuple[str, ...]
    contractions: tuple[Contract, ...]
    sizes: tuple[Size, ...]
    checks: tuple[GatherCheck | EmptyRange, ...]
    kernels: tuple[KernelRecord, ...]
    lives: Mapping[str, tuple[int, int]]


@dataclass
class _Function:
    name: str
    lines: list[str]
    arrays: tuple[str, ...]
    sizes: tuple[Size, ...]
    literals: dict[str, int]
    statements: list[str]
    flat: bool
    shared: bool


class _Emitter:
    def __init__(
        self, steps: Sequence[Step], tensors: Mapping[str, Tensor], orders: Mapping[str, Order], in_place: Mapping[str, str],
        timed: bool,
    ) -> None:
        self.timed = timed
        self.tensors, self.orders, self.steps, self.in_place = tensors, orders, steps, in_place
        self.contractions = 0
        arrays = dict.fromkeys(n for s in single(steps) for n in (s.writes, *s.also, *s.reads))
        taken = generated_names(steps)
        self.variables = variable_names(list(arrays), taken)
        shapes = [e for name in arrays for e in tensors[name].shape]
        sources = {z for e in (*shapes, *(e for s in steps for e in self._size_sources(s))) for z in e.free_symbols}
        sizes = sorted((z for z in sources if isinstance(z, Size) and not isinstance(z, Moment)), key=str)
        self.size_names = variable_names([str(z) for z in sizes], taken | set(self.variables.values()))
        self.sizes = tuple(sizes)
        self.functions: dict[str, _Function] = {}
        self.terms: dict[str, str] = {}
        self.checks = Checks()
        self.used: set[str] = set()
        self.counters: dict[str, int] = {}
        self.records: list[KernelRecord] = []
        self.passed = 0
        self.lives: dict[str, tuple[int, int]] = {}

    def _size_sources(self, step: Step) -> list[sp.Expr]:
        if isinstance(step, Nest):
            return [*sizes_of_kernel(step.kernel.body), *([step.kernel.extent] if step.kernel.extent is not None else [])]
        if isinstance(step, Loop):
            return [step.first, *step.ends, *(e for s in step.steps for e in self._size_sources(s))]
        return [step.scale, *step.starts, *step.when] if isinstance(step, Contract) else []

    # -------------------------------------------------------------------------------------------------- kernels
    def kernel(self, kernel: Kernel) -> _Function:
        """The function for a kernel, shared with an equal one."""
        order = self.orders.get(kernel.comment, Order())
        arrays = self._arrays(kernel)
        positions = self._named(kernel, {name: f"a{k}" for k, name in enumerate(arrays)})
        neutral = self._lines(kernel, positions, order, {})
        kinds = ",".join(f"{self.tensors[n].dtype}{self._rank(n, kernel.flat)}" for n in arrays)
        sizes = sizes_of_kernel(kernel.body)
        key = kinds + "\n" + _without_names(neutral.lines, kernel) + str(neutral.size_order)
        if key not in self.functions:
            names = self._named(kernel, {n: self.variables[n] for n in arrays})
            written = self._lines(kernel, names, order, {str(z): self._size_name(z) for z in sizes})
            number = self.counters[kernel.kind] = self.counters.get(kernel.kind, -1) + 1
            self.functions[key] = _Function(
                f"{kernel.kind}_{number}", written.lines, arrays, sizes, written.literals, [], kernel.flat, kernel.extent is not None
            )
        function = self.functions[key]
        function.statements.append(kernel.comment)
        function.literals = neutral.literals
        return function

    def _arrays(self, kernel: Kernel) -> tuple[str, ...]:
        """What a kernel gets: an array that is updated once, so that LLVM need not ask whether it overlaps with itself."""
        return tuple(n for n in kernel.arrays if self.in_place.get(n) not in kernel.arrays)

    def _named(self, kernel: Kernel, names: Mapping[str, str]) -> dict[str, str]:
        """The names of all tensors of a kernel from those of what it gets."""
        return {n: names[n] if n in names else names[self.in_place[n]] for n in kernel.arrays}

    def _lines(self, kernel: Kernel, names: Mapping[str, str], order: Order, size_names: Mapping[str, str]) -> _Written:
        sizes = sizes_of_kernel(kernel.body)
        own_sizes = size_names or {str(z): f"n{k}" for k, z in enumerate(sizes)}

        def check(text: str, access: Access, dimension: int) -> str:
            self.used.add("checked")
            inner, *_ = accesses(access.subscripts[dimension])
            code = self.checks.code(GatherCheck(inner.tensor, access.tensor, dimension, kernel.comment))
            return f"checked({text}, {names[access.tensor]}, {dimension}, status, {code})"

        writer = Writer(
            lambda n: self.tensors[n].dtype, lambda n: names.get(n) or safe(n), lambda n: own_sizes.get(n) or safe(n), check, order
        )
        walker = Walker(
            writer,
            lambda name, low, high: f"for {name} in range({low}, {high}):",
            lambda report: f"status[0] = {self.checks.code(EmptyRange(report.loop))}",
            fix="fixed",
        )
        lines = list(walker.lines(kernel.body, 1))
        self.used |= writer.used
        return _Written(lines, walker.literals, tuple(own_sizes))

    def _size_name(self, size: Size) -> str:
        return safe(str(size)) if isinstance(size, Moment) else self.size_names[str(size)]

    def definition(self, function: _Function) -> str:
        arrays = [self.variables[n] for n in function.arrays]
        parameters = [
            *(["first", "last"] if function.shared else []),
            "status",
            *arrays,
            *map(self._size_name, function.sizes),
            *function.literals,
        ]
        uses_status = any("status" in line for line in function.lines)
        if not uses_status:
            parameters.remove("status")
        head = f"def {function.name}({', '.join(parameters)}):"
        comments = dict.fromkeys(function.statements)
        wrapped = [line for c in comments for line in textwrap.wrap(c, 136, initial_indent="    # ", subsequent_indent="    #     ")]
        return "\n".join(["@njit(**INNER)", head, *wrapped, *function.lines])

    # -------------------------------------------------------------------------------------------------- program
    def program(self) -> list[str]:
        start = ["    tick(me, status, -1)"] if self.timed else []
        return [*start, *self._lines_of(self.steps, 1)] or ["    pass"]

    def _lines_of(self, steps: Sequence[Step], counted: int) -> list[str]:
        """The calls of steps, with a barrier where one needs what another thread may still compute; each adds `counted` to those passed."""
        lines: list[str] = []
        for meets, step in meetings(steps, self.in_place):
            if meets:
                lines.append("    wait(sync, team)")
                self.passed += counted
            for name in touched(step, self.in_place):
                self.lives[name] = (self.lives.get(name, (self.passed, 0))[0], self.passed)
            if isinstance(step, Loop):
                lines += self._repeated(step)
                continue
            if isinstance(step, Contract):
                lines += self._contract(step)
            elif isinstance(step, Fill):
                self.used.add("fill")
                lines.append(f"    fill(me, team, {self._flat(step.writes)})")
                self.records.append(KernelRecord.of("fill", step))
            elif isinstance(step, Nest):
                lines += self._launch(step)
            if self.timed:
                lines += ["    wait(sync, team)", f"    tick(me, status, {len(self.records) - 1})"]
        return lines

    def _repeated(self, step: Loop) -> list[str]:
        name, ends = safe(step.moment.name), [self._writer().integer(e) for e in step.ends]
        end = ends[0] if len(ends) == 1 else f"min({', '.join(ends)})"
        first = "" if step.first == 0 else self._writer().integer(step.first)
        upwards = f"{first}, {end}" if first else end
        bounds = f"{end} - 1, {f'{first} - 1' if first else '-1'}, -1" if step.descending else upwards
        inner = (f"    {line}" for line in self._lines_of(step.steps, 0))
        return [f"    for {name} in range({bounds}):", *inner, "        wait(sync, team)"]

    def _launch(self, step: Nest) -> list[str]:
        function = self.kernel(step.kernel)
        arguments = [
            *(self._flat(n) if function.flat and self.tensors[n].shape else self.variables[n] for n in self._arrays(step.kernel)),
            *(self._size_name(z) for z in sizes_of_kernel(step.kernel.body)),
            *(f"i64({value})" for value in function.literals.values()),
        ]
        if any("status" in line for line in function.lines):
            arguments.insert(0, "status")
        if function.shared:
            arguments[:0] = ["first", "last"]
        self.records.append(KernelRecord.of(function.name, step))
        call = f"{function.name}({', '.join(arguments)})"
        if step.kernel.extent is None:
            return ["    if me == 0:", f"        {call}"]
        return [f"    first, last = share(me, team, {self._writer().integer(step.kernel.extent)})", f"    {call}"]

    def _rank(self, name: str, flat: bool) -> int:
        """Number of dimensions that a kernel sees; a scalar stays one."""
        rank = len(self.tensors[name].shape)
        return min(rank, 1) if flat else rank

    def _flat(self, name: str) -> str:
        """The elements of a tensor in one dimension: what treats them so is compiled once for all ranks."""
        if len(self.tensors[name].shape) == 1:
            return self.variables[name]
        self.used.add("flat")
        return f"flat({self.variables[name]})"

    def _contract(self, step: Contract) -> list[str]:
        number, writer = self.contractions, self._writer()
        self.contractions += 1
        parts = [self._part(n, start) for n, start in zip(step.operands, step.starts, strict=True)]
        tables = ", ".join(f"{table}{number}" for table in TABLES)
        if step.inner is None:
            engine, last = "contract", f"{step.accumulate}, {writer.value(step.scale, self.tensors[step.writes].dtype)}"
        else:
            engine, last = _ENGINES[step.inner.combine], f"{step.accumulate}, {self._term(step.inner, self.tensors[step.writes].dtype)}"
            parts += parts[1:2] * (4 - len(parts))  # there is always a third factor, which terms of two do not read
        self.used.add(engine)
        self.records.append(KernelRecord.of("contract", step))
        indent = "        " if step.when else "    "
        return [
            *(f"    # {line}" for line in textwrap.wrap(step.plan.loop, 130)),
            *([f"    if {' and '.join(f'{writer.integer(x)} >= 0' for x in step.when)}:"] if step.when else []),
            f"{indent}{engine}(me, team, {', '.join(parts)}, {tables}, {last})",
        ]

    def _term(self, inner: Inner, dtype: str) -> str:
        """The name of the function of a term, shared with an equal one."""
        names = [Local(name) for name in ("a", "b", "h")[: len(inner.parts)]]
        writer = self._writer()
        writer.locals.update(dict.fromkeys(names, dtype))
        value = substitute(inner.value, dict(zip(inner.parts, names, strict=True)))
        text = f"({', '.join(n.name for n in names)}):\n    return {writer.value(value, dtype)}"
        self.used |= writer.used
        return self.terms.setdefault(text, f"term_{len(self.terms)}")

    def _part(self, name: str, start: sp.Expr) -> str:
        """The elements from one on."""
        if start == 0:
            return self.variables[name]
        self.used.add("part")
        return f"part({self.variables[name]}, {self._writer().integer(start)})"

    def views(self) -> Iterator[str]:
        """What `program` makes of its arguments: sizes, views of the arrays, and the offset tables."""
        if self.sizes:
            names = [self.size_names[str(z)] for z in self.sizes]
            yield f"    {', '.join(names)} = {', '.join(f'sizes[{k}]' for k in range(len(names)))}"
        for k, (name, variable) in enumerate(self.variables.items()):
            shape = [self._writer().integer(e) for e in self.tensors[name].shape]
            extents = f"({', '.join(shape)}{',' * (len(shape) == 1)})"
            dtype = self.tensors[name].dtype
            element = "np.bool_" if dtype == "bool" else SHORT.get(dtype, f"np.{dtype}")
            yield f"    {variable} = view_at(memory, {k}, {element}, {extents})"
        for k in range(self.contractions):
            first = len(self.variables) + 10 * k
            tables = ", ".join(f"table_at(memory, {first + 2 * j})" for j in range(5))
            yield f"    {', '.join(f'{table}{k}' for table in TABLES)} = {tables}"

    def _writer(self) -> Writer:
        return Writer(
            lambda n: self.tensors[n].dtype, lambda n: self.variables.get(n) or safe(n), lambda n: self.size_names.get(n) or safe(n),
            lambda text, *_: text,
        )


@dataclass(frozen=True, slots=True)
class _Written:
    lines: list[str]
    literals: dict[str, int]
    size_order: tuple[str, ...]


# Not "arcp": it lets LLVM estimate 1/sqrt(x), which is NaN at zero and at infinity.
_FLAGS = """FLAGS = dict(nogil=True, fastmath={"contract", "reassoc", "nsz", "afn"}, error_model="numpy", no_cfunc_wrapper=True)
INNER = FLAGS | dict(no_cpython_wrapper=True, pipeline_class=Part)
f32, f64, i64 = np.float32, np.float64, np.int64
INFINITY, NAN = f32(np.inf), f32(np.nan)"""


def _without_names(lines: Sequence[str], kernel: Kernel) -> str:
    """The lines with scalar variables numbered: kernels that differ in their names only are one."""
    names = {local.name: f"v{k}" for k, local in enumerate(locals_of(kernel.body))}
    text = "\n".join(lines)
    return re.sub(rf"\b({'|'.join(map(re.escape, names))})\b", lambda found: names[found[0]], text) if names else text


def emit_cpu(
    steps: Sequence[Step], tensors: Mapping[str, Tensor], orders: Mapping[str, Order], in_place: Mapping[str, str], header: str,
    timed: bool = False,
) -> CpuModule:
    """The module of a program.

    Args:
        steps: in execution order.
        tensors: by name.
        orders: display order of the factors of a statement, by its text.
        in_place: tensors whose array is that of another one.
        header: text for the module's docstring.
        timed: whether the threads meet after every step, and its time is added to the status array as in `graphc.kernels.clock`.
    """
    emitter = _Emitter(steps, tensors, orders, in_place, timed)
    body = emitter.program()
    contractions = tuple(s for s in single(steps) if isinstance(s, Contract))
    arrays = tuple(emitter.variables)
    definitions = "\n\n\n".join(emitter.definition(f) for f in emitter.functions.values())
    views = [*sorted(emitter.used & {"fixed", "flat", "part"}), *(["table_at"] if contractions else []), "view_at"]
    random = sorted(emitter.used & {"draw", *RANDOM})
    engines = sorted(emitter.used & {"contract", *_ENGINES.values()})
    elementary = sorted(emitter.used - {"checked", "choose", "fill", "fixed", "flat", "part", *engines, *random})
    imports = ["import numpy as np", "from numba import njit", ""]
    if engines:
        imports.append(f"from graphc.kernels.contraction import {', '.join(engines)}")
    if elementary:
        imports.append(f"from graphc.kernels.elementary import {', '.join(elementary)}")
    if random:
        imports.append(f"from graphc.kernels.random import {', '.join(random)}")
    blocks = sorted(emitter.used & {"checked", "choose", "fill"})
    if timed:
        imports.append("from graphc.kernels.clock import tick")
    if blocks:
        imports.append(f"from graphc.kernels.blocks import {', '.join(blocks)}")
    imports += [
        "from graphc.kernels.team import launch, share, wait",
        *(["from graphc.kernels.tile import versioned"] if emitter.terms else []),
        "from graphc.kernels.unit import Part",
        f"from graphc.kernels.view import {', '.join(views)}",
    ]
    text = "\n".join(
        [
            f'"""{header}\n"""',
            "",
            *imports,
            "",
            _FLAGS,
            "",
            "",
            *(line for text, name in emitter.terms.items() for line in ("@njit(**INNER)", f"def {name}{text}", "", "")),
            *([definitions, "", ""] if definitions else []),
            "@njit(**INNER)",
            "def program(me, team, sync, status, memory, sizes):",
            *emitter.views(),
            *body,
            "",
            "",
            "@njit(cache=True, **FLAGS)",
            *(["@versioned"] if emitter.terms else []),
            "def start(sync, status, memory, sizes):",
            "    launch(program, sync, (status, memory, sizes))",
            "",
        ]
    )
    for check in emitter.checks.found:
        if isinstance(check, GatherCheck) and check.tensor in emitter.lives:
            emitter.lives[check.tensor] = (emitter.lives[check.tensor][0], emitter.passed)  # a complaint shows its elements
    checks, records = tuple(emitter.checks.found), tuple(emitter.records)
    return CpuModule(text, arrays, contractions, emitter.sizes, checks, records, emitter.lives)
