"""From a seed to a program."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.programs.extents import Extent, literal
from tests.programs.program import RandomProgram
from tests.programs.recurrences import Recurrences
from tests.programs.scope import Known, Subscript
from tests.programs.statements import Statements

__all__ = ["RECURRENCES", "generate", "programs", "written"]

RECURRENCES = True
"""Whether tensors that refer to themselves are drawn."""


def programs(start: int, count: int) -> Iterator[RandomProgram]:
    for seed in range(start, start + count):
        yield generate(seed)


def generate(seed: int, statements: int | None = None) -> RandomProgram:
    """The random program of a seed."""
    return written(Random(seed), seed, statements)


def written(random: Random, seed: int, statements: int | None = None, masks: Random | None = None) -> RandomProgram:
    """A program whose choices `random` makes, and `masks` those of rare forms; the seed is that of the data."""
    return _Writer(seed, random, masks).write(statements)


class _Writer(Statements, Recurrences):
    def write(self, statements: int | None = None) -> RandomProgram:
        kinds = (
            [self.map] * 5
            + [self.contraction] * 5
            + [self.accumulated] * 3
            + [self.pieces] * 2
            + [self.window] * 3
            + [self.counted, self.chosen, self.softmax, *[self.recurrence] * (2 * RECURRENCES)]
        )
        for _ in range(statements or self.random.randint(1, 5)):
            self.pick(*kinds)()
        results = [t for t in self.known if t.name[0] in "TGH"]
        unread = [t for t in results if not t.reads] or results[-1:]
        if not unread:
            self.map()
            unread = self.known[-1:]
        for tensor in unread:
            self.total(tensor)
        for name in self.sizes:
            self.bind(Extent(((name, 1),), 0))
        return RandomProgram(self.seed, self.sizes, self.inputs, tuple(self.blocks), self.arrays)

    def bind(self, size: Extent) -> None:
        """A contribution to L of an input that gives a size its value, whatever the rest of the program reads."""
        self.begin()
        loop, vector = self.loop(size, False), self.input((size,))
        self.lines = []
        self.emit("L[()]", "+=", f"{self.number()}*{vector.name}[{loop.name}]")
        self.blocks.append(tuple(self.lines))

    def total(self, tensor: Known) -> None:
        """A contribution to L that depends on every element of a tensor."""
        self.begin()
        loops = [self.loop(e, False) for e in tensor.shape]
        read = self.shown(tensor, [Subscript(x.name, literal(0), x.upper - 1, (x,), x) for x in loops])
        weight = self.input(tuple(x.upper for x in loops)).name + read[len(tensor.name) :]
        self.lines = []
        self.emit(
            "L[()]",
            "+=",
            self.pick(f"{weight}*{read}", f"{weight}*gc.sin({read})", f"({read} - {weight})**2", f"{weight}*{read}**2/(1 + {read}**2)"),
        )
        self.blocks.append(tuple(self.lines))
