"""A training step saved as C beside graphc's own: 64×1000 → 100 sigmoid units → 10, forward, backward and update.

    python benchmarks/export_c.py [--threads 1 2]

Both run in turn in one process on the same numbers, and the least times of a call count. The C file is compiled with gcc and with the
flags that it names.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import graphc as gc

FLAGS = ["-std=c99", "-O3", "-march=native", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC"]
ROUNDS, CALLS = 150, 5


def example() -> ModuleType:
    """The twenty lines."""
    path = Path(__file__).parents[1] / "examples" / "31_twenty_lines.py"
    specification = importlib.util.spec_from_file_location("twenty_lines", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def saved(program: gc.Program, folder: Path, arrays: dict[str, Any], threads: int) -> tuple[Callable[[], None], np.ndarray]:
    """A call of the program in C, and where its loss is."""
    program.save(folder / "step.c")
    subprocess.run(["gcc", *FLAGS, "step.c", "-o", "step.so", "-lm"], cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "step.so"))
    loss = np.zeros((), "float32")
    pointers = {**{name: array.ctypes.data for name, array in arrays.items()}, "loss": loss.ctypes.data, "N": 64, "threads": threads}
    lines = (folder / "step.h").read_text().split("typedef struct {\n")[1].split("\n}")[0].splitlines()
    names = [line.split(";")[0].split()[-1].lstrip("*") for line in lines]
    fields = [(name, ctypes.c_int64 if name in ("N", "threads") else ctypes.c_void_p) for name in names]
    structure: Any = type("Arguments", (ctypes.Structure,), {"_fields_": fields})
    arguments = structure(**{name: pointers[name] for name in names})
    library.step_workspace.restype = ctypes.c_size_t
    workspace = np.empty(library.step_workspace(ctypes.byref(arguments)), np.uint8)

    def call() -> None:
        keep = arguments, workspace
        status = library.step(ctypes.byref(keep[0]), ctypes.c_void_p(keep[1].ctypes.data))
        assert status == 0

    return call, loss


def least(calls: list[Callable[[], Any]]) -> list[float]:
    """Microseconds of each call, measured in turn."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for k, call in enumerate(calls):
            started = time.perf_counter()
            for _ in range(CALLS):
                call()
            best[k] = min(best[k], (time.perf_counter() - started) / CALLS)
    return [1e6 * b for b in best]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    module = example()
    print("threads   graphc µs   C µs   ratio")
    for threads in parser.parse_args().threads:
        x, w1 = module.data("float32"), module.data("float32")
        program = module.compiled("float32", threads=threads)
        with tempfile.TemporaryDirectory() as folder:
            call, loss = saved(program, Path(folder), x, threads)
            call()
            assert abs(float(loss) / float(program(w1)) - 1) < 1e-5
            own, exported = least([lambda p=program, a=w1: p(a), call])  # type: ignore[misc]
        print(f"{threads:7} {own:11.1f} {exported:6.1f} {exported / own:7.2f}")


if __name__ == "__main__":
    main()
