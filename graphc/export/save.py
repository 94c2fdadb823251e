"""Compiled programs as files that need no graphc: Python modules, C, shared objects."""

from __future__ import annotations

import keyword
import os
import re
import sys
from pathlib import Path

from graphc.calls.signature import Signature
from graphc.errors import ArgumentError, CompileError
from graphc.export.c_compiler import shared_object
from graphc.export.c_source import c_texts
from graphc.export.python_source import python_text
from graphc.ir.graph import Graph
from graphc.targets import CpuProgram

__all__ = ["save"]

_FORMS = (".py", ".c", ".so")

_TAKEN = sys.stdlib_module_names | {"numpy", "numba", "llvmlite"}
"""Modules that what is imported by a written one may import."""


def save(program: object, graph: Graph, signature: Signature, path: str | os.PathLike[str]) -> None:
    """Write a program as a module with one function of the file's name, and ``init`` if the program has parameters; or as C.

    A name that the kernels use, or that means something else in Python or C, gets an underscore (``log.py`` defines ``log_``).

    Args:
        program: what the target has made of the graph.
        graph: the program as the user wrote it.
        signature: its arguments and results.
        path: a file name that ends in ``.py``, ``.c`` (the header is written beside it) or ``.so`` (the same).

    Raises:
        CompileError: the target has no such form, or the C compiler fails.
        TargetError: there is no C compiler.
        ArgumentError: the path is no such name, the module would hide one that it needs, or its folder does not exist.
    """
    if not isinstance(path, str | os.PathLike):
        raise ArgumentError(f"{path!r} is no path of a file.", fix='give a path such as "net.py", "net.c" or "net.so".')
    target = Path(path)
    stem = re.sub(r"\W", "_", target.stem)
    if target.suffix not in _FORMS or not stem.isidentifier() or (target.suffix == ".py" and keyword.iskeyword(stem)):
        raise ArgumentError(f"{target.name!r} is no name of a Python module, of a C file or of a shared object.",
                            fix='give a path such as "net.py", "net.c" or "net.so".')
    if target.suffix == ".py" and stem in _TAKEN:
        raise ArgumentError(f"A file {target.name} would hide the module {stem} of Python, or of what it imports.",
                            fix=f'save it under another name: "{stem}_program.py".')
    if not target.parent.is_dir():
        raise ArgumentError(f"There is no folder {str(target.parent)!r}.", fix="make it before, or save somewhere else.")
    if not isinstance(program, CpuProgram):
        raise CompileError("Only programs of the target \"cpu\" can be saved.", fix='compile with target="cpu" and save that.')
    if target.suffix == ".py":
        _write(target, python_text(program, graph, signature, stem))
        return
    source, header = c_texts(program, graph, signature, target.stem)
    if target.suffix == ".so":
        shared_object(target, source, header)
    else:
        _write(target, source)
    _write(target.with_suffix(".h"), header)


def _write(target: Path, text: str) -> None:
    """Put a text into a file; nobody ever sees a part of it."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
