"""Every example runs, in a directory of its own, within a minute; each ends by asserting its numbers itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("[0-9][0-9]_*.py"))
LONG = {"00_digits": 240}
"""Seconds on a busy machine, for those that train a larger net."""


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example(script: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONWARNINGS": "error::RuntimeWarning"}
    if "PYTEST_XDIST_WORKER" in environment:
        environment["GRAPHC_NUM_THREADS"] = "1"  # the processors are taken by the other workers
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8",
                          timeout=LONG.get(script.stem, 120), check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.strip()
    promised = [word.strip(".,") for word in script.read_text(encoding="utf-8").split('"""')[1].split() if word.startswith("pictures/")]
    for name in promised:
        stem, _, endings = name.partition(".")
        for ending in endings.strip("{}").split(","):
            path = tmp_path / f"{stem}.{ending}"
            assert path.is_file() and path.stat().st_size > 500, f"{path.name} was not written"


def test_examples_are_short() -> None:
    for script in SCRIPTS:
        lines = script.read_text(encoding="utf-8").count("\n")
        assert lines <= (170 if script.stem == "00_digits" else 110), f"{script.name} has {lines} lines"


def test_every_example_checks_its_gradient() -> None:
    for script in SCRIPTS:
        assert "check_grad(" in script.read_text(encoding="utf-8"), script.name
