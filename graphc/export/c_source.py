"""A compiled program as one C99 file with its header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import sympy as sp

from graphc.calls.layout import offset_loops
from graphc.calls.signature import Signature
from graphc.emit.c import comment, integer, wrapped
from graphc.emit.checks import EmptyRange, GatherCheck
from graphc.emit.names import variable_names
from graphc.emit.syntax import C_TYPES
from graphc.export.c_library import code_prefix, function_name
from graphc.export.c_parts import parts
from graphc.ir.expr import Size
from graphc.ir.graph import Graph
from graphc.ir.nest import Contract
from graphc.ir.show import expression, statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import sizes_of
from graphc.runtime.cpu import SMALL
from graphc.targets import CpuProgram, c_program

__all__ = ["c_texts"]

_TAKEN = ("arguments", "workspace", "memory", "own", "needed", "threads", "me", "team", "status", "first", "last", "scratch",
          "tables", "faults")
"""Variables of the functions around the loops."""

_TABLES = ("c_batch", "a_batch", "b_batch", "c_rows", "a_rows", "c_columns", "b_columns", "a_depth", "b_depth")
"""Offset tables of a plan, in the order of `offset_loops`."""

_LOCATION = re.compile(r"\n  at [^\n]*, line \d+")
"""The user's file, in messages: the C file does not depend on where it was."""


def c_texts(program: CpuProgram, graph: Graph, signature: Signature, stem: str) -> tuple[str, str]:
    """The source and the header of a program.

    Args:
        program: what the target "cpu" has made of the graph.
        graph: the program as the user wrote it.
        signature: its arguments and results.
        stem: of the names of the files.
    """
    saved = _CSource(program, graph, signature, stem)
    return saved.source(), saved.header()


class _CSource:
    """The text of both files, section by section."""

    def __init__(self, program: CpuProgram, graph: Graph, signature: Signature, stem: str) -> None:
        self.stem, self.graph, self.signature = stem, graph, signature
        self.name = function_name(re.sub(r"\W", "_", stem))
        self.prefix = code_prefix(self.name)
        inputs = [t.name for t in signature.inputs]
        given = list(dict.fromkeys((*inputs, *signature.outputs, *(new for _, new in signature.updates))))
        own = (self.name, f"{self.name}_arguments", f"{self.name}_workspace", f"{self.name}_message")
        made = c_program(program.before, signature.outputs, signature.updates, program.accumulate, given, (*_TAKEN, *own), self.prefix)
        self.module, self.in_place, self.gathers = made.module, made.in_place, made.gathers
        self.tensors: dict[str, Tensor] = {**{t.name: t for t in signature.inputs}, **made.graph.by_name()}
        self.updated = dict(signature.updates)
        self.outputs = list(dict.fromkeys(signature.outputs))
        self.names = self.module.variables
        shapes = [e for n in inputs for e in self.tensors[n].shape]
        needed = {s for e in (*shapes, *(e for c in graph.checks for e in c.violation)) for s in sizes_of(e)} | set(self.module.sizes)
        others = sorted(map(str, needed - set(self.module.sizes)))
        taken = {*self.names.values(), *self.module.sizes.values(), *_TAKEN, *own}
        shown = variable_names(others, taken, self.prefix)
        copies = {f"{n}.given": n for n in self.outputs if self.tensors[n].is_input}
        self.copied = {copies[n]: name for n, name in variable_names(copies, taken | set(shown.values()), self.prefix).items()}
        self.sizes: dict[Size, str] = {**self.module.sizes, **{s: shown[str(s)] for s in sorted(needed, key=str) if str(s) in shown}}
        touched = {n for n in inputs if self.names.get(n) in self.module.arguments} | set(self.copied) | set(self.updated)
        touched |= set(self.updated.values())
        self.read = [n for n in inputs if n in touched]
        self.written = [n for n in self.outputs if not self.tensors[n].is_input]
        fixed = {*self.read, *self.written, *self.in_place}
        self.temporaries = [n for n in self.names if n not in fixed and self.names[n] in self.module.arguments]
        self.codes = self._codes()

    # ------------------------------------------------------------------------------------------------------------- faults
    def _codes(self) -> dict[str, tuple[int, str]]:
        """Names of the status codes, with their numbers and meanings."""
        found = {
            "OK": (0, "no error"),
            "NO_MEMORY": (1, "there is no memory for the workspace"),
            "NO_ARRAY": (2, "a pointer to an array that has elements is null"),
            "NEGATIVE_SIZE": (3, "a size or an extent is negative"),
        }
        number = 4
        self.of_check: dict[GatherCheck | EmptyRange | int, str] = {}
        places: list[tuple[GatherCheck | EmptyRange | int, str, str]] = [
            (k, "SIZES", _LOCATION.sub("", c.message)) for k, c in enumerate(self.graph.checks)]
        gathers = [GatherCheck(g.tensor, g.target, g.dimension, g.loop) for g in self.gathers]
        for fault in dict.fromkeys((*gathers, *self.module.checks)):
            if isinstance(fault, EmptyRange):
                places.append((fault, "EMPTY_RANGE", f"an extremum over an empty range has no value: {fault.loop}"))
            else:
                what = f"a value of {fault.tensor} is no subscript of dimension {fault.dimension} of {fault.target}: {fault.loop}"
                places.append((fault, f"OUTSIDE_{re.sub(r'[^A-Z0-9]', '_', fault.tensor.upper())}", what))
        for check, name, message in places:
            own, count = name, 1
            while own in found:
                count += 1
                own = f"{name}_{count}"
            found[own] = (number, message)
            self.of_check[check] = own
            number += 1
        return found

    def _code(self, name: str) -> str:
        return f"{self.prefix}{name}"

    # ------------------------------------------------------------------------------------------------------------- header
    def header(self) -> str:
        guard = self._code("H")
        loops = [statement(s) for name in self.graph.order() for s in self.graph.definitions()[name]]
        fields = [f"    int64_t {name}; /* size {size} */" for size, name in self.sizes.items()]
        for name in self.read:
            fields.append(self._field(self.names[name], name, "updated" if name in self.updated else "read"))
        fields += [self._field(self.names[n], n, "written") for n in self.written]
        fields += [self._field(field, n, f"written, a copy of {n}") for n, field in self.copied.items()]
        codes = [line for name, (number, text) in self.codes.items()
                 for line in (*comment(text.partition("\n")[0], "    ", hanging=""), f"    {self._code(name)} = {number},")]
        return "\n".join([
            "/* Generated by graphc from these loops:", " *", *(f" *     {line.replace('*/', '* /')}" for line in loops), " */",
            f"#ifndef {guard}", f"#define {guard}", "", "#include <stdbool.h>", "#include <stddef.h>", "#include <stdint.h>", "",
            "#ifdef __cplusplus", 'extern "C" {', "#endif", "",
            *comment("Sizes and arrays. Arrays are contiguous in row-major order; those that are updated or written overlap no other one.",
                     hanging=""),
            "typedef struct {", *fields, "    int64_t threads; /* at most so many; 0 leaves it to OpenMP */",
            f"}} {self.name}_arguments;", "",
            "/* What the functions return. */", "enum {", *codes, "};", "",
            *self._renamed(),
            *comment(f"Compute everything, in a workspace of {self.name}_workspace(arguments) bytes that the caller gives, or in memory "
                     "that is allocated for the time of the call where workspace is null. After a fault, arrays that are updated are as "
                     "before, and the contents of those that are written mean nothing. Several threads may call it at the same time, "
                     "each with its own workspace.", hanging=""),
            f"int {self.name}(const {self.name}_arguments *arguments, void *workspace);", "",
            "/* Bytes of the workspace; of the arguments only sizes and threads are read. */",
            f"size_t {self.name}_workspace(const {self.name}_arguments *arguments);", "",
            "/* What a status means. */", f"const char *{self.name}_message(int status);", "",
            "#ifdef __cplusplus", "}", "#endif", "", "#endif", "",
        ])

    def _renamed(self) -> list[str]:
        """Why the function has another name than the file."""
        if self.name == self.stem:
            return []
        why = "belongs to C, to its library or to graphc" if self.stem.isidentifier() else "is no name in C"
        return comment(f"It is called {self.name} because {self.stem} {why}.", hanging="")

    def _field(self, field: str, name: str, role: str) -> str:
        tensor = self.tensors[name]
        shape = f"[{', '.join(map(expression, tensor.shape))}]" if tensor.shape else ""
        constant = "const " * (role == "read")
        return f"    {constant}{C_TYPES[tensor.dtype]} *{field}; /* {name}{shape}, {role} */"

    # ------------------------------------------------------------------------------------------------------------- source
    def source(self) -> str:
        own = "\n\n".join((self._workspace(), self._messages(), self._main()))
        program = "\n\n".join(part for part in (self.module.kernels, self.module.program, own) if part)
        needed = parts(program, self.module.used, {self.tensors[c.writes].dtype for c in self.module.contractions})
        heads = [f"#include \"{self.stem}.h\"", "", "#include <math.h>", "#include <stdlib.h>", "#include <string.h>"]
        about = comment(f"Generated by graphc: {self.stem}.h says what it computes and how to call it. Fast with -O3 -march=native "
                        "-fno-math-errno -fopenmp; any C99 compiler will do.", hanging="")
        return "\n".join([*about, *heads, "", *(f"{part}\n" for part in needed), program, ""])

    def _messages(self) -> str:
        cases = [f"    case {self._code(name)}:\n        return {_quoted(text)};" for name, (_, text) in self.codes.items()]
        return "\n".join([f"const char *{self.name}_message(int status)", "{", "    switch (status) {", *cases, "    default:",
                          '        return "no status of this function";', "    }", "}"])

    def _sizes_in(self, lines: Iterable[str]) -> Iterator[str]:
        text = "\n".join(lines)
        for name in self.sizes.values():
            if re.search(rf"\b{name}\b", text):
                yield f"    const int64_t {name} = arguments->{name};"

    def _workspace(self) -> str:
        lines = ["    size_t needed = 64;"]
        lines += [f"    needed += gc_aligned({self._bytes(names[0])}); /* {', '.join(names)} */" for names in self._places()]
        if self.module.contractions:
            lines += ["    needed += (size_t)(arguments->threads > 0 ? arguments->threads : GC_THREADS) * GC_SCRATCH;"]
            lines += [f"    needed += gc_aligned(gc_plan_room({', '.join(self._extents(c))}), sizeof(int64_t));"
                      for c in self.module.contractions]
        empty = [] if any(True for _ in self._sizes_in(lines)) else ["    (void)arguments;"]
        return "\n".join([f"size_t {self.name}_workspace(const {self.name}_arguments *arguments)", "{", *self._sizes_in(lines), *empty,
                          *lines, "    return needed;", "}"])

    def _count(self, name: str) -> str:
        parts = [self._size(e) for e in self.tensors[name].shape]
        return " * ".join(p if re.fullmatch(r"\w+", p) else f"({p})" for p in parts) or "1"

    def _bytes(self, name: str) -> str:
        return f"{self._count(name)}, sizeof({C_TYPES[self.tensors[name].dtype]})"

    def _size(self, node: sp.Expr) -> str:
        return integer(node, self.sizes)

    def _main(self) -> str:
        body = [*self._arrays(), *self._tests(), *self._memory(), *self._plans(), *self._given(),
                "    int64_t status[3] = {0}; /* the fault; threads at a barrier; barriers passed */",
                *self._run(), *self._copies(), "    free(own);", *self._verdict()]
        head = f"int {self.name}(const {self.name}_arguments *arguments, void *workspace)"
        return "\n".join([head, "{", *self._sizes_in(body), *body, "}"])

    def _verdict(self) -> Iterator[str]:
        if self.module.checks:
            yield f"    static const int faults[] = {{{', '.join(self._code(self.of_check[c]) for c in self.module.checks)}}};"
            yield "    if (status[0])"
            yield "        return faults[status[0] - 1];"
        yield f"    return {self._code('OK')};"

    def _arrays(self) -> Iterator[str]:
        for name in (*self.read, *self.written):
            constant = "" if name in self.written or name in self.updated else "const "
            yield f"    {constant}{C_TYPES[self.tensors[name].dtype]} *{self.names[name]} = arguments->{self.names[name]};"
        for name, field in self.copied.items():
            yield f"    {C_TYPES[self.tensors[name].dtype]} *{field} = arguments->{field};"

    def _tests(self) -> Iterator[str]:
        yield from self._positive(self.sizes)
        for k, check in enumerate(self.graph.checks):
            yield f"    if ({' && '.join(f'{self._size(e)} >= 0' for e in check.violation) or 'true'})"
            yield f"        return {self._code(self.of_check[k])};"
        shapes = [self.tensors[n].shape for n in (*(t.name for t in self.signature.inputs), *self.written)]
        yield from self._positive({e for shape in shapes for e in shape if not e.is_Integer} - set(self.sizes))
        for name in (*self.read, *self.written):
            yield f"    if ({self._missing(self.names[name], name)})"
            yield f"        return {self._code('NO_ARRAY')};"
        for name, field in self.copied.items():
            yield f"    if ({self._missing(field, name)})"
            yield f"        return {self._code('NO_ARRAY')};"
        for g in self.gathers:
            runs = [" && ".join(f"{self._size(e)} > 0" for e in extents) for extents in g.others]
            guard = "" if "" in runs else f"({' || '.join(f'({r})' for r in runs)}) && "
            kind = self.tensors[g.tensor].dtype
            extent = self._size(self.tensors[g.target].shape[g.dimension])
            yield f"    if ({guard}gc_outside_{kind}({self.names[g.tensor]}, {self._count(g.tensor)}, {extent}))"
            yield f"        return {self._code(self.of_check[GatherCheck(g.tensor, g.target, g.dimension, g.loop)])};"

    def _positive(self, extents: Iterable[sp.Expr]) -> Iterator[str]:
        shown = sorted(map(self._size, extents))
        if shown:
            yield f"    if ({' || '.join(f'{e} < 0' for e in shown)})"
            yield f"        return {self._code('NEGATIVE_SIZE')};"

    def _missing(self, variable: str, name: str) -> str:
        return f"!{variable} && {self._count(name)} > 0" if self.tensors[name].shape else f"!{variable}"

    def _memory(self) -> Iterator[str]:
        if not self.temporaries and not self.module.contractions:
            yield "    void *own = NULL;"
            yield "    (void)workspace;"
            return
        yield f"    void *own = workspace ? NULL : malloc({self.name}_workspace(arguments));"
        yield "    if (!workspace && !own)"
        yield f"        return {self._code('NO_MEMORY')};"
        yield "    char *memory = gc_line(workspace ? workspace : own);"
        places = self._places()
        for position, names in enumerate(places):
            for name in names:
                kind = C_TYPES[self.tensors[name].dtype]
                yield f"    {kind} *{self.names[name]} = ({kind} *)memory;"
            if position < len(places) - 1 or self.module.contractions:
                yield f"    memory += gc_aligned({self._bytes(names[0])});"

    def _places(self) -> list[list[str]]:
        """Temporaries that share memory: of as many bytes, and never needed at the same time."""
        places: list[list[str]] = []
        for name in sorted(self.temporaries, key=lambda n: self.module.lives[n]):
            first, _ = self.module.lives[name]
            free = (p for p in places if self._bytes(p[0]) == self._bytes(name) and self.module.lives[p[-1]][1] < first)
            place = next(free, None)
            if place is None:
                places.append([name])
            else:
                place.append(name)
        return places

    def _extents(self, step: Contract) -> list[str]:
        """How many points each group of indices has."""
        groups = (step.batch, step.rows, step.columns, step.depth)
        return [" * ".join(map(self._points, g.extents)) or "1" for g in groups]

    def _points(self, extent: sp.Expr) -> str:
        """How many points a loop has: none where its extent is negative."""
        text = self._size(extent)
        return text if re.fullmatch(r"\w+", text) else f"gc_max({text}, 0)"

    def _plans(self) -> Iterator[str]:
        """The offset tables of contractions, and the scratch memory behind them."""
        if not self.module.contractions:
            return
        yield "    int64_t *tables = (int64_t *)memory;"
        for number, step in enumerate(self.module.contractions):
            plan = f"plan_{number}"
            yield from comment(step.plan.loop, "    ")
            yield f"    gc_plan {plan} = gc_new_plan(&tables, {', '.join(self._extents(step))});"
            shapes = {name: self.tensors[name].shape for name in step.operands}
            fields = iter(_TABLES)
            for _, operands in offset_loops(step, shapes):
                for start, loops in operands:
                    counts = f"(int64_t[]){{{', '.join(self._points(c) for c, _ in loops)}}}" if loops else "NULL"
                    steps = f"(int64_t[]){{{', '.join(self._size(s) for _, s in loops)}}}" if loops else "NULL"
                    yield f"    gc_offsets({plan}.{next(fields)}, {self._size(start)}, {len(loops)}, {counts}, {steps});"
            yield f"    gc_choose(&{plan}, sizeof({C_TYPES[self.tensors[step.writes].dtype]}));"
        yield "    char *scratch = gc_line(tables);"

    def _run(self) -> Iterator[str]:
        if not self.module.program:
            return
        cost = self._size(sp.expand(self.module.cost))
        yield "    const int threads = arguments->threads > 0 ? (int)arguments->threads : GC_THREADS;"
        yield "    (void)threads;"
        yield f"    GC_OMP(omp parallel num_threads(threads) if ({cost} >= {SMALL}))"
        yield from wrapped("gc_program(", ["GC_ME", "GC_TEAM", "status", *self.module.arguments], ");", "    ")

    def _given(self) -> Iterator[str]:
        """Copies of inputs that are results, before anything changes them."""
        yield from (f"    {self._copy(self.copied[n], n, n)}" for n in self.copied)

    def _copies(self) -> Iterator[str]:
        """New values into what they replace, unless something was wrong."""
        moved = [(self.names[old], new, old) for old, new in self.updated.items() if new not in self.in_place]
        if moved:
            yield from ("    if (!status[0]) {", *(f"        {self._copy(*parts)}" for parts in moved), "    }")

    def _copy(self, target: str, source: str, shaped: str) -> str:
        return f"memcpy({target}, {self.names[source]}, (size_t)({self._count(shaped)}) * sizeof({C_TYPES[self.tensors[shaped].dtype]}));"


def _quoted(text: str) -> str:
    """A string literal of C: other characters than ASCII's as bytes of UTF-8."""
    shown = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{shown}"'
