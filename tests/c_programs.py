"""Programs saved as C, compiled with the system's compiler and called through ctypes."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.interpret import size_value

__all__ = ["FAST", "PLAIN", "SANITISED", "UNDEFINED", "WARNINGS", "Exported", "compiled", "exported", "needs_compiler", "run_alone"]

Array = np.ndarray[Any, Any]

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Werror")
FAST = (*WARNINGS, "-O3", "-march=native", "-fopenmp")
PLAIN = (*WARNINGS, "-pedantic", "-O1", "-DGC_PLAIN")
UNDEFINED = (*WARNINGS, "-O1", "-fopenmp", "-fsanitize=undefined", "-fno-sanitize-recover=all")
SANITISED = (*WARNINGS, "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")


def compiled(folder: Path, stems: Sequence[str], flags: Sequence[str] = FAST, output: str = "programs.so") -> Path:
    """A shared object of files in a folder."""
    command = ["gcc", *flags, "-shared", "-fPIC", *(f"{stem}.c" for stem in stems), "-o", output, "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / output


class Exported:
    """One function of a shared object, if there is one; everything but the shapes of arrays is taken from the header."""

    def __init__(self, program: gc.Program, header: Path, library: Path | None) -> None:
        self.program, self.text = program, header.read_text()
        name = re.search(r"^} (\w+)_arguments;$", self.text, re.MULTILINE)
        assert name is not None
        self.name = name[1]
        block = re.search(r"typedef struct \{\n(.*?)\n\}", self.text, re.DOTALL)
        assert block is not None
        found = re.findall(r"^    (const )?(\w+) (\*?)(\w+); /\* (?:size )?([^\s,\[]+)(.*) \*/$", block[1], re.MULTILINE)
        self.fields = [(*row[:4], f"{row[4]}.given" if "a copy of" in row[5] else row[4]) for row in found]
        assert len(self.fields) == block[1].count("\n") + 1 and self.fields[-1][3] == "threads"
        kinds = [(field, ctypes.c_void_p if star else ctypes.c_int64) for _, _, star, field, _ in self.fields]
        self.arguments: Any = type("Arguments", (ctypes.Structure,), {"_fields_": kinds})
        if library is None:
            return
        loaded = ctypes.CDLL(str(library))
        self.function = getattr(loaded, self.name)
        self.function.argtypes, self.function.restype = [ctypes.c_void_p, ctypes.c_void_p], ctypes.c_int
        self.workspace = getattr(loaded, f"{self.name}_workspace")
        self.workspace.argtypes, self.workspace.restype = [ctypes.c_void_p], ctypes.c_size_t
        self.message = getattr(loaded, f"{self.name}_message")
        self.message.argtypes, self.message.restype = [ctypes.c_int], ctypes.c_char_p

    def prepared(self, arrays: Mapping[str, Any], threads: int = 2) -> tuple[Any, dict[str, Array]]:
        """The struct for a call, and all arrays by name."""
        signature = self.program.signature
        given = {t.name: np.array(arrays[t.name], t.dtype, order="C", copy=True) for t in signature.inputs}
        sizes = self.program._binder.sizes({name: array.shape for name, array in given.items()})
        held, values = dict(given), {}
        graph = self.program._graph
        for _, kind, star, field, name in self.fields:
            if field == "threads":
                values[field] = threads
            elif not star:
                values[field] = next(v for s, v in sizes.items() if str(s) == name)
            elif name.endswith(".given"):
                held[name] = np.empty_like(given[name.removesuffix(".given")])
            elif name not in held:
                tensor = graph.tensor(name)
                held[name] = np.full([size_value(e, sizes) for e in tensor.shape], 77, tensor.dtype)
            if star:
                values[field] = held[name].ctypes.data
                assert {"float": "float32", "double": "float64"}.get(kind, kind.removesuffix("_t")) == held[name].dtype.name
        return self.arguments(**values), held

    def address(self, arguments: Any) -> int:
        return ctypes.addressof(arguments)

    def __call__(self, arrays: Mapping[str, Any], threads: int = 2, own_workspace: bool = False) -> tuple[int, dict[str, Array]]:
        """The status, and all arrays by name after the call."""
        arguments, held = self.prepared(arrays, threads)
        place = ctypes.addressof(arguments)
        room = np.full(self.workspace(place) if own_workspace else 0, 255, np.uint8)
        return self.function(place, room.ctypes.data if own_workspace else None), held

    def results(self, arrays: Mapping[str, Any], threads: int = 2, own_workspace: bool = False) -> list[Array]:
        """What `program(**arrays)` returns, as a list, and the arrays that are updated behind it."""
        status, held = self(arrays, threads, own_workspace)
        assert status == 0, self.message(status).decode()
        return self.wanted(held)

    def wanted(self, held: Mapping[str, Array]) -> list[Array]:
        """The results among all arrays."""
        signature = self.program.signature
        inputs = {t.name for t in signature.inputs}
        outputs = [held[f"{n}.given"] if n in inputs else held[n] for n in signature.outputs]
        return [*outputs, *(held[old] for old, _ in signature.updates)]


_ALONE = """#include "{stem}.h"
#include <stdio.h>
#include <stdlib.h>

static void *taken(FILE *file, size_t bytes)
{{
    void *array = malloc(bytes + !bytes);
    if (!array || fread(array, 1, bytes, file) != bytes)
        abort();
    return array;
}}

int main(void)
{{
    FILE *file = fopen("{stem}.data", "rb");
    {name}_arguments a = {{0}};
{take}
    fclose(file);
    const int status = {name}(&a, NULL);
    file = fopen("{stem}.results", "wb");
{give}
    fclose(file);
    return status;
}}
"""


def run_alone(program: gc.Program, folder: Path, stem: str, arrays: Mapping[str, Any], flags: Sequence[str]) -> list[Array]:
    """The results of a saved program in an executable of its own."""
    net = Exported(program, folder / f"{stem}.h", None)
    _arguments, held = net.prepared(arrays)
    pointers = {field: held[name] for _, _, star, field, name in net.fields if star}
    take = [f"    a.{f} = {getattr(_arguments, f)};" for _, _, star, f, _ in net.fields if not star]
    take += [f"    a.{f} = taken(file, {array.nbytes});" for f, array in pointers.items()]
    give = [f"    fwrite(a.{f}, 1, {array.nbytes}, file);\n    free((void *)a.{f});" for f, array in pointers.items()]
    (folder / "main.c").write_text(_ALONE.format(stem=stem, name=net.name, take="\n".join(take), give="\n".join(give)))
    (folder / f"{stem}.data").write_bytes(b"".join(array.tobytes() for array in pointers.values()))
    command = ["gcc", *flags, f"{stem}.c", "main.c", "-o", stem, "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    done = subprocess.run([folder / stem], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    data, place = (folder / f"{stem}.results").read_bytes(), 0
    for field, array in pointers.items():
        made = np.frombuffer(data[place : place + array.nbytes], array.dtype).reshape(array.shape)
        held[next(name for _, _, _, f, name in net.fields if f == field)] = made
        place += array.nbytes
    return net.wanted(held)


def exported(program: gc.Program, folder: Path, stem: str = "net", flags: Sequence[str] = FAST) -> Exported:
    """A program saved as C and compiled."""
    program.save(folder / f"{stem}.c")
    return Exported(program, folder / f"{stem}.h", compiled(folder, [stem], flags, f"{stem}.so"))
