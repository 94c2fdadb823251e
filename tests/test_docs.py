"""Every Python block of README and docs runs, in order per file, and prints what the ``text`` block right behind it says.

``pytest tests/test_docs.py --update-golden`` writes what was printed into these blocks. Blocks marked ``console`` or ``make`` are not run.
The page about GPUs runs in a process with Numba's simulator.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<text>.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def ran(page: Path) -> str:
    """Run the page and return it with the printed texts in place."""
    text, name = page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()
    lines = text.splitlines(keepends=True)
    linecache.cache[name] = (len(text), None, lines, name)
    namespace: dict[str, Any] = {"__name__": name}
    pieces, done = [], 0
    for block in BLOCK.finditer(text):
        printed = io.StringIO()
        above = text.count("\n", 0, block.start("code"))
        with contextlib.redirect_stdout(printed), np.printoptions(precision=4, suppress=True):
            exec(compile("\n" * above + block["code"], name, "exec"), namespace)
        if block["text"] is not None:
            shown = "".join(line.rstrip() + "\n" for line in printed.getvalue().splitlines())
            pieces += [text[done : block.start("text")], shown]
            done = block.end("text")
    return "".join((*pieces, text[done:]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if page.stem == "gpu" and os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
        update = ["--update-golden"] if request.config.getoption("--update-golden") else []
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/test_docs.py::test_page[gpu]", *update]
        environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "GRAPHC_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout
        return
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    found = ran(page)
    if request.config.getoption("--update-golden"):
        page.write_text(found, encoding="utf-8")
    assert found.splitlines() == page.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
