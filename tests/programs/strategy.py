"""Random programs as a strategy of hypothesis, which makes a failing one small by drawing less."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from tests.programs.program import RandomProgram
from tests.programs.writer import written

__all__ = ["drawn"]

STEPS = 1000
"""Of numbers between 0 and 1."""


class _Choices(Random):
    """A source of choices that hypothesis makes; the smallest ones are the simplest."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        super().__init__(0)

    def random(self) -> float:
        return self.draw(st.integers(0, STEPS - 1)) / STEPS

    def _randbelow(self, n: int) -> int:
        """What choice, randint, randrange and sample ask."""
        return self.draw(st.integers(0, n - 1))


@st.composite
def drawn(draw: st.DrawFn, statements: int | None = None) -> RandomProgram:
    """What `generate` makes, with every choice of it drawn by hypothesis."""
    choices = _Choices(draw)
    return written(choices, draw(st.integers(0, 99)), statements, choices)
