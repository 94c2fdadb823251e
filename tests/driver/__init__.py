"""An imitation of NVIDIA's driver: what Numba and cuda.core ask of the driver is known without one, and without a GPU."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

__all__ = ["built", "missing", "run"]

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("driver.c")


def missing() -> str | None:
    """Why it cannot be used here."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        return "there is no C compiler"
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is not installed: make cuda-check"
    return None


def built(folder: Path) -> Path:
    """The folder with the library."""
    command = ["cc", "-w", "-shared", "-fPIC", "-o", str(folder / "libcuda.so.1"), str(SOURCE)]
    subprocess.run(command, check=True)
    return folder


def run(folder: Path, script: str, **environment: str) -> tuple[str, dict[str, list[str]]]:
    """What a script prints, and the calls of the driver behind each ``part("name")`` of it."""
    log = folder / "log"
    log.write_text("", encoding="utf-8")
    head = f'def part(name):\n    with open({str(log)!r}, "a") as file:\n        print("==", name, file=file)\n'
    found = {"LD_LIBRARY_PATH": str(folder), "DRIVER_LOG": str(log), "GRAPHC_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-W", "error", "-c", head + textwrap.dedent(script)], capture_output=True, text=True,
                          env={**os.environ, **found, **environment}, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    parts: dict[str, list[str]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            calls = parts.setdefault(line[3:], [])
        elif parts:
            calls.append(line)
    return done.stdout, parts
