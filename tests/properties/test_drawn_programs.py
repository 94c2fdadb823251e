"""The same random programs, drawn by hypothesis: what fails is made small by drawing less, and printed.

``GRAPHC_DRAWN_PROGRAMS`` sets how many are drawn; they are the same in every run.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, find, given, reject, settings

from graphc.ir.functions import FUNCTIONS
from tests import oracles
from tests.programs import RandomProgram
from tests.programs.strategy import drawn

DRAWN = int(os.environ.get("GRAPHC_DRAWN_PROGRAMS", "40"))

steady = settings(max_examples=DRAWN, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))


@steady
@given(drawn())
def test_values_and_gradients(program: RandomProgram) -> None:
    try:
        oracles.check(program, ("values", "gradient"))
    except (oracles.Refused, oracles.Unsuitable):
        reject()


def _wrong(program: RandomProgram) -> bool:
    """Whether the gradient is, along a random direction."""
    try:
        case = oracles.prepare(program)
        graph, adjoints = case.first
        result = oracles.evaluate(graph, program)
        oracles.compare_along(case, {n: result[adjoints[n]] for n in case.wrt})
    except oracles.Mismatch:
        return True
    except (oracles.Refused, oracles.Unsuitable):
        pass
    return False


def test_a_wrong_derivative_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of the tests: one derivative is one percent too large."""
    right = FUNCTIONS["tanh"]
    assert right.derivative is not None
    rule = right.derivative[0]
    monkeypatch.setitem(FUNCTIONS, "tanh", replace(right, derivative=(lambda *given: 1.01 * rule(*given),)))
    small = find(drawn(1), _wrong, settings=settings(steady, max_examples=300))
    assert "gc.tanh" in small.text
    assert len([line for line in small.text.splitlines() if "gc.index(" not in line and "gc.tensor(" not in line]) <= 4, str(small)
    monkeypatch.undo()
    assert not _wrong(small)
