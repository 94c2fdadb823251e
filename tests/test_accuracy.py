"""The table of docs/accuracy.md holds, on a few points; ``python -m tests.accuracy`` measures it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("mpmath")

from tests.accuracy import FUNCTIONS, measured

PAGE = Path(__file__).parents[1] / "docs" / "accuracy.md"
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE)
STATED = {row[0]: row[1:] for row in ROW.findall(PAGE.read_text(encoding="utf-8"))}
SAMPLE = ("tanh", "sigmoid", "rsqrt")
"""What is compiled here; compiling all of them takes half a minute."""


def test_every_function_is_in_the_table() -> None:
    assert set(STATED) == set(FUNCTIONS)


def _within(stated: str, error: float, of_one: float) -> bool:
    number = re.match(r"[\d.]+", stated)
    if number is None:
        return stated == "overflow"
    return (of_one if "of 1" in stated else error) <= 1.1 * float(number[0]) + 0.5


@pytest.mark.parametrize(("target", "dtype", "names"), [
    ("interpret", "float32", tuple(FUNCTIONS)), ("interpret", "float64", tuple(FUNCTIONS)), ("cpu", "float32", SAMPLE),
])  # fmt: skip
def test_errors_are_as_stated(target: str, dtype: str, names: tuple[str, ...]) -> None:
    column = ("float32", "float64").index(dtype)
    for name, found in measured(target, dtype, 8, names).items():
        assert _within(STATED[name][column], found.value, found.value_of_one), (name, found)
        assert _within(STATED[name][2 + column], found.slope, found.slope_of_one), (name, found)
