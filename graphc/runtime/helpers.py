"""Compiling one program in several processes.

Numba compiles under a lock, one function at a time.  What a program calls is independent, so other processes compile parts of
it and leave the machine code in the cache on disk, where this one finds it.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from graphc.kernels import contraction
from graphc.runtime.cache import load

__all__ = ["Task", "compile_together"]

STARTUP = 6
"""What a helper costs before it begins, in units of an average kernel (0.2 s)."""

ENGINE = 15
"""What the contraction engine for one element type costs, in the same unit."""

PATIENCE = 120.0
"""Seconds after which helpers that have not finished are given up."""


@dataclass(frozen=True, slots=True)
class Task:
    """A function of a generated module to be compiled, or the contraction engine for an element type.

    Attributes:
        name: of the function; of the element type for the engine.
        signature: types of the arguments; None for the engine.
        weight: how long it takes, in units of an average kernel.
    """

    name: str
    signature: tuple[Any, ...] | None
    weight: float


def compile_together(module: ModuleType, text: str, tasks: Sequence[Task], engines: Iterable[str]) -> None:
    """Compile functions of a module, imported from `text`, with the help of other processes where that pays.

    A helper that fails or dies does no harm: what it has not left in the cache is compiled here, when it is needed.
    """
    missing = [Task(dtype, None, ENGINE) for dtype in engines if not contraction.on_disk(dtype)]
    mine, *theirs = shares([*missing, *tasks], processes())
    helpers = [_start(text, part) for part in theirs]
    _compile(module, mine if helpers else [t for t in mine if t.signature is None])
    for helper in helpers:
        try:
            helper.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            helper.kill()
            helper.wait()
    for part in theirs:
        _compile(module, part)


def processes() -> int:
    """How many processes compile: ``GRAPHC_COMPILE_PROCESSES``, or one per usable processor, at most 8."""
    wish = os.environ.get("GRAPHC_COMPILE_PROCESSES", "")
    if wish.isdecimal() and int(wish):
        return int(wish)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, usable) if sys.executable and not getattr(sys, "frozen", False) else 1


def shares(tasks: Sequence[Task], count: int) -> list[list[Task]]:
    """The tasks of this process, then those of each helper that is worth starting.

    >>> parts = shares([Task(name, (), 5.0) for name in "abcd"], 2)
    >>> [[task.name for task in part] for part in parts]
    [['a', 'b', 'd'], ['c']]
    >>> shares([Task("a", (), 1.0)], 2)
    [[Task(name='a', signature=(), weight=1.0)]]
    """
    loads = [0.0] + [float(STARTUP)] * (count - 1)
    parts: list[list[Task]] = [[] for _ in loads]
    for task in sorted(tasks, key=lambda t: -t.weight):
        least = min(range(count), key=lambda k: loads[k])
        parts[least].append(task)
        loads[least] += task.weight
    return [parts[0], *(part for part in parts[1:] if part)]


def _compile(module: ModuleType, tasks: Iterable[Task]) -> None:
    for task in tasks:
        if task.signature is None:
            contraction.load(task.name)
        else:
            function = getattr(module, task.name)
            function.enable_caching()
            function.compile(task.signature)


def _start(text: str, tasks: list[Task]) -> subprocess.Popen[bytes]:
    """A process that compiles the tasks; it has this one's environment and import path."""
    package = str(Path(__file__).parents[2])
    command = f"import sys; sys.path[:0] = [{package!r}]; from graphc.runtime.helpers import serve; serve()"
    helper = subprocess.Popen(
        [sys.executable, "-c", command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert helper.stdin is not None
    try:
        helper.stdin.write(pickle.dumps((text, tasks)))
        helper.stdin.close()
    except BrokenPipeError:
        pass
    return helper


def serve() -> None:
    """What a helper does."""
    text, tasks = pickle.load(sys.stdin.buffer)
    _compile(load(text), tasks)
