"""Names in exported C: no file, tensor or size has a meaning in C that the notation does not give it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import graphc as gc
from graphc.emit.names import safe, variable_names
from graphc.export.c_library import function_name
from tests.c_programs import UNDEFINED, WARNINGS, compiled, exported, needs_compiler

pytestmark = needs_compiler

HEADERS = ("stdbool", "stddef", "stdint", "math", "stdlib", "string", "omp", "sched")
"""Those of exported files."""

STRICT = (*WARNINGS, "-Wpedantic", "-O0", "-fopenmp")

i = gc.index("i")

TENSORS = """
    X X_given X_given_2 double register restrict NULL NAN INFINITY EOF size_t int64_t INT64_MIN INT64_C uint8_t M_PI linux errno
    sqrt sqrtf free malloc memcpy memset gc_max GC_ME GC_OMP gc_program _Bool __FILE__ __x omp_get_max_threads omp_get_thread_num
    NET_H NET_OK NET_SIZES NET_NO_ARRAY NET_OUTSIDE_T NET_EMPTY_RANGE net net_arguments net_message net_workspace arguments
    workspace threads own status faults first last scratch memory needed tables map_0 map_1 sum_0 plan_0 main signgam y0 index new
    this operator template wchar_t int_ int__ const
"""

STEMS = """
    double struct bool int64_t NULL div labs log2 exp2 fmod erfc qsort realloc strlen main printf y0 gamma select read write
    connect isnan INT64_C omp_get_max_threads sched_yield gc_max GC_ME map_0 map_1 f x X _Bool __x net_ größe arguments status
"""


def doubled(names: list[str]) -> tuple[gc.Program, dict[str, np.ndarray]]:
    """Elementwise, with a gather and a maximum, so that all kinds of faults have a code."""
    size = gc.dim("NET_SIZE")
    table, word, total = gc.tensor("table", size), gc.tensor("T", gc.dim("const_"), dtype="int64"), gc.tensor("total")
    inputs = [gc.tensor(name, size) for name in names]
    results = [gc.tensor(f"{name}.twice") for name in names]
    for x, y in zip(inputs, results, strict=True):
        y[i] = 2 * x[i] + gc.sqrt(table[i])
    total[()] = gc.max(table[word[i]], over=i)
    arrays = {name: np.full(3, k, "float32") for k, name in enumerate(names)}
    outputs = [total, *results, *(x for x in inputs if x.name == "X")]
    return gc.compile(outputs), {**arrays, "table": np.array([4, 9, 16], "float32"), "T": np.array([0, 2, 1, 1])}


def test_tensors(tmp_path: Path) -> None:
    program, arrays = doubled(TENSORS.split())
    for value, expected in zip(exported(program, tmp_path, flags=STRICT).results(arrays), program(**arrays), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_files(tmp_path: Path) -> None:
    """Every file alone, and all of them as one program, whose functions nobody else has."""
    stems = list(dict.fromkeys(STEMS.split()))
    x, y = gc.tensor("x", gc.dim("N")), gc.tensor("y")
    y[i] = 2 * x[i]
    program = gc.compile(y)
    for stem in stems:
        program.save(tmp_path / f"{stem}.c")
    heads = "".join(f'#include "{stem}.h"\n' for stem in stems)
    (tmp_path / "all.c").write_text(f"#include <unistd.h>\n#include <stdio.h>\n{heads}")
    compiled(tmp_path, [*stems, "all"], STRICT)
    (tmp_path / "all.cpp").write_text(heads)
    subprocess.run(["gcc", "-x", "c++", "-fsyntax-only", "-Wall", "-Werror", "all.cpp"], cwd=tmp_path, check=True)
    assert "It is called div_ because div belongs to C" in (tmp_path / "div.h").read_text()


def test_the_header_says_which_name_stands_for_what(tmp_path: Path) -> None:
    x, y = gc.tensor("conv.free", gc.dim("int")), gc.tensor("free")
    y[i] = 2 * x[i]
    gc.compile(y).save(tmp_path / "net.c")
    fields = re.findall(r"    (\w.*; /\*.*\*/)", (tmp_path / "net.h").read_text())
    assert fields[:3] == ["int64_t int_; /* size int */", "const float *conv_free; /* conv.free[int], read */",
                          "float *free_; /* free[int], written */"]


def test_table_has_what_the_headers_declare(tmp_path: Path) -> None:
    """Functions, types and macros of the compiler at hand."""
    (tmp_path / "h.c").write_text("".join(f"#include <{name}.h>\n" for name in HEADERS))

    def read(*flags: str) -> str:
        return subprocess.run(["gcc", "-fopenmp", "-E", *flags, "h.c"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    declared = re.findall(r"\bextern\b[^;{]*?\b(\w+)\s*\((?!\*)", read("-P"))
    macros = re.findall(r"^#define ([a-zA-Z]\w*)( |\()", read("-dM"), re.MULTILINE)
    assert len(declared) > 300 and len(macros) > 50
    assert not [name for name in (*declared, *(macro for macro, _ in macros)) if function_name(name) == name]
    assert not [name for name, mark in macros if mark == " " and safe(name) == name]


def test_different_names_stay_different() -> None:
    names = ["int", "int_", "int__", "gc_x", "x_gc_x", "_Bool", "x__Bool", "a.b", "a_b", "b" * 1000, "b" * 1001]
    assert len(set(map(safe, names[:7]))) == 7
    variables = variable_names(names, ["a_b_2"], "b")
    assert len(set(variables.values())) == len(names) and not any(v.startswith("b") or len(v) > 210 for v in variables.values())


def test_no_integer_of_nan(tmp_path: Path) -> None:
    """The conversion is defined, and NumPy's on processors of Intel."""
    x, y, z = gc.tensor("x", gc.dim("N")), gc.tensor("y", dtype="int64"), gc.tensor("z", dtype="int64")
    y[i] = gc.floor(x[i])
    z[i] = gc.where(x[i] > 0, gc.floor(x[i]), 3)
    given = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 2.5, -2.5, 2**62, -(2.0**63)], "float32")
    flags = (*UNDEFINED, "-fsanitize=float-cast-overflow")
    net = exported(gc.compile([y, z]), tmp_path, flags=flags)
    least = -(2**63)
    expected = [least, least, least, least, least, 2, -3, 2**62, least]
    for value, want in zip(net.results({"x": given}), [expected, [3, least, 3, least, 3, 2, 3, 2**62, 3]], strict=True):
        np.testing.assert_array_equal(value, want)


@pytest.mark.parametrize("length", [1100, 3000])
def test_long_names(length: int) -> None:
    x, y = gc.tensor("x" * length, gc.dim("N")), gc.tensor("y" * length)
    y[i] = 2 * x[i]
    np.testing.assert_array_equal(gc.compile(y, inputs=[x])(np.ones(2, "float32")), [2, 2])


@pytest.mark.parametrize("file", ["a-b.c", "a.b.c", "größe 2.c"])
def test_files_that_are_no_identifiers(tmp_path, file):
    """The source includes its header by the name of the file."""
    i, x, y = gc.index("i"), gc.tensor("x", gc.dim("N")), gc.tensor("y")
    y[i] = 2 * x[i]
    gc.compile(y).save(tmp_path / file)
    command = ["cc", "-std=c99", "-Wall", "-Werror", "-c", file, "-o", os.devnull]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
