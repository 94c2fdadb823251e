"""Failing programs that are made small stay programs."""

from __future__ import annotations

import pytest

from tests.programs import generate, shrunk


@pytest.mark.parametrize("seed", [0, 2])
def test_what_is_left_can_be_built(seed: int) -> None:
    """Also where what is looked for is still there without the definitions that it needs."""
    program = generate(seed, statements=3)
    small = shrunk(program, lambda p: p.blocks[-1] == program.blocks[-1], seconds=10)
    small.build()
    assert len(small.blocks) < len(program.blocks)
