"""What a call allocates, and whether there is room for it: asked before anything is allocated."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp

from graphc.errors import ArgumentError
from graphc.interpret import size_value
from graphc.ir.graph import Graph
from graphc.ir.show import expression, statement
from graphc.tables import text_table

__all__ = ["TABLES", "Made", "Memory", "Report", "bytes_of", "check_memory", "device_full", "report", "shown_bytes"]

_UNITS = {"": 1, **{f"{prefix}B": 1000**k for k, prefix in enumerate(("", "k", "M", "G", "T"))},
          **{f"{prefix}iB": 1024**k for k, prefix in enumerate(("K", "M", "G", "T"), 1)}}
_SHOWN = 3
"""Arrays that an error lists."""

TABLES = "offset tables of contractions"
"""What `needs` calls them."""


def bytes_of(limit: object) -> int | None:
    """A number of bytes, or a text such as "500 MB" or "2 GiB", as a number of bytes; None if it is neither.

    >>> bytes_of("2 GiB"), bytes_of("1.5kB"), bytes_of(100), bytes_of("much")
    (2147483648, 1500, 100, None)
    """
    if isinstance(limit, int | np.integer) and not isinstance(limit, bool):
        return int(limit) if limit > 0 else None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", limit) if isinstance(limit, str) else None
    units = {unit.lower(): factor for unit, factor in _UNITS.items()}
    if found is None or found[2].lower() not in units:
        return None
    return int(float(found[1]) * units[found[2].lower()]) or None


def shown_bytes(count: int) -> str:
    """
    >>> shown_bytes(1234), shown_bytes(5 * 10**9)
    ('1.23 kB', '5 GB')
    """
    unit = next(u for u in ("TB", "GB", "MB", "kB", "B") if count >= _UNITS[u] or u == "B")
    return f"{count / _UNITS[unit]:.3g} {unit}" if count < 1000 * _UNITS["TB"] else f"{count / _UNITS[unit]:.0f} {unit}"


@dataclass(frozen=True, slots=True)
class Made:
    """An array that a call makes.

    Attributes:
        name: of the tensor.
        shape: one expression in sizes per dimension.
        dtype: NumPy type name.
        of: the shape of the tensor, if the array holds only some of its rows at a time; else empty.
    """

    name: str
    shape: tuple[sp.Expr, ...]
    dtype: str
    of: tuple[sp.Expr, ...] = ()

    @property
    def bytes(self) -> sp.Expr:
        """An expression in sizes."""
        return sp.expand(np.dtype(self.dtype).itemsize * sp.Mul(*self.shape))


class Memory(tuple[Made, ...]):
    """The arrays that a call makes, printed as a table: the shape of each, and its bytes as a formula."""

    __slots__ = ()

    @property
    def bytes(self) -> sp.Expr:
        """Of all of them, an expression in sizes."""
        return sp.expand(sp.Add(*(made.bytes for made in self)))

    def __repr__(self) -> str:
        lines = [("array", "shape", "bytes")]
        for made in self:
            shape = _shape(made.shape) + (f" of {_shape(made.of)}" if made.of else "")
            lines.append((made.name, shape, expression(made.bytes)))
        lines.append(("total", "", expression(self.bytes)))
        widths = [max(len(line[k]) for line in lines) for k in range(2)]
        return "\n".join(f"{name:<{widths[0]}}  {shape:<{widths[1]}}  {count}" for name, shape, count in lines)


def _shape(extents: tuple[sp.Expr, ...]) -> str:
    return "×".join(expression(e) if e.is_Atom else f"({expression(e)})" for e in extents) or "scalar"


@dataclass(frozen=True, slots=True)
class Report:
    """What a program takes up in one call, in bytes; printed as a table.

    Attributes:
        arguments: arrays of the user, those that are updated included.
        results: new arrays that the user gets.
        temporaries: memory that the program keeps for the next call, in which arrays that are never needed at the same time take turns.
        shared: bytes that this saves.
        tables: offsets for contractions.
        largest: (tensor, bytes) of what is allocated, the largest first.
        launching: how kernels are queued on a GPU, in words; empty for other targets.
    """

    arguments: int
    results: int
    temporaries: int
    shared: int
    tables: int
    largest: tuple[tuple[str, int], ...]
    launching: str = ""

    @property
    def peak(self) -> int:
        """All of it, the arguments included."""
        return self.arguments + self.results + self.temporaries + self.tables

    def __repr__(self) -> str:
        saved = f"instead of {shown_bytes(self.temporaries + self.shared)}: arrays take turns" if self.shared else ""
        rows = [("arguments", self.arguments, ""), ("results", self.results, ""), ("temporaries", self.temporaries, saved),
                ("offset tables", self.tables, "")]
        lines = [(name, shown_bytes(count), note) for name, count, note in rows]
        most = ", ".join(f"{name} {shown_bytes(count)}" for name, count in self.largest[:_SHOWN])
        table = text_table(("memory", "bytes", ""), lines, ("peak", shown_bytes(self.peak), f"largest: {most}" if most else ""), right=(1,))
        return f"{table}\n {self.launching}" if self.launching else table


def report(
    graph: Graph, inputs: Collection[str], needs: Mapping[str, int], shared: int, sizes: Mapping[sp.Basic, int], launching: str = ""
) -> Report:
    """What `needs` and arguments of these sizes add up to; `shared` of it is counted several times."""
    infos = graph.by_name()
    arguments = sum(np.dtype(infos[n].dtype).itemsize * math.prod(size_value(e, sizes) for e in infos[n].shape) for n in inputs)
    results = sum(count for name, count in needs.items() if name in graph.outputs)
    tables = sum(count for name, count in needs.items() if name == TABLES)
    rest = sum(needs.values()) - results - tables - shared
    return Report(arguments, results, rest, shared, tables, tuple(sorted(needs.items(), key=lambda item: -item[1])), launching)


def check_memory(graph: Graph, needs: Mapping[str, int], shared: int, memory: int | None, limit: int | str | None = None,
                 where: str = "machine") -> None:
    """Refuse a call that would need more memory than there is.

    Args:
        graph: the user's program.
        needs: bytes by what is allocated, tensors by name.
        shared: bytes that are counted several times.
        memory: bytes that there are; None if that is not known.
        limit: what the user allows instead.
        where: whose memory it is.

    Raises:
        ArgumentError: the arrays do not fit; the message names the largest ones and their shapes.
    """
    total = sum(needs.values()) - shared
    room = memory if limit is None else bytes_of(limit)
    if room is None or total <= room:
        return
    allowed = limit if isinstance(limit, str) else shown_bytes(room)
    raise _too_large(graph, needs, shared, f"the {where} has {allowed}" if limit is None else f"memory_limit is {allowed}",
                     "pass smaller arrays (fewer examples at a time), or compile with a larger memory_limit=.")


def device_full(graph: Graph, needs: Mapping[str, int], shared: int, free: float, total: float) -> ArgumentError:
    """The error about a call for which a GPU has no room left; the arguments are as for `check_memory`, `free` and `total` of the GPU."""
    return _too_large(graph, needs, shared, f"the GPU has {shown_bytes(int(free))} of {shown_bytes(int(total))} left beside its arguments",
                      "pass smaller arrays (fewer examples at a time), or free memory: delete arrays on the GPU, "
                      "torch.cuda.empty_cache() gives back what PyTorch keeps.")


def _too_large(graph: Graph, needs: Mapping[str, int], shared: int, there: str, fix: str) -> ArgumentError:
    """The error, with the largest arrays."""
    total = sum(needs.values()) - shared
    infos, definitions = graph.by_name(), graph.definitions()
    largest = sorted(needs, key=lambda name: -needs[name])[:_SHOWN]
    lines = []
    for name in largest:
        shape = f"({', '.join(map(expression, infos[name].shape))}) of {infos[name].dtype}" if name in infos else ""
        lines.append(f"    {shown_bytes(needs[name]):>8}  {name}{shape}")
    if len(needs) > len(largest):
        lines.append(f"    {shown_bytes(sum(needs.values()) - sum(needs[n] for n in largest)):>8}  {len(needs) - len(largest)} more")
    if shared:
        lines.append(f"    {'-' + shown_bytes(shared):>8}  for arrays that take turns in the same memory")
    culprit = next((s for name in largest for s in definitions.get(name, ())), None)
    return ArgumentError(
        f"This call needs {shown_bytes(total)} of memory for its arrays, but {there}:\n\n" + "\n".join(lines),
        at=((statement(culprit), culprit.target, culprit.location),) if culprit is not None else (),
        fix=fix,
    )
