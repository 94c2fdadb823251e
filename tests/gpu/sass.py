"""What NVIDIA's compiler, assembler and disassembler make of generated kernels: no driver and no GPU is needed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from graphc.emit.cuda import CudaModule

__all__ = ["ARCHITECTURES", "Assembled", "assembled", "complaints", "missing", "text_of"]

ARCHITECTURES = (75, 80, 90)
PACKAGES = ("numba-cuda", "cuda-core", "nvidia-nvjitlink", "nvidia-cuda-nvdisasm")
MOST_REGISTERS = 192
"""65536 registers of a multiprocessor are for at least 320 threads then; what one thread does alone may have more."""


@dataclass(frozen=True)
class Assembled:
    """A kernel as machine code.

    Attributes:
        registers: of a thread.
        stack, spilled: bytes of a thread.
        shared: bytes of a block.
        double: whether the PTX has float64.
        local: whether the PTX has local memory, which `stack` may not show.
        instructions: their number.
        wide: share of the loads from memory that take 128 bits; of all bytes they are more.
        cores: number of instructions for tensor cores.
        fused: share of fused multiply-adds among the instructions of the loop that has most of them.
    """

    registers: int
    stack: int
    spilled: int
    shared: int
    double: bool
    local: bool
    instructions: int
    cores: int
    wide: float
    fused: float


def missing() -> str | None:
    """Why nothing can be assembled here."""
    for name in PACKAGES:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return f"{name} is missing: pip install -e '.[cuda-dev]'"
    return None


def complaints(source: str, made: Assembled, double: bool = False) -> Iterator[str]:
    """What is wrong with a kernel; `double` allows float64.

    Sines and cosines may use float64 and local memory: NVIDIA's library reduces large angles with them.
    """
    angles = re.search(r"math\.(sin|cos|tan)\(", source) is not None
    if made.double and not angles and not double:
        yield "float64"
    if (made.local or made.stack) and not angles:
        yield f"local memory ({made.stack} bytes of stack)"
    if made.spilled:
        yield f"{made.spilled} bytes spilled"
    if made.registers > MOST_REGISTERS and "cuda." in source.split(")", 1)[-1]:
        yield f"{made.registers} registers"


def text_of(name: str, module: CudaModule) -> str:
    """The definition of a kernel, or of the function that makes it."""
    lines = module.text.splitlines()
    found = next(k for k, line in enumerate(lines) if re.search(rf"\b{name}\b", line))
    first = max((k for k in range(found + 1) if re.match(r"(@|def )", lines[k])), default=found)
    first -= lines[first - 1].startswith("@")
    last = next((k for k in range(found + 1, len(lines)) if re.match(r"(@|def )", lines[k]) and lines[k - 1] == ""), len(lines))
    return "\n".join(lines[first:last]).rstrip()


def assembled(
    module: CudaModule, architectures: Sequence[int] = ARCHITECTURES, cached: Path | None = None, virtual: int | None = None
) -> dict[str, dict[int, Assembled]]:
    """Every kernel for every architecture.

    Args:
        module: what was generated.
        architectures: 75 for sm_75, …
        cached: where results are kept; equal kernels, whatever their names, are assembled once.
        virtual: the architecture of the PTX, if it is not made anew for each.
    """
    scope: dict[str, Any] = {"__name__": "generated"}
    exec(compile(module.text, "<generated>", "exec"), scope)
    found: dict[str, dict[int, Assembled]] = {name: {} for name in module.parameters}
    for architecture in architectures:
        waiting: dict[str, tuple[Path | None, str]] = {}
        for name, parameters in module.parameters.items():
            place = cached and cached / f"{_hash(scope[name], parameters, architecture, virtual)}.json"
            if place and place.exists():
                found[name][architecture] = Assembled(**json.loads(place.read_text()))
            else:
                waiting[name] = place, _ptx(scope[name], parameters, virtual or architecture)
        for name, made in _disassembled({n: ptx for n, (_, ptx) in waiting.items()}, architecture).items():
            found[name][architecture] = made
            if place := waiting[name][0]:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(json.dumps(asdict(made)))
    return found


def _hash(kernel: Any, parameters: Any, *others: Any) -> str:
    versions = [importlib.metadata.version(name) for name in PACKAGES]
    known = (_identity(kernel.py_func), kernel.targetoptions.get("launch_bounds"), parameters, others, versions)
    return hashlib.sha256(repr(known).encode()).hexdigest()


def _identity(function: Any) -> Any:
    """What decides about the machine code, whatever the names of variables are."""
    code: CodeType = function.__code__
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    names = _names(code)
    outside = {n: v for n, v in function.__globals__.items() if n in names and isinstance(v, int | float | tuple | np.generic)}
    return _code(code), cells, sorted(outside.items())


def _code(code: CodeType) -> Any:
    constants = [_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts if not isinstance(c, str)]
    return code.co_code.hex(), constants, code.co_names, code.co_argcount, code.co_exceptiontable.hex()


def _names(code: CodeType) -> set[str]:
    return {*code.co_names, *(n for c in code.co_consts if isinstance(c, CodeType) for n in _names(c))}


def _ptx(kernel: Any, parameters: Any, architecture: int) -> str:
    from numba import cuda, types

    arguments = tuple(types.int64 if k is None else types.Array(getattr(types, k[0]), k[1], "C") for k in parameters)
    bounds = kernel.targetoptions.get("launch_bounds")
    options = {} if bounds is None else {"launch_bounds": bounds}
    return cuda.compile_ptx(kernel.py_func, arguments, cc=divmod(architecture, 10), **options)[0]  # type: ignore[no-any-return]


# --------------------------------------------------------------------------------------------------------------- machine code


@cache
def _disassembler() -> str:
    files = importlib.metadata.files("nvidia-cuda-nvdisasm") or []
    return str(next(f.locate() for f in files if f.name in ("nvdisasm", "nvdisasm.exe")))


def _disassembled(ptx: Mapping[str, str], architecture: int) -> dict[str, Assembled]:
    """Kernels by name, all in one run of each tool."""
    if not ptx:
        return {}
    from cuda.core import Linker, LinkerOptions, ObjectCode

    entries = {name: re.search(r"\.entry\s+([\w$]+)", text)[1] for name, text in ptx.items()}  # type: ignore[index]
    options = LinkerOptions(arch=f"sm_{architecture}", verbose=True, ptxas_options="-v")
    linker = Linker(*(ObjectCode.from_ptx(text.encode()) for text in ptx.values()), options=options)
    cubin, log = linker.link("cubin"), None
    log = linker.get_info_log()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "kernels.cubin")
        place.write_bytes(cubin.code)
        listing = subprocess.run([_disassembler(), "-c", place], capture_output=True, text=True, check=True).stdout
    sections = dict(re.findall(r"(?m)^\.text\.([\w$]+):\n(.*?)(?=^\.text\.|^\t?\.section|\Z)", listing, re.DOTALL | re.MULTILINE))
    return {name: _measured(text, _report(log, entries[name]), sections[entries[name]]) for name, text in ptx.items()}


def _report(log: str, entry: str) -> dict[str, int]:
    """Registers, stack, spills and shared memory, as the assembler says."""
    start = log.index(f"Compiling entry function '{entry}'")
    part = log[start : log.find("Compiling entry function", start + 1) % (len(log) + 1)]
    words = {
        "registers": r"Used (\d+) registers", "stack": r"(\d+) bytes stack frame", "spilled": r"(\d+) bytes spill stores",
        "shared": r"(\d+) bytes smem",
    }  # fmt: skip
    return {name: int(hit[1]) if (hit := re.search(pattern, part)) else 0 for name, pattern in words.items()}


def _measured(ptx: str, report: Mapping[str, int], listing: str) -> Assembled:
    operations, loops, labels = list[str](), list[tuple[int, int]](), dict[str, int]()
    for line in listing.splitlines():
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            labels[label[1]] = len(operations)
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z]\w*(?:\.\w+)*)(.*)", line):
            operations.append(found[1])
            to = re.search(r"\((\.L_x_\d+)\)", found[2])
            if to and to[1] in labels:
                loops.append((labels[to[1]], len(operations)))
    inner = [(a, z) for a, z in loops if not any(a <= b and y <= z and (a, z) != (b, y) for b, y in loops)]
    bodies = [Counter(o.split(".")[0] for o in operations[a:z]) for a, z in inner] or [Counter(o.split(".")[0] for o in operations)]
    most = max(bodies, key=lambda body: body["FFMA"])
    loads = [o for o in operations if o.startswith(("LDG", "LD."))]
    return Assembled(
        **report, double=".f64" in ptx, local=".local" in ptx, instructions=len(operations),
        cores=sum(o.startswith("HMMA") for o in operations),
        wide=sum(".128" in o for o in loads) / max(len(loads), 1), fused=most["FFMA"] / max(most.total(), 1),
    )  # fmt: skip
