"""Steps → C99: a function per kernel, and the function that every thread runs."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sympy as sp

from graphc.emit.barriers import meetings, touched
from graphc.emit.checks import Checks, EmptyRange, GatherCheck
from graphc.emit.expression import Writer
from graphc.emit.names import safe, variable_names
from graphc.emit.syntax import C_TYPES, C
from graphc.emit.variables import locals_in, place_of, sums_of, type_of
from graphc.emit.walk import Walker, generated_names, sizes_of_kernel
from graphc.errors import InternalError
from graphc.ir.expr import Access, Size
from graphc.ir.nest import Assign, Contract, Fill, For, If, Kernel, Local, Loop, Moment, Nest, Node, Sort, Step, Store, Unravel, single
from graphc.ir.show import Order
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses

__all__ = ["CModule", "comment", "emit_c", "integer", "wrapped"]

_WIDTH = 120


@dataclass(frozen=True, slots=True)
class CModule:
    """The text, and what the functions around it need to know.

    Attributes:
        kernels: definitions of the functions, one per kernel.
        program: definition of the function ``gc_program``, which every thread calls.
        arguments: what it takes behind the number of the thread, the number of threads and the status.
        variables: of all tensors.
        sizes: variables of all sizes.
        contractions: whose plans are ``plan_0``, ``plan_1`` … among the arguments; behind them comes memory of ``GC_SCRATCH`` bytes for
            each thread.
        checks: meaning of the codes in the status.
        cost: scalar operations of a run.
        lives: of every array, the numbers of the barriers passed when it is first and last touched; inside of a loop none are counted.
        used: helpers without their prefix.
    """

    kernels: str
    program: str
    arguments: tuple[str, ...]
    variables: Mapping[str, str]
    sizes: Mapping[Size, str]
    contractions: tuple[Contract, ...]
    checks: tuple[GatherCheck | EmptyRange, ...]
    cost: sp.Expr
    lives: Mapping[str, tuple[int, int]]
    used: frozenset[str]


def emit_c(
    steps: Sequence[Step], tensors: Mapping[str, Tensor], orders: Mapping[str, Order], in_place: Mapping[str, str],
    given: Sequence[str] = (), taken: Sequence[str] = (), kept: str = "",
) -> CModule:
    """The functions of a program.

    Args:
        steps: in execution order.
        tensors: by name.
        orders: display order of the factors of a statement, by its text.
        in_place: tensors whose array is that of another one.
        given: tensors that have a variable even where no step touches them.
        taken: names that no variable and no function may have.
        kept: a beginning that no variable may have.
    """
    emitter = _Emitter(steps, tensors, orders, in_place, given, taken, kept)
    body = emitter.lines_of(steps, 1, 1)
    definitions = "\n\n".join(emitter.definitions)
    text = "\n".join(body)
    arrays = [n for n in emitter.variables if n not in in_place and _mentions(text, emitter.variables[n])]
    contractions = tuple(s for s in single(steps) if isinstance(s, Contract))
    arguments = [*(emitter.variables[n] for n in arrays), *(f"&plan_{k}" for k in range(len(contractions)))]
    parameters = [emitter.parameter(n, n in emitter.written) for n in arrays]
    parameters += [f"const gc_plan *plan_{k}" for k in range(len(contractions))]
    if contractions:
        arguments.append("scratch")
        parameters.append("char *scratch")
    for name in emitter.sizes.values():
        if _mentions(text, name):
            arguments.append(name)
            parameters.append(f"int64_t {name}")
    head = wrapped("static void gc_program(", ["int64_t me", "int64_t team", "int64_t *status", *parameters], ")")
    unused = "    (void)me, (void)team, (void)status;"
    last = ["    gc_barrier(team, status);"] if steps else []
    program = "\n".join([*head, "{", unused, *body, *last, "}"])
    cost = sp.Add(*(s.cost for s in single(steps)))
    return CModule(definitions, program, tuple(arguments), emitter.variables, emitter.sizes, contractions, tuple(emitter.checks.found),
                   cost, emitter.lives, frozenset(emitter.used))


def integer(node: sp.Expr, names: Mapping[Size, str]) -> str:
    """An integer expression in sizes."""
    shown = {str(z): name for z, name in names.items()}
    return Writer(lambda n: "", lambda n: n, lambda n: shown[n], lambda text, *_: text, syntax=C).integer(node)


def wrapped(head: str, parts: Sequence[str], tail: str, indent: str = "") -> list[str]:
    """A call or the head of a function, with breaks between its arguments where it is long."""
    lines, line = [], indent + head
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        piece = part + (tail if last else ",")
        if len(line) + len(piece) > _WIDTH and line.strip():
            lines.append(line.rstrip())
            line = indent + "        "
        line += piece + ("" if last else " ")
    return [*lines, line if parts else line + tail]


def comment(text: str, indent: str = "", hanging: str = "    ") -> list[str]:
    """A comment; what would end it is taken apart, and `hanging` is in front of the rest of a long line."""
    lines = [part for line in text.replace("*/", "* /").splitlines() for part in textwrap.wrap(line, _WIDTH - 8, subsequent_indent=hanging)]
    return [f"{indent}{'/* ' if k == 0 else ' * '}{line}{' */' if k == len(lines) - 1 else ''}" for k, line in enumerate(lines)]


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


@dataclass
class _Writer(Writer):
    """Subscripts are places in row-major order."""

    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def subscripts(self, access: Access) -> str:
        text, strength = "0", 0
        for dimension, subscript in enumerate(access.subscripts):
            shown = self.integer(subscript)
            if accesses(subscript):
                shown = self.subscript_check(shown, access, dimension)
            extent = self.tensors[access.tensor].shape[dimension] if len(access.subscripts) > 1 else sp.Integer(1)
            if text == "0":
                text, strength = shown, 1 if re.fullmatch(r"\w+|\w+\([^()]*\)", shown) else 0
                continue
            stride = self.integer(extent)
            stride = stride if re.fullmatch(r"\w+", stride) else f"({stride})"
            text = f"{text if strength else f'({text})'} * {stride}" + ("" if shown == "0" else f" + {shown}")
            strength = 0
        return text


class _Walker(Walker):
    """Declares scalar variables where they are first set, and marks sums that may be added in any order."""

    writer: _Writer
    placed: frozenset[Local] = frozenset()

    def lines(self, body: Sequence[Node], depth: int) -> Iterator[str]:
        indent, before = "    " * depth, self.placed
        mentioned = dict.fromkeys(n for node in body for n in locals_in(node))
        found = {local: place_of(local, body) for local in mentioned if local not in before}
        places = {local: place for local, place in found.items() if place is not None}
        self.placed |= set(places)
        for position, node in enumerate(body):
            kind = ""
            for local, (where, valued) in places.items():
                if where == position and valued:
                    kind = C_TYPES[type_of(local, body)] + " "
                elif where == position:
                    yield f"{indent}{C_TYPES[type_of(local, body)]} {local.name} = 0;"
            if kind and isinstance(node, Assign):
                yield f"{indent}{kind}{self.assigned(node)}"
            else:
                yield from self.node(node, depth)
        self.placed = before

    def node(self, node: Node, depth: int) -> Iterator[str]:
        if isinstance(node, For) and (sums := sums_of(node)):
            yield f"{'    ' * depth}GC_OMP(omp simd reduction(+ : {', '.join(local.name for local in sums)}))"
        yield from super().node(node, depth)

    def unravelled(self, node: Unravel) -> Iterator[str]:
        yield from (f"const int64_t {line};" for line in super().unravelled(node))

    def _bound(self, node: For, bound: sp.Expr) -> str:
        return self.writer.integer(bound)


class _Emitter:
    def __init__(
        self, steps: Sequence[Step], tensors: Mapping[str, Tensor], orders: Mapping[str, Order], in_place: Mapping[str, str],
        given: Sequence[str], taken: Sequence[str], kept: str,
    ) -> None:
        self.tensors, self.orders, self.in_place = tensors, orders, in_place
        arrays = dict.fromkeys((*given, *(n for s in single(steps) for n in (s.writes, *s.also, *s.reads))))
        names = generated_names(steps) | set(taken) | {f"plan_{k}" for k in range(len(steps))}
        known = [*(e for n in arrays for e in tensors[n].shape), *_expressions(steps)]
        sizes = sorted({z for e in known for z in e.free_symbols if isinstance(z, Size) and not isinstance(z, Moment)}, key=str)
        shown = variable_names([str(z) for z in sizes], names, kept)
        self.sizes = {z: shown[str(z)] for z in sizes}
        own = variable_names([n for n in arrays if n not in in_place], names | set(shown.values()), kept)
        self.variables = {n: own[in_place.get(n, n)] for n in arrays}
        self.taken = {*taken, *own.values(), *shown.values()}
        self.written: set[str] = {in_place.get(n, n) for s in single(steps) for n in (s.writes, *s.also)}
        self.definitions: list[str] = []
        self.checks = Checks()
        self.used: set[str] = set()
        self.counters: dict[str, int] = {}
        self.passed = 0
        self.lives: dict[str, tuple[int, int]] = {}

    # ---------------------------------------------------------------------------------------------------------- steps
    def lines_of(self, steps: Sequence[Step], depth: int, counted: int) -> list[str]:
        """The calls of steps, with barriers; each adds `counted` to those passed."""
        lines: list[str] = []
        indent = "    " * depth
        for meets, step in meetings(steps, self.in_place):
            if meets:
                lines.append(f"{indent}gc_barrier(team, status);")
                self.passed += counted
            for name in touched(step, self.in_place):
                self.lives[name] = (self.lives.get(name, (self.passed, 0))[0], self.passed)
            match step:
                case Nest():
                    lines += self._launch(step, indent)
                case Contract():
                    lines += self._contract(step, indent)
                case Fill():
                    lines.append(f"{indent}gc_fill(me, team, {self.variables[step.writes]}, {self._bytes(step.writes)});")
                case Loop():
                    lines += self._repeated(step, depth)
                case Sort():
                    raise InternalError("A step that sorts was scheduled for C.")
        return lines

    def _repeated(self, step: Loop, depth: int) -> list[str]:
        writer = self._writer(Order())
        end = C.extreme(False, [writer.integer(e) for e in step.ends])
        header = C.header(safe(step.moment.name), writer.integer(step.first), end, descending=step.descending)
        indent = "    " * depth
        return [indent + header, *self.lines_of(step.steps, depth + 1, 0), f"{indent}    gc_barrier(team, status);", indent + "}"]

    def _launch(self, step: Nest, indent: str) -> list[str]:
        name, arguments = self._kernel(step.kernel)
        if step.kernel.extent is None:
            return [f"{indent}if (me == 0) {{", *wrapped(f"{name}(", arguments, ");", indent + "    "), indent + "}"]
        extent = self._writer(Order()).integer(step.kernel.extent)
        shared = [f"gc_first(me, team, {extent})", f"gc_first(me + 1, team, {extent})"]
        return wrapped(f"{name}(", [*shared, *arguments], ");", indent)

    def _contract(self, step: Contract, indent: str) -> list[str]:
        number = self.counters["contract"] = self.counters.get("contract", -1) + 1
        dtype = self.tensors[step.writes].dtype
        suffix = C.suffixes[dtype]
        self.used.add(f"contract{suffix}")
        writer = self._writer(Order())
        parts = [self.variables[n] + ("" if start == 0 else f" + {writer.integer(start)}")
                 for n, start in zip(step.operands, step.starts, strict=True)]
        call = wrapped(f"gc_contract{suffix}(", ["me", "team", *parts, f"plan_{number}", str(int(step.accumulate)),
                                                 writer.value(step.scale, dtype), "scratch"], ");", indent + "    " * bool(step.when))
        if step.when:
            tests = " && ".join(f"{writer.integer(x)} >= 0" for x in step.when)
            call = [f"{indent}if ({tests}) {{", *call, f"{indent}}}"]
        return [*comment(step.plan.loop, indent), *call]

    def _bytes(self, name: str) -> str:
        """Of an array."""
        count = " * ".join(f"({self._writer(Order()).integer(e)})" for e in self.tensors[name].shape)
        size = f"(int64_t)sizeof({C_TYPES[self.tensors[name].dtype]})"
        return re.sub(r"\((\w+)\)(?! ?\w)", r"\1", count) + f" * {size}" if count else size

    # -------------------------------------------------------------------------------------------------------- kernels
    def _kernel(self, kernel: Kernel) -> tuple[str, list[str]]:
        """The function for a kernel, and what it is called with behind its share."""
        writer = self._writer(self.orders.get(kernel.comment, Order()), kernel.comment)
        walker = _Walker(writer, lambda name, low, high: C.header(name, low, high),
                         lambda report: f"gc_report(status, {self.checks.code(EmptyRange(report.loop))});")
        lines = list(walker.lines(kernel.body, 1))
        text = "\n".join(lines)
        self.used |= writer.used
        number = self.counters.get(kernel.kind, 0)
        while (name := f"{kernel.kind}_{number}") in self.taken:
            number += 1
        self.counters[kernel.kind] = number + 1
        arrays = [n for n in dict.fromkeys(self.in_place.get(n, n) for n in kernel.arrays) if _mentions(text, self.variables[n])]
        stored = {self.in_place.get(n.tensor, n.tensor) for n in _stores(kernel.body)}
        moments = {safe(str(z)) for z in sizes_of_kernel(kernel.body) if isinstance(z, Moment)}
        sizes = [z for z in (*sorted(moments), *self.sizes.values()) if _mentions(text, z)]
        parameters = [*(["int64_t first", "int64_t last"] if kernel.extent is not None else []),
                      *(["int64_t *status"] if _mentions(text, "status") else []),
                      *(self.parameter(n, n in stored, " restrict ") for n in arrays), *(f"int64_t {z}" for z in sizes)]
        head = wrapped(f"static void {name}(", parameters or ["void"], ")")
        self.definitions.append("\n".join([*comment(kernel.comment), *head, "{", *lines, "}"]))
        status = ["status"] if _mentions(text, "status") else []
        return name, [*status, *(self.variables[n] for n in arrays), *sizes]

    def parameter(self, name: str, written: bool, pointer: str = " ") -> str:
        star = f"*{pointer.strip()}{' ' * bool(pointer.strip())}"
        return f"{'' if written else 'const '}{C_TYPES[self.tensors[name].dtype]} {star}{self.variables[name]}"

    def _writer(self, order: Order, loop: str = "") -> _Writer:
        sizes = {str(z): v for z, v in self.sizes.items()}

        def check(text: str, access: Access, dimension: int) -> str:
            inner, *_ = accesses(access.subscripts[dimension])
            code = self.checks.code(GatherCheck(inner.tensor, access.tensor, dimension, loop))
            extent = writer.integer(self.tensors[access.tensor].shape[dimension])
            return f"gc_checked({text}, {extent}, status, {code})"

        writer = _Writer(
            lambda n: self.tensors[n].dtype, lambda n: self.variables.get(n) or safe(n), lambda n: sizes.get(n) or safe(n), check, order,
            syntax=C, widened=frozenset({"uint8", "int8", "int16", "int32"}), tensors=self.tensors,
        )
        return writer


def _stores(body: Sequence[Node]) -> Iterator[Store]:
    for node in body:
        if isinstance(node, Store):
            yield node
        elif isinstance(node, For | If):
            yield from _stores(node.body)


def _expressions(steps: Sequence[Step]) -> Iterator[sp.Expr]:
    """What steps need to know beside the shapes of their arrays."""
    for step in steps:
        match step:
            case Nest():
                yield from sizes_of_kernel(step.kernel.body)
                yield from [step.kernel.extent] if step.kernel.extent is not None else []
            case Loop():
                yield from (step.first, *step.ends)
                yield from _expressions(step.steps)
            case Contract():
                yield from (step.scale, *step.starts, *step.when)
