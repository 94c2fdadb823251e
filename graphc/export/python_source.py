"""The text of a Python module that computes what a compiled program computes, and needs only NumPy and Numba."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import textwrap
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sympy as sp

from graphc.calls.layout import offset_loops
from graphc.calls.signature import Signature
from graphc.emit.checks import EmptyRange, GatherCheck
from graphc.emit.plain import quoted, size_text, structured, wrapped_call
from graphc.errors import CompileError
from graphc.ir.affine import linear
from graphc.ir.expr import Size
from graphc.ir.graph import Check, Graph
from graphc.ir.nest import Contract
from graphc.ir.show import expression
from graphc.ir.tensor import Tensor
from graphc.ir.tree import sizes_of
from graphc.runtime.bundle import bundle
from graphc.targets import CpuProgram

__all__ = ["python_text"]

_RESERVED = {"BUFFERS", "buffers", "generator", "init", "memory", "np", "seed", "sizes", "state", "status", "tables", "temporaries"}
"""Names that the text uses beside those of tensors, sizes and kernels."""


def python_text(program: CpuProgram, graph: Graph, signature: Signature, stem: str) -> str:
    """The module.

    Args:
        program: what the target "cpu" has made of the graph.
        graph: the program as the user wrote it.
        signature: its arguments and results.
        stem: of the module's file, an identifier; its function has the same name, or one like it that hides nothing.
    """
    return _PythonSource(program, graph, signature, stem).text()


class _PythonSource:
    """The text of a module, section by section."""

    def __init__(self, program: CpuProgram, graph: Graph, signature: Signature, stem: str) -> None:
        self.module, self.in_place, self.threads = program.module, program.in_place, program.threads
        self.graph, self.signature, self.results = graph, signature, program.graph.outputs
        self.tensors: dict[str, Tensor] = {**program.graph.by_name(), **{t.name: t for t in signature.inputs}}
        self.updated = dict(signature.updates)
        self.gathers, known = program.gathers, {(g.tensor, g.target, g.dimension) for g in program.gathers}
        # Codes in the status array; a certain gather never leaves one, because its values were tested before.
        self.checks = self.module.checks
        self.judged = any(isinstance(c, EmptyRange) or (c.tensor, c.target, c.dimension) not in known for c in self.checks)
        self.held = [t for t in signature.inputs if t.kind == "parameter" or t.name in self.updated]
        self.has_init = bool(self.held) and not any(callable(t.init) for t in self.held)
        self.temporaries = [n for n in self.module.arrays if not self.tensors[n].is_input and n not in self.results]
        self.tree = ast.parse(self.module.text)
        self.parts = bundle([*self._imported(), *self._helpers()], _defined(self.tree) | _RESERVED)
        self.stem, self.function = stem, stem + "_" * (stem in self.parts.names or hasattr(builtins, stem))
        self.names, self.sizes = self._variables({*_RESERVED, "start", self.function, *(name for _, name in self._helpers())})

    def _imported(self) -> Iterator[tuple[str, str]]:
        """What the generated program takes from the kernels."""
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("graphc."):
                yield from ((node.module or "", item.name) for item in node.names)

    def _helpers(self) -> Iterator[tuple[str, str]]:
        """What the functions around it take from the package."""
        needed = {
            "team_for": True, "argument": self.signature.inputs, "fit": self.signature.inputs, "refusal": self.signature.inputs,
            "updated": self.updated, "separate": self.updated, "unshared": self.updated, "write_back": self.updated,
            "within": self.gathers, "judge": self.judged, "offsets": self.module.contractions, "planned": self.module.contractions,
            "remembered": self.module.contractions,
            "borrowed": self.temporaries, "give_back": self.temporaries,
        }
        yield from (("graphc.runtime.saved", name) for name, reason in needed.items() if reason)
        if self.temporaries:
            yield "graphc.runtime.cpu", "_aligned"
        yield "graphc.runtime.cpu", "placed"
        if self.module.contractions:
            yield "graphc.kernels.contraction", "load"
        if any(_drawn(t) for t in self.held) and self.has_init:
            yield "graphc.calls.arrays", "_drawn"

    def _variables(self, taken: set[str]) -> tuple[dict[str, str], dict[sp.Basic, str]]:
        """Local variables for tensors and sizes that hide nothing that the function uses."""

        def free(name: str) -> str:
            text = re.sub(r"\W", "_", name)
            while text in taken or keyword.iskeyword(text):
                text += "_"
            taken.add(text)
            return text

        inputs = [t.name for t in self.signature.inputs]
        sizes = {s for t in self.tensors.values() for e in t.shape for s in sizes_of(e)} | set(self.module.sizes)
        names = {name: free(name) for name in dict.fromkeys((*inputs, *self.module.arrays, *self.results))}
        given = dict.fromkeys((*self.signature.outputs, *self.updated.values()))
        self.copied = {name: free(f"{name}_given") for name in given if self.tensors[name].is_input}
        return names, {size: free(str(size)) for size in sorted(sizes, key=str)}

    # -------------------------------------------------------------------------------------------------------- text
    def text(self) -> str:
        source = self.module.text
        first = next(node.lineno for node in self.tree.body if isinstance(node, ast.Assign))
        program = "\n".join(source.splitlines()[first - 1 :])
        # Numba's cache does not know in which mode views were compiled.
        program = program.replace("@njit(cache=True, ", "@njit(cache=not CHECKED, ")
        symbol = f"contract_{zlib.crc32(source.encode()):08x}_"
        public = [self.function, *(["init"] if self.has_init else [])]
        imports = "\n".join(["from __future__ import annotations", "", *self.parts.imports])
        sections = [self._docstring(), imports, f"__all__ = [{', '.join(map(quoted, public))}]"]
        for module, docstring, code in self.parts.sections:
            sections += [_heading(module.rpartition(".")[2], docstring), code.replace("graphc_contract_", symbol)]
        sections += [_heading("program", "The loops, for each member of the team."), program, _heading(self.function, "What to call.")]
        sections += ["\n".join(lines) for lines in (self._temporaries(), self._tables(), self._init(), self._function()) if lines]
        return "\n\n\n".join(section.strip("\n") for section in sections) + "\n"

    def _docstring(self) -> str:
        call = f"{self.function}({', '.join(self._parameters())})"
        state = "    state = init(seed=0)" if self.has_init and not self._open_sizes() else ""
        loops = (ast.get_docstring(self.tree) or "").partition("\n\n")[2].replace("\\", "\\\\")
        contents = ", ".join(module.rpartition(".")[2] for module, _, _ in self.parts.sections)
        names = f"{self.function}{', init' if self.has_init else ''}"
        lines = [
            "Generated by graphc from these loops; needs only NumPy and Numba.", "", loops, "", "Use::", "",
            f"    from {self.stem} import {names}", *([state] if state else []), f"    {call}", "",
            "It runs on GRAPHC_NUM_THREADS threads, by default one per processor.  Numba keeps the machine code in __pycache__.", "",
            *textwrap.wrap(f"The loops and the function to call are at the end, below the parts of graphc that they use: {contents}.", 120),
        ]
        return '"""' + "\n".join(lines) + '\n"""'

    def _temporaries(self) -> list[str]:
        if not self.temporaries:
            return []
        return [
            f"def temporaries({self._arguments()}):", '    """Arrays for intermediate results."""', "    return [",
            *(f'        _aligned({self._shape(n)}, "{self.tensors[n].dtype}"),  # {n}' for n in self.temporaries), "    ]", "", "",
            "BUFFERS: dict[tuple[int, ...], list[list[Array]]] = {}", '"""Intermediate results of calls that have ended, by sizes."""',
        ]

    def _tables(self) -> list[str]:
        if not self.module.contractions:
            return []
        described = "Offsets of the elements that contractions meet: batch, rows, columns and depth of each, and how it is computed."
        lines = ["@remembered", f"def tables({self._arguments()}):", f'    """{described}"""']
        lines += [f'    load("{dtype}")' for dtype in sorted({self.tensors[c.writes].dtype for c in self.module.contractions})]
        lines.append("    return (")
        for step in self.module.contractions:
            lines += textwrap.wrap(step.plan.loop, 120, initial_indent="        # ", subsequent_indent="        #     ")
            lines.append(f'        *planned("{self.tensors[step.writes].dtype}",')
            lines += [f"            offsets({', '.join(rows)})," for rows in self._offsets(step)]
            lines.append("        )," if step.inner is None else "            products=False,\n        ),")
        return [*lines, "    )"]

    def _offsets(self, step: Contract) -> Iterator[list[str]]:
        for _, operands in offset_loops(step, {name: self.tensors[name].shape for name in step.operands}):
            yield [self._row(start, loops) for start, loops in operands]

    def _row(self, start: sp.Expr, loops: Iterable[tuple[sp.Expr, sp.Expr]]) -> str:
        shown = [f"({self._size(extent)}, {self._size(along)})" for extent, along in loops]
        return f"({self._size(start)}, ({', '.join(shown)}{',' * (len(shown) == 1)}))"

    # -------------------------------------------------------------------------------------------------------- init
    def _open_sizes(self) -> list[sp.Basic]:
        return [s for s in self.sizes if any(s in sizes_of(e) for t in self.held for e in t.shape)]

    def _init(self) -> list[str]:
        if not self.has_init:
            return []
        sizes = [self.sizes[s] for s in self._open_sizes()]
        lines = [f"def init({', '.join(['seed=0', *(['*', *sizes] if sizes else [])])}):", '    """New arrays for `state`."""']
        if any(_drawn(t) for t in self.held):
            lines.append("    generator = np.random.default_rng(seed)")
        return [*lines, "    return {", *(f'        "{t.name}": {self._initial(t)},' for t in self.held), "    }"]

    def _initial(self, tensor: Tensor) -> str:
        init: Any = tensor.init or "zeros"
        shape = self._shape(tensor.name)
        if _drawn(tensor):
            kind = f'("{init[0]}", {float(init[1])!r})' if isinstance(init, tuple) else f'"{init}"'
            return f'_drawn({kind}, {shape}, generator).astype("{tensor.dtype}")'
        value = init if not isinstance(init, str) else 1 if init == "ones" else 0
        return f'np.full({shape}, {value!r}, "{tensor.dtype}")'

    # ---------------------------------------------------------------------------------------------------- function
    def _parameters(self) -> list[str]:
        held = {t.name for t in self.held}
        return [*(["state"] if held else []), *(self.names[t.name] for t in self.signature.inputs if t.name not in held)]

    def _function(self) -> list[str]:
        body = [*self._received(), *self._bound(), *(line for check in self.graph.checks for line in self._check(check))]
        body += [*self._tested(), *self._separated(), *self._allocated(), "status = np.zeros(2, np.int64)", *self._run()]
        results = {**self.names, **self.copied}
        if self.updated:
            body.append(f"write_back(state, {self._dictionary({name: results[new] for name, new in self.updated.items()})})")
        body.append(f"return {structured(self.signature.structure([results[n] for n in self.signature.outputs]))}")
        described = [f"    {line}".rstrip() for line in self._described()]
        head = f"def {self.function}({', '.join(self._parameters())}):"
        return [head, *described, *(part for line in body for part in wrapped_call(line))]

    def _tested(self) -> Iterator[str]:
        """Subscripts in integer arguments lie inside of what they point into."""
        for gather in self.gathers:
            extent = self._size(self.tensors[gather.target].shape[gather.dimension])
            subscripts = f"{quoted(gather.tensor)}, {self.names[gather.tensor]}"
            test = f"within({subscripts}, {quoted(gather.target)}, {gather.dimension}, {extent}, {quoted(gather.loop)})"
            runs = [" and ".join(f"{self._size(e)} > 0" for e in extents) for extents in gather.others]
            yield from [test] if "" in runs else [f"if {' or '.join(runs)}:", f"    {test}"]

    def _separated(self) -> Iterator[str]:
        """What is updated in place shares no memory with anything else."""
        if not self.updated:
            return
        if len(self.updated) > 1:
            yield f"separate({self._dictionary({name: self.names[name] for name in self.updated})})"
        changed = ", ".join(self.names[n] for n in self.updated)
        others = [self.names[t.name] for t in self.signature.inputs if t.name not in self.updated]
        yield from (f"{name} = unshared({name}, {changed})" for name in others)

    def _allocated(self) -> Iterator[str]:
        yield from (f"{copy} = {self.names[name]}.copy()" for name, copy in self.copied.items())
        sizes = self._arguments()
        if self.temporaries:
            names = ", ".join(self.names[n] for n in self.temporaries)
            yield f"sizes = ({sizes}{',' * (len(self.sizes) == 1)})"
            yield f"[{names}] = buffers = borrowed(BUFFERS, sizes, temporaries)"
        for name in self.results:
            other = self.in_place.get(name)
            if not self.tensors[name].is_input:
                made = self.names[other] if other else f'np.empty({self._shape(name)}, "{self.tensors[name].dtype}")'
                yield f"{self.names[name]} = {made}"

    @staticmethod
    def _dictionary(names: Mapping[str, str]) -> str:
        return "{" + ", ".join(f"{quoted(name)}: {variable}" for name, variable in names.items()) + "}"

    def _described(self) -> list[str]:
        shapes = {t.name: f"{t.dtype} ({', '.join(map(expression, t.shape))})" for t in self.signature.inputs}
        held = {t.name for t in self.held}
        computed = ", ".join(self.signature.outputs) or "the updates"
        lines = [*textwrap.wrap(f'"""Compute {computed}.', 120), "", "Args:"]
        if held:
            lines.append("    state: a dictionary with the arrays")
            lines += [f"        {name}: {shapes[name]}{', updated' if name in self.updated else ''}" for name in shapes if name in held]
        lines += [f"    {self.names[name]}: {shapes[name]}" for name in shapes if name not in held]
        return [*lines, "", "Raises:", "    ValueError: an array has another dtype or shape, or holds a subscript out of range.", '"""']

    def _received(self) -> Iterator[str]:
        for tensor in self.signature.inputs:
            local, rest = self.names[tensor.name], f'"{tensor.dtype}", {len(tensor.shape)})'
            if tensor.name in self.updated:
                yield f'{local} = updated("{tensor.name}", state, {rest}'
            else:
                value = f'state.get("{tensor.name}")' if tensor in self.held else local
                yield f'{local} = argument("{tensor.name}", {value}, {rest}'

    def _bound(self) -> Iterator[str]:
        """Sizes from shapes, then the shapes that they imply."""
        known: set[sp.Basic] = set()
        whole = set()
        for tensor in self.signature.inputs:
            local, shape = self.names[tensor.name], tensor.shape
            if shape and all(isinstance(e, Size) for e in shape) and len(set(shape) - known) == len(shape):
                yield f"{', '.join(self.sizes[e] for e in shape)}{',' * (len(shape) == 1)} = {local}.shape"
                whole.add(tensor.name)
            else:
                new = [e for e in dict.fromkeys(shape) if isinstance(e, Size) and e not in known]
                yield from (f"{self.sizes[e]} = {local}.shape[{shape.index(e)}]" for e in new)
            known.update(e for e in shape if isinstance(e, Size))
        yield from self._solved(known)
        for size in self.sizes:
            if size not in known:
                raise CompileError(f"No argument determines the size {size}.", fix="declare an input that has it as an extent.")
        for tensor in self.signature.inputs:
            if tensor.shape and tensor.name not in whole:
                meaning = f"({', '.join(map(expression, tensor.shape))}{',' * (len(tensor.shape) == 1)})"
                yield f'fit("{tensor.name}", {self.names[tensor.name]}, {self._shape(tensor.name)}, "{meaning}")'

    def _solved(self, known: set[sp.Basic]) -> Iterator[str]:
        """Sizes that only occur inside of extents such as 2*N + 1."""
        extents = [(t, d, linear(e)) for t in self.signature.inputs for d, e in enumerate(t.shape)]
        for _ in self.sizes:
            for tensor, dimension, form in extents:
                unknown = [a for a, _ in form.terms if a not in known] if form is not None else []
                if form is None or len(unknown) != 1 or not all(a.is_Symbol for a, _ in form.terms):
                    continue
                size, factor = unknown[0], form.coefficient(unknown[0])
                rest = self._size(tensor.shape[dimension] - factor * size, 1)
                local = self.sizes[size]
                yield f"{local} = ({self.names[tensor.name]}.shape[{dimension}] - {rest}) // {self._size(sp.Integer(factor), 1)}"
                yield from (f"if {local} < 0:", f'    raise refusal("The size {size} would be negative.", {local}={local})')
                known.add(size)

    def _check(self, check: Check) -> list[str]:
        used = dict.fromkeys(s for e in check.violation for s in sizes_of(e))
        condition = " and ".join(f"{self._size(e)} >= 0" for e in check.violation) or "True"
        message = "".join(f", {s}={self.sizes[s]}" for s in used)
        return [f"if {condition}:", f"    raise refusal({quoted(check.message)}{message})"]

    def _run(self) -> Iterator[str]:
        cost = self._size(sp.Add(*(k.cost for k in self.module.kernels)))
        arrays = [self.names[n] for n in self.module.arrays]
        tables = f"tables({self._arguments()})" if self.module.contractions else "()"
        values = [self.sizes[s] for s in self.module.sizes]
        threads = f", {self.threads}" if self.threads else ""
        yield f"memory = placed([{', '.join(arrays)}], {tables})"
        yield f"team_for({cost}{threads}).run(start, status, memory, np.array([{', '.join(values)}], np.int64))"
        if self.judged:
            yield f"judge(status, {', '.join(map(self._verdict, self.checks))})"
        if self.temporaries:
            yield "give_back(BUFFERS, sizes, buffers)"

    def _verdict(self, check: GatherCheck | EmptyRange) -> str:
        if isinstance(check, EmptyRange):
            return quoted(f"An extremum over an empty range has no value.\n  {check.loop}")
        held = self.names[check.tensor] if check.tensor in self.module.arrays else "None"
        subscripts = f"{quoted(check.tensor)}, {held}"
        return f"({subscripts}, {quoted(check.target)}, {self.names[check.target]}, {check.dimension}, {quoted(check.loop)})"

    # ------------------------------------------------------------------------------------------------------- sizes
    def _arguments(self) -> str:
        return ", ".join(self.sizes.values())

    def _shape(self, name: str) -> str:
        extents = [self._size(e) for e in self.tensors[name].shape]
        return f"({', '.join(extents)}{',' * (len(extents) == 1)})"

    def _size(self, node: sp.Basic, strength: int = 0) -> str:
        return size_text(node, self.sizes, strength)


def _defined(tree: ast.Module) -> set[str]:
    """Top-level names of the generated program."""
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    constants = {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return constants | {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def _drawn(tensor: Tensor) -> bool:
    """Whether the initialiser needs random numbers."""
    init: Any = tensor.init
    return isinstance(init, tuple) or (isinstance(init, str) and init.endswith(("normal", "uniform", "orthogonal")))


def _heading(name: str, docstring: str) -> str:
    described = "\n".join(f"# {line}".rstrip() for line in docstring.splitlines())
    return f"# {'=' * 20} {name} {'=' * (106 - len(name))}\n#\n{described}"
