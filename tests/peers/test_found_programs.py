"""Programs that random testing has found, against PyTorch to second order."""

from __future__ import annotations

import hashlib

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install graphc[torch]")

from tests import oracles
from tests.programs import generate

FOUND: dict[int, tuple[str, str]] = {
    203533958: ("99be3b5e", "a condition whose branches became equal left its index to be summed over"),
    736712402: ("1e8e925f", "a read that is not proved with the parts of a split index"),
}
"""By seed: the beginning of the digest of the program, and what went wrong."""


@pytest.mark.peers
@pytest.mark.parametrize("seed", FOUND, ids=[told for _, told in FOUND.values()])
def test_found_program(seed: int) -> None:
    program = generate(seed)
    digest = hashlib.sha256(str(program).encode()).hexdigest()
    assert digest.startswith(FOUND[seed][0]), "the generator makes another program of this seed: look for one that fails without the mend"
    oracles.CHECKS["torch"](oracles.prepare(program))
