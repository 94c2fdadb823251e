"""Maps over whole arrays on a GPU: a thread computes four neighbours at a time, which are read and written by one instruction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from graphc.emit.expression import SHORT
from graphc.emit.names import safe
from graphc.emit.walk import Walker
from graphc.ir.expr import Access
from graphc.ir.nest import Assign, For, Kernel, Store
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, indices_of, substitute

__all__ = ["NEAR", "neighbours"]

_MOST = 12
"""Arrays, of whose elements a thread keeps four in registers."""

NEAR = ("start", "whole", *(f"near_{k}" for k in range(_MOST)))
"""Variables of such a kernel; no array and no size has their names."""

_WIDE = ("float32", "float64", "int64", "int32")


def neighbours(kernel: Kernel, tensors: Mapping[str, Tensor], walker: Walker) -> list[str] | None:
    """The lines of a kernel; None where something else than the element of an iteration is read or written.

    Where an array does not begin at a multiple of 16 bytes, and behind the last four elements, a thread computes one at a time.

    Args:
        kernel: over one-dimensional views.
        tensors: by name.
        walker: that writes single elements.
    """
    *before, loop = kernel.body
    if not kernel.flat or not isinstance(loop, For) or not loop.shared or not all(isinstance(n, Assign) for n in before):
        return None
    if len(loop.lower) + len(loop.upper) > 2 or loop.grain != 1 or not _element_by_element(loop):
        return None
    names = [n for n in kernel.arrays if tensors[n].shape]
    if len(names) > _MOST or not all(tensors[n].dtype in _WIDE for n in names):
        return None
    near = {name: f"near_{k}" for k, name in enumerate(names)}
    writer, index = walker.writer, safe(str(loop.index))
    inside = replace(walker, writer=replace(writer, name_of=lambda n: near.get(n) or writer.name_of(n)))
    written = [n.tensor for n in loop.body if isinstance(n, Store)]
    return [
        *walker.lines(before, 1),
        *(f"    {near[n]} = cuda.local.array(4, {SHORT.get(tensors[n].dtype, f'np.{tensors[n].dtype}')})" for n in names),
        f"    whole = last - last % 4 if {' and '.join(f'aligned({writer.name_of(n)})' for n in names)} else first",
        "    for start in range(first + 4 * cuda.grid(1), whole, 4 * cuda.gridsize(1)):",
        *(f"        get_four({near[n]}, 0, {writer.name_of(n)}, start)" for n in _read(loop) if n in near),
        f"        for {index} in range(4):",
        *inside.lines(loop.body, 3),
        *(f"        put_four({writer.name_of(n)}, start, {near[n]}, 0)" for n in dict.fromkeys(written)),
        f"    {walker.open_shared(index, 'whole', 'last')}",
        *walker.lines(loop.body, 2),
    ]  # fmt: skip


def _element_by_element(loop: For) -> bool:
    here = (loop.index,)
    for node in loop.body:
        if not isinstance(node, Assign | Store) or (isinstance(node, Store) and (node.atomic or node.subscripts != here)):
            return False
        touched = [a for a in accesses(node.value) if not isinstance(a, Access) or a.subscripts]
        if not all(isinstance(a, Access) and a.subscripts == here for a in touched):
            return False
        if loop.index in indices_of(substitute(node.value, dict.fromkeys(touched, loop.lower[0]))):
            return False
    return True


def _read(loop: For) -> list[str]:
    """Tensors whose elements are read before they are written."""
    found, written = dict[str, None](), set[str]()
    for node in loop.body:
        reads = [a.tensor for a in accesses(node.value)] if isinstance(node, Assign | Store) else []
        reads += [node.tensor] if isinstance(node, Store) and node.accumulate else []
        found |= dict.fromkeys(n for n in reads if n not in written)
        written |= {node.tensor} if isinstance(node, Store) else set()
    return list(found)
