"""A compiled program as one Python module that needs only NumPy and Numba."""

from __future__ import annotations

import ast
import keyword
import os
import re
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import sympy as sp

from graphc.emit.expression import variable_names
from graphc.errors import ArgumentError, CompileError, InternalError
from graphc.ir.affine import linear
from graphc.ir.expr import FloorDiv, Modulo, Size, sizes_of
from graphc.ir.graph import Graph
from graphc.ir.nest import Contract, Group
from graphc.ir.tensor import Tensor
from graphc.program import Runner
from graphc.runtime.bundle import Bundle, bundle, rename
from graphc.signature import Signature
from graphc.targets import CpuProgram

__all__ = ["save"]

_WIDTH = 130
_SAVED = "graphc.runtime.saved"
_LOCALS = {"state", "status", "seed", "generator", "np", "BUFFERS", "init", "temporaries", "tables", "True", "False", "None"}


def save(runner: Runner, graph: Graph, signature: Signature, path: str | os.PathLike[str]) -> Path:
    """Write a program as a module with one function, called as the file, and ``init`` if it has parameters.

    Args:
        runner: of the target "cpu".
        graph: the program as the user wrote it.
        signature: its arguments and results.
        path: a file name that ends in ``.py``.

    Raises:
        CompileError: the target has no such form.
        ArgumentError: the path is no module name.
    """
    program = getattr(runner, "program", None)
    if not isinstance(program, CpuProgram):
        raise CompileError("Only a program of the target \"cpu\" can be saved as a module.", fix='compile the same tensors with target="cpu" and save that.')
    target = Path(path)
    name = re.sub(r"\W", "_", target.stem)
    if target.suffix != ".py" or not name.isidentifier() or keyword.iskeyword(name):
        raise ArgumentError(f"{target.name} is no name of a Python module.", fix='give a name such as "net.py".')
    text = _Module(program, graph, signature, name).text()
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    return target


@dataclass
class _Module:
    """The text of one saved module."""

    program: CpuProgram
    graph: Graph
    signature: Signature
    stem: str

    # ------------------------------------------------------------------------------------------------------- names
    @cached_property
    def body(self) -> ast.Module:
        return ast.parse(self.program.module.text)

    @cached_property
    def own(self) -> set[str]:
        """Top-level names of the generated program."""
        defined = {node.name for node in self.body.body if isinstance(node, ast.FunctionDef)}
        return defined | {part.id for node in self.body.body if isinstance(node, ast.Assign) for t in node.targets for part in ast.walk(t) if isinstance(part, ast.Name)}

    @cached_property
    def function(self) -> str:
        taken = self.own | _LOCALS
        return self.stem + "_" * (self.stem in taken) if self.stem + "_" not in taken else self.stem + "_program"

    @cached_property
    def bundle(self) -> Bundle:
        roots = [(node.module or "", item.name) for node in self.body.body if isinstance(node, ast.ImportFrom) for item in node.names]
        wanted = [(module, name) for module, name in roots if module.startswith("graphc.")] + [(_SAVED, name) for name in self.helpers]
        if self.engines:
            wanted.append(("graphc.kernels.contraction", "load"))
        if self.initial and self.initialised:
            wanted.append(("graphc.arrays", "_drawn"))
        return bundle(wanted, self.own | _LOCALS | {self.function})

    @cached_property
    def helpers(self) -> list[str]:
        """Functions of `graphc.runtime.saved` that the text calls."""
        contractions, updates, checks = self.program.module.contractions, self.signature.updates, self.program.module.checks
        held = {"offsets": contractions, "updated": updates, "write_back": updates, "unshared": updates, "outside": checks,
                "refusal": self.graph.checks, "borrowed": self.temporaries, "fit": self.signature.inputs, "argument": self.signature.inputs}
        return ["team_for", *(name for name, reason in held.items() if reason)]

    @cached_property
    def variables(self) -> dict[str, str]:
        """The local variable of every tensor and size; none hides a name of the module."""
        tensors = dict.fromkeys((*(t.name for t in self.signature.inputs), *self.program.module.arrays))
        wanted = variable_names([*tensors, *(f"size {size}" for size in ())])
        taken = self.bundle.names | self.own | _LOCALS | {self.function} | {"team_for", *self.helpers}
        names: dict[str, str] = {}
        for key, text in (*wanted.items(), *((str(s), str(s)) for s in self.sizes)):
            while text in taken or text in names.values() or keyword.iskeyword(text):
                text += "_"
            names[f"size {key}" if key not in tensors or key in names else key] = text
        return names

    @cached_property
    def sizes(self) -> tuple[Size, ...]:
        found = {s for t in (*self.signature.inputs, *self.program.graph.tensors) for e in t.shape for s in sizes_of(e)}
        return tuple(sorted(found | set(self.program.module.sizes), key=str))

    def helper(self, name: str, module: str = _SAVED) -> str:
        return self.bundle.renamed.get((module, name), name)

    # ------------------------------------------------------------------------------------------------------- parts
    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        return {**{t.name: t for t in self.signature.inputs}, **self.program.graph.by_name()}

    @cached_property
    def temporaries(self) -> list[str]:
        return [n for n in self.program.module.arrays if not self.tensors[n].is_input and n not in self.program.graph.outputs]

    @cached_property
    def engines(self) -> list[str]:
        return sorted({self.tensors[c.writes].dtype for c in self.program.module.contractions})

    @cached_property
    def held(self) -> list[Tensor]:
        """Inputs that come in ``state``: parameters and what is updated."""
        changed = dict(self.signature.updates)
        return [t for t in self.signature.inputs if t.kind == "parameter" or t.name in changed]

    @cached_property
    def initialised(self) -> bool:
        """Whether ``init`` can be written: no initialiser is a Python function."""
        return bool(self.held) and not any(callable(t.init) for t in self.held)

    @cached_property
    def initial(self) -> bool:
        return any(isinstance(t.init, str) and t.init.endswith(("normal", "uniform")) for t in self.held)

    def size(self, node: sp.Basic, strength: int = 0) -> str:
        """An integer expression in sizes as Python text; strength 1 for a term, 2 for a factor."""
        if isinstance(node, sp.Integer):
            return str(int(node)) if node >= 0 or strength == 0 else f"({int(node)})"
        if node.is_Symbol:
            return self.variables[f"size {node}"]
        if isinstance(node, sp.Add):
            text = " + ".join(self.size(term, 1) for term in sorted(node.args, key=lambda t: (t.is_Integer, str(t)))).replace("+ -", "- ")
            return f"({text})" if strength else text
        if isinstance(node, sp.Mul):
            number, rest = node.as_coeff_Mul()
            if number == -1 and strength < 2:
                return "-" + self.size(rest, 2)
            text = " * ".join([*([str(int(number))] if number != 1 else []), *(self.size(f, 2) for f in sp.Mul.make_args(rest))])
            return f"({text})" if strength > 1 else text
        if isinstance(node, FloorDiv | Modulo):
            text = f"{self.size(node.numerator, 2)} {'//' if isinstance(node, FloorDiv) else '%'} {node.divisor}"
            return f"({text})" if strength else text
        if isinstance(node, sp.Pow):
            return f"{self.size(node.base, 2)}**{int(node.exp)}"
        raise InternalError(f"{node} is not an integer expression in sizes.")

    def shape(self, name: str) -> str:
        extents = [self.size(e) for e in self.tensors[name].shape]
        return f"({', '.join(extents)}{',' * (len(extents) == 1)})"

    def arguments_of_sizes(self) -> str:
        return ", ".join(self.variables[f"size {s}"] for s in self.sizes)

    # -------------------------------------------------------------------------------------------------------- text
    def text(self) -> str:
        source = self.program.module.text
        start = next(node for node in self.body.body if isinstance(node, ast.Assign)).lineno
        changes = {name: new for (_, name), new in self.bundle.renamed.items() if name not in self.own and f"import {name}" not in new}
        imported = {item.name: (node.module or "", item.name) for node in self.body.body if isinstance(node, ast.ImportFrom) for item in node.names}
        changes = {name: self.bundle.renamed[key] for name, key in imported.items() if key in self.bundle.renamed}
        generated = rename("\n".join(source.splitlines()[start - 1 :]), changes)
        generated = generated.replace("@njit(cache=True,", "@njit(cache=not CHECKED,")
        digest = f"{abs(hash_text(source)):08x}"
        parts = [self.docstring(), "from __future__ import annotations\n", self.imports(), f'__all__ = ["{self.function}"{", \"init\"" if self.initialised else ""}]\n']
        for module, docstring, code in self.bundle.sections:
            parts += [_heading(module.rpartition(".")[2], docstring), code.replace("graphc_contract_", f"contract_{digest}_")]
        parts += [_heading("program", "The generated program."), generated.strip("\n") + "\n", _heading(self.function, "The function to call.")]
        parts += [part for part in (self.temporaries_text(), self.tables_text(), self.init_text(), self.function_text()) if part]
        return "\n\n".join(part.strip("\n") + "\n" for part in parts).replace("\n\n\n\n", "\n\n\n")
