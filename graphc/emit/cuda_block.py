"""What the threads of a block do together on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import sympy as sp

from graphc.emit.checks import GatherCheck
from graphc.emit.expression import Writer
from graphc.ir.nest import Barrier, Combine, Local, Outside
from graphc.ir.tree import substitute

__all__ = ["Lanes"]

FEWEST = 4
"""Threads of a block, in the simulator."""


class Lanes:
    """Loops that they divide, what they sum, and what they report: `code` gives the number of a check."""

    def __init__(self, code: Callable[[GatherCheck], int]) -> None:
        self.code = code

    def divided(self, name: str, low: str, high: str) -> tuple[list[str], str]:
        """What a range would compute before the loop takes too many registers."""
        if (name, low, high) == ("_one", "0", "1"):
            return ["if cuda.threadIdx.x == 0:"], ""
        first = f"{name} = {'' if low == '0' else f'{low} + '}i64(cuda.threadIdx.x)"
        if low == "0" and high.isdigit() and int(high) <= FEWEST:
            return [first, f"if {name} < {high}:"], ""
        return [first, f"while {name} < {high}:"], f"{name} += LANES"

    def together(self, node: Combine | Barrier | Outside, writer: Writer) -> Iterator[str]:
        match node:
            case Outside():
                yield f"status[0] = {self.code(GatherCheck(node.tensor, node.target, node.dimension, node.loop))}"
                yield f"status[1] = {writer.integer(node.value)}"
            case Barrier():
                yield "cuda.syncthreads()"
            case Combine():
                yield from _combined(node, writer)


def _combined(node: Combine, writer: Writer) -> Iterator[str]:
    """Threads of a warp exchange registers, then all threads add up what the warps have found, in one order."""
    name, lane = node.name.name, f"lane_{node.dtype}"

    def joined(other: str) -> str:
        variable = Local(other)
        writer.locals[variable] = node.dtype
        value: sp.Expr = substitute(node.value, {node.other: variable})
        return f"{name} = {writer.value(value, node.dtype)}"

    yield "half = WARP // 2"
    yield "while half > 0:"
    yield f"    beside = cuda.shfl_down_sync(ALL, {name}, half)"
    yield f"    {joined('beside')}"
    yield "    half //= 2"
    yield "if cuda.threadIdx.x % WARP == 0:"
    yield f"    {lane}[cuda.threadIdx.x // WARP] = {name}"
    yield "cuda.syncthreads()"
    yield f"{name} = {lane}[0]"
    yield "for warp in range(1, WARPS):"
    yield f"    {joined(f'{lane}[warp]')}"
    yield "cuda.syncthreads()"
