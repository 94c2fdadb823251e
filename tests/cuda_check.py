"""Every kernel as machine code: ``python -m tests.cuda_check`` reports what spills, computes in float64 or uses local memory.

The kernels are those of `tests.cuda_programs`, of the workloads of ``benchmarks/peers.py``, of the layers of `graphc.nn` with their
gradients, and of random programs. It needs the packages of ``graphc[cuda-dev]``, but no GPU. What was assembled once is remembered in
``.cuda_check``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cuda_layers import LAYERS
from tests.cuda_programs import PROGRAMS
from tests.gpu import module_of
from tests.gpu.sass import ARCHITECTURES, Assembled, assembled, complaints, missing, text_of

__all__ = ["Found", "main", "of_program"]

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cuda_check"
TOO_LARGE = ("W11", "product.2048")
"""Workloads whose arguments would fill the memory."""


@dataclass(frozen=True)
class Found:
    """A kernel of a program, as machine code; `double` tells whether it has arguments of float64."""

    program: str
    kernel: str
    source: str
    double: bool
    made: dict[int, Assembled]

    def complaints(self) -> list[str]:
        return [f"sm_{target}: {text}" for target, made in self.made.items() for text in complaints(self.source, made, self.double)]


def outputs_of(program: str) -> Any:
    """The tensors of ``program layer``, ``layer conv2d``, ``workload W1`` or ``random 7``; None for what is no program."""
    kind, name = program.split(" ", 1)
    if kind == "program":
        return PROGRAMS[name]()[0]
    if kind == "layer":
        return LAYERS[name]()[0]
    if kind == "workload":
        from comparison.cases import CASES
        from comparison.programs import written

        made = written(CASES[name], CASES[name].arrays())
        return [*made.outputs, *(made.updates or {}).values()]
    from tests import oracles
    from tests.programs import generate

    try:
        case = oracles.prepare(generate(int(name), statements=1 + int(name) % 2))
    except (oracles.Refused, oracles.Unsuitable):
        return None
    return [case.names["L"], *case.made]


def of_program(program: str, architectures: Sequence[int] = ARCHITECTURES, cached: Path | None = CACHE) -> list[Found]:
    """Its kernels. The PTX of random programs is the same for all architectures, which takes half the time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = outputs_of(program)
        if outputs is None:
            return []
        module = module_of(outputs)
        virtual = min(ARCHITECTURES) if program.startswith("random") else None
        made = assembled(module, architectures, cached, virtual)
    kinds = {name: {k[0] for k in parameters if k is not None} for name, parameters in module.parameters.items()}
    return [Found(program, name, text_of(name, module), "float64" in kinds[name], found) for name, found in made.items()]


def _tried(task: tuple[str, tuple[int, ...]]) -> list[Found] | str:
    program, architectures = task
    try:
        return of_program(program, architectures)
    except Exception as error:
        return f"{program}: {type(error).__name__}: {str(error)[:2000]}"


def _programs(wanted: Sequence[str], count: int, seed: int) -> Iterator[str]:
    from comparison.cases import CASES

    groups = {
        "program": list(PROGRAMS), "layer": list(LAYERS), "workload": [n for n in CASES if not n.startswith(TOO_LARGE)],
        "random": [str(k) for k in range(seed, seed + count)],
    }  # fmt: skip
    for kind, names in groups.items():
        yield from (f"{kind} {name}" for name in names if not wanted or kind in wanted or f"{kind} {name}" in wanted)


def _started() -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", help='"program", "layer", "workload", "random", or one of them: "layer conv2d"')
    parser.add_argument("--random", type=int, default=200, help="random programs")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--architectures", type=int, nargs="+", default=list(ARCHITECTURES))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--table", action="store_true", help="print a line per kernel")
    options = parser.parse_args(arguments)
    reason = missing()
    if reason is not None:
        print(reason)
        return 2
    _started()
    began, broken, kernels, total = time.monotonic(), list[str](), list[Found](), 0
    tasks = [(p, tuple(options.architectures)) for p in _programs(options.programs, options.random, options.seed)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, context, _started, max_tasks_per_child=40) as pool:
        for found in pool.map(_tried, tasks):
            total += 1
            if isinstance(found, str):
                broken.append(found)
                print(found, flush=True)
                continue
            kernels += found
            for kernel in found:
                if options.table:
                    print(_line(kernel), flush=True)
                if kernel.complaints():
                    print(f"{kernel.program}, {kernel.kernel}: {'; '.join(kernel.complaints())}\n{kernel.source}\n", flush=True)
    wrong = [k for k in kernels if k.complaints()]
    kinds = Counter(c.split(": ")[1] for k in wrong for c in dict.fromkeys(k.complaints()))
    print(f"{len(kernels)} kernels of {total} programs in {time.monotonic() - began:.0f} s: {len(wrong)} with complaints, "
          f"{len(broken)} programs that do not compile.", dict(kinds.most_common(8)) or "")
    return bool(wrong or broken)


def _line(kernel: Found) -> str:
    shown = [f"sm_{a} {m.registers:3} registers {m.wide:4.0%} wide {m.fused:4.0%} fused" for a, m in kernel.made.items()]
    return f"{kernel.program:28} {kernel.kernel:24} {' | '.join(shown)}"


if __name__ == "__main__":
    raise SystemExit(main())
