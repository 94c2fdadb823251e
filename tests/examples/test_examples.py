"""Every example runs, in a directory of its own; each ends by asserting its numbers itself. The longer ones are for ``make gallery``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.examples import gallery
from tests.examples.gallery import LONG, SCRIPTS


@pytest.mark.slow
@pytest.mark.parametrize("script", [path for path in SCRIPTS if path.stem not in LONG], ids=lambda path: path.stem)
def test_example(script: Path, tmp_path: Path) -> None:
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    done = gallery.run(script, tmp_path, **({} if alone else {"GRAPHC_NUM_THREADS": "1"}))  # the other workers have the processors
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.strip()
    assert not gallery.missing_pictures(script, tmp_path)


def test_long_examples_exist() -> None:
    assert {path.stem for path in SCRIPTS} >= LONG


def test_examples_are_short() -> None:
    for script in SCRIPTS:
        lines = script.read_text(encoding="utf-8").count("\n")
        assert lines <= (170 if script.stem == "00_digits" else 110), f"{script.name} has {lines} lines"


def test_every_example_checks_its_gradient() -> None:
    for script in SCRIPTS:
        assert "check_grad(" in script.read_text(encoding="utf-8"), script.name


def test_table_of_times(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    good, bad = tmp_path / "98_good.py", tmp_path / "99_bad.py"
    good.write_text('"""Good."""\nprint(1)\n', encoding="utf-8")
    bad.write_text('"""Writes pictures/none.png."""\nassert False, "the number"\n', encoding="utf-8")
    monkeypatch.setattr(gallery, "SCRIPTS", [good, bad])
    monkeypatch.chdir(tmp_path)
    assert gallery.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("98_good") and lines[1].endswith(" s") and lines[2].endswith("FAILED")
    assert any("the number" in line for line in lines) and lines[-1].startswith("2 examples, 1 failed")
