"""Every Python block of README and docs runs, in order per file, and prints what the ``text`` block right behind it says.

``pytest tests/test_docs.py --update-golden`` writes what was printed into these blocks. Other blocks are not run.
Pages about GPUs run in a process with Numba's simulator.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import linecache
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "tutorial").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<text>.*?)^```\n)?", re.MULTILINE | re.DOTALL)

NEEDS = {"jax": "jax", "onnx": "onnx", "pytorch": "torch"}
"""Pages about packages that need not be there."""


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
            exec(compile("\n" * above + block["code"], name, "exec", dont_inherit=True), namespace)
        if block["text"] is not None:
            shown = "".join(line.rstrip() + "\n" for line in printed.getvalue().splitlines())
            pieces += [text[done : block.start("text")], shown]
            done = block.end("text")
    return "".join((*pieces, text[done:]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if page.stem.endswith("gpu") and os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
        update = ["--update-golden"] if request.config.getoption("--update-golden") else []
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"tests/test_docs.py::test_page[{page.stem}]", *update]
        environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "GRAPHC_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout
        return
    if page.stem in NEEDS:
        pytest.importorskip(NEEDS[page.stem], reason=f"not installed: pip install graphc[{NEEDS[page.stem]}]")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    found = ran(page)
    if request.config.getoption("--update-golden"):
        page.write_text(found, encoding="utf-8")
    assert found.splitlines() == page.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        written = re.fullmatch(r"(?:\.\./)*gallery/(\w+)\.md", target)  # when the site is built
        if written:
            assert written[1] == "index" or (ROOT / "examples" / f"{written[1]}.py").exists(), f"{page.name} links to {target}"
        elif "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_is_on_the_site_and_every_name_in_the_reference() -> None:
    index, reference = ((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("index", "reference"))
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in PAGES[1:]} - {"index"}
    assert pages <= set(index.splitlines())
    described = set(re.findall(r"^\.\. auto\w+:: (\w+)$", reference, re.MULTILINE))
    assert set(gc.__all__) - described <= {"nn", "optim"}
    layers = set(re.findall(r"\w+", (ROOT / "docs" / "reference-layers.md").read_text(encoding="utf-8")))
    assert {*gc.nn.__all__, *gc.optim.__all__} <= layers


def test_site(tmp_path: Path) -> None:
    """It is built without a warning; the gallery, whose pages the examples make, is left out."""
    pytest.importorskip("sphinx")
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("gallery"))
    (tmp_path / "docs" / "gallery").mkdir()
    (tmp_path / "docs" / "gallery" / "index.md").write_text("# Gallery\n", encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-c", "docs/site", "docs", "site"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    found = [line for line in done.stderr.splitlines() if "gallery/" not in line]
    assert (tmp_path / "site" / "index.html").exists() and not found, found


def test_a_page_of_the_gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example runs, and what its page says of the program comes from the program."""
    spec = importlib.util.spec_from_file_location("gallery_pages", ROOT / "docs" / "site" / "gallery.py")
    assert spec is not None and spec.loader is not None
    gallery = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gallery)
    monkeypatch.setattr(gallery, "PAGES", tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    check = gc.check_grad
    gallery.make(ROOT / "examples" / "05_minibatch.py")
    assert gc.check_grad is check
    page = (tmp_path / "05_minibatch.md").read_text(encoding="utf-8")
    assert page.startswith("# Minibatch\n")
    printed = "the gradient of the batch is the mean of the 8 gradients"
    for shown in (printed, "A.grad[j,i] += U.grad[b,i]*X[b,j]", "chain rule", "@njit", "@cuda.jit"):
        assert shown in page, shown
    pictures = re.findall(r"(?:\]\(|:file: )(pictures/[^)\s]+)", page)
    assert len(pictures) == 2 and all((tmp_path / name).stat().st_size > 500 for name in pictures)
    assert ":link: 05_minibatch" in gallery.index()
