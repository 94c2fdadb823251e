"""What a call allocates, and whether there is room for it: asked before anything is allocated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp

from graphc.errors import ArgumentError
from graphc.ir.graph import Graph
from graphc.ir.show import expression, statement

__all__ = ["Made", "Memory", "bytes_of", "check_memory", "shown_bytes"]

_UNITS = {"": 1, **{f"{prefix}B": 1000**k for k, prefix in enumerate(("", "k", "M", "G", "T"))},
          **{f"{prefix}iB": 1024**k for k, prefix in enumerate(("K", "M", "G", "T"), 1)}}
_SHOWN = 3
"""Arrays that an error lists."""


def bytes_of(limit: object) -> int | None:
    """A number of bytes, or a text such as "500 MB" or "2 GiB", as a number of bytes; None if it is neither.

    >>> bytes_of("2 GiB"), bytes_of("1.5kB"), bytes_of(100), bytes_of("much")
    (2147483648, 1500, 100, None)
    """
    if isinstance(limit, int) and not isinstance(limit, bool):
        return limit if limit > 0 else None
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


def check_memory(graph: Graph, needs: Mapping[str, int], memory: int | None, limit: int | str | None = None) -> None:
    """Refuse a call that would need more memory than there is.

    Args:
        graph: the user's program.
        needs: bytes by what is allocated, tensors by name.
        memory: bytes that there are; None if that is not known.
        limit: what the user allows instead.

    Raises:
        ArgumentError: the arrays do not fit; the message names the largest ones and their shapes.
    """
    total = sum(needs.values())
    room = memory if limit is None else bytes_of(limit)
    if room is None or total <= room:
        return
    infos, definitions = graph.by_name(), graph.definitions()
    largest = sorted(needs, key=lambda name: -needs[name])[:_SHOWN]
    lines = []
    for name in largest:
        shape = f"({', '.join(map(expression, infos[name].shape))}) of {infos[name].dtype}" if name in infos else ""
        lines.append(f"    {shown_bytes(needs[name]):>8}  {name}{shape}")
    if len(needs) > len(largest):
        lines.append(f"    {shown_bytes(total - sum(needs[n] for n in largest)):>8}  {len(needs) - len(largest)} more")
    culprit = next((s for name in largest for s in definitions.get(name, ())), None)
    allowed = limit if isinstance(limit, str) else shown_bytes(room)
    there = f"the machine has {allowed}" if limit is None else f"memory_limit is {allowed}"
    raise ArgumentError(
        f"This call needs {shown_bytes(total)} of memory for its arrays, but {there}:\n\n" + "\n".join(lines),
        at=((statement(culprit), culprit.target, culprit.location),) if culprit is not None else (),
        fix="pass smaller arrays (fewer examples at a time), or compile with a larger memory_limit=.",
    )
